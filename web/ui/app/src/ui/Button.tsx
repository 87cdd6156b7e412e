import type { ComponentChildren, Ref } from "preact";
import { Icon } from "./Icon";
import type { IconName } from "./icons";

export interface ButtonProps {
  children?: ComponentChildren;
  /** Icon in front of the text; without text give label. */
  icon?: IconName;
  /** Accessible name of a button without text, or what is said before its text; also its tooltip. */
  label?: string;
  kind?: "primary" | "ghost" | "danger" | "danger-primary";
  small?: boolean;
  type?: "button" | "submit";
  /** The work is under way: shows a spinner and refuses clicks. */
  busy?: boolean;
  disabled?: boolean;
  /** Why it is disabled, or what it does: the tooltip. */
  title?: string;
  onClick?: (e: MouseEvent) => void;
  href?: string;
  buttonRef?: Ref<HTMLButtonElement>;
  class?: string;
  "aria-expanded"?: boolean;
  "aria-haspopup"?: "menu" | "dialog" | "listbox";
  "aria-pressed"?: boolean;
  "aria-controls"?: string;
  autofocus?: boolean;
}

/** A button, or a link that looks like one when href is given. */
export function Button({
  children,
  icon,
  label,
  kind,
  small,
  type = "button",
  busy,
  disabled,
  title,
  href,
  buttonRef,
  class: extra,
  ...rest
}: ButtonProps) {
  const cls = ["btn", kind?.replace("-", " "), small && "small", !children && "icon", extra].filter(Boolean).join(" ");
  // Who speaks to the page says the words that they see, so the name holds them.
  const named = label && typeof children === "string" && !label.includes(children) ? `${label}: ${children}` : label;
  const inside = (
    <>
      {busy ? <Icon name="spinner" size={14} class="spin" /> : icon && <Icon name={icon} size={small ? 14 : 15} />}
      {children}
    </>
  );
  if (href && !disabled)
    return (
      <a class={cls} href={href} aria-label={named} title={title ?? label} onClick={rest.onClick}>
        {inside}
      </a>
    );
  return (
    <button
      ref={buttonRef}
      type={type}
      class={cls}
      disabled={disabled || busy}
      aria-busy={busy || undefined}
      aria-label={named}
      title={title ?? label}
      {...rest}
    >
      {inside}
    </button>
  );
}
