import { signal } from "@preact/signals";

export type Theme = "light" | "dark" | "system";

function initial(): Theme {
  const t = typeof document === "undefined" ? null : document.documentElement.dataset.theme;
  return t === "light" || t === "dark" ? t : "system";
}

/** The theme that the person chose. The server writes it into the page from a cookie, so nothing flashes. */
export const theme = signal<Theme>(initial());

export function setTheme(t: Theme): void {
  theme.value = t;
  if (t === "system") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = t;
  // biome-ignore lint/suspicious/noDocumentCookie: the cookie store API is not on plain http
  document.cookie = `tocsin_theme=${t}; Path=/; Max-Age=31536000; SameSite=Lax`;
}

/** Light, dark, system, and round again. */
export function cycleTheme(): Theme {
  const next = theme.value === "system" ? "light" : theme.value === "light" ? "dark" : "system";
  setTheme(next);
  return next;
}

/** Reports whether the page is dark now. */
export function isDark(): boolean {
  return theme.value === "dark" || (theme.value === "system" && matchMedia("(prefers-color-scheme: dark)").matches);
}
