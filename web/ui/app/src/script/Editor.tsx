// The editor of scripts: JavaScript and TypeScript with completion of the API
// and the server's diagnostics at their place.

import {
  autocompletion,
  type Completion,
  type CompletionContext,
  type CompletionResult,
  closeBrackets,
  closeBracketsKeymap,
  completionKeymap,
} from "@codemirror/autocomplete";
import { history, historyKeymap, indentWithTab, standardKeymap, toggleComment } from "@codemirror/commands";
import { javascript } from "@codemirror/lang-javascript";
import { bracketMatching, HighlightStyle, indentOnInput, indentUnit, syntaxHighlighting } from "@codemirror/language";
import { type Diagnostic, lintGutter, lintKeymap, setDiagnostics } from "@codemirror/lint";
import { EditorState } from "@codemirror/state";
import { EditorView, keymap, lineNumbers } from "@codemirror/view";
import { tags as t } from "@lezer/highlight";
import { useEffect, useId, useLayoutEffect, useRef } from "preact/hooks";
import type { Problem, ScriptName } from "../api.gen";
import { look } from "../expr/language";
import { cspNonce } from "../lib/boot";
import { Icon } from "../ui/Icon";
import { membersAt, offsetOf, placeAt, taken } from "./complete";
import "../expr/editor.css";
import "./script.css";

export interface ScriptEditorProps {
  value: string;
  onInput: (value: string) => void;
  label: string;
  /** What a script can use; null while it is on the way. */
  api: ScriptName[] | null;
  problems: Problem[];
  readOnly?: boolean;
}

const highlighting = syntaxHighlighting(
  HighlightStyle.define([
    { tag: [t.keyword, t.operatorKeyword, t.moduleKeyword, t.controlKeyword, t.definitionKeyword], class: "tk-kw" },
    { tag: [t.string, t.special(t.string), t.regexp], class: "tk-str" },
    { tag: [t.number, t.bool, t.null, t.atom], class: "tk-num" },
    { tag: [t.function(t.variableName), t.function(t.propertyName)], class: "tk-fn" },
    { tag: [t.propertyName, t.definition(t.propertyName)], class: "tk-prop" },
    { tag: [t.typeName, t.className], class: "tk-special" },
    { tag: [t.operator, t.punctuation], class: "tk-op" },
    { tag: [t.lineComment, t.blockComment, t.docComment], class: "tk-com" },
  ]),
);

function option(n: ScriptName): Completion {
  return {
    label: n.name,
    detail: n.type,
    type: n.call ? "function" : "variable",
    ...(n.call ? { apply: `${n.name}(` } : {}),
    ...(n.doc
      ? {
          info: () => Object.assign(document.createElement("div"), { className: "ex-note", textContent: n.doc }),
        }
      : {}),
  };
}

function completions(api: () => ScriptName[] | null) {
  return (context: CompletionContext): CompletionResult | null => {
    const known = api();
    const source = context.state.doc.toString();
    const at = known && placeAt(source, context.pos);
    if (!known || !at) return null;
    if (at.path.length === 0 && at.typed === "" && !context.explicit) return null;
    const names = taken(source);
    const members = membersAt(at.path, known, source);
    if (!members) return null;
    // At the beginning of a path only what the script took out of the context, or could.
    const options = members.map(option).map((o) => (at.path.length === 0 && names.has(o.label) ? { ...o, boost: 10 } : o));
    return { from: at.from, options, validFor: /^[\w$]*$/ };
  };
}

function diagnostics(problems: Problem[], source: string): Diagnostic[] {
  return problems
    .filter((p) => p.line)
    .map((p) => {
      const from = Math.min(source.length, offsetOf(source, p.line ?? 1, p.column ?? 1));
      const word = /^[\w$]+/.exec(source.slice(from))?.[0].length ?? 1;
      return {
        from,
        to: Math.min(source.length, from + word),
        severity: "error" as const,
        message: p.fix ? `${p.message}; ${p.fix}` : p.message,
      };
    });
}

/** An editor for the source of a script. */
export function ScriptEditor(props: ScriptEditorProps) {
  const host = useRef<HTMLDivElement>(null);
  const view = useRef<EditorView | null>(null);
  const latest = useRef(props);
  latest.current = props;
  const told = useRef<string[]>([]);
  const list = useId();
  // biome-ignore lint/correctness/useExhaustiveDependencies: made once; what changes reaches it through latest
  useLayoutEffect(() => {
    if (!host.current) return;
    const made = new EditorView({
      parent: host.current,
      state: EditorState.create({
        doc: latest.current.value,
        extensions: [
          EditorView.cspNonce.of(cspNonce()),
          EditorState.readOnly.of(!!latest.current.readOnly),
          history(),
          lineNumbers(),
          lintGutter(),
          bracketMatching(),
          closeBrackets(),
          indentOnInput(),
          indentUnit.of("  "),
          EditorView.lineWrapping,
          javascript({ typescript: true }),
          highlighting,
          look,
          autocompletion({ override: [completions(() => latest.current.api)], icons: false }),
          keymap.of([
            ...closeBracketsKeymap,
            ...completionKeymap,
            { key: "Mod-/", run: toggleComment },
            ...standardKeymap,
            ...historyKeymap,
            ...lintKeymap,
            indentWithTab,
          ]),
          EditorView.contentAttributes.of({
            "aria-label": latest.current.label,
            "aria-describedby": `${list} ${list}-keys`,
            spellcheck: "false",
            autocapitalize: "off",
          }),
          EditorView.updateListener.of((u) => {
            if (!u.docChanged) return;
            const text = u.state.doc.toString();
            if (text === latest.current.value) return;
            told.current.push(text);
            latest.current.onInput(text);
          }),
        ],
      }),
    });
    view.current = made;
    return () => {
      view.current = null;
      made.destroy();
    };
  }, []);

  useEffect(() => {
    const v = view.current;
    const echo = told.current.indexOf(props.value);
    told.current = told.current.slice(echo + 1);
    if (!v || echo >= 0 || v.state.doc.toString() === props.value) return;
    told.current = [];
    v.dispatch({ changes: { from: 0, to: v.state.doc.length, insert: props.value } });
  }, [props.value]);

  const said = JSON.stringify(props.problems);
  // biome-ignore lint/correctness/useExhaustiveDependencies: said says all of the problems
  useEffect(() => {
    const v = view.current;
    if (v) v.dispatch(setDiagnostics(v.state, diagnostics(props.problems, v.state.doc.toString())));
  }, [said]);

  const go = (p: Problem) => {
    const v = view.current;
    if (!v) return;
    const at = Math.min(v.state.doc.length, offsetOf(v.state.doc.toString(), p.line ?? 1, p.column ?? 1));
    v.dispatch({ selection: { anchor: at }, scrollIntoView: true });
    v.focus();
  };
  return (
    <div class="ex sc">
      <div ref={host} class={`ex-box${props.problems.length > 0 ? " bad" : ""}`} />
      <ul id={list} class="ex-problems" aria-live="polite">
        {props.problems.map((p, i) => (
          <li key={`${i}${p.message}`}>
            <Icon name="alert" size={14} />
            <button type="button" class="ex-go" onClick={() => go(p)}>
              {p.line ? `${p.line}:${p.column ?? 1} ` : p.path ? `${p.path}: ` : ""}
              {p.message}
              {p.fix && <span class="dim"> {p.fix}</span>}
            </button>
          </li>
        ))}
      </ul>
      <div class="ex-verdict" id={`${list}-keys`}>
        <span class="sp" />
        <span class="ex-keys">
          <kbd>Ctrl Space</kbd> complete <kbd>F8</kbd> next problem <kbd>Esc</kbd> <kbd>Tab</kbd> leave
        </span>
      </div>
    </div>
  );
}
