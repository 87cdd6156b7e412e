import type { ComponentChildren } from "preact";
import type { Health } from "../api.gen";

/** A short rounded label. kind colours it; dot puts a disc in front. */
export function Pill({
  kind,
  dot,
  title,
  children,
}: {
  kind?: Health | "maint" | "accent";
  dot?: boolean;
  title?: string;
  children: ComponentChildren;
}) {
  return (
    <span class={`pill ${kind ?? ""}`} title={title}>
      {dot && <i class="dot" />}
      {children}
    </span>
  );
}

/** A small square label, for tags and counts. */
export function Tag({ children, title }: { children: ComponentChildren; title?: string }) {
  return (
    <span class="tag" title={title}>
      {children}
    </span>
  );
}
