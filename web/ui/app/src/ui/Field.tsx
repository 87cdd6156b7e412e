import type { ComponentChildren } from "preact";
import { useId } from "preact/hooks";
import type { Problem } from "../api.gen";
import { Icon } from "./Icon";

interface FieldProps {
  label: string;
  hint?: ComponentChildren;
  /** What is wrong with it: a sentence or the server's problems. */
  error?: string | Problem[];
  /** Gets the id and the aria attributes to put on the control. */
  children: (attrs: { id: string; "aria-invalid"?: boolean; "aria-describedby"?: string }) => ComponentChildren;
  class?: string;
}

/** A labelled control with a hint and its errors. */
export function Field({ label, hint, error, children, class: cls }: FieldProps) {
  const id = useId();
  const errors = typeof error === "string" ? (error ? [error] : []) : (error ?? []).map((p) => p.message + (p.fix ? `; ${p.fix}` : ""));
  const described = [hint && `${id}-h`, errors.length > 0 && `${id}-e`].filter(Boolean).join(" ");
  return (
    <div class={["fld", cls].filter(Boolean).join(" ")}>
      <label for={id}>{label}</label>
      {children({ id, "aria-invalid": errors.length > 0 || undefined, "aria-describedby": described || undefined })}
      {errors.length > 0 && (
        <div id={`${id}-e`} role="alert">
          {errors.map((text) => (
            <div class="err" key={text}>
              <Icon name="alert" size={14} />
              <span>{text}</span>
            </div>
          ))}
        </div>
      )}
      {hint && (
        <div class="hint" id={`${id}-h`}>
          {hint}
        </div>
      )}
    </div>
  );
}

type Common = Omit<FieldProps, "children">;

/** What a text control takes besides. */
interface TextAttrs {
  value: string;
  onInput: (value: string) => void;
  mono?: boolean;
  placeholder?: string;
  disabled?: boolean;
  required?: boolean;
  readOnly?: boolean;
  autofocus?: boolean;
  spellcheck?: boolean;
  maxLength?: number;
  autocomplete?: string;
  onBlur?: () => void;
  onKeyDown?: (e: KeyboardEvent) => void;
}

/** A labelled line of text. */
export function TextField({
  label,
  hint,
  error,
  class: cls,
  value,
  onInput,
  mono,
  type = "text",
  ...rest
}: Common &
  TextAttrs & {
    type?: "text" | "url" | "number" | "search" | "password";
    min?: number;
    max?: number;
    step?: number;
    list?: string;
    inputMode?: "numeric" | "decimal" | "url" | "text";
  }) {
  return (
    <Field label={label} hint={hint} error={error} class={cls}>
      {(attrs) => (
        <input
          class={mono ? "in mono" : "in"}
          type={type as "text"}
          value={value}
          onInput={(e) => onInput(e.currentTarget.value)}
          {...rest}
          {...attrs}
        />
      )}
    </Field>
  );
}

/** A labelled text of several lines. */
export function TextArea({ label, hint, error, class: cls, value, onInput, mono, ...rest }: Common & TextAttrs & { rows?: number }) {
  return (
    <Field label={label} hint={hint} error={error} class={cls}>
      {(attrs) => (
        <textarea class={mono ? "in mono" : "in"} value={value} onInput={(e) => onInput(e.currentTarget.value)} {...rest} {...attrs} />
      )}
    </Field>
  );
}

/** A labelled choice among a few. */
export function Select<T extends string>({
  label,
  hint,
  error,
  class: cls,
  value,
  options,
  onChange,
  disabled,
}: Common & { value: T; options: readonly (readonly [T, string])[]; onChange: (value: T) => void; disabled?: boolean }) {
  return (
    <Field label={label} hint={hint} error={error} class={cls}>
      {(attrs) => (
        <select class="in" value={value} disabled={disabled} onChange={(e) => onChange(e.currentTarget.value as T)} {...attrs}>
          {options.map(([id, text]) => (
            <option key={id} value={id}>
              {text}
            </option>
          ))}
        </select>
      )}
    </Field>
  );
}

/** On or off, at once. */
export function Switch({
  label,
  hideLabel,
  on,
  disabled,
  title,
  onChange,
}: {
  label: string;
  hideLabel?: boolean;
  on: boolean;
  disabled?: boolean;
  title?: string;
  onChange: (on: boolean) => void;
}) {
  return (
    <button
      type="button"
      class="switch"
      role="switch"
      aria-checked={on}
      aria-label={hideLabel ? label : undefined}
      disabled={disabled}
      title={title}
      onClick={(e) => (e.stopPropagation(), onChange(!on))}
    >
      <i />
      {!hideLabel && <span>{label}</span>}
    </button>
  );
}

/** The problems at path or below it. */
export function problemsAt(problems: Problem[] | undefined, path: string): Problem[] {
  return (problems ?? []).filter((p) => p.path === path || p.path?.startsWith(`${path}.`) || p.path?.startsWith(`${path}[`));
}
