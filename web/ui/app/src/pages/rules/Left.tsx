import { at, tick } from "../../lib/time";

/** How long until an instant, counting down: "1:12". Nothing when it is past. */
export function Left({ until }: { until: string }) {
  const s = Math.ceil((at(until) - tick.value) / 1000);
  if (s <= 0) return null;
  const h = Math.floor(s / 3600);
  const m = Math.floor((s % 3600) / 60);
  const pad = (n: number) => String(n).padStart(2, "0");
  return <span class="num dim">{h > 0 ? `${h}:${pad(m)}:${pad(s % 60)}` : `${m}:${pad(s % 60)}`} left</span>;
}
