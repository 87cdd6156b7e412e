// The request of a test run: what the form holds, and what is sent.

import { parseTags } from "../fleet/create";
import { configOf, type Property, type Values, valuesOf } from "./schema";

/** What is asked, as the form holds it. */
export interface Asked {
  values: Values;
  /** The whole request, when it is written as JSON. */
  raw?: string;
  target: "stored" | "made";
  system: string;
  made: { id: string; name: string; tags: string };
  timeout: string;
}

export const nothingAsked: Asked = { values: {}, target: "stored", system: "", made: { id: "test", name: "", tags: "" }, timeout: "" };

/** The body that a form stands for, and what is wrong with it by field. */
export function requestOf(all: Property[], a: Asked): { body: Record<string, unknown>; wrong: Record<string, string> } {
  if (a.raw !== undefined) {
    try {
      const body = JSON.parse(a.raw) as unknown;
      if (body && typeof body === "object" && !Array.isArray(body)) return { body: body as Record<string, unknown>, wrong: {} };
      return { body: {}, wrong: { "": "Write an object: { … }." } };
    } catch (err) {
      return { body: {}, wrong: { "": `This is not JSON: ${err instanceof Error ? err.message : "it cannot be read"}.` } };
    }
  }
  const { config, wrong } = configOf(all, a.values);
  const as = { id: a.made.id.trim() || "test", ...(a.made.name.trim() ? { name: a.made.name.trim() } : {}), tags: parseTags(a.made.tags) };
  return {
    body: {
      config,
      ...(a.target === "made" ? { as } : a.system ? { system: a.system } : {}),
      ...(a.timeout.trim() ? { timeout: a.timeout.trim() } : {}),
    },
    wrong,
  };
}

/** Puts what was written as JSON back into the form, as far as it goes. */
export function formOf(all: Property[], a: Asked): Asked {
  const { body, wrong } = requestOf(all, a);
  if (Object.keys(wrong).length > 0) return { ...a, raw: undefined };
  const as = body.as as { id?: string; name?: string; tags?: Record<string, string> } | undefined;
  return {
    values: valuesOf(all, (body.config as Record<string, unknown>) ?? {}),
    target: as ? "made" : "stored",
    system: typeof body.system === "string" ? body.system : "",
    made: {
      id: as?.id ?? a.made.id,
      name: as?.name ?? a.made.name,
      tags: as?.tags
        ? Object.entries(as.tags)
            .map(([k, v]) => `${k}=${v}`)
            .join(", ")
        : a.made.tags,
    },
    timeout: typeof body.timeout === "string" ? body.timeout : "",
  };
}
