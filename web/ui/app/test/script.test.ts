import { describe, expect, test } from "vitest";
import type { ScriptName } from "../src/api.gen";
import { dropDraft, keepDraft, loadDraft, nextVersion, scriptPath, splitFile } from "../src/pages/collectors/script";
import { contextName, membersAt, offsetOf, placeAt, taken } from "../src/script/complete";

const api: ScriptName[] = [
  { name: "config", type: "object" },
  {
    name: "http",
    type: "object",
    members: [{ name: "get", type: "(url) => Promise", call: true, members: [{ name: "status", type: "number" }] }],
  },
  { name: "system", type: "object", members: [{ name: "id", type: "string" }] },
];
const at = (text: string) => placeAt(text.replace("|", ""), text.indexOf("|"));
const offered = (text: string) => {
  const place = at(text);
  return place && membersAt(place.path, api, text.replace("|", ""))?.map((m) => m.name);
};

describe("completion", () => {
  test.each([
    ["http.|", ["http"], ""],
    ["await http.ge|", ["http"], "ge"],
    ["const x = sys|", [], "sys"],
    ["a(http.get(u).st|", ["http", "get()"], "st"],
    ["`x ${http.|", ["http"], ""],
    ["ctx?.http.|", ["ctx", "http"], ""],
  ])("%s", (text, path, typed) => expect(at(text)).toMatchObject({ path, typed }));
  test.each(['"http.|', "// http.|", "`http.|", "'a' + 'http.|"])("nothing in %s", (text) => expect(at(text)).toBeUndefined());
  test("members by path", () => {
    expect(offered("http.|")).toEqual(["get"]);
    expect(offered("export default async (ctx) => { ctx.http.|")).toEqual(["get"]);
    expect(offered("export default (ctx) => ctx.|")).toEqual(["config", "http", "system"]);
    expect(offered("(await http.get(u)).|")).toBeUndefined();
    expect(offered("nothing.|")).toBeUndefined();
    expect(offered("co|")).toEqual(["config", "http", "system"]);
  });
  test("the context", () => {
    expect(contextName("export default async function run(c) {")).toBe("c");
    expect(contextName("export default async ({ http }) => 1")).toBeUndefined();
    expect([...taken("export default async ({ http, config: c, log = x }) => 1")]).toEqual(["http", "config", "log"]);
  });
});

test("a file and its first line", () => {
  expect(splitFile('// tocsin/1 {"name":"a"}\nx\ny')).toEqual({ source: "x\ny", manifest: { name: "a" } });
  for (const whole of ["x\ny", "// tocsin/1 is good\nx", "// tocsin/1 {no\nx", ""]) expect(splitFile(whole)).toEqual({ source: whole });
});

test("places count characters, not units", () => {
  expect(offsetOf("a\nbc", 2, 2)).toBe(3);
  expect(offsetOf("😀x", 1, 2)).toBe(2);
  expect(offsetOf("a", 9, 9)).toBe(1);
  expect(offsetOf("ab\ncd", 1, 99)).toBe(2);
});

test("versions count up", () => {
  expect(nextVersion("1.4.2")).toBe("1.4.3");
  expect(nextVersion("7")).toBe("8");
  expect(nextVersion("beta")).toBe("beta.1");
  expect(nextVersion("")).toBe("1.0.0");
});

test("drafts", () => {
  const kept = new Map<string, string>();
  const shelf = {
    getItem: (k: string) => kept.get(k) ?? null,
    setItem: (k: string, v: string) => void kept.set(k, v),
    removeItem: (k: string) => void kept.delete(k),
  };
  const draft = { name: "a", version: "1", source: "x", doc: "", schema: "", samples: "", wants: {}, base: "", at: 1 };
  keepDraft(shelf, "", draft);
  expect(loadDraft(shelf, "")).toEqual(draft);
  expect(loadDraft(shelf, "a")).toBeNull();
  dropDraft(shelf, "");
  expect(loadDraft(shelf, "")).toBeNull();
  shelf.setItem("tocsin.draft.script.*new", "{");
  expect(loadDraft(shelf, "")).toBeNull();
  expect(() =>
    keepDraft(
      {
        ...shelf,
        setItem: () => {
          throw new Error("full");
        },
      },
      "",
      draft,
    ),
  ).not.toThrow();
  expect(scriptPath("a b", "1")).toBe("/collectors/a%20b/edit?v=1");
});
