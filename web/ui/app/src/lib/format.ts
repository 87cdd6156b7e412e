const counts = new Intl.NumberFormat("en");
const pad = (n: number) => String(n).padStart(2, "0");

/** A count with separators: 9,583. */
export function count(n: number): string {
  return counts.format(n);
}

/** A count of things, with the right form of the word: "1 check", "3 checks". */
export function plural(n: number, one: string, many = `${one}s`): string {
  return `${count(n)} ${n === 1 ? one : many}`;
}

/** Milliseconds for people: "0.4 ms", "84 ms", "1,840 ms", "12.4 s". Less than 0 is a dash. */
export function ms(value: number | null | undefined): string {
  if (value === null || value === undefined || value < 0 || Number.isNaN(value)) return "–";
  if (value > 0 && value < 0.95) return `${value < 0.1 ? "<0.1" : value.toFixed(1)} ms`;
  if (value < 10_000) return `${count(Math.round(value))} ms`;
  return `${(value / 1000).toFixed(1)} s`;
}

/** Nanoseconds for people. */
export function ns(value: number): string {
  return ms(value / 1e6);
}

/** A share as per cent without rounding up to 100: "99.98 %". Less than 0 is a dash. */
export function percent(share: number | undefined): string {
  if (share === undefined || share < 0 || Number.isNaN(share)) return "–";
  if (share === 1) return "100%";
  const value = Math.floor(share * 10_000) / 100;
  return `${value.toFixed(2)}%`;
}

/** Bytes for people: "1.2 MiB". */
export function bytes(n: number): string {
  const units = ["B", "KiB", "MiB", "GiB"];
  let i = 0;
  let v = n;
  while (v >= 1024 && i < units.length - 1) {
    v /= 1024;
    i++;
  }
  return `${i === 0 || v >= 100 ? Math.round(v) : v.toFixed(1)} ${units[i]}`;
}

/** A length of time, exact in its largest units: "4 s", "26 min", "3 h 12 min", "2 d 4 h". */
export function span(milliseconds: number): string {
  const s = Math.max(0, Math.floor(milliseconds / 1000));
  if (s < 60) return `${s} s`;
  const m = Math.floor(s / 60);
  if (m < 60) return `${m} min`;
  const h = Math.floor(m / 60);
  if (h < 24) return m % 60 ? `${h} h ${m % 60} min` : `${h} h`;
  const d = Math.floor(h / 24);
  return h % 24 && d < 14 ? `${d} d ${h % 24} h` : `${d} d`;
}

/** A length of time for a narrow column: "4s", "26m", "3h", "12d". */
export function brief(milliseconds: number): string {
  const s = Math.max(0, Math.floor(milliseconds / 1000));
  if (s < 60) return `${s}s`;
  if (s < 3600) return `${Math.floor(s / 60)}m`;
  if (s < 86400) return `${Math.floor(s / 3600)}h`;
  return `${Math.floor(s / 86400)}d`;
}

/** Milliseconds of a [Duration] as the server writes it: "1h30m", "500ms", "7d". NaN when it is not one. */
export function parseDuration(text: string): number {
  const units: Record<string, number> = { d: 86400e3, h: 3600e3, m: 60e3, s: 1e3, ms: 1, us: 1e-3, µs: 1e-3, ns: 1e-6 };
  const part = /(\d+(?:\.\d+)?)(ms|us|µs|ns|d|h|m|s)/y;
  let total = 0;
  let at = 0;
  while (at < text.length) {
    part.lastIndex = at;
    const m = part.exec(text);
    if (!m) return Number.NaN;
    total += Number(m[1]) * units[m[2]!]!;
    at = part.lastIndex;
  }
  return text ? total : Number.NaN;
}

/** Text of others made safe to look at: control and direction characters become escapes. */
export function visible(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what must be shown
  return text.replace(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]/g, (c) => {
    return `\\u${c.charCodeAt(0).toString(16).padStart(4, "0")}`;
  });
}

/** Text of a log line: without terminal colours, the rest visible. */
export function logText(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: terminal sequences begin with it
  return visible(text.replace(/\u001b\[[0-9;?]*[ -/]*[@-~]/g, ""));
}

/** A clock time: "14:06:41", or without seconds. */
export function clock(at: Date, seconds = true): string {
  return `${pad(at.getHours())}:${pad(at.getMinutes())}${seconds ? `:${pad(at.getSeconds())}` : ""}`;
}

/** A date: "2026-11-23". */
export function day(at: Date): string {
  return `${at.getFullYear()}-${pad(at.getMonth() + 1)}-${pad(at.getDate())}`;
}

const months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/** An instant as briefly as today allows: "14:06:41" today, "22 Nov 14:06" this year, else with the year. */
export function instant(at: Date, now: Date, seconds = true): string {
  if (day(at) === day(now)) return clock(at, seconds);
  const date = `${at.getDate()} ${months[at.getMonth()]}`;
  return at.getFullYear() === now.getFullYear() ? `${date} ${clock(at, false)}` : `${date} ${at.getFullYear()}`;
}
