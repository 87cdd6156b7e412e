// Lists of decisions: put together, narrowed and counted.

import type { Decision, DecisionVerdict, Stage } from "../../api.gen";

/** What is looked for; empty fields look for everything. */
export interface Narrowing {
  verdict: DecisionVerdict | "error" | "";
  /** The stage that blocked. */
  stage: Stage | "";
  /** Part of the id of the subject. */
  system: string;
}

/** Newest first, each once; the newest `most` of them. What arrives later replaces what was there. */
export function merge(was: Decision[], more: Decision[], most: number): Decision[] {
  const byID = new Map(was.map((d) => [d.id, d]));
  for (const d of more) byID.set(d.id, d);
  return [...byID.values()].sort((a, b) => b.id - a.id).slice(0, most);
}

function failed(d: Decision): boolean {
  return (d.stages ?? []).some((s) => s.failed);
}

function blocked(d: Decision): Stage | "" {
  return d.verdict === "fire" || d.verdict === "recover" ? "" : d.stage;
}

/** Those that are looked for. */
export function narrow(all: Decision[], only: Narrowing): Decision[] {
  const needle = only.system.trim().toLowerCase();
  return all.filter((d) => {
    if (only.verdict === "error" ? !failed(d) : only.verdict && d.verdict !== only.verdict) return false;
    if (only.stage && blocked(d) !== only.stage) return false;
    return !needle || d.subject.id.toLowerCase().includes(needle) || !!d.partition?.toLowerCase().includes(needle);
  });
}

/** How many there are of each. */
export function tally(all: Decision[]): {
  verdicts: Record<DecisionVerdict, number>;
  stages: Partial<Record<Stage, number>>;
  errors: number;
} {
  const out = { verdicts: { fire: 0, hold: 0, suppress: 0, drop: 0, recover: 0 }, stages: {} as Partial<Record<Stage, number>>, errors: 0 };
  for (const d of all) {
    out.verdicts[d.verdict]++;
    const stage = blocked(d);
    if (stage) out.stages[stage] = (out.stages[stage] ?? 0) + 1;
    if (failed(d)) out.errors++;
  }
  return out;
}
