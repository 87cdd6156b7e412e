// What a rule can be asked about: the systems, checks of systems or groups that
// its triggers look at.

import { useMemo } from "preact/hooks";
import type { Page as Paged, Rule, Run, Subject, SubjectKind, Transition } from "../../api.gen";
import { api } from "../../lib/api";
import { useResource } from "../../lib/resource";
import { fleet } from "../../live";
import { useFleet } from "../../shell/useFleet";
import type { Option } from "../../ui";
import { ofRuns, subjectOf } from "./model";

/** The kind of subject that a rule looks at first. */
export const kindOf = (rule: Rule | undefined): SubjectKind => subjectOf(rule?.on?.[0]) as SubjectKind;

export const kindNames: Record<SubjectKind, string> = { system: "System", assignment: "Check of a system", group: "Group" };

/** Something that happened, which a rule can be tried on. */
export interface Happening {
  subject: Subject;
  /** When, as the server wrote it. */
  at: string;
  /** Of a change of health. */
  seq?: number;
  run?: number;
  /** In a few words. */
  text: string;
}

/** The newest of what a rule looks at: one for each subject, newest first. */
export function happenings(kind: SubjectKind, runs: Run[], changes: Transition[]): Happening[] {
  const all: Happening[] = [
    ...runs.map((r) => ({ subject: { kind: "assignment" as const, id: r.assignment }, at: r.ended, run: r.id, text: `run ${r.outcome}` })),
    ...changes
      .filter((t) => t.subject.kind === kind)
      .map((t) => ({ subject: t.subject, at: t.at, seq: t.seq, text: `${t.from} to ${t.to}` })),
  ];
  const seen = new Set<string>();
  return all.filter((h) => !seen.has(h.subject.id) && seen.add(h.subject.id));
}

/** What happened lately that a rule of this kind looks at. */
export function useHappenings(rule: Rule): Happening[] {
  const kind = kindOf(rule);
  const runs = rule.on.some(ofRuns);
  const found = useResource(`${kind} ${runs}`, async (signal) => {
    if (runs) return happenings(kind, (await api.get<Paged<Run>>("/runs?limit=200", { signal })).items ?? [], []);
    return happenings(kind, [], (await api.get<Paged<Transition>>(`/transitions?kind=${kind}&limit=500`, { signal })).items ?? []);
  });
  return found.data ?? [];
}

/** Suggestions for the subject of a rule. */
export function useSubjects(rule: Rule | undefined, lately: Happening[]): Option[] {
  useFleet();
  const kind = kindOf(rule);
  // biome-ignore lint/correctness/useExhaustiveDependencies: read anew when systems come or go
  return useMemo(() => {
    if (kind === "assignment") return lately.map((h) => ({ value: h.subject.id }));
    if (kind === "group") return [...new Set([...fleet.all()].flatMap((s) => s.groups))].sort().map((value) => ({ value }));
    return [...fleet.all()].map((s) => ({ value: s.id, label: s.name, hint: s.name === s.id ? undefined : s.id }));
  }, [kind, lately, fleet.size]);
}
