// The expression editor as a field of a form. Its code is large, so it is
// fetched when the first field appears; until then, and when that fails, a
// plain text area takes its place.

import type { ComponentChildren, ComponentType } from "preact";
import { useEffect, useId, useRef, useState } from "preact/hooks";
import type { ExprCheck, ExprEnv, ExprReport, Problem } from "../../api.gen";
import type { EditorProps } from "../../expr/Editor";
import { ApiError, api } from "../../lib/api";
import { useResource } from "../../lib/resource";
import { Icon } from "../../ui";

let loaded: ComponentType<EditorProps> | null = null;

/** The editor component once its code is here; "failed" when it did not come. */
function useEditor(): ComponentType<EditorProps> | "failed" | null {
  const [editor, setEditor] = useState<ComponentType<EditorProps> | "failed" | null>(() => loaded);
  useEffect(() => {
    if (loaded) return;
    let here = true;
    import("../../expr/Editor").then(
      (m) => {
        loaded = m.Editor;
        if (here) setEditor(() => m.Editor);
      },
      () => here && setEditor("failed"),
    );
    return () => {
      here = false;
    };
  }, []);
  return editor;
}

/** The environments of a rule's expressions: they differ by place, see ExprCheck.where. */
export type Envs = Partial<Record<ExprCheck["where"], ExprEnv>>;

/** Fetches the environment of each place. Without it the editor works, and completes nothing. */
export function useEnvs(places: ExprCheck["where"][]): Envs {
  const found = useResource("rules/env", async (signal) => {
    const all = await Promise.allSettled(places.map((where) => api.get<ExprEnv>(`/rules/env?where=${where}`, { signal })));
    const envs: Envs = {};
    all.forEach((one, i) => {
      if (one.status === "fulfilled") envs[places[i] as ExprCheck["where"]] = one.value;
      else if (one.reason instanceof ApiError && one.reason.status === 401) throw one.reason;
    });
    return envs;
  });
  return found.data ?? {};
}

export interface ExprFieldProps {
  label: string;
  /** Leaves the label to assistive technology. */
  quiet?: boolean;
  hint?: ComponentChildren;
  value: string;
  onInput: (value: string) => void;
  where: ExprCheck["where"];
  as?: ExprCheck["as"];
  mode?: "expr" | "text";
  envs: Envs;
  placeholder?: string;
  multiline?: boolean;
  problems?: Problem[];
  readOnly?: boolean;
  /** The server is not asked while it is typed: it could not read it as it stands. */
  unchecked?: boolean;
  /** Of an assertion: the collector that it is about. */
  collector?: string;
  onReport?: (report: ExprReport | null) => void;
}

/** A labelled editor for one expression or text. */
export function ExprField(props: ExprFieldProps) {
  const { label, quiet, hint, envs, where, as = "bool", ...rest } = props;
  const Editor = useEditor();
  const id = useId();
  const env = envs[where] ?? envs.when ?? null;
  const field = useRef<HTMLDivElement>(null);
  const plain = useRef(true);
  let caret: EditorProps["caret"];
  if (Editor && Editor !== "failed" && plain.current) {
    // The editor takes the place of the text area now: who types there goes on in it.
    plain.current = false;
    const typed = document.activeElement;
    if (typed instanceof HTMLTextAreaElement && field.current?.contains(typed))
      caret = { anchor: typed.selectionStart, head: typed.selectionEnd };
  }
  return (
    <div class="fld" ref={field}>
      {!quiet && <span class="lb">{label}</span>}
      {Editor && Editor !== "failed" ? (
        <Editor {...rest} label={label} where={where} as={as} env={env} caret={caret} describedBy={hint ? id : undefined} />
      ) : (
        <Plain {...props} waiting={Editor === null} />
      )}
      {hint && (
        <span class="hint" id={id}>
          {hint}
        </span>
      )}
    </div>
  );
}

function Plain({
  label,
  value,
  onInput,
  placeholder,
  multiline = true,
  readOnly,
  problems,
  waiting,
}: ExprFieldProps & { waiting: boolean }) {
  return (
    <>
      <textarea
        class="in mono rl-plain"
        aria-label={label}
        rows={multiline ? 2 : 1}
        value={value}
        placeholder={placeholder}
        readOnly={readOnly}
        spellcheck={false}
        onInput={(e) => onInput(e.currentTarget.value)}
      />
      {!waiting && <span class="hint">The editor could not be loaded. You can still write here; the server checks it when you save.</span>}
      {(problems ?? []).map((p) => (
        <span class="err" key={p.message}>
          <Icon name="alert" size={14} /> {p.message}
        </span>
      ))}
    </>
  );
}
