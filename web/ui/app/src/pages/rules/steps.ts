// A step as its form holds it.

import type { Step } from "../../api.gen";

/** The value of a header: text with holes, or the name of a secret. */
export interface Header {
  name: string;
  value: string;
  secret: boolean;
}

/** A step in its form. Every field is text, so that half-typed values are kept. */
export interface StepForm {
  /** Stays with the step while it is moved. */
  key: number;
  id: string;
  if: string;
  action: string;
  method: string;
  url: string;
  headers: Header[];
  /** How the body of a webhook is written. */
  body: string;
  json: boolean;
  level: string;
  message: string;
  /** What the action takes, as JSON, when the fields of the form cannot say it. */
  raw: string | null;
  timeout: string;
  max: string;
  backoff: string;
  carryOn: boolean;
  /** What the form has no field for. */
  rest: object;
  /** raw is the whole step, not what its action takes: one that only steers others. */
  whole: boolean;
}

let keys = 0;

const blank = (): StepForm => ({
  key: ++keys,
  id: "",
  if: "",
  action: "webhook",
  method: "",
  url: "",
  headers: [],
  body: "",
  json: true,
  level: "",
  message: "",
  raw: null,
  timeout: "",
  max: "",
  backoff: "",
  carryOn: false,
  rest: {},
  whole: false,
});

/** A new step. */
export function newStep(action: string): StepForm {
  const step = { ...blank(), action };
  if (action === "log") return { ...step, message: "${system.name} is ${to}: ${why}" };
  return { ...step, body: JSON.stringify({ system: "${system.id}", health: "${to}", text: "${system.name} is ${to}: ${why}" }, null, 2) };
}

const isText = (v: unknown): v is string | undefined => v === undefined || typeof v === "string";

function secretName(v: unknown): string | null {
  if (!v || typeof v !== "object" || Array.isArray(v)) return null;
  const fields = Object.entries(v);
  return fields.length === 1 && fields[0]?.[0] === "secret" && typeof fields[0][1] === "string" ? fields[0][1] : null;
}

/** The headers, or null when the form cannot hold them. */
function headers(value: unknown): Header[] | null {
  if (value === undefined) return [];
  if (!value || typeof value !== "object" || Array.isArray(value)) return null;
  const found: Header[] = [];
  for (const [name, v] of Object.entries(value)) {
    const secret = secretName(v);
    if (secret === null && typeof v !== "string") return null;
    found.push({ name, value: secret ?? (v as string), secret: secret !== null });
  }
  return found;
}

/** The form of a step. */
export function stepForm(step: Step): StepForm {
  if (!step.action) return { ...blank(), action: "", whole: true, raw: JSON.stringify(step, null, 2) };
  const { id: _id, if: _if, action: _action, with: _with, timeout: _timeout, retry: _retry, continue_on_error: _on, ...rest } = step;
  const form = {
    ...blank(),
    rest,
    id: step.id ?? "",
    if: step.if ?? "",
    action: step.action,
    timeout: step.timeout ?? "",
    max: step.retry?.max ? String(step.retry.max) : "",
    backoff: step.retry?.backoff ?? "",
    carryOn: !!step.continue_on_error,
  };
  const given = step.with ?? {};
  const known = fill(form, given);
  return known ?? { ...form, raw: JSON.stringify(given, null, 2) };
}

/** Fills in what the action takes; null when the form has no field for part of it. */
function fill(form: StepForm, given: Record<string, unknown>): StepForm | null {
  const { method, url, headers: head, body, level, message, ...rest } = given;
  if (Object.keys(rest).length > 0) return null;
  if (form.action === "log") {
    if (!isText(level) || !isText(message) || method || url || head || body) return null;
    return { ...form, level: level ?? "", message: message ?? "" };
  }
  const list = headers(head);
  if (form.action !== "webhook" || !list || !isText(method) || !isText(url) || level !== undefined || message !== undefined) return null;
  // A text that happens to be JSON must stay text.
  const json = body === undefined || typeof body !== "string";
  return {
    ...form,
    method: method ?? "",
    url: url ?? "",
    headers: list,
    json,
    body: body === undefined ? "" : json ? JSON.stringify(body, null, 2) : body,
  };
}

/** Why text is not JSON, or null. */
export function notJSON(text: string): string | null {
  try {
    JSON.parse(text);
    return null;
  } catch (err) {
    return err instanceof Error ? err.message : String(err);
  }
}

/** What keeps a form from being a step, with the path in the step; empty when nothing does. */
export function stepProblems(form: StepForm): { path: string; code: string; message: string; fix?: string }[] {
  if (form.raw !== null) {
    const bad = notJSON(form.raw);
    return bad ? [{ path: form.whole ? "action" : "with", code: "json", message: `This is not JSON: ${bad}` }] : [];
  }
  if (form.action !== "webhook" || !form.json || !form.body.trim()) return [];
  const bad = notJSON(form.body);
  return bad ? [{ path: "with.body", code: "json", message: `This is not JSON: ${bad}`, fix: "Mend it, or choose Text." }] : [];
}

function bodyOf(form: StepForm): unknown {
  if (!form.json) return form.body;
  try {
    return JSON.parse(form.body);
  } catch {
    // stepProblems keeps this from being saved; a draft keeps what was typed.
    return form.body;
  }
}

function takes(form: StepForm): Record<string, unknown> {
  if (form.raw !== null) {
    try {
      return JSON.parse(form.raw) as Record<string, unknown>;
    } catch {
      return {};
    }
  }
  const out: Record<string, unknown> = {};
  if (form.action === "log") {
    if (form.level) out.level = form.level;
    if (form.message) out.message = form.message;
    return out;
  }
  if (form.method) out.method = form.method;
  if (form.url) out.url = form.url.trim();
  const named = form.headers.filter((h) => h.name.trim());
  if (named.length > 0)
    out.headers = Object.fromEntries(named.map((h) => [h.name.trim(), h.secret ? { secret: h.value.trim() } : h.value]));
  if (form.body.trim()) out.body = bodyOf(form);
  return out;
}

/** The step of a form. */
export function formStep(form: StepForm): Step {
  if (form.whole) return takes(form) as unknown as Step;
  const step: Step = { ...form.rest, action: form.action };
  if (form.id.trim()) step.id = form.id.trim();
  if (form.if.trim()) step.if = form.if;
  const given = takes(form);
  if (Object.keys(given).length > 0) step.with = given;
  if (form.timeout.trim()) step.timeout = form.timeout.trim();
  const max = Number.parseInt(form.max, 10);
  if (max > 0 || form.backoff.trim())
    step.retry = { ...(max > 0 ? { max } : {}), ...(form.backoff.trim() ? { backoff: form.backoff.trim() } : {}) };
  if (form.carryOn) step.continue_on_error = true;
  return step;
}

/** A step in words: "POST to hooks.example.com". */
export function stepWords(form: StepForm): string {
  if (form.whole) return `Steps: ${Object.keys(takes(form)).find((key) => key !== "id" && key !== "if") ?? "as JSON"}`;
  if (form.raw !== null) return form.action;
  if (form.action === "log") return form.message ? `Write to the log: ${form.message}` : "Write to the log";
  const host = /^https?:\/\/([^/?#]+)/.exec(form.url)?.[1];
  return `${form.method || "POST"} to ${host ?? (form.url || "an address")}`;
}
