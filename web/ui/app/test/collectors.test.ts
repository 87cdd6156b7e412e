import { describe, expect, test } from "vitest";
import type { Grant } from "../src/api.gen";
import { asks, compare, covers, dangerOf, grantedUnder, grantOf, summary } from "../src/pages/collectors/permissions";
import { configOf, properties, valuesOf } from "../src/pages/collectors/schema";

describe("patterns cover", () => {
  test.each([
    ["https://a.test:443", "https://a.test", true],
    ["https://*.a.test:443", "https://b.a.test:443", true],
    ["https://*.a.test:443", "https://*.b.a.test:443", true],
    ["https://*.a.test:443", "https://a.test:443", false],
    ["https://*.a.test:443", "https://ba.test:443", false],
    ["https://a.test:443", "https://a.test:8443", false],
    ["https://a.test:443", "http://a.test:443", false],
    ["https://*:443", "https://x.y:443", true],
  ])("%s, %s: %s", (wide, narrow, want) => expect(covers(wide, narrow)).toBe(want));
});

const changes = (wants: Grant, active?: Grant) => compare(wants, active).map((p) => `${p.change} ${p.title}`);

describe("against the active version", () => {
  test("everything is new at first", () => expect(changes({ http: ["https://a.test:443"] })).toEqual(["new https://a.test:443"]));
  test("same, new, widened, narrowed, gone", () => {
    const active = { http: ["https://a.test:443", "https://x.b.test:443", "https://*.c.test:443", "https://d.test:443"] };
    const wants = { http: ["https://a.test:443", "https://*.b.test:443", "https://y.c.test:443", "https://e.test:443"] };
    expect(changes(wants, active)).toEqual([
      "same https://a.test:443",
      "widened https://*.b.test:443",
      "narrowed https://y.c.test:443",
      "new https://e.test:443",
      "gone https://d.test:443",
    ]);
  });
  test("limits", () => {
    expect(changes({ limits: { memory_bytes: 64 << 20 } })).toEqual(["widened 64.0 MiB memory"]);
    expect(changes({ limits: { memory_bytes: 32 << 20 } }, { limits: { memory_bytes: 64 << 20 } })).toEqual(["narrowed 32.0 MiB memory"]);
    expect(changes({ limits: { http_calls: 20 } }, {})).toEqual([]);
  });
  test("private addresses", () => {
    expect(changes({ private: true }, {})).toEqual(["new Private and loopback addresses"]);
    expect(changes({}, { private: true })).toEqual(["gone Private and loopback addresses"]);
  });
});

test("danger is concrete", () => {
  expect(dangerOf("https://a.test:443")).toBeUndefined();
  expect(dangerOf("https://*.a.test:443")).toMatch(/every host under a\.test/);
  expect(dangerOf("http://127.0.0.1:80")).toMatch(/machine that Tocsin runs on.*not encrypted/);
  expect(dangerOf("https://*:443")).toMatch(/internet/);
  expect(dangerOf("https://10.1.2.3:443")).toMatch(/inner network/);
});

describe("a grant", () => {
  const wants: Grant = {
    http: ["https://a.test:443", "https://b.test:443"],
    private: true,
    limits: { memory_bytes: 64 << 20, http_calls: 5 },
  };
  test("holds only what is allowed", () => {
    const all = compare(wants, undefined);
    expect(grantOf(wants, all, {})).toEqual({ limits: { http_calls: 5 } });
    const yes = Object.fromEntries(all.filter(asks).map((p) => [p.key, true]));
    expect(grantOf(wants, all, yes)).toEqual(wants);
    expect(grantOf(wants, all, { ...yes, "http https://b.test:443": false }).http).toEqual(["https://a.test:443"]);
  });
  test("can be narrower than what is asked", () => {
    const wide: Grant = { http: ["https://*.a.test:443"] };
    const all = compare(wide, undefined);
    const yes = { "http https://*.a.test:443": true };
    expect(grantOf(wide, all, yes, { "http https://*.a.test:443": " https://x.a.test:443, https://y.a.test:443 " }).http).toEqual([
      "https://x.a.test:443",
      "https://y.a.test:443",
    ]);
    expect(grantOf(wide, all, yes, { "http https://*.a.test:443": " " }).http).toEqual(wide.http);
    expect(compare(wide, { http: ["https://x.a.test:443"] })[0]?.change).toBe("widened");
    expect(grantedUnder("http://*:*", { http: ["http://127.0.0.1:80", "https://x:1"] })).toEqual(["http://127.0.0.1:80"]);
  });
  test("keeps what was the same without a question", () => {
    const all = compare(wants, wants);
    expect(all.some(asks)).toBe(false);
    expect(grantOf(wants, all, {})).toEqual(wants);
    expect(grantOf(wants, all, { private: false }).private).toBeUndefined();
  });
  test("in one line", () => {
    expect(summary({})).toBe("reaches nothing");
    expect(summary(wants)).toBe("reaches a.test:443, b.test:443, private addresses too");
  });
});

describe("forms from schemas", () => {
  const schema = {
    type: "object",
    required: ["url", "ratio"],
    properties: {
      queue: { type: "string", description: "name", default: "main" },
      url: { type: "string", format: "uri", examples: ["https://x.test"] },
      warn: { type: "integer", minimum: 0, maximum: 10 },
      ratio: { type: ["number", "null"] },
      tls: { type: "boolean" },
      mode: { enum: ["a", "b"] },
      hosts: { type: "array", items: { type: "string" } },
      deep: { type: "object", properties: {} },
    },
  };
  const all = properties(schema);
  test("required fields come first", () =>
    expect(all.map((p) => `${p.name}:${p.control}`)).toEqual([
      "url:text",
      "ratio:number",
      "queue:text",
      "warn:integer",
      "tls:bool",
      "mode:choice",
      "hosts:list",
      "deep:json",
    ]));
  test("what is typed becomes a configuration and comes back", () => {
    const config = { url: "https://a", ratio: 0.5, warn: 3, tls: true, mode: "b", hosts: ["x", "y"], deep: { a: [1] } };
    expect(configOf(all, valuesOf(all, config))).toEqual({ config, wrong: {} });
  });
  test("mistakes are named", () => {
    expect(configOf(all, { warn: "x", deep: "{", ratio: "" }).wrong).toEqual({
      url: "This is needed.",
      ratio: "This is needed.",
      warn: "Write a number.",
      deep: "This is not JSON.",
    });
    expect(configOf(all, { url: "u", ratio: "1", warn: "1.5" }).wrong).toEqual({ warn: "Write a whole number." });
    expect(configOf(all, { url: "u", ratio: "1", warn: "11" }).wrong).toEqual({ warn: "At most 10." });
  });
  test.each([null, 1, "x", [], {}, { properties: 3 }, { properties: { a: null } }])("hostile %j", (s) =>
    expect(() => configOf(properties(s), {})).not.toThrow(),
  );
});
