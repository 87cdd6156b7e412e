import type { ComponentChildren } from "preact";
import { useEffect, useId, useLayoutEffect, useRef, useState } from "preact/hooks";
import { Field } from "./Field";
import { placePop } from "./Menu";

export interface Option {
  value: string;
  label?: string;
  hint?: string;
}

/**
 * A text field with suggestions (ARIA combobox with a listbox). options are all
 * suggestions; those that hold what is typed are shown, at most 50. Text that is
 * not among them stays unless strict.
 */
export function Combobox({
  label,
  hint,
  error,
  value,
  options,
  onChange,
  placeholder,
  strict,
  mono,
  autofocus,
  class: cls,
}: {
  label: string;
  hint?: ComponentChildren;
  error?: string;
  value: string;
  options: Option[];
  onChange: (value: string) => void;
  placeholder?: string;
  strict?: boolean;
  mono?: boolean;
  autofocus?: boolean;
  class?: string;
}) {
  const [text, setText] = useState<string | null>(null);
  const [open, setOpen] = useState(false);
  const [at, setAt] = useState(0);
  const input = useRef<HTMLInputElement>(null);
  const list = useRef<HTMLDivElement>(null);
  const id = useId();
  const chosen = options.find((o) => o.value === value);
  const shown = text ?? chosen?.label ?? value;
  const needle = (text ?? "").toLowerCase();
  const found = options
    .filter((o) => !needle || o.value.toLowerCase().includes(needle) || o.label?.toLowerCase().includes(needle))
    .slice(0, 50);
  useLayoutEffect(() => {
    if (!open || !list.current || !input.current) return;
    list.current.style.width = `${input.current.offsetWidth}px`;
    placePop(list.current, input.current);
  });
  useEffect(() => {
    if (open) list.current?.querySelector('[aria-selected="true"]')?.scrollIntoView({ block: "nearest" });
  }, [open]);
  const pick = (o: Option | undefined) => {
    if (o) onChange(o.value);
    else if (!strict && text !== null) onChange(text);
    setText(null);
    setOpen(false);
  };
  const onKey = (e: KeyboardEvent) => {
    const move = (to: number) => {
      e.preventDefault();
      setOpen(true);
      setAt(Math.max(0, Math.min(found.length - 1, to)));
    };
    if (e.key === "ArrowDown") move(open ? at + 1 : 0);
    else if (e.key === "ArrowUp") move(at - 1);
    else if (e.key === "Enter" && open && found.length > 0) {
      e.preventDefault();
      pick(found[at]);
    } else if (e.key === "Escape" && open) {
      e.stopPropagation();
      e.preventDefault();
      setText(null);
      setOpen(false);
    }
  };
  return (
    <Field label={label} hint={hint} error={error} class={cls}>
      {(attrs) => (
        <div class="combo">
          <input
            {...attrs}
            ref={input}
            class={mono ? "in mono" : "in"}
            type="text"
            role="combobox"
            aria-expanded={open}
            aria-controls={`${id}-l`}
            aria-autocomplete="list"
            aria-activedescendant={open && found[at] ? `${id}-${at}` : undefined}
            autocomplete="off"
            spellcheck={false}
            autofocus={autofocus}
            value={shown}
            placeholder={placeholder}
            onInput={(e) => {
              setText(e.currentTarget.value);
              setOpen(true);
              setAt(0);
              if (!strict) onChange(e.currentTarget.value);
            }}
            onFocus={(e) => e.currentTarget.select()}
            onClick={() => setOpen(true)}
            onBlur={() => setTimeout(() => pick(undefined), 120)}
            onKeyDown={onKey}
          />
          {open && found.length > 0 && (
            <div ref={list} id={`${id}-l`} class="pop" role="listbox" aria-label={label}>
              {found.map((o, i) => (
                <div
                  key={o.value}
                  id={`${id}-${i}`}
                  role="option"
                  tabIndex={-1}
                  aria-selected={i === at}
                  onMouseDown={(e) => {
                    e.preventDefault();
                    pick(o);
                  }}
                  onMouseEnter={() => setAt(i)}
                >
                  <span class="truncate">{o.label ?? o.value}</span>
                  <span class="sp" />
                  {o.hint && <span class="dim small truncate">{o.hint}</span>}
                </div>
              ))}
            </div>
          )}
        </div>
      )}
    </Field>
  );
}
