import { Component } from "preact";
import { useCallback, useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import { FlagCaused, FlagFiring, FlagProblem, FlagSilenced } from "../../api.gen";
import { brief, ms, percent, span, visible } from "../../lib/format";
import { useKeys } from "../../lib/keys";
import { to } from "../../lib/router";
import { tick } from "../../lib/time";
import { fleet, watchRows } from "../../live";
import { maxRows } from "../../live/protocol";
import type { RowView } from "../../live/store";
import { useFleet } from "../../shell/useFleet";
import { Bars, Icon, Status } from "../../ui";

const overscan = 8;

/**
 * The rows of the fleet: an ARIA grid of which only what is on the screen
 * exists. It keeps the order while somebody is at it, and tells the server
 * which rows are looked at.
 */
export function Grid({ onOpen, onFilter }: { onOpen: (id: string) => void; onFilter: (key: string, value: string) => void }) {
  const version = useFleet();
  const grid = useRef<HTMLDivElement>(null);
  const vp = useRef<HTMLDivElement>(null);
  const [win, setWin] = useState({ top: 0, height: 600, row: 32 });
  const [active, setActive] = useState(-1); // handle of the row that the keyboard is at
  const [focused, setFocused] = useState(false);
  useFreeze(vp, focused);

  const measure = useCallback(() => {
    const el = vp.current;
    if (el) setWin({ top: el.scrollTop, height: el.clientHeight, row: matchMedia("(max-width: 720px)").matches ? 60 : 32 });
  }, []);
  useLayoutEffect(() => {
    measure();
    const seen = new ResizeObserver(measure);
    seen.observe(vp.current!);
    return () => seen.disconnect();
  }, [measure]);

  const order = fleet.order;
  const first = Math.max(0, Math.floor(win.top / win.row) - overscan);
  const last = Math.min(order.length, Math.ceil((win.top + win.height) / win.row) + overscan);
  const shown: number[] = [];
  for (let i = first; i < last; i++) shown.push(i);
  const activeAt = active < 0 ? -1 : order.findIndex((slot) => fleet.handle(slot) === active);
  if (activeAt >= 0 && (activeAt < first || activeAt >= last)) shown.push(activeAt); // what has the focus stays

  // biome-ignore lint/correctness/useExhaustiveDependencies: version says that the order may differ
  useEffect(() => {
    const handles: number[] = [];
    for (let i = first; i < last && handles.length < maxRows; i++) handles.push(fleet.handle(fleet.order[i]!));
    const id = setTimeout(() => watchRows(handles), 60);
    return () => clearTimeout(id);
  }, [first, last, version]);
  useEffect(() => () => watchRows([]), []);

  const go = (i: number) => {
    const at = Math.max(0, Math.min(order.length - 1, i));
    const slot = order[at];
    const el = vp.current;
    if (slot === undefined || !el) return;
    setActive(fleet.handle(slot));
    const top = at * win.row;
    if (top < el.scrollTop) el.scrollTop = top;
    else if (top + win.row > el.scrollTop + el.clientHeight) el.scrollTop = top + win.row - el.clientHeight;
  };
  const page = Math.max(1, Math.floor(win.height / win.row) - 1);
  const onKey = (e: KeyboardEvent) => {
    if (e.ctrlKey || e.metaKey || e.altKey) return;
    const moves: Record<string, () => void> = {
      ArrowDown: () => go(activeAt + 1),
      ArrowUp: () => go(activeAt - 1),
      PageDown: () => go(activeAt + page),
      PageUp: () => go(activeAt - page),
      Home: () => go(0),
      End: () => go(order.length - 1),
      Enter: () => activeAt >= 0 && onOpen(fleet.row(order[activeAt]!).id),
      Escape: () => (setActive(-1), grid.current?.blur()),
    };
    const move = moves[e.key];
    if (!move) return;
    e.preventDefault();
    move();
  };
  const jump = (by: number) => () => {
    grid.current?.focus();
    go(activeAt + by);
  };
  useKeys({
    j: jump(1),
    k: jump(-1),
    ArrowDown: jump(1),
    ArrowUp: jump(-1),
    Enter: () => activeAt >= 0 && onOpen(fleet.row(order[activeAt]!).id),
  });

  return (
    <div
      ref={grid}
      class={fleet.old ? "grid old" : "grid"}
      role="grid"
      aria-label="Systems"
      aria-rowcount={order.length + 1}
      aria-activedescendant={activeAt >= 0 ? `row-${active}` : undefined}
      tabIndex={0}
      onKeyDown={onKey}
      onFocus={() => {
        setFocused(true);
        if (activeAt < 0 && grid.current?.matches(":focus-visible")) go(first + (first > 0 ? overscan : 0));
      }}
      onBlur={() => setFocused(false)}
    >
      <div class="gh" role="row" aria-rowindex={1}>
        <span role="columnheader">
          <span class="sr">Status</span>
        </span>
        <span role="columnheader">System</span>
        <span role="columnheader">Why</span>
        <span role="columnheader" class="hd">
          Last 30 runs
        </span>
        <span role="columnheader" class="r hd">
          p95
        </span>
        <span role="columnheader" class="r hd">
          24 h
        </span>
        <span role="columnheader" class="r hd">
          Last run
        </span>
      </div>
      <div ref={vp} class="vp" role="rowgroup" tabIndex={-1} onScroll={measure}>
        <div class="vs" role="presentation" style={{ height: `${order.length * win.row}px` }} />
        {shown.map((i) => {
          const view = fleet.row(order[i]!);
          return (
            <Row
              key={view.h}
              view={view}
              at={i}
              top={i * win.row}
              active={view.h === active}
              old={fleet.old}
              onOpen={onOpen}
              onFilter={onFilter}
            />
          );
        })}
      </div>
    </div>
  );
}

/** Nothing moves under the cursor: the order stays while the list is pointed at, focused or scrolled. */
function useFreeze(vp: { current: HTMLDivElement | null }, focused: boolean): void {
  const [pointed, setPointed] = useState(false);
  const [scrolled, setScrolled] = useState(false);
  useEffect(() => {
    const el = vp.current!;
    let rest: ReturnType<typeof setTimeout> | undefined;
    const here = () => {
      setPointed(true);
      clearTimeout(rest);
      rest = setTimeout(() => setPointed(false), 20_000); // a mouse that was left there does not read
    };
    const gone = () => {
      clearTimeout(rest);
      setPointed(false);
    };
    const scroll = () => setScrolled(el.scrollTop > 0);
    el.addEventListener("pointermove", here);
    el.addEventListener("pointerleave", gone);
    el.addEventListener("scroll", scroll, { passive: true });
    return () => {
      clearTimeout(rest);
      el.removeEventListener("pointermove", here);
      el.removeEventListener("pointerleave", gone);
      el.removeEventListener("scroll", scroll);
    };
  }, [vp]);
  useEffect(() => {
    fleet.freeze(pointed || scrolled || focused);
    return () => fleet.freeze(false);
  }, [pointed, scrolled, focused]);
}

interface RowProps {
  view: RowView;
  at: number;
  top: number;
  active: boolean;
  old: boolean;
  onOpen: (id: string) => void;
  onFilter: (key: string, value: string) => void;
}

/** One System. It is drawn again only when something of it changes. */
class Row extends Component<RowProps> {
  override shouldComponentUpdate(next: RowProps): boolean {
    const p = this.props;
    return next.view !== p.view || next.top !== p.top || next.active !== p.active || next.old !== p.old;
  }

  override render({ view: v, at, top, active, old, onOpen }: RowProps) {
    const glyph = v.status === "maintenance" ? "maint" : v.status;
    const bad = v.status !== "healthy";
    const d = v.detail;
    return (
      <div
        id={`row-${v.h}`}
        class={active ? "gr sel" : "gr"}
        role="row"
        tabIndex={-1}
        aria-rowindex={at + 2}
        aria-selected={active}
        style={{ top: `${top}px` }}
        data-id={v.id}
        data-status={v.status}
        onClick={(e) => !(e.target as Element).closest("a") && onOpen(v.id)}
      >
        {v.changes > 0 && <i key={v.changes} class="flash" aria-hidden="true" />}
        <span role="gridcell" class="st">
          <Status health={glyph} label hatch={old} />
        </span>
        <span role="gridcell" class="nm truncate">
          <a href={to.system(v.id)} tabIndex={-1}>
            {v.name}
          </a>
          {v.groups[0] && <span class="dim gp">{v.groups[0]}</span>}
          <Flags flags={v.flags} />
        </span>
        <span role="gridcell" class={`rs ${bad ? `t-${glyph}` : "dim"}`} title={visible(v.why.text)}>
          <span class="truncate">{visible(v.why.text)}</span>
          {bad && v.since > 0 && <Since at={v.since} />}
        </span>
        <span role="gridcell" class="bars">
          <Bars ring={d?.ring ?? ""} />
        </span>
        <span role="gridcell" class="r num hd">
          {d ? ms(d.p95) : "–"}
        </span>
        <span role="gridcell" class="r num dim2 hd">
          {d ? percent(d.uptime) : "–"}
        </span>
        <span role="gridcell" class="r num dim hd">
          <Last at={d?.last ?? 0} />
        </span>
      </div>
    );
  }
}

function Since({ at }: { at: number }) {
  return <span class="dim num">{` · ${span(Math.floor(Math.max(0, tick.value - at) / 1000) * 1000)}`}</span>;
}

function Last({ at }: { at: number }) {
  return <>{at > 0 ? brief(tick.value - at) : "–"}</>;
}

function Flags({ flags }: { flags: number }) {
  if (flags === 0) return null;
  return (
    <span class="flags">
      {flags & FlagFiring ? <Flag icon="zap" text="A rule is firing for it" class="t-degraded" /> : null}
      {flags & FlagCaused ? <Flag icon="link" text="A system it depends on is unhealthy" /> : null}
      {flags & FlagSilenced ? <Flag icon="bellOff" text="Silenced" /> : null}
      {flags & FlagProblem ? <Flag icon="alert" text="A check of it could not be asked" class="t-degraded" /> : null}
    </span>
  );
}

function Flag({ icon, text, class: cls = "dim" }: { icon: Parameters<typeof Icon>[0]["name"]; text: string; class?: string }) {
  return (
    <span class={cls} role="img" aria-label={text} title={text}>
      <Icon name={icon} size={13} />
    </span>
  );
}
