import type { ModulePoint } from "../../api.gen";
import { ms } from "../../lib/format";

/** The last hour of a version: mean time a minute as a line, minutes with errors as marks below. */
export function Sparkline({ series, width = 96, height = 22 }: { series: ModulePoint[]; width?: number; height?: number }) {
  if (series.length < 2) return null;
  const ran = series.filter((p) => p.runs > 0);
  const most = Math.max(...ran.map((p) => p.wall_ms), 0.001);
  const step = (width - 2) / Math.max(1, series.length - 1);
  const parts: string[] = [];
  let on = false;
  series.forEach((p, i) => {
    if (p.runs === 0) {
      on = false;
      return;
    }
    const y = 1 + (1 - p.wall_ms / most) * (height - 6);
    parts.push(`${on ? "L" : "M"}${(1 + i * step).toFixed(1)} ${y.toFixed(1)}`);
    if (!on && !series[i + 1]?.runs) parts.push("h0.01");
    on = true;
  });
  const bad = series.map((p, i) => (p.errors > 0 ? `M${(1 + i * step).toFixed(1)} ${height - 3}v3` : "")).join("");
  const errors = series.reduce((n, p) => n + p.errors, 0);
  return (
    <svg
      class="co-spark"
      width={width}
      height={height}
      viewBox={`0 0 ${width} ${height}`}
      role="img"
      aria-label={`The last hour: up to ${ms(most)} on average a minute, ${errors} errors`}
    >
      <path d={parts.join("")} fill="none" stroke="var(--accent)" stroke-width="1.6" stroke-linejoin="round" stroke-linecap="round" />
      {bad && <path d={bad} stroke="var(--unhealthy-f)" stroke-width="2" />}
    </svg>
  );
}
