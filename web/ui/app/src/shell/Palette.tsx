import { signal } from "@preact/signals";
import { useEffect, useId, useRef, useState } from "preact/hooks";
import type { RuleItem } from "../api.gen";
import { api } from "../lib/api";
import { navigate, to } from "../lib/router";
import { setTheme } from "../lib/theme";
import { fleet } from "../live";
import { Dialog, Icon, Status } from "../ui";
import type { IconName } from "../ui/icons";
import { fuzzy } from "./fuzzy";

const open = signal(false);

/** Open the palette. */
export function openPalette(): void {
  open.value = true;
}

/** A command that the page which is shown offers. */
export interface Command {
  text: string;
  icon: IconName;
  hint?: string;
  run: () => void;
}

const offered = signal<readonly Command[]>([]);

/** Offer commands while a component is on the page. */
export function useCommands(commands: Command[]): void {
  const key = commands.map((c) => c.text).join("|");
  const latest = useRef(commands);
  latest.current = commands;
  // biome-ignore lint/correctness/useExhaustiveDependencies: key says all that is shown of them
  useEffect(() => {
    const mine = latest.current.map((c, i) => ({ ...c, run: () => latest.current[i]?.run() }));
    offered.value = [...mine, ...offered.value];
    return () => {
      offered.value = offered.value.filter((c) => !mine.includes(c));
    };
  }, [key]);
}

interface Hit {
  key: string;
  text: string;
  hint?: string;
  group: string;
  glyph: { icon: IconName } | { status: Parameters<typeof Status>[0]["health"] };
  score: number;
  run: () => void;
}

const pages: [string, string, IconName][] = [
  ["Systems", "/", "grid"],
  ["Activity", "/activity", "activity"],
  ["Rules", "/rules", "zap"],
  ["New rule", "/rules/new", "plus"],
  ["Collectors", "/collectors", "box"],
  ["Add a system", "/?add=1", "plus"],
  ["New check", "/checks/new", "plus"],
  ["Nodes", "/nodes", "layers"],
];

let rules: RuleItem[] = [];

function search(needle: string): Hit[] {
  const hits: Hit[] = [];
  const put = (text: string, extra: string, hit: Omit<Hit, "score" | "text">, bonus: number) => {
    const score = needle ? fuzzy(needle, text, extra) : bonus;
    if (score > 0) hits.push({ ...hit, text, score: score + bonus / 100 });
  };
  for (const c of offered.value)
    put(c.text, "", { key: `c:${c.text}`, hint: c.hint, group: "Here", glyph: { icon: c.icon }, run: c.run }, 5);
  for (const [text, href, icon] of pages)
    put(text, "", { key: `p:${href}`, group: "Go to", glyph: { icon }, run: () => navigate(href) }, 4);
  for (const t of ["light", "dark", "system"] as const)
    put(
      `Theme: ${t}`,
      "",
      {
        key: `t:${t}`,
        group: "Settings",
        glyph: { icon: t === "light" ? "sun" : t === "dark" ? "moon" : "laptop" },
        run: () => setTheme(t),
      },
      needle ? 1 : 0,
    );
  for (const r of rules)
    put(
      r.object.name || r.object.id,
      r.object.id,
      { key: `r:${r.object.id}`, hint: "rule", group: "Rules", glyph: { icon: "zap" }, run: () => navigate(to.rule(r.object.id)) },
      needle ? 2 : 0,
    );
  for (const s of fleet.all()) {
    const bad = s.status === "unhealthy" || s.status === "stale";
    put(
      s.name,
      s.id,
      {
        key: `s:${s.id}`,
        hint: s.groups[0] ?? "",
        group: "Systems",
        glyph: { status: s.status === "maintenance" ? "maint" : s.status },
        run: () => navigate(to.system(s.id)),
      },
      needle ? 3 : bad ? 3 : 0,
    );
  }
  hits.sort((a, b) => b.score - a.score || (a.text < b.text ? -1 : 1));
  const best = hits.slice(0, 40);
  const order = [...new Set(best.map((h) => h.group))];
  return best.sort((a, b) => order.indexOf(a.group) - order.indexOf(b.group));
}

/** Anything in two keystrokes: a field over systems, pages, rules and commands. */
export function Palette() {
  return open.value ? <PaletteDialog /> : null;
}

function PaletteDialog() {
  const [text, setText] = useState("");
  const [at, setAt] = useState(0);
  const [, redraw] = useState(0);
  const list = useRef<HTMLDivElement>(null);
  const id = useId();
  useEffect(() => {
    api.get<RuleItem[] | { items: RuleItem[] }>("/rules").then(
      (all) => {
        rules = Array.isArray(all) ? all : (all.items ?? []);
        redraw((n) => n + 1);
      },
      () => {}, // without rules it still finds the rest
    );
  }, []);
  const hits = search(text.trim());
  const close = () => {
    open.value = false;
  };
  const run = (hit: Hit | undefined) => {
    if (!hit) return;
    close();
    hit.run();
  };
  // biome-ignore lint/correctness/useExhaustiveDependencies: scroll when the choice moves
  useEffect(() => {
    list.current?.querySelector('[aria-selected="true"]')?.scrollIntoView({ block: "nearest" });
  }, [at, text]);
  const move = (e: KeyboardEvent, next: number) => {
    e.preventDefault();
    setAt(Math.max(0, Math.min(hits.length - 1, next)));
  };
  let group = "";
  return (
    <Dialog title="Search or run a command" plain onClose={close} class="palette">
      <div class="palette-in">
        <Icon name="search" />
        <input
          autofocus
          role="combobox"
          aria-label="Search or run a command"
          aria-expanded="true"
          aria-controls={`${id}-l`}
          aria-activedescendant={hits[at] ? `${id}-${at}` : undefined}
          autocomplete="off"
          spellcheck={false}
          placeholder="A system, a rule, a page, a command"
          value={text}
          onInput={(e) => {
            setText(e.currentTarget.value);
            setAt(0);
          }}
          onKeyDown={(e) => {
            if (e.key === "ArrowDown") move(e, at + 1);
            else if (e.key === "ArrowUp") move(e, at - 1);
            else if (e.key === "PageDown") move(e, at + 8);
            else if (e.key === "PageUp") move(e, at - 8);
            else if (e.key === "Enter") run(hits[at]);
          }}
        />
        <kbd>Esc</kbd>
      </div>
      <div class="palette-l" role="listbox" id={`${id}-l`} aria-label="Results" ref={list}>
        {hits.map((h, i) => {
          const head = h.group !== group;
          group = h.group;
          return [
            head && (
              <div class="palette-g" key={`g${h.group}`} role="presentation">
                {h.group}
              </div>
            ),
            <div
              key={h.key}
              id={`${id}-${i}`}
              role="option"
              tabIndex={-1}
              aria-selected={i === at}
              onMouseMove={() => setAt(i)}
              onClick={() => run(h)}
            >
              {"icon" in h.glyph ? <Icon name={h.glyph.icon} size={15} /> : <Status health={h.glyph.status} size={15} />}
              <span class="truncate">{h.text}</span>
              <span class="sp" />
              {h.hint && <span class="dim small truncate">{h.hint}</span>}
            </div>,
          ];
        })}
        {hits.length === 0 && <div class="dim palette-g">Nothing matches “{text}”.</div>}
      </div>
    </Dialog>
  );
}
