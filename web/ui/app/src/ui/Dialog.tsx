import type { ComponentChildren } from "preact";
import { useEffect, useId, useRef } from "preact/hooks";
import { Button } from "./Button";

/** A modal dialog while it is in the tree. Escape and the backdrop call onClose. */
export function Dialog({
  title,
  onClose,
  children,
  wide,
  plain,
  class: cls,
}: {
  title: string;
  onClose: () => void;
  children: ComponentChildren;
  wide?: boolean;
  plain?: boolean;
  class?: string;
}) {
  const ref = useRef<HTMLDialogElement>(null);
  const id = useId();
  useEffect(() => {
    const el = ref.current!;
    const back = document.activeElement as HTMLElement | null;
    if (!el.open) el.showModal();
    el.querySelector<HTMLElement>("[autofocus]")?.focus();
    return () => {
      el.close();
      back?.focus?.();
    };
  }, []);
  return (
    <dialog
      ref={ref}
      class={["dlg", wide && "wide", cls].filter(Boolean).join(" ")}
      aria-labelledby={id}
      onCancel={(e) => {
        e.preventDefault();
        onClose();
      }}
      onMouseDown={(e) => e.target === ref.current && onClose()}
    >
      <header class={plain ? "sr" : undefined}>
        <h2 id={id}>{title}</h2>
        <span class="sp" />
        {!plain && <Button kind="ghost" small icon="x" label="Close" onClick={onClose} />}
      </header>
      {children}
    </dialog>
  );
}

/** Asks before something that cannot be undone. confirm names what happens: "Delete rule pay-down". */
export function Confirm({
  title,
  children,
  confirm,
  busy,
  danger = true,
  onConfirm,
  onClose,
}: {
  title: string;
  children?: ComponentChildren;
  confirm: string;
  busy?: boolean;
  danger?: boolean;
  onConfirm: () => void;
  onClose: () => void;
}) {
  return (
    <Dialog title={title} onClose={onClose}>
      <div class="b">
        <div class="dim2">{children}</div>
        <div class="actions">
          <Button onClick={onClose} autofocus>
            Cancel
          </Button>
          <Button kind={danger ? "danger-primary" : "primary"} busy={busy} onClick={onConfirm}>
            {confirm}
          </Button>
        </div>
      </div>
    </Dialog>
  );
}
