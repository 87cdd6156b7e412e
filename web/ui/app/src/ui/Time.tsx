import { instant, span } from "../lib/format";
import { at as parse, tick, zone } from "../lib/time";

function full(ms: number): string {
  const d = new Date(ms);
  return `${d.toLocaleString("en-GB", { dateStyle: "medium", timeStyle: "medium" })} ${zone}\n${d.toISOString()}`;
}

/** An instant, with local time, UTC and zone as its tooltip. */
export function Time({ at, seconds = true }: { at: string | number | undefined; seconds?: boolean }) {
  const ms = typeof at === "number" ? at : parse(at);
  if (!ms) return <span class="dim">–</span>;
  return (
    <time class="num" dateTime={new Date(ms).toISOString()} title={full(ms)}>
      {instant(new Date(ms), new Date(tick.value), seconds)}
    </time>
  );
}

/** How long ago (or until when), exact and alive: "26 min". */
export function Ago({ at, suffix = "" }: { at: string | number | undefined; suffix?: string }) {
  const ms = typeof at === "number" ? at : parse(at);
  if (!ms) return <span class="dim">–</span>;
  return (
    <time class="num" dateTime={new Date(ms).toISOString()} title={full(ms)}>
      {span(Math.abs(tick.value - ms))}
      {suffix}
    </time>
  );
}
