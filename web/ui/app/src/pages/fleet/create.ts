import type { Check, Problem, Rule, System } from "../../api.gen";
import { ApiError, api, seg } from "../../lib/api";

/** What the form for a new System holds, as written. */
export interface Draft {
  url: string;
  name: string;
  every: string;
  tags: string;
  groups: string;
}

/** An id made of text: letters, digits and dashes, at most 60 of them. */
export function slug(text: string): string {
  return (
    text
      .normalize("NFKD")
      .replace(/[^A-Za-z0-9._-]+/g, "-")
      .replace(/^[^A-Za-z0-9]+/, "")
      .slice(0, 60)
      .replace(/[^A-Za-z0-9]+$/, "")
      .toLowerCase() || "system"
  );
}

/** The address with its scheme: "example.com/x" is "https://example.com/x"; of this machine http. */
export function withScheme(text: string): string {
  const t = text.trim();
  if (/^[a-z][a-z0-9+.-]*:\/\//i.test(t)) return t;
  const local = /^(localhost|127\.|10\.|192\.168\.|\[::1\]|[^./:]+(:|\/|$))/i.test(t);
  return `${local ? "http" : "https"}://${t}`;
}

/** A name for the System behind an address: its host, with the path when there is one. */
export function nameOf(address: string): string {
  try {
    const u = new URL(withScheme(address));
    const path = u.pathname.replace(/\/+$/, "");
    return u.host.replace(/^www\./, "") + (path.length > 1 && path.length < 24 ? path : "");
  } catch {
    return "";
  }
}

/** Tags of "team=payments, tier=1" or with colons; what has no value is "yes". */
export function parseTags(text: string): Record<string, string> {
  const tags: Record<string, string> = {};
  for (const part of text.split(/[,\n]+/)) {
    const m = /^\s*([^=:\s]+)\s*(?:[=:]\s*(.*?))?\s*$/.exec(part);
    if (m?.[1]) tags[m[1]] = m[2] || "yes";
  }
  return tags;
}

/** The System and the Check that a form stands for. */
export function objects(d: Draft, taken: (id: string) => boolean): { system: System; check: Check } {
  const url = withScheme(d.url);
  const name = d.name.trim() || nameOf(d.url);
  const base = slug(name);
  let id = base;
  for (let n = 2; taken(id); n++) id = `${base}-${n}`;
  const tags = parseTags(d.tags);
  const groups = d.groups.split(/[,\s]+/).filter(Boolean);
  const system: System = { id, name: name === id ? undefined : name };
  if (Object.keys(tags).length > 0) system.tags = tags;
  if (groups.length > 0) system.groups = groups;
  const check: Check = {
    id: `${id}-http`.slice(0, 120),
    name: "Answers over HTTP",
    systems: { names: [id] },
    every: d.every,
    timeout: "10s",
    collect: [{ use: "http", with: { url } }],
  };
  return { system, check };
}

/** The first rule: it writes a line to the log of the server when a System is unhealthy for a while, and when it is well again. */
export const firstRule: Rule = {
  id: "tell-of-outages",
  name: "Tell of outages",
  note: "Writes to the log of the server when a system stays unhealthy for 30 seconds, and when it has recovered. Change its steps to send a webhook.",
  on: [{ event: "health.changed" }],
  when: 'to == "unhealthy"',
  gate: { for: "30s" },
  do: [{ action: "log", with: { message: "${system.name} is unhealthy: ${why}" } }],
  recover: [{ action: "log", with: { message: "${system.name} has recovered" } }],
};

/** Where the server's problem belongs in the form. */
export function fieldOf(p: Problem): keyof Draft | undefined {
  const path = p.path ?? "";
  if (/^collect|url/.test(path)) return "url"; // the address is all that the form collects with
  if (/every|timeout|cron/.test(path)) return "every";
  if (/tags/.test(path)) return "tags";
  if (/groups/.test(path)) return "groups";
  if (/^(id|name|metadata)/.test(path)) return "name";
  return undefined;
}

/** Ask the server what it would say of both, so that what is refused leaves no half of it behind. */
async function look({ system, check }: { system: System; check: Check }): Promise<void> {
  const { id: name, name: title, ...rest } = system;
  const { id, name: says, systems, ...spec } = check;
  const documents = [
    { apiVersion: "tocsin/v1", kind: "System", metadata: { name, title }, spec: rest },
    { apiVersion: "tocsin/v1", kind: "Check", metadata: { name: id, title: says }, spec: { ...spec, systems: systems.names } },
  ];
  try {
    await api.raw("/apply?dry_run=true", "application/yaml", documents.map((d) => JSON.stringify(d)).join("\n---\n"));
  } catch (err) {
    if (!(err instanceof ApiError)) throw err;
    // The person wrote no document, so its lines say nothing.
    const problems = err.problems.map(({ line: _, column: __, snippet: ___, ...p }) => ({ ...p, path: p.path?.replace(/^spec\./, "") }));
    throw new ApiError(err.status, err.title, err.detail, problems, err.request);
  }
}

/**
 * Make the System and its Check, and when asked the first rule. When the Check
 * is refused after all, the System is taken back, so that trying again begins
 * afresh.
 */
export async function create(made: { system: System; check: Check }, withRule: boolean): Promise<void> {
  await look(made);
  await api.post("/systems", made.system);
  try {
    await api.post("/checks", made.check);
  } catch (err) {
    await api.del(`/systems/${seg(made.system.id)}`).catch(() => {});
    throw err;
  }
  if (!withRule) return;
  try {
    await api.post("/rules", firstRule);
  } catch (err) {
    if (!(err instanceof ApiError) || err.status !== 409) throw err; // there already: good
  }
}
