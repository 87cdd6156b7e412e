import type { Firing, Transition } from "../../api.gen";
import { at } from "../../lib/time";

/** One entry of the stream. */
export type Entry = { key: string; at: number } & ({ transition: Transition } | { firing: Firing });

/** Entries of both kinds, newest first, each once; a firing that was told again takes the place of what was known. */
export function merge(...lists: Entry[][]): Entry[] {
  const seen = new Map<string, Entry>();
  for (const list of lists) for (const e of list) if (!seen.has(e.key)) seen.set(e.key, e);
  return [...seen.values()].sort((a, b) => b.at - a.at || (a.key < b.key ? 1 : -1));
}

export const ofTransition = (t: Transition): Entry => ({ key: `t${t.seq}`, at: at(t.at), transition: t });
export const ofFiring = (f: Firing): Entry => ({ key: `f${f.id}`, at: at(f.at), firing: f });

export const kinds = [
  ["all", "All"],
  ["system", "Systems"],
  ["checks", "Checks"],
  ["fired", "Rules"],
] as const;
export type Kind = (typeof kinds)[number][0];

export const changes = [
  ["any", "Every change"],
  ["bad", "Worse"],
  ["good", "Recovered"],
] as const;
export type Change = (typeof changes)[number][0];

const severity: Record<string, number> = { healthy: 0, unknown: 1, degraded: 2, stale: 3, unhealthy: 4 };

/** Reports whether the stream shows an entry under its filters. */
export function wanted(e: Entry, f: { kind: Kind; change: Change; system: string }): boolean {
  if ("firing" in e) {
    const id = e.firing.subject.id.split(":")[0];
    return (f.kind === "all" || f.kind === "fired") && f.change === "any" && (!f.system || id === f.system);
  }
  const t = e.transition;
  if (f.system && t.subject.id.split(":")[0] !== f.system) return false;
  if (
    f.kind === "fired" ||
    (f.kind === "system" && t.subject.kind !== "system") ||
    (f.kind === "checks" && t.subject.kind !== "assignment")
  )
    return false;
  const worse = severity[t.to]! > severity[t.from]!;
  return f.change === "any" || (f.change === "bad" ? worse : t.to === "healthy" && t.from !== "unknown");
}
