// The languages of the editor and how they look.

import { HighlightStyle, LanguageSupport, LRLanguage, syntaxHighlighting } from "@codemirror/language";
import type { Extension } from "@codemirror/state";
import { EditorView } from "@codemirror/view";
import { tags as t } from "@lezer/highlight";
import { textLanguage } from "./text";
import { exprParser } from "./tree";

const exprLanguage = LRLanguage.define({
  name: "expr",
  parser: exprParser,
  languageData: { commentTokens: { line: "//" }, closeBrackets: { brackets: ["(", "[", "{", '"', "'"] } },
});

/** The language of a whole expression, or of a text with ${expr} holes. */
export function language(mode: "expr" | "text"): Extension {
  return new LanguageSupport(mode === "expr" ? exprLanguage : textLanguage);
}

/** Colours are classes, see editor.css: they follow the theme without a new style element. */
export const highlighting: Extension = syntaxHighlighting(
  HighlightStyle.define([
    { tag: [t.definitionKeyword, t.operatorKeyword], class: "tk-kw" },
    { tag: t.string, class: "tk-str" },
    { tag: [t.number, t.bool, t.null], class: "tk-num" },
    { tag: t.function(t.variableName), class: "tk-fn" },
    { tag: t.propertyName, class: "tk-prop" },
    { tag: [t.special(t.variableName), t.special(t.brace)], class: "tk-special" },
    { tag: t.compareOperator, class: "tk-op" },
    { tag: t.comment, class: "tk-com" },
  ]),
);

/** Geometry and colours of the editor in tokens of the page. */
export const look: Extension = EditorView.theme({
  "&": { backgroundColor: "transparent", color: "var(--fg)", fontSize: "13px" },
  "&.cm-focused": { outline: "none" },
  ".cm-scroller": { fontFamily: "var(--mono)", lineHeight: "21px" },
  ".cm-content": { padding: "var(--ex-pad, 5px) 0", caretColor: "var(--fg)" },
  ".cm-line": { padding: "0 9px" },
  ".cm-gutters": { backgroundColor: "transparent", color: "var(--fg-3)", border: "0" },
  ".cm-lineNumbers .cm-gutterElement": { minWidth: "30px", padding: "0 6px 0 0" },
  ".cm-gutter-lint": { width: "18px" },
  ".cm-gutter-lint .cm-gutterElement": { padding: "3px 2px" },
  ".cm-placeholder": { color: "var(--fg-3)" },
  "&.cm-focused .cm-matchingBracket": { backgroundColor: "var(--accent-bg)", outline: "1px solid var(--accent)" },
  "&.cm-focused .cm-nonmatchingBracket": { backgroundColor: "var(--unhealthy-bg)" },
  ".cm-tooltip": {
    backgroundColor: "var(--raised)",
    color: "var(--fg)",
    border: "1px solid var(--line-2)",
    borderRadius: "8px",
    boxShadow: "var(--shadow)",
    overflow: "hidden",
  },
  ".cm-tooltip-lint": { font: "400 13px/20px var(--sans)" },
  ".cm-diagnostic": { padding: "7px 12px", borderLeft: "0", maxWidth: "420px" },
  ".cm-diagnosticAction": {
    backgroundColor: "var(--accent-bg)",
    color: "var(--accent)",
    font: "500 12px/20px var(--sans)",
    borderRadius: "4px",
    padding: "1px 8px",
  },
  ".cm-tooltip.cm-tooltip-autocomplete > ul": { fontFamily: "var(--mono)", fontSize: "12px", maxHeight: "15em", padding: "4px" },
  ".cm-tooltip.cm-tooltip-autocomplete > ul > li": { padding: "3px 8px", borderRadius: "5px", lineHeight: "20px" },
  ".cm-tooltip-autocomplete ul li[aria-selected]": { backgroundColor: "var(--accent-bg)", color: "var(--fg)" },
  ".cm-completionMatchedText": { textDecoration: "none", color: "var(--accent)", fontWeight: "600" },
  ".cm-completionDetail": { color: "var(--fg-3)", fontStyle: "normal", marginLeft: "14px" },
  ".cm-completionIcon": { color: "var(--fg-3)", opacity: "1", paddingRight: "1.2em" },
  ".cm-tooltip.cm-completionInfo": { padding: "8px 12px", font: "400 12px/18px var(--sans)", maxWidth: "340px" },
  ".cm-snippetField": { backgroundColor: "var(--accent-bg)" },
});
