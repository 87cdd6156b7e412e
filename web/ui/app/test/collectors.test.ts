import { describe, expect, test } from "vitest";
import type { Grant, GrantChange } from "../src/api.gen";
import {
  amount,
  asks,
  begin,
  covers,
  grantedUnder,
  grantOf,
  lineFor,
  mistakes,
  rowsOf,
  summary,
  widened,
} from "../src/pages/collectors/permissions";
import { nothingAsked, requestOf } from "../src/pages/collectors/request";
import { samplesOf } from "../src/pages/collectors/samples";
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

const said = (path: string, change: GrantChange["change"], value: string, more: Partial<GrantChange> = {}): GrantChange => ({
  path,
  change,
  value,
  wider: change === "added" || change === "widened",
  ...more,
});
const compare = (wants: Grant, changes: GrantChange[], against?: string) => rowsOf(wants, { changes, ...(against ? { against } : {}) });
const changes = (wants: Grant, all: GrantChange[]) => compare(wants, all, "1").map((r) => `${r.kind} ${r.change}`);
const lines = (wants: Grant, all: GrantChange[], against?: string) =>
  compare(wants, all, against).flatMap((r) => r.lines.map((l) => `${l.change} ${l.text}${l.was ? `, was ${l.was}` : ""}`));

describe("what the server says of a version, a row a capability", () => {
  const a = "https://a.test:443";
  test("everything is new at first", () => expect(changes({ http: [a] }, [said("http", "added", a)])).toEqual(["http new"]));
  test("same, new, widened, narrowed, gone", () => {
    const wants = { http: [a, "https://*.b.test:443", "https://y.c.test:443", "https://e.test:443"] };
    const all = [
      said("http", "widened", "https://*.b.test:443", { before: "https://x.b.test:443" }),
      said("http", "narrowed", "https://y.c.test:443", { before: "https://*.c.test:443" }),
      said("http", "added", "https://e.test:443"),
      said("http", "removed", "https://d.test:443"),
    ];
    expect(lines(wants, all)).toEqual([
      `same ${a}`,
      "widened https://*.b.test:443, was https://x.b.test:443",
      "narrowed https://y.c.test:443, was https://*.c.test:443",
      "new https://e.test:443",
      "gone https://d.test:443",
    ]);
    expect(changes(wants, all)).toEqual(["http widened"]);
    expect(changes({ http: [a] }, all.slice(3))).toEqual(["http narrowed"]);
    expect(changes({}, all.slice(3))).toEqual(["http gone"]);
    expect(changes(wants, [])).toEqual(["http same"]);
  });
  test("limits", () => {
    const wants = { limits: { memory_bytes: 64 << 20 } };
    const raised = [said("limits.memory_bytes", "widened", "64 MiB", { before: "16 MiB" })];
    expect(lines(wants, raised)).toEqual(["widened 64.0 MiB memory, was 16 MiB by default"]);
    expect(lines(wants, raised, "1")).toEqual(["widened 64.0 MiB memory, was 16 MiB"]);
    expect(lines(wants, [], "1")).toEqual(["same 64.0 MiB memory"]);
    expect(lines({}, [said("limits.memory_bytes", "narrowed", "16 MiB", { before: "64 MiB" })], "1")).toEqual([
      "narrowed 16.0 MiB memory, was 64 MiB",
    ]);
    expect(changes({ limits: { http_calls: 20 } }, [])).toEqual([]);
  });
  test("private addresses and kept values", () => {
    expect(changes({ private: true }, [said("private", "added", "yes")])).toEqual(["private new"]);
    expect(changes({ private: true }, [])).toEqual(["private same"]);
    expect(changes({}, [said("private", "removed", "yes")])).toEqual(["private gone"]);
    expect(lines({ kv: "module" }, [said("kv", "widened", "module", { before: "assignment" })])).toEqual([
      "widened one set for the whole module, was its own for each check on each system",
    ]);
    expect(changes({}, [said("kv", "removed", "module")])).toEqual(["kv gone"]);
  });
  test("dangers are shown where they are", () => {
    const rows = compare({ http: [a], private: true, kv: "module" }, [
      said("http", "added", a, { danger: "far" }),
      said("private", "added", "yes", { danger: "near" }),
      said("kv", "added", "module", { danger: "shared" }),
    ]);
    expect(rows.map((r) => r.danger ?? r.lines[0]?.danger)).toEqual(["far", "near", "shared"]);
  });
});

describe("a grant", () => {
  const wants: Grant = {
    http: ["https://a.test:443", "https://b.test:443"],
    private: true,
    limits: { memory_bytes: 64 << 20, http_calls: 5 },
  };
  const all = compare(wants, [
    ...(wants.http ?? []).map((text) => said("http", "added", text)),
    said("private", "added", "yes"),
    said("limits.memory_bytes", "widened", "64 MiB", { before: "16 MiB" }),
    said("limits.http_calls", "narrowed", "5", { before: "20" }),
  ]);
  const yes = Object.fromEntries(all.filter(asks).map((r) => [r.kind, { yes: true }]));
  test("holds only what is allowed", () => {
    expect(grantOf(wants, all, {})).toEqual({ limits: { memory_bytes: 16 << 20, http_calls: 5 } });
    expect(grantOf(wants, all, yes)).toEqual(wants);
    expect(grantOf(wants, all, { ...yes, http: { yes: false } }).http).toBeUndefined();
  });
  test("can be narrower than what is asked", () => {
    const wide: Grant = { http: ["https://*.a.test:443"] };
    const rows = compare(wide, [said("http", "added", "https://*.a.test:443")]);
    const part = (text: string) => ({ http: { yes: true, text } });
    expect(grantOf(wide, rows, part(" https://x.a.test:443, https://y.a.test:443 ")).http).toEqual([
      "https://x.a.test:443",
      "https://y.a.test:443",
    ]);
    expect(mistakes(wide, part("https://x.b.test:443")).http).toMatch(/does not ask for https:\/\/x\.b\.test/);
    expect(mistakes(wide, part(" ")).http).toMatch(/at least one/);
    expect(mistakes(wide, part("https://x.a.test:443"))).toEqual({});
    expect(grantedUnder("http://*:*", { http: ["http://127.0.0.1:80", "https://x:1"] })).toEqual(["http://127.0.0.1:80"]);
    expect(grantOf(wants, all, { ...yes, limits: { yes: true, limits: { memory_bytes: "32 MiB" } } }).limits).toEqual({
      memory_bytes: 32 << 20,
      http_calls: 5,
    });
    expect(mistakes(wants, { limits: { limits: { memory_bytes: "128 MiB" } } }).limits).toMatch(/64\.0 MiB at most/);
    expect(mistakes(wants, { limits: { limits: { memory_bytes: "much" } } }).limits).toMatch(/write a number/);
  });
  test("a pattern that was held to a part stays held", () => {
    const wide: Grant = { http: ["https://*.a.test:443", "https://b.test:443"] };
    const before: Grant = { http: ["https://x.a.test:443"] };
    const rows = compare(wide, [
      said("http", "widened", "https://*.a.test:443", { before: "https://x.a.test:443" }),
      said("http", "added", "https://b.test:443"),
    ]);
    expect(begin(wide, rows, undefined, { grant: before, wants: wide })).toEqual({
      http: { text: "https://x.a.test:443\nhttps://b.test:443" },
    });
    expect(begin(wide, rows, undefined, { grant: before, wants: before })).toEqual({});
    expect(begin(wide, rows, before)).toEqual({ http: { yes: true, text: "https://x.a.test:443" } });
  });
  test("keeps what was the same without a question", () => {
    const same = compare(wants, [], "1");
    expect(same.some(asks)).toBe(false);
    expect(grantOf(wants, same, {}, wants)).toEqual(wants);
    expect(grantOf(wants, same, { private: { yes: false } }, wants).private).toBeUndefined();
  });
  test.each([
    ["32 MiB", 32 << 20],
    ["64k", 65536],
    ["1,000,000", 1e6],
    ["7", 7],
    ["", Number.NaN],
    ["x", Number.NaN],
  ])("amount %s", (text, want) => expect(amount(text)).toBe(want));
  test("a denied call names what would allow it", () => {
    expect(lineFor("http", "GET http://u:p@127.0.0.1:80/x?y: is not granted")).toEqual({ kind: "http", text: "http://127.0.0.1:80" });
    expect(lineFor("http", "GET https://a.test/x: no")).toEqual({ kind: "http", text: "https://a.test:443" });
    expect(lineFor("tcp", "dial db.test:5432: no")).toEqual({ kind: "tcp", text: "db.test:5432" });
    expect(lineFor("log", "x")).toBeUndefined();
    expect(widened({}, { http: ["http://*:*"] }, "http", "http://127.0.0.1:80")).toEqual({ http: ["http://127.0.0.1:80"] });
    expect(widened({}, { http: ["https://a.test"] }, "http", "http://127.0.0.1:80")).toBeUndefined();
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

describe("a test run", () => {
  const all = properties({ type: "object", required: ["url"], properties: { url: { type: "string" } } });
  test("as a system that is stored, or made up", () => {
    const asked = { ...nothingAsked, values: { url: "x" }, timeout: "3s" };
    expect(requestOf(all, { ...asked, system: "a" })).toEqual({ body: { config: { url: "x" }, system: "a", timeout: "3s" }, wrong: {} });
    expect(requestOf(all, { ...asked, target: "made", made: { id: "", name: "T", tags: "env=prod" } }).body.as).toEqual({
      id: "test",
      name: "T",
      tags: { env: "prod" },
    });
  });
  test("as JSON", () => {
    expect(requestOf(all, { ...nothingAsked, raw: '{"config":{"a":1}}' })).toEqual({ body: { config: { a: 1 } }, wrong: {} });
    expect(requestOf(all, { ...nothingAsked, raw: "[]" }).wrong[""]).toMatch(/object/);
    expect(requestOf(all, { ...nothingAsked, raw: "{" }).wrong[""]).toMatch(/not JSON/);
  });
  test("mistakes are named", () => expect(requestOf(all, nothingAsked).wrong).toEqual({ url: "This is needed." }));
});

test("samples of lines", () => {
  expect(samplesOf("depth integer messages\n\n ok bool \nlag").samples).toEqual([
    { name: "depth", type: "integer", unit: "messages" },
    { name: "ok", type: "bool" },
    { name: "lag", type: "number" },
  ]);
  expect(samplesOf("depth int").wrong).toMatch(/int is no type/);
  expect(samplesOf("a number ms more").wrong).toMatch(/name, type and unit/);
});
