import type { RefObject } from "preact";
import { useEffect, useId, useRef, useState } from "preact/hooks";
import { fleet } from "../../live";
import { formatFilter, parseFilter, type Token } from "../../live/filter";
import { Icon } from "../../ui";

/** Splits a filter into finished tokens, which are drawn as chips, and the text that is still written. */
export function splitFilter(text: string): { chips: Token[]; rest: string } {
  const tokens = parseFilter(text);
  const chips = tokens.filter((t) => t.key !== "");
  return { chips, rest: formatFilter(tokens.filter((t) => t.key === "")) };
}

interface Suggestion {
  text: string;
  hint: string;
  /** What is written afterwards, and whether it is finished. */
  next: string;
  done: boolean;
}

function suggest(word: string): Suggestion[] {
  const m = /^(-?)([\p{L}\p{N}_.-]+):(.*)$/u.exec(word);
  if (m) {
    const [, not = "", key = "", value = ""] = m;
    const parts = value.split(",");
    const part = (parts.pop() ?? "").toLowerCase();
    const before = parts.length > 0 ? `${parts.join(",")},` : "";
    return fleet
      .valuesOf(key)
      .filter(([v]) => v.toLowerCase().includes(part) && !parts.includes(v))
      .slice(0, 9)
      .map(([v, n]) => ({
        text: `${key}:${v}`,
        hint: String(n),
        next: `${not}${key}:${before}${/\s/.test(v) ? `"${v}"` : v}`,
        done: true,
      }));
  }
  const needle = word.replace(/^-/, "").toLowerCase();
  const keys: [string, string][] = [
    ["status", "health or maintenance"],
    ["group", "a group"],
    ["is", "firing, silenced, caused, problem"],
    ...fleet.tagKeys().map((k): [string, string] => [k, "tag"]),
  ];
  return keys
    .filter(([k]) => k.toLowerCase().startsWith(needle))
    .slice(0, 9)
    .map(([k, hint]) => ({ text: `${k}:`, hint, next: `${word.startsWith("-") ? "-" : ""}${k}:`, done: false }));
}

/** The filter: finished tokens as chips, the rest as text, with completion of keys and values. */
export function FilterBox({
  value,
  onChange,
  inputRef,
}: {
  value: string;
  onChange: (value: string) => void;
  inputRef: RefObject<HTMLInputElement | null>;
}) {
  const { chips, rest } = splitFilter(value);
  const [draft, setDraft] = useState<string | null>(null); // what is written, as long as it differs from rest
  const [open, setOpen] = useState(false);
  const [at, setAt] = useState(-1);
  const id = useId();
  const timer = useRef<ReturnType<typeof setTimeout>>(undefined);
  const text = draft ?? rest;
  const word = /\S*$/.exec(text)?.[0] ?? "";
  const hits = open ? suggest(word) : [];
  useEffect(() => () => clearTimeout(timer.current), []);

  const chipText = formatFilter(chips);
  const put = (next: string) => onChange([chipText, next].filter(Boolean).join(" ").trim());
  const write = (next: string) => {
    setOpen(true);
    setAt(-1);
    clearTimeout(timer.current);
    // A token with its key becomes a chip once it is finished, by a blank.
    if (/(^|\s)-?[\p{L}\p{N}_.-]+:("[^"]*"|[^\s"]+)\s$/u.test(next)) {
      setDraft(null);
      put(next.trim());
      return;
    }
    setDraft(next);
    const half = /(^|\s)-?[\p{L}\p{N}_.-]+:\S*$/u.test(next); // a key being written filters nothing yet
    const settled = half ? next.replace(/\S*$/, "") : next;
    timer.current = setTimeout(() => put(settled.trim()), 30);
  };
  const take = (s: Suggestion) => {
    const next = text.replace(/\S*$/, s.next);
    if (s.done) {
      setDraft(null);
      setOpen(false);
      clearTimeout(timer.current);
      put(next);
    } else {
      setDraft(next);
      setAt(-1);
    }
    inputRef.current?.focus();
  };
  const finish = () => {
    clearTimeout(timer.current);
    if (draft !== null) put(draft.trim());
    setDraft(null);
    setOpen(false);
  };
  const onKey = (e: KeyboardEvent) => {
    if (e.key === "ArrowDown" && hits.length > 0) setAt((at + 1) % hits.length);
    else if (e.key === "ArrowUp" && hits.length > 0) setAt((at - 1 + hits.length) % hits.length);
    else if ((e.key === "Enter" || e.key === "Tab") && at >= 0 && hits[at]) take(hits[at]);
    else if (e.key === "Tab" && hits.length === 1 && word) take(hits[0]!);
    else if (e.key === "Enter") finish();
    else if (e.key === "Escape") {
      e.stopPropagation();
      if (open && hits.length > 0) setOpen(false);
      else if (text || chips.length > 0) {
        setDraft(null);
        onChange("");
      } else inputRef.current?.blur();
    } else if (e.key === "Backspace" && text === "" && chips.length > 0) {
      const last = chips[chips.length - 1]!;
      onChange(formatFilter(chips.slice(0, -1)));
      setDraft(formatFilter([last]));
    } else return;
    e.preventDefault();
  };
  return (
    <div class="q-box">
      <div class="q" onClick={() => inputRef.current?.focus()}>
        <Icon name="filter" size={15} />
        {chips.map((c) => {
          const label = formatFilter([c]);
          return (
            <span class="tok" key={label}>
              <span class="truncate">{label}</span>
              <button
                type="button"
                aria-label={`Remove ${label}`}
                onClick={() => onChange([formatFilter(chips.filter((x) => x !== c)), rest].filter(Boolean).join(" "))}
              >
                <Icon name="x" size={12} />
              </button>
            </span>
          );
        })}
        <input
          ref={inputRef}
          type="text"
          role="combobox"
          aria-label="Filter systems"
          aria-expanded={hits.length > 0}
          aria-controls={`${id}-l`}
          aria-autocomplete="list"
          aria-activedescendant={at >= 0 ? `${id}-${at}` : undefined}
          autocomplete="off"
          autocapitalize="off"
          spellcheck={false}
          placeholder={chips.length > 0 ? "" : "Filter: status:unhealthy  group:eu  text"}
          value={text}
          onInput={(e) => write(e.currentTarget.value)}
          onFocus={() => setOpen(true)}
          onBlur={() => finish()}
          onKeyDown={onKey}
        />
        <kbd>/</kbd>
      </div>
      {hits.length > 0 && (
        <div class="pop q-pop" role="listbox" id={`${id}-l`} aria-label="Suggestions">
          {hits.map((s, i) => (
            <div
              key={s.text}
              id={`${id}-${i}`}
              role="option"
              tabIndex={-1}
              aria-selected={i === at}
              onMouseDown={(e) => {
                e.preventDefault();
                take(s);
              }}
            >
              <span class="mono truncate">{s.text}</span>
              <span class="sp" />
              <span class="dim small num">{s.hint}</span>
            </div>
          ))}
        </div>
      )}
    </div>
  );
}
