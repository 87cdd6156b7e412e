// Plain text with ${expr} holes, as URLs, headers and bodies of steps are.

import { defineLanguageFacet, Language, languageDataProp } from "@codemirror/language";
import type { Input, PartialParse, TreeFragment } from "@lezer/common";
import { NodeSet, NodeType, Parser, parseMixed, Tree } from "@lezer/common";
import { styleTags, tags as t } from "@lezer/highlight";
import { exprParser } from "./tree";

/** A hole: from is the first character after "${", to is its "}" or, when it is not closed, the end of the text. */
export interface Hole {
  from: number;
  to: number;
  closed: boolean;
}

/** The closing quote of the string literal that begins at `at`, or the end of the text. */
function stringEnd(text: string, at: number): number {
  const quote = text[at];
  let i = at + 1;
  while (i < text.length && text[i] !== quote) i += text[i] === "\\" && quote !== "`" ? 2 : 1;
  return Math.min(i, text.length);
}

/** The "}" that closes the hole whose body begins at `from`, or -1. Braces and strings nest. */
function holeEnd(text: string, from: number): number {
  let depth = 1;
  for (let at = from; at < text.length; at++) {
    const c = text[at];
    if (c === '"' || c === "'" || c === "`") at = stringEnd(text, at);
    else if (c === "{") depth++;
    else if (c === "}" && --depth === 0) return at;
  }
  return -1;
}

/** Finds the holes of a text. "\${" stands for the two characters and opens none. */
export function holes(text: string): Hole[] {
  const found: Hole[] = [];
  for (let i = 0; i < text.length; i++) {
    if (text[i] === "\\" && text.startsWith("${", i + 1)) {
      i += 2;
    } else if (text.startsWith("${", i)) {
      const end = holeEnd(text, i + 2);
      const to = end < 0 ? text.length : end;
      found.push({ from: i + 2, to, closed: end >= 0 });
      i = to;
    }
  }
  return found;
}

const data = defineLanguageFacet({ closeBrackets: { brackets: ["(", "[", "{", '"'] } });
const top = NodeType.define({ id: 0, name: "Text", top: true, props: [[languageDataProp, data]] });
const hole = NodeType.define({ id: 1, name: "Hole" });
const body = NodeType.define({ id: 2, name: "HoleBody" });
const mark = NodeType.define({ id: 3, name: "HoleMark" });
const unclosed = NodeType.define({ id: 4, name: "Unclosed", error: true });
const set = new NodeSet([top, hole, body, mark, unclosed]).extend(styleTags({ HoleMark: t.special(t.brace) }));

function node(type: NodeType, children: Tree[], positions: number[], length: number): Tree {
  return new Tree(set.types[type.id] as NodeType, children, positions, length);
}

/** The tree of a text: a Hole for every hole, with its marks and its body. */
function build(text: string): Tree {
  const found = holes(text);
  const trees = found.map((h) => {
    const size = h.to - h.from;
    const end = h.closed ? node(mark, [], [], 1) : node(unclosed, [], [], 0);
    return node(hole, [node(mark, [], [], 2), node(body, [], [], size), end], [0, 2, 2 + size], 2 + size + end.length);
  });
  return node(
    top,
    trees,
    found.map((h) => h.from - 2),
    text.length,
  );
}

/** Parses the whole text at once: the texts of steps are short, an incremental parse would gain nothing. */
class TextParser extends Parser {
  private readonly wrap = parseMixed((n) => (n.name === "HoleBody" ? { parser: exprParser } : null));

  createParse(input: Input, fragments: readonly TreeFragment[], ranges: readonly { from: number; to: number }[]): PartialParse {
    let stop: number | null = null;
    const whole: PartialParse = {
      parsedPos: input.length,
      get stoppedAt() {
        return stop;
      },
      stopAt(pos: number) {
        stop = pos;
      },
      advance: () => build(input.read(0, stop ?? input.length)),
    };
    return this.wrap(whole, input, fragments, ranges);
  }
}

/** The parser of texts; the bodies of holes are mounted trees of the expr parser. */
export const textParser: Parser = new TextParser();

/** The language of texts with holes. */
export const textLanguage = new Language(data, textParser, [], "text");
