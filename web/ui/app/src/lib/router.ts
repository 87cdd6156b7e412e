import { computed, signal } from "@preact/signals";

/** Where the person is: the URL, split. */
export interface Route {
  path: string;
  /** Decoded parts of the path: "/rules/a/trace" is ["rules", "a", "trace"]. */
  segments: string[];
  query: URLSearchParams;
}

/** What the default export of pages/NAME/index.tsx takes. */
export interface PageProps {
  route: Route;
}

export function parse(path: string, search: string): Route {
  const segments = path
    .split("/")
    .filter(Boolean)
    .map((part) => {
      try {
        return decodeURIComponent(part);
      } catch {
        return part;
      }
    });
  return { path, segments, query: new URLSearchParams(search) };
}

const place = signal(typeof location === "undefined" ? "/" : location.pathname + location.search);

/** The route now. */
export const route = computed<Route>(() => {
  const [path = "/", search = ""] = place.value.split(/\?(.*)/s, 2);
  return parse(path, search);
});

type Guard = () => string | undefined;
const guards = new Set<Guard>();

/**
 * Hold people who are about to leave: ask returns what they would lose, or
 * undefined. Returns how to remove it.
 */
export function guard(ask: Guard): () => void {
  guards.add(ask);
  return () => guards.delete(ask);
}

/** What would be lost by leaving now. */
export function unsaved(): string | undefined {
  for (const ask of guards) {
    const loss = ask();
    if (loss) return loss;
  }
  return undefined;
}

/** A wish to leave that a guard holds back; the shell asks and then calls go. */
export const leaving = signal<{ loss: string; go: () => void } | null>(null);

/** Go to an address of this application. force skips the guards. */
export function navigate(to: string, opts: { replace?: boolean; force?: boolean } = {}): void {
  const go = () => {
    if (opts.replace) history.replaceState(null, "", to);
    else history.pushState(null, "", to);
    place.value = location.pathname + location.search;
    if (!opts.replace) document.getElementById("main")?.scrollTo(0, 0);
  };
  const loss = opts.force || opts.replace || samePage(to) ? undefined : unsaved();
  if (!loss) {
    go();
    return;
  }
  leaving.value = {
    loss,
    go: () => {
      guards.clear();
      leaving.value = null;
      go();
    },
  };
}

function samePage(to: string): boolean {
  return new URL(to, location.href).pathname === location.pathname;
}

/** Change the query in place, without a new entry in the history. Empty values are removed. */
export function setQuery(fields: Record<string, string | undefined>): void {
  const q = new URLSearchParams(location.search);
  for (const [key, value] of Object.entries(fields)) {
    if (value) q.set(key, value);
    else q.delete(key);
  }
  const text = q.toString().replaceAll("%3A", ":").replaceAll("%2C", ",");
  const to = location.pathname + (text ? `?${text}` : "");
  if (to !== location.pathname + location.search) navigate(to, { replace: true });
}

/** Begin: follow the back button, catch clicks on links, ask before the tab closes. */
export function startRouter(): void {
  addEventListener("popstate", () => {
    const loss = unsaved();
    const to = location.pathname + location.search;
    if (loss && to.split("?")[0] !== route.value.path) {
      history.pushState(null, "", place.value);
      leaving.value = {
        loss,
        go: () => {
          guards.clear();
          leaving.value = null;
          navigate(to);
        },
      };
      return;
    }
    place.value = to;
  });
  addEventListener("beforeunload", (e) => {
    if (unsaved()) e.preventDefault();
  });
  document.addEventListener("click", (e) => {
    if (e.defaultPrevented || e.button !== 0 || e.metaKey || e.ctrlKey || e.shiftKey || e.altKey) return;
    const a = (e.target as Element | null)?.closest?.("a");
    if (!a || a.target || a.hasAttribute("download") || a.origin !== location.origin) return;
    if (/^\/(api|login|_ui)(\/|$)/.test(a.pathname)) return;
    e.preventDefault();
    navigate(a.pathname + a.search);
  });
}

/** Addresses of pages. */
export const to = {
  systems: () => "/",
  system: (id: string) => `/systems/${encodeURIComponent(id)}`,
  run: (system: string, run: number) => `/systems/${encodeURIComponent(system)}/runs/${run}`,
  activity: () => "/activity",
  rules: () => "/rules",
  rule: (id: string) => `/rules/${encodeURIComponent(id)}`,
  trace: (id: string) => `/rules/${encodeURIComponent(id)}/trace`,
  check: (id: string) => `/checks/${encodeURIComponent(id)}`,
  collectors: () => "/collectors",
  collector: (name: string) => `/collectors/${encodeURIComponent(name)}`,
};
