import type { ComponentChildren } from "preact";
import { useId, useRef, useState } from "preact/hooks";
import type { Health } from "../api.gen";

/** Height of a health in a lane, as a share. */
export const laneHeight: Record<Health, number> = { healthy: 0.5, degraded: 0.75, unhealthy: 1, unknown: 0.35, stale: 0.5 };

export interface LaneSpan {
  /** ms */
  from: number;
  to: number;
  /** Class of the fill, for example f-healthy. */
  fill: string;
  /** Share of the height, 0 to 1. */
  height: number;
  hatch?: boolean;
  /** Said when the pointer or the cursor is on it. */
  text: string;
}

/**
 * A strip of spans over time. Arrow keys move from span to span; below is said
 * what is under the cursor.
 */
export function Lane({
  spans,
  from,
  to,
  height = 24,
  label,
  onPick,
  empty,
}: {
  spans: LaneSpan[];
  from: number;
  to: number;
  height?: number;
  label: string;
  onPick?: (span: LaneSpan | undefined) => void;
  empty?: ComponentChildren;
}) {
  const [at, setAt] = useState(-1);
  const box = useRef<HTMLDivElement>(null);
  const hatch = useId();
  const width = Math.max(1, to - from);
  const pick = (i: number) => {
    const next = Math.max(-1, Math.min(spans.length - 1, i));
    setAt(next);
    onPick?.(spans[next]);
  };
  if (spans.length === 0 && empty) return <>{empty}</>;
  return (
    <div
      ref={box}
      class="strip"
      role="slider"
      tabIndex={0}
      aria-label={label}
      aria-valuemin={0}
      aria-valuemax={spans.length - 1}
      aria-valuenow={Math.max(0, at)}
      aria-valuetext={spans[at]?.text ?? label}
      onKeyDown={(e) => {
        const step = e.key === "ArrowRight" ? 1 : e.key === "ArrowLeft" ? -1 : 0;
        if (step) {
          e.preventDefault();
          pick(at < 0 ? spans.length - 1 : Math.max(0, at + step));
        } else if (e.key === "Home" || e.key === "End") {
          e.preventDefault();
          pick(e.key === "Home" ? 0 : spans.length - 1);
        }
      }}
      onBlur={() => pick(-1)}
      onPointerMove={(e) => {
        const r = box.current!.getBoundingClientRect();
        const t = from + ((e.clientX - r.left) / r.width) * width;
        pick(spans.findIndex((s) => t >= s.from && t < s.to));
      }}
      onPointerLeave={() => pick(-1)}
    >
      <svg width="100%" height={height} viewBox={`0 0 1000 ${height}`} preserveAspectRatio="none" aria-hidden="true">
        <defs>
          <pattern id={hatch} width="6" height="6" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">
            <path d="M0 3h6" stroke="var(--panel)" stroke-width="2" />
          </pattern>
        </defs>
        {spans.map((s, i) => {
          const x = ((s.from - from) / width) * 1000;
          const w = Math.max(1.5, ((s.to - s.from) / width) * 1000 - 1);
          const h = height * s.height;
          return (
            <g key={`${i} ${s.from}`} opacity={at >= 0 && at !== i ? 0.55 : 1}>
              <rect x={x} y={height - h} width={w} height={h} class={s.fill} />
              {s.hatch && <rect x={x} y={height - h} width={w} height={h} fill={`url(#${hatch})`} />}
            </g>
          );
        })}
      </svg>
    </div>
  );
}
