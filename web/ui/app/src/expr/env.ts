// Static types of expressions, as far as completion and hover need them.

import type { SyntaxNode } from "@lezer/common";
import type { ExprEnv, ExprVar } from "../api.gen";

/** Functions whose result is their first argument again, of which some elements are left out or moved. */
const SAME = new Set(["filter", "sort", "sortBy", "reverse", "take", "uniq"]);
/** Functions whose result is one element of their first argument. */
const ELEMENT = new Set(["find", "findLast", "first", "last", "min", "max"]);

/** The source behind a tree: expressions are short, a string is enough. */
export type Source = string;

const text = (src: Source, n: SyntaxNode) => src.slice(n.from, n.to);

/** The unescaped content of a string literal, good enough for keys. */
function unquote(literal: string): string {
  return literal.slice(1, -1).replace(/\\(.)/g, "$1");
}

/** The expression that a local name of `let` stands for. */
function definition(src: Source, use: SyntaxNode, name: string): SyntaxNode | null {
  for (let scope = use.parent; scope; scope = scope.parent) {
    for (const decl of scope.getChildren("LetDecl")) {
      const variable = decl.getChild("VariableDefinition");
      if (variable && variable.to <= use.from && text(src, variable) === name) return decl.lastChild;
    }
  }
  return null;
}

/** The call around a predicate, and the node of its first argument: `filter(checks, …)` or `checks | filter(…)`. */
export function subjectOf(at: SyntaxNode): SyntaxNode | null {
  for (let list: SyntaxNode | null = at; list; list = list.parent) {
    if (list.name !== "ArgList") continue;
    const call = list.parent;
    const pipe = call?.parent;
    if (pipe?.name === "BinaryExpr" && pipe.firstChild && pipe.firstChild.to <= (call?.from ?? 0) && pipeOf(pipe)) return pipe.firstChild;
    const first = list.firstChild?.nextSibling;
    if (first && first.to <= at.from) return first;
  }
  return null;
}

/** Whether a binary expression is a pipe; its operator is a token without a name of letters. */
function pipeOf(n: SyntaxNode): boolean {
  return n.getChild("|") !== null;
}

/** The type of one element of what an enclosing predicate goes over. */
export function elementType(src: Source, at: SyntaxNode, env: ExprEnv): ExprVar | null {
  const subject = subjectOf(at);
  return (subject && typeOf(src, subject, env)?.elem) || null;
}

/** The type of a call. */
function callType(src: Source, call: SyntaxNode, env: ExprEnv): ExprVar | null {
  const callee = call.firstChild;
  if (callee?.name !== "VariableName") return null;
  const name = text(src, callee);
  const parent = call.parent;
  const piped = parent?.name === "BinaryExpr" && pipeOf(parent) && parent.firstChild?.from !== call.from;
  const subject = piped ? parent.firstChild : (call.getChild("ArgList")?.firstChild?.nextSibling ?? null);
  const over = subject && subject.name !== ")" ? typeOf(src, subject, env) : null;
  if (over && SAME.has(name)) return over;
  if (over?.elem && ELEMENT.has(name)) return over.elem;
  const returns = env.funcs[name]?.returns;
  return returns ? { kind: returns } : null;
}

/** The static type of an expression, or null when it is not known. */
export function typeOf(src: Source, n: SyntaxNode | null, env: ExprEnv): ExprVar | null {
  switch (n?.name) {
    case "VariableName": {
      const name = text(src, n);
      const local = definition(src, n, name);
      return local ? typeOf(src, local, env) : (env.vars[name] ?? null);
    }
    case "MemberExpr": {
      const of = typeOf(src, n.firstChild, env);
      const property = n.getChild("PropertyName");
      if (!of || !property) return null;
      return of.fields?.[text(src, property)] ?? (of.kind === "map" ? (of.elem ?? null) : null);
    }
    case "ImplicitMember": {
      const property = n.getChild("PropertyName");
      return (property && elementType(src, n, env)?.fields?.[text(src, property)]) || null;
    }
    case "IndexExpr": {
      const of = typeOf(src, n.firstChild, env);
      const key = n.getChild("String");
      return (key && of?.fields?.[unquote(text(src, key))]) || of?.elem || null;
    }
    case "Pointer":
      return elementType(src, n, env);
    case "CallExpr":
      return callType(src, n, env);
    case "Paren":
      return typeOf(src, n.firstChild?.nextSibling ?? null, env);
    case "Ternary":
      return typeOf(src, n.firstChild?.nextSibling?.nextSibling ?? null, env);
    case "BinaryExpr":
      return binaryType(src, n, env);
    case "ArrayExpr": {
      const elem = n.firstChild?.nextSibling ? typeOf(src, n.firstChild.nextSibling, env) : null;
      return elem ? { kind: "array", elem } : { kind: "array" };
    }
    case "String":
      return { kind: "string" };
    case "Number":
      return { kind: "float" };
    case "Boolean":
      return { kind: "bool" };
  }
  return null;
}

function binaryType(src: Source, n: SyntaxNode, env: ExprEnv): ExprVar | null {
  if (pipeOf(n)) return typeOf(src, n.lastChild, env);
  if (n.getChild("??")) return typeOf(src, n.firstChild, env);
  const logical = ["CompareOp", "WordOp", "and", "or", "&&", "||"];
  if (logical.some((name) => n.getChild(name))) return { kind: "bool" };
  return typeOf(src, n.firstChild, env);
}

/** The variable at a dotted path such as system.tags.env, read without a tree. */
export function variableAt(path: string, env: ExprEnv): ExprVar | null {
  const [head, ...rest] = path.split(".");
  let at: ExprVar | undefined = env.vars[head ?? ""];
  for (const part of rest) at = at?.fields?.[part] ?? (at?.kind === "map" ? at.elem : undefined);
  return at ?? null;
}

/** The kind of a variable in words, with its unit. */
export function kindText(v: ExprVar): string {
  const kind = v.kind === "array" && v.elem ? `array of ${v.elem.kind}` : v.kind;
  return v.unit ? `${kind} · ${v.unit}` : kind;
}
