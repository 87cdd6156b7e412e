// Completion from the server's description of the environment: members,
// functions, keys of maps, and the values that a name can have.

import type { Completion, CompletionContext, CompletionResult } from "@codemirror/autocomplete";
import { snippetCompletion } from "@codemirror/autocomplete";
import { syntaxTree } from "@codemirror/language";
import type { SyntaxNode, Tree } from "@lezer/common";
import type { ExprEnv, ExprFunc, ExprVar } from "../api.gen";
import { elementType, kindText, type Source, typeOf, variableAt } from "./env";
import { holes } from "./text";

const KEYWORDS = ["and", "or", "not", "in", "matches", "contains", "startsWith", "endsWith", "let", "true", "false", "nil"];
const NAME = /^[\w$]*$/;
/** `path == "par` and `path != "par`, up to the cursor. */
const COMPARED = /([A-Za-z_$][\w$]*(?:\??\.[\w$]+)*)\s*(?:==|!=)\s*(["']?)([^"'\s]*)$/;
/** `path in ["a", "par`, up to the cursor. */
const LISTED = /([A-Za-z_$][\w$]*(?:\??\.[\w$]+)*)\s+(?:not\s+)?in\s*\[(?:\s*(?:"[^"]*"|'[^']*')\s*,)*\s*(["']?)([^"'\s,\]]*)$/;
/** `path["par`, up to the cursor. */
const KEYED = /([A-Za-z_$][\w$]*(?:\??\.[\w$]+)*)\s*\[\s*(["'])([^"'\]]*)$/;

/** A side note as a text node: names and docs may come from anywhere. */
function note(lines: (string | undefined)[]): (() => Node) | undefined {
  const kept = lines.filter((l): l is string => !!l);
  if (kept.length === 0) return undefined;
  return () => {
    const dom = document.createElement("div");
    dom.className = "ex-note";
    for (const line of kept) dom.append(Object.assign(document.createElement("p"), { textContent: line }));
    return dom;
  };
}

function ofVariable(label: string, v: ExprVar, boost = 0): Completion {
  const type = v.kind === "struct" || v.kind === "map" ? "class" : v.kind === "array" ? "enum" : "variable";
  const info = note([v.doc, v.example && `For example ${v.example}`]);
  return { label, type, detail: kindText(v), boost, ...(info ? { info } : {}) };
}

/** Functions become snippets: the cursor lands on the first argument. */
function ofFunction(label: string, f: ExprFunc): Completion {
  const args = f.args ?? [];
  const names = args.map((a) => a.split(":")[0]?.trim() ?? "");
  const template = names.length > 0 ? `${label}(${names.map((n) => `\${${n || "value"}}`).join(", ")})` : `${label}()`;
  const info = note([f.doc, args.length > 0 ? `(${args.join(", ")}) ${f.returns}` : undefined, f.example && `For example ${f.example}`]);
  return snippetCompletion(template, {
    label,
    type: "function",
    detail: `(${names.join(", ")})${f.returns ? ` ${f.returns}` : ""}`,
    ...(info ? { info } : {}),
  });
}

function members(v: ExprVar | null): Completion[] {
  if (!v) return [];
  if (v.fields) return Object.entries(v.fields).map(([name, field]) => ofVariable(name, field));
  if (v.kind !== "map") return [];
  return (v.keys ?? []).filter((k) => /^[A-Za-z_$][\w$]*$/.test(k)).map((k) => ofVariable(k, v.elem ?? { kind: "any" }));
}

/** The names that `let` gives before the cursor. */
function locals(src: Source, tree: Tree, pos: number): Completion[] {
  const found: Completion[] = [];
  tree.iterate({
    to: pos,
    enter(n) {
      if (n.name === "VariableDefinition" && n.to < pos)
        found.push({ label: src.slice(n.from, n.to), type: "constant", detail: "let", boost: 3 });
    },
  });
  return found;
}

/** The values that the variable at `path` can have. */
function valuesOf(path: string, env: ExprEnv): string[] {
  const plain = path.replaceAll("?.", ".");
  const known = env.enums[plain];
  if (known) return known;
  return variableAt(plain, env)?.kind === "bool" ? ["true", "false"] : [];
}

/** Completion of string values and of keys, from the text before the cursor alone: the tree of a half-typed string says little. */
function strings(before: string, pos: number, env: ExprEnv, explicit: boolean, literal: number): CompletionResult | null {
  const keyed = KEYED.exec(before);
  if (keyed && keyed[1] !== "in" && keyed.index < literal) {
    const of = variableAt((keyed[1] ?? "").replaceAll("?.", "."), env);
    const keys = of?.kind === "map" ? (of.keys ?? []) : [];
    return values(keys, keyed[2] ?? "", keyed[3] ?? "", pos, "key", false);
  }
  const compared = COMPARED.exec(before) ?? LISTED.exec(before);
  // A comparison inside a string literal is text.
  if (!compared || compared.index > literal) return null;
  const [, path = "", quote = "", typed = ""] = compared;
  const bool = variableAt(path.replaceAll("?.", "."), env)?.kind === "bool";
  if (quote === "" && typed === "" && !explicit) return null;
  return values(valuesOf(path, env), quote, typed, pos, "value", bool);
}

function values(all: string[], quote: string, typed: string, pos: number, detail: string, bare: boolean): CompletionResult | null {
  if (all.length === 0) return null;
  const wrap = (v: string) => (bare || quote !== "" ? v : JSON.stringify(v));
  return {
    from: pos - typed.length,
    options: all.map((v, i) => ({ label: wrap(v), type: "text", detail, boost: -i / 100 })),
    validFor: /^[^"'\]]*$/,
  };
}

/** The node whose member is asked for: the widest one that ends where the dot is. */
function beforeDot(tree: Tree, at: number): SyntaxNode {
  let n = tree.resolveInner(at, -1);
  if (n.name === ")" && n.parent?.name === "ArgList") n = n.parent.parent ?? n;
  const stops = ["Program", "BinaryExpr", "UnaryExpr", "ArgList", "LetDecl", "Ternary", "HoleBody", "Closure"];
  while (n.parent && n.parent.to === at && !stops.includes(n.parent.name)) n = n.parent;
  return n;
}

/**
 * What can be written at `pos` of an expression. Null: nothing is offered.
 * `explicit` is true when a person asked with Ctrl+Space.
 */
export function completeAt(src: Source, pos: number, tree: Tree, env: ExprEnv, explicit: boolean): CompletionResult | null {
  const before = src.slice(0, pos);
  const around = tree.resolveInner(pos, -1);
  const inString = strings(before, pos, env, explicit, around.name === "String" ? around.from : pos);
  if (inString) return inString;
  if (/String|Bytes|Comment/.test(around.name) && around.from < pos && around.to >= pos) return null;

  const word = /[\w$]*$/.exec(before)?.[0] ?? "";
  const from = pos - word.length;
  const dot = /(\?\.|\.)\s*$/.exec(before.slice(0, from));
  if (dot) {
    const at = from - dot[0].length;
    const left = src.slice(0, at).trimEnd();
    const operator = /(?:^|[^\w$.])(?:and|or|not|in|matches|contains|startsWith|endsWith)$/.test(left);
    const member = /[\w$)\]#]$/.test(left) && !operator;
    const of = member ? typeOf(src, beforeDot(tree, at), env) : elementType(src, tree.resolveInner(from, -1), env);
    const options = members(of);
    return options.length > 0 ? { from, options, validFor: NAME } : null;
  }
  if (word === "" && !explicit) return null;
  if (/^\d/.test(word)) return null;
  return {
    from,
    validFor: NAME,
    options: [
      ...locals(src, tree, from),
      ...Object.entries(env.vars).map(([name, v]) => ofVariable(name, v, 2)),
      ...Object.entries(env.funcs).map(([name, f]) => ofFunction(name, f)),
      ...KEYWORDS.map((label) => ({ label, type: "keyword", boost: -1 })),
    ],
  };
}

/** The source of completion for an editor; `env` is asked each time because it arrives late. In a text it works in holes only. */
export function completions(env: () => ExprEnv | null, mode: "expr" | "text") {
  return (cx: CompletionContext): CompletionResult | null => {
    const known = env();
    if (!known) return null;
    const src = cx.state.doc.toString();
    const tree = syntaxTree(cx.state);
    if (mode === "expr") return completeAt(src, cx.pos, tree, known, cx.explicit);
    const inside = holes(src).find((h) => h.from <= cx.pos && cx.pos <= h.to);
    if (!inside) return null;
    // What stands before the hole is no part of the expression: blank it, so that offsets stay.
    const blank = " ".repeat(inside.from) + src.slice(inside.from, inside.to);
    return completeAt(blank, cx.pos, tree, known, cx.explicit);
  };
}
