// The expression editor as a component: completion, the server's diagnostics,
// one-key fixes, and the list of problems under it.

import { autocompletion, closeBrackets, closeBracketsKeymap, completionKeymap } from "@codemirror/autocomplete";
import { history, historyKeymap, standardKeymap } from "@codemirror/commands";
import { bracketMatching, syntaxTree } from "@codemirror/language";
import { type Diagnostic, lintGutter, lintKeymap, setDiagnostics } from "@codemirror/lint";
import { Compartment, EditorState, type Extension } from "@codemirror/state";
import { EditorView, hoverTooltip, keymap, lineNumbers, placeholder } from "@codemirror/view";
import { useEffect, useId, useLayoutEffect, useRef, useState } from "preact/hooks";
import type { ExprCheck, ExprEnv, ExprReport, Problem } from "../api.gen";
import { ApiError, api } from "../lib/api";
import { cspNonce } from "../lib/boot";
import { Icon } from "../ui/Icon";
import { Checker, type Judgement, locate, type Mark } from "./check";
import { completions } from "./complete";
import { kindText, typeOf } from "./env";
import { highlighting, language, look } from "./language";
import { syntaxError } from "./tree";
import "./editor.css";

export interface EditorProps {
  /** What is written. A value from outside replaces what is in the editor. */
  value: string;
  onInput: (value: string) => void;
  /** Name for assistive technology, and for people when `lineNumbers` is off. */
  label: string;
  /** An expression, or a text with ${expr} holes. */
  mode?: "expr" | "text";
  where: ExprCheck["where"];
  as: ExprCheck["as"];
  /** What the names stand for; null while it is on the way. */
  env: ExprEnv | null;
  placeholder?: string;
  /** Where the caret was in what the editor takes the place of; it begins with the focus then. */
  caret?: { anchor: number; head: number };
  /** One line without gutters, or several with them. */
  multiline?: boolean;
  /** Ids of elements that say more. */
  describedBy?: string;
  /** What the newest save said of this field; gone with the next edit. */
  problems?: Problem[];
  readOnly?: boolean;
  /** The server is not asked while it is typed: it could not read it as it stands. */
  unchecked?: boolean;
  /** Of an assertion: the collector that it is about. */
  collector?: string;
  /** The server's report on the newest text, null while there is none. */
  onReport?: (report: ExprReport | null) => void;
}

const ask = (body: ExprCheck, signal: AbortSignal) => api.post<ExprReport>("/rules/expr", body, { signal });

/** What a name under the pointer is. */
function hover(env: () => ExprEnv | null): Extension {
  return hoverTooltip((view, pos) => {
    const known = env();
    const n = syntaxTree(view.state).resolveInner(pos, 0);
    if (!known || (n.name !== "VariableName" && n.name !== "PropertyName")) return null;
    const src = view.state.doc.toString();
    const name = src.slice(n.from, n.to);
    const called = n.name === "VariableName" && n.parent?.name === "CallExpr" ? known.funcs[name] : undefined;
    const type = called ? null : typeOf(src, n.name === "PropertyName" ? n.parent : n, known);
    if (!called && !type) return null;
    const head = called ? `${name}(${(called.args ?? []).join(", ")}) ${called.returns}` : `${name}: ${kindText(type ?? { kind: "any" })}`;
    const doc = called ? called.doc : type?.doc;
    const create = () => {
      const dom = document.createElement("div");
      dom.className = "ex-hover";
      dom.append(Object.assign(document.createElement("code"), { textContent: head }));
      if (doc) dom.append(Object.assign(document.createElement("p"), { textContent: doc }));
      return { dom };
    };
    return { pos: n.from, end: n.to, create };
  });
}

/** Applies the fix of a mark; the editor's history can take it back. */
function applyFix(view: EditorView, mark: Mark): void {
  if (!mark.fix || mark.fix.to > view.state.doc.length) return;
  const { from, to, insert } = mark.fix;
  view.dispatch({ changes: { from, to, insert }, selection: { anchor: from + insert.length }, userEvent: "input.fix" });
  view.focus();
}

function diagnostic(mark: Mark): Diagnostic {
  const { problem, fix } = mark;
  const text = problem.fix && !problem.message.includes(problem.fix) ? `${problem.message}. ${capital(problem.fix)}` : problem.message;
  const actions = fix ? [{ name: `Use ${fix.insert}`, apply: (view: EditorView) => applyFix(view, mark) }] : [];
  return { from: mark.from, to: mark.to, severity: "error", message: text, actions };
}

const capital = (text: string) => text.charAt(0).toUpperCase() + text.slice(1);

/** What the tree alone can say at once, before the server answers. */
function local(view: EditorView): Diagnostic[] {
  const at = syntaxError(syntaxTree(view.state));
  if (!at) return [];
  const size = view.state.doc.length;
  const from = Math.min(at.from, Math.max(0, size - 1));
  return [
    {
      from,
      to: Math.min(size, Math.max(at.to, from + 1)),
      severity: "error",
      message: "This is not complete yet, or a sign is missing here.",
    },
  ];
}

/** Keys of one line: no line breaks get in. */
const oneLine: Extension = [
  keymap.of([{ key: "Enter", run: () => true }]),
  EditorView.clipboardInputFilter.of((text) => text.replace(/\s*[\r\n]+\s*/g, " ")),
];

/** Ask about a text, or forget what was said of the one before. */
function lookAt(checker: Checker, props: EditorProps, expr: string): void {
  checker.look({
    expr: props.unchecked ? "" : expr,
    as: props.as,
    where: props.where,
    ...(props.collector ? { check: { use: props.collector } } : {}),
  });
}

interface Live {
  view: EditorView;
  checker: Checker;
}

/** An editor for an expression or a text with holes. */
export function Editor(props: EditorProps) {
  const { mode = "expr", multiline = true } = props;
  const host = useRef<HTMLDivElement>(null);
  const live = useRef<Live | null>(null);
  const latest = useRef(props);
  latest.current = props;
  const told = useRef<string[]>([]); // texts that onInput has got and that have not come back as value
  const marks = useRef<Mark[]>([]);
  const [about, setAbout] = useState<Judgement>({ empty: true });
  const [shown, setShown] = useState<Mark[]>([]);
  const [writable] = useState(() => new Compartment());
  const list = useId();

  const show = (found: Mark[], extra: Diagnostic[] = []) => {
    marks.current = found;
    setShown(found);
    const view = live.current?.view;
    if (view) view.dispatch(setDiagnostics(view.state, [...found.map(diagnostic), ...extra]));
  };

  const judge = (judgement: Judgement, expr: string) => {
    const view = live.current?.view;
    if (!view || (view.state.doc.toString() !== expr && !("empty" in judgement))) return;
    setAbout(judgement);
    const report = "report" in judgement ? judgement.report : null;
    latest.current.onReport?.(report);
    if (report) show((report.diagnostics ?? []).map((p) => locate(p, expr)));
    else if ("pending" in judgement) show([], mode === "expr" ? local(view) : []);
    else show([]);
  };

  // The view lives as long as the component; everything that changes reaches it through `latest`.
  // It is made before the next key can come, which is for it.
  // biome-ignore lint/correctness/useExhaustiveDependencies: made once
  useLayoutEffect(() => {
    if (!host.current) return;
    const checker = new Checker(ask, judge);
    const env = () => latest.current.env;
    const look1 = (expr: string) => lookAt(checker, latest.current, expr);
    const fixFirst = (view: EditorView) => {
      const head = view.state.selection.main.head;
      const fixable = marks.current.filter((m) => m.fix);
      const mark = fixable.find((m) => m.from <= head && head <= m.to) ?? fixable[0];
      if (mark) applyFix(view, mark);
      return !!mark;
    };
    const view = new EditorView({
      parent: host.current,
      state: EditorState.create({
        doc: latest.current.value,
        extensions: [
          EditorView.cspNonce.of(cspNonce()),
          writable.of(EditorState.readOnly.of(!!latest.current.readOnly)),
          history(),
          bracketMatching(),
          closeBrackets(),
          EditorView.lineWrapping,
          language(mode),
          highlighting,
          look,
          multiline ? [lineNumbers(), lintGutter()] : oneLine,
          autocompletion({ override: [completions(env, mode)], icons: false }),
          hover(env),
          keymap.of([
            { key: "Alt-Enter", run: fixFirst },
            { key: "Mod-.", run: fixFirst },
          ]),
          keymap.of([...closeBracketsKeymap, ...completionKeymap, ...standardKeymap, ...historyKeymap, ...lintKeymap]),
          EditorView.contentAttributes.of({
            "aria-label": latest.current.label,
            "aria-describedby": [latest.current.describedBy, list].filter(Boolean).join(" "),
            "aria-multiline": String(multiline),
            spellcheck: "false",
            autocapitalize: "off",
          }),
          placeholder(latest.current.placeholder ?? ""),
          EditorView.updateListener.of((u) => {
            if (!u.docChanged) return;
            const text = u.state.doc.toString();
            if (text !== latest.current.value) {
              told.current.push(text);
              latest.current.onInput(text);
            }
            look1(text);
          }),
        ],
      }),
    });
    live.current = { view, checker };
    const caret = latest.current.caret;
    if (caret) {
      const size = view.state.doc.length;
      view.focus();
      view.dispatch({ selection: { anchor: Math.min(caret.anchor, size), head: Math.min(caret.head, size) } });
    }
    look1(latest.current.value);
    return () => {
      checker.stop();
      live.current = null;
      view.destroy();
    };
  }, []);

  useEffect(() => {
    const view = live.current?.view;
    // What comes back of what was typed is not put in again: by then more may have been typed.
    const echo = told.current.indexOf(props.value);
    told.current = told.current.slice(echo + 1);
    if (!view || echo >= 0 || view.state.doc.toString() === props.value) return;
    told.current = [];
    view.dispatch({ changes: { from: 0, to: view.state.doc.length, insert: props.value } });
  }, [props.value]);

  useEffect(() => {
    live.current?.view.dispatch({ effects: writable.reconfigure(EditorState.readOnly.of(!!props.readOnly)) });
  }, [props.readOnly, writable]);

  // biome-ignore lint/correctness/useExhaustiveDependencies: another environment is another judgement
  useEffect(() => {
    const now = live.current;
    if (now) lookAt(now.checker, props, now.view.state.doc.toString());
  }, [props.where, props.as, props.unchecked, props.collector]);

  // What a save says stands until the next edit.
  const said = JSON.stringify(props.problems ?? []);
  // biome-ignore lint/correctness/useExhaustiveDependencies: only a new answer of the server matters
  useEffect(() => {
    if (said !== "[]") show((props.problems ?? []).map((p) => locate(p, props.value)));
    else if (props.unchecked) show([]);
  }, [said]);

  const go = (mark: Mark) => {
    const view = live.current?.view;
    if (!view) return;
    const size = view.state.doc.length;
    view.dispatch({ selection: { anchor: Math.min(mark.from, size), head: Math.min(mark.to, size) }, scrollIntoView: true });
    view.focus();
  };

  return (
    <div class="ex">
      <div ref={host} class={`ex-box${multiline ? "" : " one"}${shown.length > 0 ? " bad" : ""}`} />
      <Problems id={list} marks={shown} go={go} fix={(mark) => live.current && applyFix(live.current.view, mark)} />
      {multiline && shown.length === 0 && <Verdict about={about} mode={mode} />}
      {!multiline && "failed" in about && <Verdict about={about} mode={mode} />}
    </div>
  );
}

/** The list of problems; it is also the description of the editor. */
function Problems({ id, marks, go, fix }: { id: string; marks: Mark[]; go: (mark: Mark) => void; fix: (mark: Mark) => void }) {
  return (
    <ul id={id} class="ex-problems" aria-live="polite">
      {marks.map((mark) => (
        <li key={`${mark.from}:${mark.problem.message}`}>
          <Icon name="alert" size={14} />
          <button type="button" class="ex-go" onClick={() => go(mark)}>
            {mark.problem.message}
            {mark.problem.fix && !mark.problem.message.includes(mark.problem.fix) && <span class="dim"> {capital(mark.problem.fix)}</span>}
          </button>
          {mark.fix && (
            <button type="button" class="btn small" onClick={() => fix(mark)}>
              Use <code>{mark.fix.insert}</code> <kbd>Alt ⏎</kbd>
            </button>
          )}
        </li>
      ))}
    </ul>
  );
}

/** One line on how the newest text was judged, and the keys that help. */
function Verdict({ about, mode }: { about: Judgement; mode: "expr" | "text" }) {
  return (
    <div class="ex-verdict">
      <span>{sentence(about, mode)}</span>
      <span class="sp" />
      <span class="ex-keys" aria-hidden="true">
        <kbd>Ctrl Space</kbd> complete <kbd>F8</kbd> next problem
      </span>
    </div>
  );
}

function sentence(about: Judgement, mode: "expr" | "text") {
  if ("report" in about) {
    const took = about.report.took_us < 100 ? (about.report.took_us / 1000).toFixed(2) : (about.report.took_us / 1000).toFixed(1);
    return (
      <>
        <Icon name="check" size={14} class="t-healthy" />{" "}
        {mode === "text" ? "Its holes compile" : `Compiles to ${about.report.type ?? "a value"}`} in {took} ms
      </>
    );
  }
  if ("failed" in about) {
    const text =
      about.failed instanceof ApiError && about.failed.offline
        ? "Not checked: the server cannot be reached."
        : "Not checked: the server could not look at it.";
    return (
      <>
        <Icon name="alert" size={14} class="t-degraded" /> {text}
      </>
    );
  }
  return "pending" in about ? "Checking…" : "";
}
