import type { ComponentChildren } from "preact";
import type { Health } from "../api.gen";

/** A panel with a title. bare leaves out the padding of its body, for tables. bar draws the colour of a health at its side. */
export function Card({
  title,
  actions,
  children,
  bare,
  bar,
  class: cls,
  id,
}: {
  title?: ComponentChildren;
  actions?: ComponentChildren;
  children?: ComponentChildren;
  bare?: boolean;
  bar?: Health;
  class?: string;
  id?: string;
}) {
  return (
    <section id={id} class={["card", bar && `bar-${bar}`, cls].filter(Boolean).join(" ")}>
      {(title || actions) && (
        <header>
          {typeof title === "string" ? <h2>{title}</h2> : title}
          <span class="sp" />
          {actions}
        </header>
      )}
      {bare ? children : <div class="b">{children}</div>}
    </section>
  );
}
