// What a version of a module wants to reach, against what was granted before:
// one row a capability. What is new, wider or narrower in it, and what it
// means, is what the server says.

import type { Grant, GrantChange, GrantDiff, Limits } from "../../api.gen";
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

const changeOf: Record<GrantChange["change"], Change> = { added: "new", removed: "gone", widened: "widened", narrowed: "narrowed" };

/** A line as it is wanted, with what the server says of it. */
function lineOf(text: string, said: GrantChange | undefined): Line {
  if (!said) return { text, change: "same" };
  return {
    text,
    change: changeOf[said.change],
    ...(said.before ? { was: said.before } : {}),
    ...(said.danger ? { danger: said.danger } : {}),
  };
}

/** What a row comes to: as its widest line, and new when there was nothing. */
function sum(lines: Line[]): Change {
  if (lines.every((l) => l.change === "gone")) return "gone";
  if (lines.every((l) => l.change === "new")) return "new";
  if (lines.some((l) => l.change === "new" || l.change === "widened")) return "widened";
  return lines.some((l) => l.change !== "same") ? "narrowed" : "same";
}

function row(kind: Kind, lines: Line[]): Row | undefined {
  return lines.length === 0 ? undefined : { kind, title: kindTitles[kind], change: sum(lines), lines };
}

function listRow(kind: ListKind, wants: Grant | undefined, said: GrantChange[]): Row | undefined {
  const gone = said.filter((c) => c.change === "removed");
  const lines = (wants?.[kind] ?? []).map((text) =>
    lineOf(
      text,
      said.find((c) => c.value === text && c.change !== "removed"),
    ),
  );
  return row(kind, [...lines, ...gone.map((c) => lineOf(c.value, c))]);
}

/** A capability that is one word, or nothing. */
function wordRow(kind: "private" | "kv", word: string | undefined, said: GrantChange | undefined): Row | undefined {
  const value = word || said?.value;
  if (!value) return undefined;
  const { danger, ...line } = lineOf(kvTexts[value] ?? value, said && { ...said, before: kvTexts[said.before ?? ""] ?? said.before });
  return { kind, title: kindTitles[kind], change: line.change, lines: kind === "kv" ? [line] : [], ...(danger ? { danger } : {}) };
}

function limitsRow(wants: Grant | undefined, said: GrantChange[], first: boolean): Row | undefined {
  const now = effective(wants?.limits);
  const lines: Line[] = limitNames.flatMap(({ key, title, text }) => {
    const change = said.find((c) => c.path === `limits.${key}`);
    if (!change && now[key] === defaultLimits[key]) return [];
    const line = { key, ...lineOf(`${text(now[key])} ${title}`, change) };
    return [line.was && first ? { ...line, was: `${line.was} by default` } : line];
  });
  return row("limits", lines);
}

/** Every capability that is wanted, and those of before that are wanted no more. */
export function rowsOf(wants: Grant | undefined, { changes, against }: Pick<GrantDiff, "changes" | "against">): Row[] {
  const of = (path: string) => (changes ?? []).filter((c) => c.path === path);
  return order
    .map((kind) => {
      if (isList(kind)) return listRow(kind, wants, of(kind));
      if (kind === "limits") return limitsRow(wants, changes ?? [], !against);
      return wordRow(kind, kind === "kv" ? wants?.kv : wants?.private ? "yes" : undefined, of(kind)[0]);
    })
    .filter((r) => r !== undefined);
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
