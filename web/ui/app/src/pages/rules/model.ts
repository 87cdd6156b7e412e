// A rule as it is being edited: what the form holds, templates to begin from,
// drafts that survive a closed tab, and what differs between two versions.

import type { Gate, Rule, Step, Trigger, Window } from "../../api.gen";
import { type DiffLine, diffLines } from "../../lib/diff";

/** How often an open gate fires again. */
export type RefireKind = "never" | "every" | "each";

/** The gate as its form holds it: every field is text, so that half-typed values are kept. */
export interface GateForm {
  preset: string;
  by: string;
  hold: string;
  while: string;
  counted: boolean;
  count: string;
  within: string;
  of: string;
  exit: string;
  quiet: string;
  refire: RefireKind;
  each: string;
  cooldown: string;
  /** Of the gate and its window: what the form has no field for. */
  rest: { gate: object; window: object };
}

/** The form of a gate. */
export function gateForm(gate: Gate | undefined): GateForm {
  const w = gate?.window;
  const refire = w?.refire ?? "never";
  const named = refire === "never" || refire === "every" || refire === "";
  return {
    preset: gate?.preset ?? "",
    by: gate?.by ?? "",
    hold: gate?.for ?? "",
    while: gate?.while ?? "",
    counted: w !== undefined && w !== null,
    count: w ? String(w.count) : "",
    within: w?.within ?? "",
    of: w?.of ? String(w.of) : "",
    exit: w?.exit ? String(w.exit) : "",
    quiet: w?.quiet ?? "",
    refire: refire === "every" ? "every" : named ? "never" : "each",
    each: named ? "" : refire,
    cooldown: gate?.cooldown ?? "",
    rest: rest(gate),
  };
}

function rest(gate: Gate | undefined): GateForm["rest"] {
  const { preset: _preset, by: _by, for: _for, while: _while, window: w, cooldown: _cooldown, ...more } = gate ?? {};
  const { count: _count, within: _within, of: _of, exit: _exit, quiet: _quiet, refire: _refire, ...inner } = w ?? ({} as Window);
  return { gate: more, window: inner };
}

/** The gate of a form; undefined when it lets everything through. What is no duration or number is sent as it is: the server says what is wrong. */
export function formGate(form: GateForm): Gate | undefined {
  const gate: Gate = { ...form.rest.gate };
  if (form.preset) gate.preset = form.preset;
  if (form.by.trim()) gate.by = form.by.trim();
  if (form.hold.trim()) gate.for = duration(form.hold);
  if (form.while.trim()) gate.while = form.while.trim();
  if (form.counted) gate.window = formWindow(form);
  if (form.cooldown.trim()) gate.cooldown = duration(form.cooldown);
  return Object.keys(gate).length > 0 ? gate : undefined;
}

function formWindow(form: GateForm): Window {
  const w: Window = { ...form.rest.window, count: whole(form.count) };
  if (form.within.trim()) w.within = duration(form.within);
  if (form.of.trim()) w.of = whole(form.of);
  if (whole(form.exit) > 0) w.exit = whole(form.exit);
  if (form.quiet.trim()) w.quiet = duration(form.quiet);
  if (form.refire === "every") w.refire = "every";
  if (form.refire === "each" && form.each.trim()) w.refire = duration(form.each);
  return w;
}

function whole(text: string): number {
  const n = Number.parseInt(text, 10);
  return Number.isFinite(n) ? n : 0;
}

const words: Record<string, string> = {
  ms: "ms",
  s: "s",
  sec: "s",
  secs: "s",
  second: "s",
  seconds: "s",
  m: "m",
  min: "m",
  mins: "m",
  minute: "m",
  minutes: "m",
  h: "h",
  hr: "h",
  hour: "h",
  hours: "h",
  d: "d",
  day: "d",
  days: "d",
};

/** A duration as the server writes it, from what people write: "2 min" is "2m". Text that is none is returned as it is. */
export function duration(text: string): string {
  const trimmed = text.trim().toLowerCase();
  const parts = [...trimmed.matchAll(/(\d+(?:\.\d+)?)\s*([a-z]+)/g)];
  if (
    parts.length === 0 ||
    parts
      .map((p) => p[0])
      .join("")
      .replace(/\s/g, "") !== trimmed.replace(/\s|,|and/g, "")
  )
    return text.trim();
  const units = parts.map((p) => words[p[2] ?? ""]);
  return units.every(Boolean) ? parts.map((p, i) => `${p[1]}${units[i]}`).join("") : text.trim();
}

/** A duration for people: "1h30m" is "1 h 30 min". */
export function durationWords(text: string): string {
  const names: Record<string, string> = { ms: "ms", s: "s", m: "min", h: "h", d: "d" };
  return text.replace(/(\d+(?:\.\d+)?)(ms|s|m|h|d)/g, (_, n, unit) => `${n} ${names[unit]} `).trim();
}

/** The events a rule can look at, and what to call them. */
export const events: readonly (readonly [string, string])[] = [
  ["health.changed", "changes"],
  ["health.degraded", "becomes degraded"],
  ["health.unhealthy", "becomes unhealthy"],
  ["health.recovered", "recovers"],
  ["health.escalated", "gets worse"],
  ["health.deescalated", "gets better"],
  ["run.completed", "has been run"],
  ["run.failed", "has a run that fails"],
  ["run.error", "has a run that could not ask"],
  ["metric", "reports a number beyond a limit"],
];

/** Whether a trigger looks at runs rather than at health; they are of checks of systems. */
export const ofRuns = (t: Trigger) => t.event === "metric" || t.event.startsWith("run.");

/** What a trigger is of. */
export const subjectOf = (t: Trigger | undefined) => (t && ofRuns(t) ? "assignment" : t?.subject || "system");

export const subjects: readonly (readonly [string, string])[] = [
  ["system", "a system"],
  ["assignment", "a check of a system"],
  ["group", "a group"],
];

/** A trigger in words: "the health of a system changes". */
export function triggerWords(t: Trigger): string {
  const subject = subjects.find(([id]) => id === subjectOf(t))?.[1] ?? t.subject;
  if (t.event === "metric")
    return `${t.value?.trim() || "a number"} of ${subject} is ${t.below === undefined ? "more" : "less"} than ${t.above ?? t.below ?? "…"}`;
  const event = events.find(([id]) => id === t.event)?.[1] ?? t.event;
  return t.event === "health.changed" ? `the health of ${subject} changes` : `${subject} ${event}`;
}

/** A rule with every list in place and without what its fields mean by default, so that two equal rules are equal text. */
export function canonical(rule: Rule): Rule {
  const { id, on, name, labels, disabled, note, when, gate: _, unless, do: steps, recover, mode, max, ...rest } = rule;
  const out: Rule = { ...rest, id, on: (on ?? []).map(trigger), do: (steps ?? []).map(step) };
  if (name) out.name = name;
  if (labels && Object.keys(labels).length > 0) out.labels = labels;
  if (disabled) out.disabled = true;
  if (note?.trim()) out.note = note;
  if (when?.trim()) out.when = when;
  const gate = formGate(gateForm(rule.gate));
  if (gate) out.gate = gate;
  if (unless?.trim()) out.unless = unless;
  if (recover && recover.length > 0) out.recover = recover.map(step);
  if (mode && mode !== "single") out.mode = mode;
  if (max && (out.mode === "queued" || out.mode === "parallel")) out.max = max;
  return out;
}

function trigger(t: Trigger): Trigger {
  const { event, subject, when, ...rest } = t;
  const out: Trigger = { event, ...rest };
  if (subject && subject !== (ofRuns(t) ? "assignment" : "system")) out.subject = subject;
  if (when?.trim()) out.when = when;
  return out;
}

function step(s: Step): Step {
  const { id: _id, if: _if, with: _with, timeout: _timeout, retry: _retry, continue_on_error: _on, ...rest } = s;
  const out: Step = rest;
  if (s.id?.trim()) out.id = s.id.trim();
  if (s.if?.trim()) out.if = s.if;
  if (s.with && Object.keys(s.with).length > 0) out.with = s.with;
  if (s.timeout?.trim()) out.timeout = duration(s.timeout);
  const retry = {
    ...(s.retry?.max ? { max: s.retry.max } : {}),
    ...(s.retry?.backoff?.trim() ? { backoff: duration(s.retry.backoff) } : {}),
  };
  if (Object.keys(retry).length > 0) out.retry = retry;
  if (s.continue_on_error) out.continue_on_error = true;
  return out;
}

/** Whether two rules say the same. */
export function same(a: Rule, b: Rule): boolean {
  return stable(canonical(a)) === stable(canonical(b));
}

/** JSON with sorted keys. */
function stable(value: unknown, indent = 0): string {
  return JSON.stringify(
    value,
    (_, v) =>
      v && typeof v === "object" && !Array.isArray(v) ? Object.fromEntries(Object.entries(v).sort(([a], [b]) => (a < b ? -1 : 1))) : v,
    indent,
  );
}

/** An id from a name: "Page on outage!" is "page-on-outage". */
export function idFrom(name: string): string {
  return name
    .normalize("NFKD")
    .replace(/[\u0300-\u036f]/g, "")
    .toLowerCase()
    .replace(/[^a-z0-9._]+/g, "-")
    .replace(/^[^a-z0-9]+|[^a-z0-9]+$/g, "")
    .slice(0, 64)
    .replace(/[^a-z0-9]+$/, "");
}

/** Compares two rules line by line: what only mine has, and what only theirs has. */
export function diff(theirs: Rule, mine: Rule): DiffLine[] {
  return diffLines(stable(canonical(theirs), 2), stable(canonical(mine), 2));
}

/** A draft in this browser: what was typed, and the version it was typed over. */
export interface Draft {
  rule: Rule;
  base: number;
  at: number;
}

const draftKey = (id: string) => `tocsin.draft.rule.${id || "*new"}`;

/** Where drafts are kept; localStorage can be switched off. */
export interface Shelf {
  getItem(key: string): string | null;
  setItem(key: string, value: string): void;
  removeItem(key: string): void;
}

/** The draft of a rule, or null. One that cannot be read is forgotten. */
export function loadDraft(shelf: Shelf, id: string): Draft | null {
  try {
    const draft = JSON.parse(shelf.getItem(draftKey(id)) ?? "null") as Draft | null;
    return draft && typeof draft.base === "number" && Array.isArray(draft.rule?.on) ? draft : null;
  } catch {
    return null;
  }
}

/** Keeps a draft. A full or forbidden storage loses only the draft. */
export function keepDraft(shelf: Shelf, id: string, draft: Draft): void {
  try {
    shelf.setItem(draftKey(id), JSON.stringify(draft));
  } catch {
    // Typing goes on without a copy.
  }
}

export function dropDraft(shelf: Shelf, id: string): void {
  try {
    shelf.removeItem(draftKey(id));
  } catch {
    // There was none.
  }
}

/** A rule to begin with. */
export interface Template {
  id: string;
  title: string;
  text: string;
  icon: "bell" | "activity" | "clock" | "check" | "send";
  rule: Rule;
}

const webhook = (text: string): Step => ({
  action: "webhook",
  with: { url: "https://example.com/hook", body: { system: "${system.id}", health: "${to}", text } },
});

/** What new rules can begin with. */
export const templates: readonly Template[] = [
  {
    id: "outage",
    title: "Tell when a system is down",
    text: "Sends when a system has been unhealthy for 2 minutes, and once more when it recovers.",
    icon: "bell",
    rule: {
      id: "outage",
      name: "System is down",
      on: [{ event: "health.changed" }],
      when: 'to == "unhealthy"',
      gate: { for: "2m" },
      unless: "in_maintenance || silenced || caused_by != nil",
      do: [webhook("${system.name} is ${to}: ${why}")],
      recover: [webhook("${system.name} has recovered")],
    },
  },
  {
    id: "flapping",
    title: "Tell about flapping",
    text: "Sends once when a system has failed 3 times within 10 minutes, and is quiet until it rests.",
    icon: "activity",
    rule: {
      id: "flapping",
      name: "System is flapping",
      on: [{ event: "health.changed" }],
      when: 'to == "degraded" || to == "unhealthy"',
      gate: { window: { count: 3, within: "10m", quiet: "30m" } },
      unless: "in_maintenance || silenced",
      do: [webhook("${system.name} is flapping: ${why}")],
      recover: [webhook("${system.name} is steady again")],
    },
  },
  {
    id: "degraded",
    title: "Degraded for 10 minutes",
    text: "Sends when a system stays impaired, without paging for short dips.",
    icon: "clock",
    rule: {
      id: "degraded-10m",
      name: "Degraded for 10 minutes",
      on: [{ event: "health.degraded" }],
      gate: { for: "10m", cooldown: "1h" },
      unless: "in_maintenance || silenced",
      do: [webhook("${system.name} has been degraded for 10 minutes: ${why}")],
    },
  },
  {
    id: "recovery",
    title: "Note a recovery",
    text: "Writes one line to the server's log whenever a system is healthy again.",
    icon: "check",
    rule: {
      id: "recovery-note",
      name: "Note recoveries",
      on: [{ event: "health.recovered" }],
      do: [{ action: "log", with: { message: "${system.name} recovered from ${from}" } }],
    },
  },
  {
    id: "webhook",
    title: "Call a webhook at once",
    text: "Calls an address on every change of health, without a gate.",
    icon: "send",
    rule: {
      id: "webhook",
      name: "Call a webhook",
      on: [{ event: "health.changed" }],
      do: [webhook("${system.name}: ${from} to ${to}")],
    },
  },
];

/** The gates that the server knows by name, and what they are for. */
export const named: readonly (readonly [string, string])[] = [
  ["", "No preset"],
  ["steady", "steady: 3 of the newest 20 runs"],
  ["page-once", "page-once: at most once an hour"],
  ["flap-summary", "flap-summary: 4 changes in 15 min, then hourly"],
  ["prometheus", "prometheus: for 5 min"],
  ["nagios", "nagios: 20 % of the newest 20 runs"],
];

/** Gates to begin with. */
export const presets: readonly { title: string; gate: Gate }[] = [
  { title: "Only if it lasts 2 min", gate: { for: "2m" } },
  { title: "Flapping: 3 in 10 min", gate: { window: { count: 3, within: "10m", quiet: "30m" } } },
  { title: "At most once an hour", gate: { cooldown: "1h" } },
  { title: "Every change", gate: {} },
];

/** The problems of a field: those whose path is it, or lies under it. */
export function under<P extends { path?: string }>(problems: P[], path: string): P[] {
  return problems.filter((p) => {
    const at = (p.path ?? "").replace(/^spec\.|^\$\.?/, "");
    return at === path || at.startsWith(`${path}.`) || at.startsWith(`${path}[`);
  });
}

/** Problems that no field of the form shows. */
export function elsewhere<P extends { path?: string }>(problems: P[]): P[] {
  const shown = ["id", "metadata.name", "name", "on", "when", "gate", "unless", "do", "recover", "mode", "max", "note"];
  return problems.filter((p) => !shown.some((path) => under([p], path).length > 0));
}
