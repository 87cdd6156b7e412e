// The expr parser with what highlighting, folding and indentation need.

import { delimitedIndent, indentNodeProp } from "@codemirror/language";
import type { Tree } from "@lezer/common";
import { styleTags, tags as t } from "@lezer/highlight";
import { parser } from "./expr.parser.js";

export const exprParser = parser.configure({
  props: [
    styleTags({
      "let if else": t.definitionKeyword,
      "and or not WordOp/...": t.operatorKeyword,
      Boolean: t.bool,
      Nil: t.null,
      Number: t.number,
      String: t.string,
      Bytes: t.string,
      LineComment: t.lineComment,
      BlockComment: t.blockComment,
      VariableName: t.variableName,
      VariableDefinition: t.definition(t.variableName),
      PropertyName: t.propertyName,
      "CallExpr/VariableName": t.function(t.variableName),
      Pointer: t.special(t.variableName),
      CompareOp: t.compareOperator,
    }),
    indentNodeProp.add({
      ArgList: delimitedIndent({ closing: ")" }),
      ArrayExpr: delimitedIndent({ closing: "]" }),
      Block: delimitedIndent({ closing: "}" }),
      Closure: delimitedIndent({ closing: "}" }),
    }),
  ],
});

/** Where the tree does not understand the source: the first error, or null. */
export function syntaxError(tree: Tree): { from: number; to: number } | null {
  let found: { from: number; to: number } | null = null;
  tree.iterate({
    enter(node) {
      if (found) return false;
      if (node.type.isError) found = { from: node.from, to: node.to };
      return !found;
    },
  });
  return found;
}
