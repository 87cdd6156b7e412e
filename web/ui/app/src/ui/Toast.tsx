import { signal } from "@preact/signals";
import { ApiError } from "../lib/api";
import { Button } from "./Button";
import { Icon } from "./Icon";

interface Toasted {
  id: number;
  kind: "done" | "error";
  text: string;
  undo?: { label: string; run: () => void };
}

const toasts = signal<Toasted[]>([]);
let last = 0;

/** Tell the person what became of what they did. Never used for changes of health. */
export function toast(text: string, opts: { kind?: "done" | "error"; undo?: { label: string; run: () => void } } = {}): void {
  const item: Toasted = { id: ++last, kind: opts.kind ?? "done", text, undo: opts.undo };
  toasts.value = [...toasts.value.slice(-3), item];
  setTimeout(() => drop(item.id), item.kind === "error" ? 12_000 : 5_000);
}

/** Tell the person that something they asked for failed. */
export function toastError(doing: string, err: unknown): void {
  const text =
    err instanceof ApiError
      ? [err.detail || err.title, ...err.problems.map((p) => p.message)].filter((t, i, all) => all.indexOf(t) === i).join(" ")
      : String(err);
  toast(`${doing}: ${text}`, { kind: "error" });
}

function drop(id: number): void {
  toasts.value = toasts.value.filter((t) => t.id !== id);
}

/** Where toasts appear; the shell has one. */
export function Toasts() {
  return (
    <div class="toasts" role="status" aria-live="polite">
      {toasts.value.map((t) => (
        <div class="toast" key={t.id}>
          <span class={t.kind === "error" ? "t-unhealthy" : "t-healthy"}>
            <Icon name={t.kind === "error" ? "alert" : "check"} size={18} />
          </span>
          <span class="sp">{t.text}</span>
          {t.undo && (
            <Button
              small
              onClick={() => {
                t.undo?.run();
                drop(t.id);
              }}
            >
              {t.undo.label}
            </Button>
          )}
          <Button small kind="ghost" icon="x" label="Dismiss" onClick={() => drop(t.id)} />
        </div>
      ))}
    </div>
  );
}
