import { useEffect, useRef } from "preact/hooks";

/** What a key does, for the help. */
export interface Binding {
  keys: string;
  does: string;
}

type Handler = (e: KeyboardEvent) => void;
interface Scope {
  map: Record<string, Handler>;
}

const scopes: Scope[] = [];
let prefix = "";
let prefixTimer = 0;

function typing(target: EventTarget | null): boolean {
  const el = target as HTMLElement | null;
  return !!el && (/^(INPUT|TEXTAREA|SELECT)$/.test(el.tagName) || el.isContentEditable);
}

/** Name of a key press: "Mod+k", "g s", "?", "Escape". Mod is Ctrl, or ⌘ on a Mac. */
export function keyName(e: KeyboardEvent): string {
  const mod = e.ctrlKey || e.metaKey ? "Mod+" : "";
  const alt = e.altKey ? "Alt+" : "";
  const key = e.key.length === 1 ? (mod ? e.key.toLowerCase() : e.key) : (e.shiftKey ? "Shift+" : "") + e.key;
  return mod + alt + key;
}

export const singleKeys = {
  /** Single letters can be switched off by people who dictate (WCAG 2.1.4). */
  get on(): boolean {
    return typeof localStorage === "undefined" || localStorage.getItem("tocsin.keys") !== "off";
  },
  set on(value: boolean) {
    localStorage.setItem("tocsin.keys", value ? "on" : "off");
  },
};

function find(name: string): Handler | undefined {
  for (let i = scopes.length - 1; i >= 0; i--) {
    const h = scopes[i]?.map[name];
    if (h) return h;
  }
  return undefined;
}

function onKey(e: KeyboardEvent): void {
  if (e.defaultPrevented || e.isComposing) return;
  if (document.querySelector("dialog[open]")) return; // its keys are its own: Escape closes it, and not the page behind
  const name = keyName(e);
  const single = !name.startsWith("Mod+") && name !== "Escape" && !name.startsWith("F");
  if (single && (typing(e.target) || !singleKeys.on)) return;
  const full = prefix ? `${prefix} ${name}` : name;
  clearTimeout(prefixTimer);
  prefix = "";
  const h = find(full);
  if (h) {
    e.preventDefault();
    h(e);
    return;
  }
  if (name === "g" && full === "g") {
    prefix = "g";
    prefixTimer = setTimeout(() => {
      prefix = "";
    }, 900) as unknown as number;
  }
}

if (typeof document !== "undefined") document.addEventListener("keydown", onKey);

/** Bind keys while a component is on the page; later ones win. Single letters never fire in inputs and dialogs. */
export function useKeys(map: Record<string, Handler>): void {
  const latest = useRef(map);
  latest.current = map;
  useEffect(() => {
    const scope: Scope = {
      get map() {
        return latest.current;
      },
    };
    scopes.push(scope);
    return () => {
      scopes.splice(scopes.indexOf(scope), 1);
    };
  }, []);
}

/** "⌘" on a Mac, else "Ctrl". */
export const modKey = typeof navigator !== "undefined" && /Mac|iP(hone|ad)/.test(navigator.platform) ? "⌘" : "Ctrl";
