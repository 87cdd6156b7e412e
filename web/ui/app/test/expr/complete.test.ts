import { CompletionContext, type CompletionResult } from "@codemirror/autocomplete";
import { EditorState } from "@codemirror/state";
import { describe, expect, test } from "vitest";
import { completeAt, completions } from "../../src/expr/complete";
import { typeOf } from "../../src/expr/env";
import { textLanguage } from "../../src/expr/text";
import { exprParser } from "../../src/expr/tree";
import { env } from "./env";

/** Labels offered where the bar stands. */
function offered(marked: string, explicit = true): string[] {
  const pos = marked.indexOf("│");
  const src = marked.replace("│", "");
  const found = completeAt(src, pos, exprParser.parse(src), env, explicit);
  return narrowed(src, pos, found);
}

/** What is left of a result once the typed part is compared, as the editor does. */
function narrowed(src: string, pos: number, found: CompletionResult | null): string[] {
  if (!found) return [];
  const typed = src.slice(found.from, pos).toLowerCase();
  return found.options.map((o) => o.label).filter((l) => l.toLowerCase().startsWith(typed));
}

describe("members", () => {
  test.each([
    ["system.│", ["id", "name", "tags", "groups"]],
    ["system.na│", ["name"]],
    ["system?.na│", ["name"]],
    ["system.tags.│", ["env", "team", "tier"]],
    ['to == "x" and system.tags.te│', ["team"]],
    ["(system).i│", ["id"]],
    ["subject.│ == 1", ["kind", "id"]],
    ["checks[0].l│", ["latency"]],
    ["any(checks, .│)", ["status", "latency", "ok"]],
    ["any(checks, .st│)", ["status"]],
    ["any(checks, .ok and .l│)", ["latency"]],
    ["any(checks, {#.l│})", ["latency"]],
    ["checks | filter(.s│)", ["status"]],
    ["filter(checks, .ok)[0].s│", ["status"]],
    ["find(checks, .ok).s│", ["status"]],
    ["any(filter(checks, .ok), .l│)", ["latency"]],
    ["let s = system; s.n│", ["name"]],
    ["total_checks.│", []],
    ["nothing.│", []],
    ["1.│", []],
  ])("%s", (marked, want) => expect(offered(marked)).toEqual(want));
});

describe("values", () => {
  test.each([
    ['to == "│"', ["unknown", "healthy", "degraded", "unhealthy", "stale"]],
    ['to == "un│"', ["unknown", "unhealthy"]],
    ['to == "un│', ["unknown", "unhealthy"]],
    ["to != 'de│'", ["degraded"]],
    ['from == "healthy" and to == "s│"', ["stale"]],
    ['system.tags.env == "p│"', ["prod"]],
    ['system.tags?.env == "p│"', ["prod"]],
    ['to in ["healthy", "s│"]', ["stale"]],
    ['to not in ["s│', ["stale"]],
    ['system.tags["t│"]', ["team", "tier"]],
    ['system.tags["odd│"]', ["odd key"]],
    ['system.name == "│"', []],
    ['"to == │"', []],
    ["in_maintenance == │", ["true", "false"]],
    ["in_maintenance == t│", ["true"]],
    ["to == │", ['"unknown"', '"healthy"', '"degraded"', '"unhealthy"', '"stale"']],
  ])("%s", (marked, want) => expect(offered(marked)).toEqual(want));

  test("a value that was not asked for does not pop up", () => {
    expect(offered("to == │", false)).toEqual([]);
  });
});

describe("names", () => {
  test("variables, functions and words", () => {
    expect(offered("he│")).toEqual(["healthy_checks", "health_for"]);
    expect(offered("a│")).toEqual(["any", "and"]);
    expect(offered("let limit = 3; total_checks > l│")).toEqual(["limit", "len", "let"]);
  });
  test.each(["// he│", '"he│"', "3│", "`he│`", "/* he│ */"])("nothing in %s", (marked) => expect(offered(marked)).toEqual([]));
  test("nothing without a word, unless asked", () => {
    expect(offered("│", false)).toEqual([]);
    expect(offered("│").length).toBeGreaterThan(10);
  });
  test("a function is a snippet of its arguments", () => {
    const found = completeAt("an", 2, exprParser.parse("an"), env, true);
    const any = found?.options.find((o) => o.label === "any");
    expect(any?.detail).toBe("(array, predicate) bool");
    expect(typeof any?.apply).toBe("function");
  });
});

describe("texts", () => {
  function inText(marked: string): string[] {
    const pos = marked.indexOf("│");
    const doc = marked.replace("│", "");
    const state = EditorState.create({ doc, extensions: [textLanguage] });
    const found = completions(() => env, "text")(new CompletionContext(state, pos, true));
    return narrowed(doc, pos, found as CompletionResult | null);
  }
  test.each([
    ["${system.na│} is ${to}", ["name"]],
    ["system ${sys│}", ["system"]],
    ["${system.tags.│", ["env", "team", "tier"]],
    ['say "${to == "de│"}', ["degraded"]],
    ["sys│ ${to}", []],
    ["\\${sys│}", []],
  ])("%s", (marked, want) => expect(inText(marked)).toEqual(want));
});

test("types of expressions", () => {
  const kind = (src: string) => typeOf(src, exprParser.parse(src).topNode.firstChild, env)?.kind;
  expect(kind("system.tags")).toBe("map");
  expect(kind("system.tags.env")).toBe("string");
  expect(kind("to == 'x' or true")).toBe("bool");
  expect(kind("checks | filter(.ok)")).toBe("array");
  expect(kind("checks | len()")).toBe("int");
  expect(kind("to ?? 1")).toBe("string");
  expect(kind("true ? total_checks : 1")).toBe("int");
  expect(kind("[1]")).toBe("array");
});
