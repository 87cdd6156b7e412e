import { useEffect, useId, useLayoutEffect, useRef, useState } from "preact/hooks";
import { Button, type ButtonProps } from "./Button";
import { Icon } from "./Icon";
import type { IconName } from "./icons";

export interface MenuItem {
  label: string;
  icon?: IconName;
  hint?: string;
  danger?: boolean;
  disabled?: boolean;
  /** Draws a check mark: the item is one choice of several. */
  checked?: boolean;
  /** Draws a line above it. */
  apart?: boolean;
  run: () => void;
}

/** Put pop beside anchor, inside the window. */
export function placePop(pop: HTMLElement, anchor: HTMLElement, end = false): void {
  const a = anchor.getBoundingClientRect();
  const w = pop.offsetWidth;
  const h = pop.offsetHeight;
  const below = a.bottom + 4;
  const top = below + h > innerHeight - 8 && a.top - 4 - h > 8 ? a.top - 4 - h : below;
  pop.style.top = `${Math.max(8, top)}px`;
  pop.style.left = `${Math.max(8, Math.min(end ? a.right - w : a.left, innerWidth - w - 8))}px`;
}

/** A button that opens a menu. Arrow keys move, Escape closes, letters jump. */
export function Menu({ items, end, ...button }: { items: MenuItem[]; end?: boolean } & ButtonProps) {
  const [open, setOpen] = useState(false);
  const trigger = useRef<HTMLButtonElement>(null);
  const list = useRef<HTMLDivElement>(null);
  const id = useId();
  useLayoutEffect(() => {
    if (!open) return;
    placePop(list.current!, trigger.current!, end);
    focusables(list.current!)[0]?.focus();
  }, [open, end]);
  useEffect(() => {
    if (!open) return;
    const away = (e: Event) => {
      if (!list.current?.contains(e.target as Node) && !trigger.current?.contains(e.target as Node)) setOpen(false);
    };
    const gone = () => setOpen(false);
    addEventListener("pointerdown", away, true);
    addEventListener("resize", gone);
    return () => {
      removeEventListener("pointerdown", away, true);
      removeEventListener("resize", gone);
    };
  }, [open]);
  const close = () => {
    setOpen(false);
    trigger.current?.focus();
  };
  const onKey = (e: KeyboardEvent) => {
    const all = focusables(list.current!);
    const at = all.indexOf(document.activeElement as HTMLElement);
    const go = (i: number) => all[(i + all.length) % all.length]?.focus();
    e.stopPropagation();
    if (e.key === "ArrowDown") go(at + 1);
    else if (e.key === "ArrowUp") go(at - 1);
    else if (e.key === "Home") go(0);
    else if (e.key === "End") go(-1);
    else if (e.key === "Escape" || e.key === "Tab") close();
    else if (e.key.length === 1) all.find((el, i) => i > at && el.textContent?.toLowerCase().startsWith(e.key.toLowerCase()))?.focus();
    else return;
    e.preventDefault();
  };
  return (
    <>
      <Button
        {...button}
        buttonRef={trigger}
        aria-haspopup="menu"
        aria-expanded={open}
        aria-controls={open ? id : undefined}
        onClick={() => setOpen(!open)}
      />
      {open && (
        <div ref={list} id={id} class="pop" role="menu" aria-label={button.label} tabIndex={-1} onKeyDown={onKey}>
          {items.map((item) => (
            <div key={item.label} role="none">
              {item.apart && <hr />}
              <button
                type="button"
                role={item.checked === undefined ? "menuitem" : "menuitemradio"}
                aria-checked={item.checked}
                class={item.danger ? "t-unhealthy" : undefined}
                disabled={item.disabled}
                tabIndex={-1}
                onClick={() => {
                  close();
                  item.run();
                }}
              >
                {item.icon && <Icon name={item.icon} size={15} />}
                <span>{item.label}</span>
                <span class="sp" />
                {item.hint && <span class="dim small">{item.hint}</span>}
                {item.checked && <Icon name="check" size={14} />}
              </button>
            </div>
          ))}
        </div>
      )}
    </>
  );
}

function focusables(el: HTMLElement): HTMLElement[] {
  return [...el.querySelectorAll<HTMLElement>("button:not(:disabled)")];
}
