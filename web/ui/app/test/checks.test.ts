import { describe, expect, test } from "vitest";
import type { Check, ModuleItem } from "../src/api.gen";
import { checkForm, checkOf, choices, joinUse, parseUse, pins, schemaOf } from "../src/pages/checks/model";
import { properties } from "../src/pages/collectors/schema";

describe("uses", () => {
  test.each([
    ["http", "http", ""],
    ["wasm:depth", "wasm:depth", ""],
    ["wasm:depth@1.2", "wasm:depth", "1.2"],
    ["script:x@beta", "script:x", "beta"],
    ["wasm:depth@stable", "wasm:depth", ""],
  ])("%s", (use, collector, pin) => {
    expect(parseUse(use)).toEqual({ collector, pin });
    expect(joinUse({ collector, pin })).toBe(use.replace("@stable", ""));
  });
  test("what is built in has no versions", () => expect(joinUse({ collector: "http", pin: "1" })).toBe("http"));
});

const schema = { type: "object", required: ["url"], properties: { url: { type: "string" }, max: { type: "integer" } } };
const fieldsOf = () => properties(schema);
const check: Check = {
  id: "queue",
  name: "Queue",
  labels: { team: "shop" },
  systems: { names: ["a"], match: "system.tags.x == 1" },
  every: "30s",
  timeout: "5s",
  policy: { mode: "window", size: 20, degraded: 3 },
  collect: [
    {
      id: "d",
      use: "wasm:depth@1.2",
      with: { url: "https://a", max: 3, extra: { deep: [1] } },
      assert: ["messages < 3"],
      warn: ["messages < 2"],
      sampling: "all",
    },
  ],
};

describe("a check", () => {
  test("comes out of the form as it went in", () => expect(checkOf(checkForm(check, fieldsOf), fieldsOf)).toEqual({ check, wrong: {} }));
  test("what the form does not show stays", () => {
    const cron: Check = { id: "c", cron: "@hourly", zone: "UTC", systems: {}, collect: [{ use: "http", with: { url: "x" } }] };
    expect(checkOf(checkForm(cron, fieldsOf), fieldsOf).check).toEqual(cron);
  });
  test("mistakes have a place", () => {
    const form = checkForm({ ...check, collect: [{ use: "http", with: { max: "x" } }] }, fieldsOf);
    form.degraded = "many";
    expect(checkOf(form, fieldsOf).wrong).toEqual({
      "collect[0].with.url": "This is needed.",
      "collect[0].with.max": "Write a number.",
      "policy.degraded": "Write a whole number.",
    });
  });
  test("a hole stands for any value", () => {
    const form = checkForm({ ...check, collect: [{ use: "http", with: { url: "x", max: "${system.tags.max}" } }] }, fieldsOf);
    expect(checkOf(form, fieldsOf).wrong).toEqual({});
  });
  test("the configuration as JSON", () => {
    const form = checkForm(check, fieldsOf);
    const step = form.steps[0] as (typeof form.steps)[number];
    step.raw = '{"url":"y"}';
    expect(checkOf(form, fieldsOf).check.collect[0]?.with).toEqual({ url: "y" });
    step.raw = "[1]";
    expect(checkOf(form, fieldsOf).wrong).toEqual({ "collect[0].with": "Write an object: { … }." });
  });
  test("empty assertions and sampling of what is built in are left out", () => {
    const form = checkForm({ ...check, collect: [{ use: "http", with: { url: "x" }, assert: [" "], sampling: "all" }] }, fieldsOf);
    expect(checkOf(form, fieldsOf).check.collect).toEqual([{ use: "http", with: { url: "x" } }]);
  });
});

describe("what can be chosen", () => {
  const version = (v: string, number: number, fields: object) =>
    ({ version: v, number, granted: "x", manifest: { offers: ["collector"], ...fields } }) as unknown as ModuleItem["versions"][number];
  const module = {
    name: "depth",
    use: "wasm:depth",
    kind: "wasm",
    stable: "1.4",
    aliases: { beta: "1.5" },
    versions: [version("1.5", 2, { config_schema: { b: 1 } }), { ...version("1.4", 1, { config_schema: { a: 1 } }), active: true }],
  } as unknown as ModuleItem;
  const action = { ...module, use: "wasm:act", versions: [version("1", 1, { offers: ["action"] })] } as ModuleItem;
  const all = choices(
    [
      { name: "http", schema: { h: 1 }, samples: [] },
      { name: "wasm:depth", schema: {}, samples: [] },
    ],
    [module, action],
  );
  test("collectors, once", () => expect(all.map((c) => c.collector)).toEqual(["http", "wasm:depth"]));
  test.each([
    ["", { a: 1 }],
    ["1.5", { b: 1 }],
    ["2", { b: 1 }],
    ["beta", { b: 1 }],
    ["gone", { a: 1 }],
  ])("the schema of @%s", (pin, want) => expect(schemaOf(all[1], pin)).toEqual(want));
  test("that of what is built in", () => expect(schemaOf(all[0], "")).toEqual({ h: 1 }));
  test("pins", () => expect(pins(module).map(([p]) => p)).toEqual(["", "beta", "1.5", "1.4"]));
});
