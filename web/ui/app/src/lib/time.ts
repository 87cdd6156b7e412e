import { signal } from "@preact/signals";

let offset = 0;

/** Tell the difference of the server's clock, from welcome and heartbeats. */
export function syncClock(serverNow: number): void {
  offset = serverNow - Date.now();
  tick.value = serverNow;
}

/** The server's clock, in ms. Relative times use it, so that a wrong clock here does not matter. */
export function now(): number {
  return Date.now() + offset;
}

/** The server's clock, once a second while the tab is visible. Read its value to be drawn again. */
export const tick = signal(Date.now());

if (typeof document !== "undefined") {
  setInterval(() => {
    if (!document.hidden) tick.value = now();
  }, 1000);
}

/** Milliseconds of an RFC 3339 instant; 0 for none and for the zero instant of Go. */
export function at(text: string | undefined | null): number {
  if (!text || text.startsWith("0001-")) return 0;
  return Date.parse(text);
}

/** The local time zone, for the head of time axes. */
export const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
