// What a version of a module wants to reach, against what was granted before:
// one row a capability, what is the same, new, wider or narrower in it, and
// what it means.

import type { Grant, Limits } from "../../api.gen";
import { bytes, count } from "../../lib/format";

/** Against what was granted before. Only new and widened need a decision. */
export type Change = "same" | "new" | "widened" | "narrowed" | "gone";

/** A capability, in the order in which they are reviewed. */
export type Kind = "http" | "tcp" | "dns" | "private" | "secrets" | "reveal" | "kv" | "limits";

/** Capabilities that are lists of lines. */
export type ListKind = "http" | "tcp" | "dns" | "secrets" | "reveal";

/** One line of a capability: a host, a secret, a limit. */
export interface Line {
  text: string;
  change: Change;
  /** What it was, when it was something else. */
  was?: string;
  /** What could go wrong with it, when it is new or wider. */
  danger?: string;
  /** Of a limit. */
  key?: keyof Limits;
}

/** One capability to allow or not. */
export interface Row {
  kind: Kind;
  title: string;
  change: Change;
  lines: Line[];
  /** What could go wrong with it when it is new or wider, in concrete words. */
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
  tcp_calls: 10,
  tcp_bytes: 1 << 20,
  dns_calls: 20,
  kv_bytes: 64 << 10,
};

export const limitNames: { key: keyof Limits; title: string; text: (n: number) => string }[] = [
  { key: "memory_bytes", title: "memory", text: bytes },
  { key: "fuel", title: "instructions", text: count },
  { key: "output_bytes", title: "output", text: bytes },
  { key: "log_bytes", title: "log", text: bytes },
  { key: "http_calls", title: "HTTP calls", text: count },
  { key: "http_response_bytes", title: "HTTP response", text: bytes },
  { key: "tcp_calls", title: "TCP connections", text: count },
  { key: "tcp_bytes", title: "over TCP", text: bytes },
  { key: "dns_calls", title: "DNS queries", text: count },
  { key: "kv_bytes", title: "kept values", text: bytes },
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

function address(text: string): Pattern {
  const found = /^(.*?)(?::([^:\]]+))?$/.exec(text);
  return { scheme: "", host: (found?.[1] ?? text).toLowerCase(), port: found?.[2] ?? "" };
}

function within(a: Pattern, b: Pattern): boolean {
  if (a.scheme !== b.scheme || (a.port !== b.port && a.port !== "*")) return false;
  if (a.host === b.host || a.host === "*") return true;
  return a.host.startsWith("*.") && b.host.endsWith(a.host.slice(1)) && b.host.length > a.host.length - 1;
}

/** Whether everything that `narrow` reaches is reached by `wide` too. */
export function covers(wide: string, narrow: string, kind: ListKind = "http"): boolean {
  if (wide === narrow) return true;
  switch (kind) {
    case "http":
      return within(pattern(wide), pattern(narrow));
    case "tcp":
      return within(address(wide), address(narrow));
    case "dns":
      return within({ scheme: "", host: wide.toLowerCase(), port: "" }, { scheme: "", host: narrow.toLowerCase(), port: "" });
    default:
      return false;
  }
}

/** What reaching a host means, when it is more than one public host over an encrypted connection. */
export function dangerOf(text: string, kind: "http" | "tcp" = "http"): string | undefined {
  const { scheme, host, port } = kind === "http" ? pattern(text) : address(text);
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

const privateDanger =
  "The hosts above may turn out to be loopback or private addresses (127.0.0.0/8, 10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16, fc00::/7): services that only the inner network can reach.";

function dangerOfLine(kind: ListKind, text: string, wants: Grant | undefined): string | undefined {
  switch (kind) {
    case "http":
      return dangerOf(text);
    case "tcp":
      return ["It may send any bytes and speak any protocol there.", dangerOf(text, "tcp")].filter(Boolean).join(" ");
    case "dns":
      return text === "*" || text.startsWith("*.")
        ? `It may look up ${text === "*" ? "every name" : `every name under ${text.slice(2)}`}. A name that is looked up can carry data out.`
        : undefined;
    case "secrets": {
      const hosts = [...(wants?.http ?? []), ...(wants?.tcp ?? [])];
      return hosts.length > 0
        ? `It may send the value of ${text} to ${hosts.slice(0, 3).join(", ")}${hosts.length > 3 ? ` and ${hosts.length - 3} more` : ""}, without reading it.`
        : `It may send the value of ${text} to the hosts that it is allowed, without reading it.`;
    }
    default:
      return `Its code reads the value of ${text} and can put it into results, logs and requests.`;
  }
}

export const kindTitles: Record<Kind, string> = {
  http: "HTTP",
  tcp: "TCP and TLS",
  dns: "DNS",
  private: "Private and loopback addresses",
  secrets: "Secrets that it sends",
  reveal: "Secrets that it reads",
  kv: "Kept values",
  limits: "Limits",
};

const listKinds: ListKind[] = ["http", "tcp", "dns", "secrets", "reveal"];
const order: Kind[] = ["http", "tcp", "dns", "private", "secrets", "reveal", "kv", "limits"];

export function isList(kind: Kind): kind is ListKind {
  return (listKinds as Kind[]).includes(kind);
}

const kvTexts: Record<string, string> = { assignment: "its own for each check on each system", module: "one set for the whole module" };

/** What of a granted list falls under a line that is wanted. */
export function grantedUnder(wanted: string, grant: Grant | undefined, kind: ListKind = "http"): string[] {
  return (grant?.[kind] ?? []).filter((line) => covers(wanted, line, kind));
}

function lineOf(kind: ListKind, text: string, had: string[]): Line {
  if (had.includes(text)) return { text, change: "same" };
  const wider = had.find((h) => covers(h, text, kind));
  if (wider) return { text, change: "narrowed", was: wider };
  const narrower = had.filter((h) => covers(text, h, kind));
  return narrower.length > 0 ? { text, change: "widened", was: narrower.join(", ") } : { text, change: "new" };
}

/** What a row comes to: as its widest line, and new when there was nothing. */
function sum(lines: Line[], had: boolean): Change {
  if (lines.every((l) => l.change === "gone")) return "gone";
  if (!had) return "new";
  if (lines.some((l) => l.change === "new" || l.change === "widened")) return "widened";
  return lines.some((l) => l.change !== "same") ? "narrowed" : "same";
}

function listRow(kind: ListKind, wants: Grant | undefined, before: Grant | undefined): Row | undefined {
  const wanted = wants?.[kind] ?? [];
  const had = before?.[kind] ?? [];
  if (wanted.length + had.length === 0) return undefined;
  const lines = wanted.map((text) => lineOf(kind, text, had));
  for (const text of had) if (!wanted.some((w) => covers(w, text, kind) || covers(text, w, kind))) lines.push({ text, change: "gone" });
  for (const l of lines) if (l.change === "new" || l.change === "widened") l.danger = dangerOfLine(kind, l.text, wants);
  return { kind, title: kindTitles[kind], change: sum(lines, had.length > 0), lines };
}

function privateRow(wants: Grant | undefined, before: Grant | undefined): Row | undefined {
  if (!wants?.private && !before?.private) return undefined;
  const change: Change = !wants?.private ? "gone" : before?.private ? "same" : "new";
  return { kind: "private", title: kindTitles.private, change, lines: [], ...(change === "new" ? { danger: privateDanger } : {}) };
}

function kvRow(wants: Grant | undefined, before: Grant | undefined): Row | undefined {
  const now = wants?.kv ?? "";
  const was = before?.kv ?? "";
  if (!now && !was) return undefined;
  const change: Change = !now ? "gone" : !was ? "new" : now === was ? "same" : now === "module" ? "widened" : "narrowed";
  return {
    kind: "kv",
    title: kindTitles.kv,
    change,
    lines: [{ text: kvTexts[now || was] ?? now, change, ...(was && now && was !== now ? { was: kvTexts[was] ?? was } : {}) }],
    ...(now === "module" && was !== "module" ? { danger: "What it keeps for one system it can read for every other." } : {}),
  };
}

function limitsRow(wants: Grant | undefined, before: Grant | undefined): Row | undefined {
  const now = effective(wants?.limits);
  const base = before ? effective(before.limits) : defaultLimits;
  const lines: Line[] = limitNames
    .filter(({ key }) => now[key] !== defaultLimits[key] || now[key] !== base[key])
    .map(({ key, title, text }) => ({
      key,
      text: `${text(now[key])} ${title}`,
      change: now[key] === base[key] ? "same" : now[key] > base[key] ? "widened" : "narrowed",
      ...(now[key] === base[key] ? {} : { was: `${text(base[key])}${before ? "" : " by default"}` }),
    }));
  if (lines.length === 0) return undefined;
  const change: Change = lines.some((l) => l.change === "widened")
    ? "widened"
    : lines.some((l) => l.change === "narrowed")
      ? "narrowed"
      : "same";
  return { kind: "limits", title: kindTitles.limits, change, lines };
}

/** Every capability that is wanted, and those of before that are wanted no more. */
export function compare(wants: Grant | undefined, before: Grant | undefined): Row[] {
  const all = new Map<Kind, Row | undefined>(listKinds.map((kind) => [kind, listRow(kind, wants, before)]));
  all.set("private", privateRow(wants, before));
  all.set("kv", kvRow(wants, before));
  all.set("limits", limitsRow(wants, before));
  return order.map((kind) => all.get(kind)).filter((row) => row !== undefined);
}

/** Whether a person must say yes or no. */
export function asks(row: Row): boolean {
  return row.change === "new" || row.change === "widened";
}

/** What a person said about a capability. */
export interface Decision {
  yes?: boolean;
  /** The lines that are granted, when they are not all that is wanted. */
  text?: string;
  /** Limits that are lower than wanted, as typed. */
  limits?: Partial<Record<keyof Limits, string>>;
}
export type Decisions = Partial<Record<Kind, Decision>>;

/** The lines that somebody wrote: one a line, or by comma. */
export function linesOf(text: string): string[] {
  return [...new Set(text.split(/[\s,]+/).filter(Boolean))];
}

/**
 * What is decided before anybody decides: a version that was reviewed keeps
 * what it was granted, and a line that was held to a part of it stays held.
 */
export function begin(wants: Grant | undefined, rows: Row[], own: Grant | undefined, before?: { grant?: Grant; wants?: Grant }): Decisions {
  // What was asked for before and granted only in part.
  const held = (kind: ListKind, l: Line) => l.change === "widened" && (before?.wants?.[kind] ?? []).some((w) => covers(w, l.text, kind));
  const out: Decisions = {};
  for (const { kind, lines } of rows) {
    if (own) {
      if (isList(kind)) {
        const kept = (own[kind] ?? []).filter((line) => (wants?.[kind] ?? []).some((w) => covers(w, line, kind)));
        out[kind] = { yes: kept.length > 0, ...(kept.join() === (wants?.[kind] ?? []).join() ? {} : { text: kept.join("\n") }) };
      } else if (kind === "private") out.private = { yes: !!own.private };
      else if (kind === "kv") out.kv = { yes: !!own.kv };
      else out.limits = { yes: true };
    } else if (isList(kind) && lines.some((l) => held(kind, l))) {
      const text = lines
        .filter((l) => l.change !== "gone")
        .flatMap((l) => (held(kind, l) ? grantedUnder(l.text, before?.grant, kind) : [l.text]))
        .join("\n");
      out[kind] = { text };
    }
  }
  return out;
}

/** Bytes or a count as people write them: "32 MiB", "64k", "1,000,000". NaN when it is none. */
export function amount(text: string): number {
  const found = /^\s*([\d][\d,._]*)\s*(k|m|g)?(i?b)?\s*$/i.exec(text);
  if (!found) return Number.NaN;
  const unit = { k: 1024, m: 1024 ** 2, g: 1024 ** 3 }[(found[2] ?? "").toLowerCase()] ?? 1;
  return Math.round(Number((found[1] as string).replace(/[,_]/g, "")) * unit);
}

/** What is wrong with what somebody wrote, by capability. */
export function mistakes(wants: Grant | undefined, decisions: Decisions): Partial<Record<Kind, string>> {
  const out: Partial<Record<Kind, string>> = {};
  for (const kind of listKinds) {
    const d = decisions[kind];
    if (d?.yes === false || d?.text === undefined) continue;
    const lines = linesOf(d.text);
    const beyond = lines.find((line) => !(wants?.[kind] ?? []).some((w) => covers(w, line, kind)));
    if (beyond) out[kind] = `It does not ask for ${beyond}. Write a part of what it asks for.`;
    else if (d.yes && lines.length === 0) out[kind] = "Write at least one line, or deny it.";
  }
  const most = effective(wants?.limits);
  for (const { key, title, text } of limitNames) {
    const typed = decisions.limits?.limits?.[key];
    if (!typed?.trim()) continue;
    const n = amount(typed);
    if (!(n > 0)) out.limits = `${title}: write a number, for example 8 MiB.`;
    else if (n > most[key]) out.limits = `${title}: it asks for ${text(most[key])} at most.`;
  }
  return out;
}

/**
 * The grant that the decisions make: what is not allowed is left out, and a
 * decision that is open counts as no.
 */
export function grantOf(wants: Grant | undefined, rows: Row[], decisions: Decisions, before?: Grant): Grant {
  const grant: Grant = {};
  for (const row of rows) {
    const { kind } = row;
    const d = decisions[kind] ?? {};
    const yes = row.change !== "gone" && (asks(row) ? d.yes === true : d.yes !== false);
    if (kind === "limits") {
      const limits = limitsOf(wants, yes, d, before);
      if (Object.keys(limits).length > 0) grant.limits = limits;
    } else if (!yes) continue;
    else if (isList(kind)) {
      const lines = d.text === undefined ? (wants?.[kind] ?? []) : linesOf(d.text);
      if (lines.length > 0) grant[kind] = lines;
    } else if (kind === "private") grant.private = true;
    else grant.kv = wants?.kv;
  }
  return grant;
}

function limitsOf(wants: Grant | undefined, yes: boolean, d: Decision, before: Grant | undefined): Limits {
  const out: Limits = {};
  const base = effective(before?.limits);
  const most = effective(wants?.limits);
  for (const { key } of limitNames) {
    const typed = amount(d.limits?.[key] ?? "");
    const n = typed > 0 ? Math.min(typed, most[key]) : yes ? most[key] : Math.min(most[key], base[key]);
    if (n !== defaultLimits[key] || wants?.limits?.[key]) out[key] = n;
  }
  return out;
}

/** A grant in one line: "reaches a.test, b.test". */
export function summary(grant: Grant | undefined): string {
  const hosts = [...(grant?.http ?? []).map((h) => h.replace(/^https:\/\//, "")), ...(grant?.tcp ?? [])];
  const secrets = (grant?.secrets ?? []).length;
  const said = [
    hosts.length === 0
      ? "reaches nothing"
      : `reaches ${hosts.slice(0, 2).join(", ")}${hosts.length > 2 ? ` and ${hosts.length - 2} more` : ""}`,
    grant?.private ? "private addresses too" : "",
    (grant?.dns ?? []).length > 0 ? "DNS" : "",
    secrets > 0 ? `${secrets} ${secrets === 1 ? "secret" : "secrets"}` : "",
    (grant?.reveal ?? []).length > 0 ? "reads secrets" : "",
    grant?.kv ? "keeps values" : "",
  ];
  return said.filter(Boolean).join(", ");
}

/** What a call to the host wanted to reach, as a line of a grant; undefined when the call names none. */
export function lineFor(name: string, detail: string): { kind: ListKind; text: string } | undefined {
  if (name === "http") {
    const found = /\bhttps?:\/\/[^\s/?#"']+/i.exec(detail)?.[0];
    if (!found) return undefined;
    const { scheme, host, port } = pattern(found.replace(/\/\/[^@/]*@/, "//"));
    return { kind: "http", text: `${scheme}://${host}:${port}` };
  }
  if (name === "tcp" || name === "tls_info") {
    const found = /(?:^|\s)((?:\[[0-9a-f:]+\]|[a-z0-9._-]+):\d+)/i.exec(detail)?.[1];
    return found ? { kind: "tcp", text: found } : undefined;
  }
  if (name === "dns") {
    const found = detail.split(/\s+/).find((word) => /^[a-z0-9_-]+(\.[a-z0-9_-]+)+\.?$/i.test(word));
    return found ? { kind: "dns", text: found.replace(/\.$/, "") } : undefined;
  }
  if (name === "secret" || name === "reveal") {
    const text = detail.trim().split(/\s+/)[0];
    return text ? { kind: name === "secret" ? "secrets" : "reveal", text } : undefined;
  }
  return undefined;
}

/** A grant with a line more, when the module asks for it. */
export function widened(grant: Grant | undefined, wants: Grant | undefined, kind: ListKind, line: string): Grant | undefined {
  if (!(wants?.[kind] ?? []).some((w) => covers(w, line, kind))) return undefined;
  return { ...grant, [kind]: [...(grant?.[kind] ?? []), line] };
}
