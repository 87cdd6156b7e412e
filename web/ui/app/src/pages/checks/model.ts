// A check as the form holds it, and the names of collectors taken apart.

import type { Check, Collect, CollectorInfo, ModuleItem, Policy, Sampling } from "../../api.gen";
import { configOf, type Property, type Values, valuesOf } from "../collectors/schema";

/** A use taken apart: "wasm:queue-depth@1.2" is the collector wasm:queue-depth with the pin 1.2. */
export interface Use {
  collector: string;
  pin: string;
}

export function parseUse(use: string): Use {
  const found = /^((?:wasm|script):[^@]*)@(.*)$/.exec(use);
  if (!found) return { collector: use, pin: "" };
  return { collector: found[1] ?? "", pin: found[2] === "stable" ? "" : (found[2] ?? "") };
}

export function joinUse({ collector, pin }: Use): string {
  return pin && isModule(collector) ? `${collector}@${pin}` : collector;
}

export function isModule(collector: string): boolean {
  return /^(wasm|script):/.test(collector);
}

/** One collect step as typed. */
export interface StepForm {
  id: string;
  use: Use;
  values: Values;
  /** What the configuration holds besides the fields of the schema. */
  rest: Record<string, unknown>;
  /** The configuration as JSON, when it is written so. */
  raw?: string;
  assert: string[];
  warn: string[];
  sampling: Sampling | "";
}

export interface CheckForm {
  id: string;
  name: string;
  systems: string[];
  match: string;
  every: string;
  timeout: string;
  degraded: string;
  unhealthy: string;
  healthy: string;
  steps: StepForm[];
  /** The parts of the check that this form does not show; they stay as they are. */
  base: Partial<Check>;
}

const number = (n: number | undefined) => (n === undefined || n === 0 ? "" : String(n));

export function stepForm(c: Collect, all: Property[]): StepForm {
  const known = new Set(all.map((p) => p.name));
  const config = c.with ?? {};
  const rest = Object.fromEntries(Object.entries(config).filter(([key]) => !known.has(key)));
  return {
    id: c.id ?? "",
    use: parseUse(c.use),
    values: valuesOf(all, config),
    rest,
    assert: c.assert ?? [],
    warn: c.warn ?? [],
    sampling: c.sampling ?? "",
  };
}

export function checkForm(c: Check, fieldsOf: (collector: string) => Property[]): CheckForm {
  return {
    id: c.id,
    name: c.name ?? "",
    systems: c.systems?.names ?? [],
    match: c.systems?.match ?? "",
    every: c.every ?? (c.cron ? "" : "30s"),
    timeout: c.timeout ?? "",
    degraded: number(c.policy?.degraded),
    unhealthy: number(c.policy?.unhealthy),
    healthy: number(c.policy?.healthy),
    steps: (c.collect ?? []).map((s) => stepForm(s, fieldsOf(parseUse(s.use).collector))),
    base: c,
  };
}

/** The configuration of a step, and what is wrong with it by field; "" is the whole. */
export function configOfStep(s: StepForm, all: Property[]): { config: Record<string, unknown>; wrong: Record<string, string> } {
  if (s.raw !== undefined) {
    try {
      const config = JSON.parse(s.raw || "{}") as unknown;
      if (config && typeof config === "object" && !Array.isArray(config)) return { config: config as Record<string, unknown>, wrong: {} };
      return { config: {}, wrong: { "": "Write an object: { … }." } };
    } catch {
      return { config: {}, wrong: { "": "This is not JSON." } };
    }
  }
  const { config, wrong } = configOf(all, s.values);
  return { config: { ...s.rest, ...config }, wrong };
}

/** The check that a form stands for, and what is wrong with it by path. */
export function checkOf(f: CheckForm, fieldsOf: (collector: string) => Property[]): { check: Check; wrong: Record<string, string> } {
  const wrong: Record<string, string> = {};
  const collect = f.steps.map((s, i): Collect => {
    const got = configOfStep(s, fieldsOf(s.use.collector));
    for (const [name, text] of Object.entries(got.wrong)) wrong[`collect[${i}].with${name ? `.${name}` : ""}`] = text;
    const lines = (all: string[]) => all.map((l) => l.trim()).filter(Boolean);
    return {
      ...(s.id.trim() ? { id: s.id.trim() } : {}),
      use: joinUse(s.use),
      ...(Object.keys(got.config).length > 0 ? { with: got.config } : {}),
      ...(lines(s.assert).length > 0 ? { assert: lines(s.assert) } : {}),
      ...(lines(s.warn).length > 0 ? { warn: lines(s.warn) } : {}),
      ...(s.sampling && isModule(s.use.collector) ? { sampling: s.sampling } : {}),
    };
  });
  const policy: Policy = { ...f.base.policy };
  for (const key of ["degraded", "unhealthy", "healthy"] as const) {
    const text = f[key].trim();
    if (text === "") delete policy[key];
    else if (/^\d+$/.test(text)) policy[key] = Number(text);
    else wrong[`policy.${key}`] = "Write a whole number.";
  }
  const { policy: _, every: __, timeout: ___, name: ____, ...base } = f.base;
  const check: Check = {
    ...base,
    id: f.id,
    ...(f.name.trim() ? { name: f.name.trim() } : {}),
    systems: { ...(f.systems.length > 0 ? { names: f.systems } : {}), ...(f.match.trim() ? { match: f.match.trim() } : {}) },
    ...(f.every.trim() ? { every: f.every.trim() } : {}),
    ...(f.timeout.trim() ? { timeout: f.timeout.trim() } : {}),
    ...(Object.keys(policy).length > 0 ? { policy } : {}),
    collect,
  };
  return { check, wrong };
}

/** The collectors that a check can use: built in, modules, scripts. */
export interface Choice {
  collector: string;
  label: string;
  doc: string;
  module?: ModuleItem;
  info?: CollectorInfo;
}

export function choices(infos: CollectorInfo[], modules: ModuleItem[]): Choice[] {
  const offered = modules.filter((m) => (m.versions ?? []).some((v) => (v.manifest.offers ?? []).includes("collector")));
  const built = infos.filter((i) => !isModule(i.name));
  return [
    ...built.map((info) => ({ collector: info.name, label: info.name, doc: info.doc ?? "", info })),
    ...offered.map((module) => {
      const manifest = ((module.versions ?? []).find((v) => v.active) ?? module.versions?.[0])?.manifest;
      return {
        collector: module.use,
        label: module.use,
        doc: manifest?.doc ?? "",
        module,
        info: infos.find((i) => i.name === module.use),
      };
    }),
  ];
}

/** The schema of a use: that of the pinned version, or of the active one. */
export function schemaOf(choice: Choice | undefined, pin: string): unknown {
  if (!choice) return undefined;
  const versions = choice.module?.versions ?? [];
  if (versions.length === 0) return choice.info?.schema;
  const version = choice.module?.aliases?.[pin] ?? pin;
  const found =
    versions.find((v) => v.version === version || String(v.number) === version) ?? versions.find((v) => v.active) ?? versions[0];
  return found?.manifest.config_schema;
}

/** What a check can pin of a module: each alias and version. */
export function pins(module: ModuleItem): [string, string][] {
  const stable = module.stable ? `the active version (${module.stable} now)` : "the active version (none yet)";
  return [
    ["", stable],
    ...Object.entries(module.aliases ?? {}).map(([alias, version]): [string, string] => [alias, `@${alias} (${version} now)`]),
    ...(module.versions ?? []).map((v): [string, string] => [v.version, `${v.version}, always${v.granted ? "" : " (not reviewed)"}`]),
  ];
}
