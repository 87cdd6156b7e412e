import type { ComponentChildren } from "preact";
import { useEffect } from "preact/hooks";
import { pageTitle } from "./title";

/** One step of the way here, shown in the top bar. */
export interface Crumb {
  text: string;
  href?: string;
}

/**
 * The body of a page: sets the title and the way here. flush leaves out the
 * padding and the scrolling, for pages that are one big list.
 */
export function Page({
  title,
  crumbs,
  children,
  flush,
  class: cls,
}: {
  title: string;
  crumbs?: Crumb[];
  children: ComponentChildren;
  flush?: boolean;
  class?: string;
}) {
  const key = (crumbs ?? []).map((c) => `${c.href}|${c.text}`).join("/");
  // biome-ignore lint/correctness/useExhaustiveDependencies: key says all of crumbs
  useEffect(() => {
    pageTitle.value = { title, crumbs: crumbs ?? [] };
  }, [title, key]);
  return <div class={[flush ? "flush" : "page", cls].filter(Boolean).join(" ")}>{children}</div>;
}
