import { signal } from "@preact/signals";
import type { Crumb } from "./Page";

/** Title and way of the page that is shown. */
export const pageTitle = signal<{ title: string; crumbs: Crumb[] }>({ title: "Tocsin", crumbs: [] });
