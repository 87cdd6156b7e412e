// What can be written in a script at a place: the API that the server
// describes, by the path of names before the cursor.

import type { ScriptName } from "../api.gen";

/** What is before the cursor: the path of names, and what is typed of the last. */
export interface Place {
  path: string[];
  typed: string;
  from: number;
}

/** Reads the path of names that ends at pos; undefined inside of strings and comments. */
export function placeAt(source: string, pos: number): Place | undefined {
  const line = source.slice(source.lastIndexOf("\n", pos - 1) + 1, pos);
  if (inText(line)) return undefined;
  const found = /((?:[A-Za-z_$][\w$]*(?:\([^()]*\))?\??\.)*)([A-Za-z_$][\w$]*)?$/.exec(line);
  if (!found) return undefined;
  const typed = found[2] ?? "";
  const path = (found[1] ?? "")
    .replace(/\([^()]*\)/g, "()")
    .split(".")
    .map((p) => p.replace(/\?$/, ""))
    .filter(Boolean);
  if (line.length > found[0].length && line[line.length - found[0].length - 1] === ".") return undefined;
  return { path, typed, from: pos - typed.length };
}

/** Whether the end of a line is in a string or a comment; holes of a template are code. */
function inText(line: string): boolean {
  let quote = "";
  let holes = 0;
  for (let i = 0; i < line.length; i++) {
    const c = line[i] as string;
    if (quote) {
      if (c === "\\") i++;
      else if (c === quote) quote = "";
      else if (quote === "`" && c === "$" && line[i + 1] === "{") {
        holes++;
        quote = "";
        i++;
      }
    } else if (c === "}" && holes > 0) {
      holes--;
      quote = "`";
    } else if (c === '"' || c === "'" || c === "`") quote = c;
    else if (c === "/" && line[i + 1] === "/") return true;
  }
  return quote !== "";
}

/** The names of the parameters object: "ctx" of `async (ctx) =>`. */
export function contextName(source: string): string | undefined {
  return /export\s+default\s+(?:async\s*)?(?:function\s*\w*\s*)?\(?\s*([A-Za-z_$][\w$]*)\s*(?::[^),]*)?\)?\s*(?:=>|\{)/.exec(source)?.[1];
}

/** What the path stands for: members of the API, of the context object, or nothing. */
export function membersAt(path: string[], api: ScriptName[], source: string): ScriptName[] | undefined {
  let members: ScriptName[] | undefined = api;
  const begin = path[0] !== undefined && path[0] === contextName(source) ? 1 : 0;
  for (const name of path.slice(begin)) {
    const node: ScriptName | undefined = members?.find((m) => m.name === name || `${m.name}()` === name);
    members = node?.members;
    if (!members) return undefined;
  }
  return members;
}

/** The names of the API that a source takes out of the context by destructuring. */
export function taken(source: string): Set<string> {
  const found = /export\s+default\s+(?:async\s*)?(?:function\s*\w*\s*)?\(\s*\{([^}]*)\}/.exec(source)?.[1] ?? "";
  return new Set(
    found
      .split(",")
      .map((p) => p.split(/[:=]/)[0]?.trim() ?? "")
      .filter(Boolean),
  );
}

/** Where a line and a column, both from 1 and the column in characters, are in the source in UTF-16 units. */
export function offsetOf(source: string, line: number, column: number): number {
  let at = 0;
  for (let n = 1; n < line; n++) {
    const next = source.indexOf("\n", at);
    if (next < 0) return source.length;
    at = next + 1;
  }
  const end = source.indexOf("\n", at);
  const text = source.slice(at, end < 0 ? source.length : end);
  return at + [...text].slice(0, Math.max(0, column - 1)).join("").length;
}
