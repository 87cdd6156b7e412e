import { useMemo, useState } from "preact/hooks";
import type { Page, Transition } from "../../api.gen";
import { api, query } from "../../lib/api";
import { count } from "../../lib/format";
import { useResource } from "../../lib/resource";
import { at, now, tick } from "../../lib/time";
import { useTopic } from "../../live";

const hour = 3600e3;
const slots = 30;

/** How many of the instants fall into each slot of the hour before end. */
export function histogram(instants: number[], end: number): number[] {
  const out = new Array<number>(slots).fill(0);
  for (const t of instants) {
    const i = slots - 1 - Math.floor((end - t) / (hour / slots));
    if (i >= 0 && i < slots) out[i]!++;
  }
  return out;
}

/** Changes of health in the last hour: a spike has one cause. */
export function Changes() {
  const past = useResource("changes", (signal) =>
    api.get<Page<Transition>>(`/transitions${query({ kind: "system", since: new Date(now() - hour).toISOString(), limit: 1000 })}`, {
      signal,
    }),
  );
  const [fresh, setFresh] = useState<number[]>([]);
  useTopic("activity", (events) => {
    const more = events.flatMap((e) => (e.transition?.subject.kind === "system" ? [at(e.transition.at)] : []));
    if (more.length > 0) setFresh((was) => [...was.filter((t) => t > now() - hour), ...more].slice(-5000));
  });
  const known = useMemo(
    () => (past.data?.items ?? []).filter((t) => t.subject.kind === "system" && t.from !== "unknown").map((t) => at(t.at)),
    [past.data],
  );
  const end = Math.ceil(tick.value / 10_000) * 10_000;
  const all = [...known, ...fresh].filter((t) => t > end - hour);
  if (past.error || !past.data) return null;
  const bars = histogram(all, end);
  const most = Math.max(4, ...bars);
  return (
    <a class="changes" href="/activity?kind=system" title="Changes of health in the last hour">
      <span class="num">
        {count(all.length)} {all.length === 1 ? "change" : "changes"} in the last hour
      </span>
      <svg width={slots * 4} height={22} viewBox={`0 0 ${slots * 4} 22`} aria-hidden="true">
        {bars.map((n, i) => {
          const h = n === 0 ? 1 : Math.max(3, Math.round((n / most) * 20));
          return (
            <rect
              key={i}
              x={i * 4}
              y={22 - h}
              width={3}
              height={h}
              fill={n === 0 ? "var(--line-2)" : n >= most && n > 3 ? "var(--unhealthy-f)" : "var(--ctl)"}
            />
          );
        })}
      </svg>
    </a>
  );
}
