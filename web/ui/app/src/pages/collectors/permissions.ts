// What a version of a module wants to reach, against what the active version
// may reach: what is the same, new, wider or narrower, and what it means.

import type { Grant, Limits } from "../../api.gen";
import { bytes, count } from "../../lib/format";

/** Against the active version. Only new and widened need a decision. */
export type Change = "same" | "new" | "widened" | "narrowed" | "gone";

/** One thing to allow or not. */
export interface Permission {
  key: string;
  kind: "http" | "private" | "limit";
  title: string;
  change: Change;
  /** What it was, when it was something else. */
  was?: string;
  /** What could go wrong, in concrete words. */
  danger?: string;
}

/** Limits of a run whose grant says nothing. */
export const defaultLimits: Required<Limits> = {
  memory_bytes: 16 << 20,
  fuel: 1e9,
  output_bytes: 256 << 10,
  log_bytes: 64 << 10,
  http_calls: 20,
  http_response_bytes: 1 << 20,
};

const limitNames: { key: keyof Limits; title: string; text: (n: number) => string }[] = [
  { key: "memory_bytes", title: "memory", text: bytes },
  { key: "fuel", title: "instructions", text: count },
  { key: "output_bytes", title: "output", text: bytes },
  { key: "log_bytes", title: "log", text: bytes },
  { key: "http_calls", title: "HTTP calls a run", text: count },
  { key: "http_response_bytes", title: "of an HTTP response", text: bytes },
];

/** The limits that hold: what is granted, or the default. */
export function effective(limits: Limits | undefined): Required<Limits> {
  const out = { ...defaultLimits };
  for (const { key } of limitNames) if (limits?.[key]) out[key] = limits[key] as number;
  return out;
}

interface Pattern {
  scheme: string;
  host: string;
  port: string;
}

function pattern(text: string): Pattern {
  const found = /^([a-z]+):\/\/([^/:]+|\[[^\]]*\])(?::([^/]+))?/i.exec(text);
  if (!found) return { scheme: "", host: text, port: "" };
  const [, scheme = "", host = "", port] = found;
  return { scheme: scheme.toLowerCase(), host: host.toLowerCase(), port: port ?? (scheme.toLowerCase() === "https" ? "443" : "80") };
}

/** Whether everything that `narrow` reaches is reached by `wide` too. */
export function covers(wide: string, narrow: string): boolean {
  const a = pattern(wide);
  const b = pattern(narrow);
  if (a.scheme !== b.scheme || (a.port !== b.port && a.port !== "*")) return false;
  if (a.host === b.host || a.host === "*") return true;
  return a.host.startsWith("*.") && b.host.endsWith(a.host.slice(1)) && b.host.length > a.host.length - 1;
}

/** What reaching a pattern means, when it is more than one public host over https. */
export function dangerOf(text: string): string | undefined {
  const { scheme, host, port } = pattern(text);
  const said: string[] = [];
  if (host === "*" || host === "*.*") said.push("It may reach every host on the internet and send it whatever it reads.");
  else if (host.startsWith("*.")) said.push(`It may reach every host under ${host.slice(2)}, also ones that are added later.`);
  if (/^(localhost|127\.|\[?::1)/.test(host))
    said.push("This is the machine that Tocsin runs on: services there often trust local callers.");
  else if (/^(10\.|192\.168\.|172\.(1[6-9]|2\d|3[01])\.)/.test(host) || /\.(internal|local|lan|corp|home)$/.test(host))
    said.push("This is a host of an inner network.");
  if (scheme === "http") said.push("The connection is not encrypted: others on the way can read and change it.");
  if (port === "*") said.push("On every port.");
  return said.join(" ") || undefined;
}

function httpChange(host: string, active: Grant | undefined): { change: Change; was?: string } {
  if (!active) return { change: "new" };
  const had = active.http ?? [];
  if (had.includes(host)) return { change: "same" };
  const wider = had.find((h) => covers(h, host));
  if (wider) return { change: "narrowed", was: wider };
  const narrower = had.filter((h) => covers(host, h));
  return narrower.length > 0 ? { change: "widened", was: narrower.join(", ") } : { change: "new" };
}

const privateDanger =
  "The hosts above may turn out to be loopback or private addresses (127.0.0.0/8, 10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16, fc00::/7): services that only the inner network can reach.";

/** Every permission that is wanted, and those of the active version that are wanted no more. */
export function compare(wants: Grant | undefined, active: Grant | undefined): Permission[] {
  const out: Permission[] = [];
  for (const host of wants?.http ?? [])
    out.push({ key: `http ${host}`, kind: "http", title: host, danger: dangerOf(host), ...httpChange(host, active) });
  if (wants?.private)
    out.push({
      key: "private",
      kind: "private",
      title: "Private and loopback addresses",
      change: active?.private ? "same" : "new",
      danger: privateDanger,
    });
  for (const host of active?.http ?? []) {
    const still = (wants?.http ?? []).some((w) => covers(w, host) || covers(host, w));
    if (!still) out.push({ key: `gone ${host}`, kind: "http", title: host, change: "gone" });
  }
  if (active?.private && !wants?.private)
    out.push({ key: "gone private", kind: "private", title: "Private and loopback addresses", change: "gone" });
  out.push(...limits(wants, active));
  return out;
}

function limits(wants: Grant | undefined, active: Grant | undefined): Permission[] {
  const now = effective(wants?.limits);
  const base = active ? effective(active.limits) : defaultLimits;
  return limitNames
    .filter(({ key }) => now[key] !== defaultLimits[key] || now[key] !== base[key])
    .map(({ key, title, text }) => ({
      key: `limit ${key}`,
      kind: "limit" as const,
      title: `${text(now[key])} ${title}`,
      change: (now[key] === base[key] ? "same" : now[key] > base[key] ? "widened" : "narrowed") as Change,
      ...(now[key] === base[key] ? {} : { was: `${text(base[key])}${active ? "" : " by default"}` }),
    }));
}

/** Whether a person must say yes or no. */
export function asks(p: Permission): boolean {
  return p.change === "new" || p.change === "widened";
}

/** The hosts that somebody wrote to narrow a pattern: by comma or space. */
export function hostsOf(text: string | undefined): string[] {
  return (text ?? "").split(/[\s,]+/).filter(Boolean);
}

/** What of a granted list falls under a pattern that is wanted. */
export function grantedUnder(pattern: string, grant: Grant | undefined): string[] {
  return (grant?.http ?? []).filter((host) => covers(pattern, host));
}

/**
 * The grant that the decisions make: what is not allowed is left out. Undefined
 * decisions count as no. only narrows a pattern to the hosts written there.
 */
export function grantOf(
  wants: Grant | undefined,
  all: Permission[],
  allowed: Record<string, boolean | undefined>,
  only: Record<string, string | undefined> = {},
): Grant {
  const yes = (key: string) => {
    const p = all.find((one) => one.key === key);
    return !!p && p.change !== "gone" && (asks(p) ? allowed[key] === true : allowed[key] !== false);
  };
  const grant: Grant = {};
  const http = (wants?.http ?? [])
    .filter((host) => yes(`http ${host}`))
    .flatMap((host) => (hostsOf(only[`http ${host}`]).length > 0 ? hostsOf(only[`http ${host}`]) : [host]));
  if (http.length > 0) grant.http = http;
  if (yes("private")) grant.private = true;
  const kept: Limits = {};
  for (const { key } of limitNames) {
    const wanted = wants?.limits?.[key];
    if (!wanted) continue;
    const p = all.find((one) => one.key === `limit ${key}`);
    if (!p || yes(p.key)) kept[key] = wanted;
  }
  if (Object.keys(kept).length > 0) grant.limits = kept;
  return grant;
}

/** A grant in one line: "reaches a.test, b.test". */
export function summary(grant: Grant | undefined): string {
  const http = grant?.http ?? [];
  if (http.length === 0) return "reaches nothing";
  const shown = http.slice(0, 2).map((h) => h.replace(/^https:\/\//, ""));
  return `reaches ${shown.join(", ")}${http.length > 2 ? ` and ${http.length - 2} more` : ""}${grant?.private ? ", private addresses too" : ""}`;
}
