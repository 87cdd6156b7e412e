import type { FunctionComponent } from "preact";
import { useEffect, useState } from "preact/hooks";
import { me, signedOut } from "../lib/api";
import { useKeys } from "../lib/keys";
import { leaving, navigate, type PageProps, type Route, route } from "../lib/router";
import { cycleTheme } from "../lib/theme";
import { fleet, startLive } from "../live";
import Fleet from "../pages/fleet";
import { Button, Confirm, Empty, ErrorBox, Icon, Mark, Menu, SkeletonRows, Toasts, toast } from "../ui";
import type { IconName } from "../ui/icons";
import { Banner, ConnPill, Progress } from "./Connection";
import { favicon } from "./favicon";
import { Help } from "./Help";
import { Page } from "./Page";
import { openPalette, Palette } from "./Palette";
import { SignedOut } from "./SignedOut";
import { themeItems } from "./themes";
import { pageTitle } from "./title";
import { useFleet } from "./useFleet";

type PageComponent = FunctionComponent<PageProps>;

const lazy: Record<string, () => Promise<{ default: PageComponent }>> = {
  system: () => import("../pages/system/index"),
  run: () => import("../pages/run/index"),
  activity: () => import("../pages/activity/index"),
  checks: () => import("../pages/checks/index"),
  rules: () => import("../pages/rules/index"),
  collectors: () => import("../pages/collectors/index"),
  nodes: () => import("../pages/nodes/index"),
};
const loaded = new Map<string, PageComponent>([["fleet", Fleet]]);

/** Name of the page that a route shows; empty when there is none. */
export function pageOf(r: Route): string {
  const [first, second, third, fourth] = r.segments;
  if (!first) return "fleet";
  if (first === "systems") {
    if (second && third === "runs" && fourth) return "run";
    return second ? "system" : "fleet";
  }
  if (first === "checks") return second ? "checks" : "";
  if (first === "nodes") return second ? "" : first;
  return first === "activity" || first === "rules" || first === "collectors" ? first : "";
}

const places: { href: string; text: string; icon: IconName; page: string }[] = [
  { href: "/", text: "Systems", icon: "grid", page: "fleet" },
  { href: "/activity", text: "Activity", icon: "activity", page: "activity" },
  { href: "/rules", text: "Rules", icon: "zap", page: "rules" },
  { href: "/collectors", text: "Collectors", icon: "box", page: "collectors" },
];

/** The whole application: the frame around the page, and what is everywhere. */
export function App() {
  const [help, setHelp] = useState(false);
  useEffect(() => {
    if (!signedOut.value) startLive();
  }, []);
  useKeys({
    "Mod+k": () => openPalette(),
    "g s": () => navigate("/"),
    "g a": () => navigate("/activity"),
    "g r": () => navigate("/rules"),
    "g c": () => navigate("/collectors"),
    t: () => toast(`Theme: ${cycleTheme()}`),
    "?": () => setHelp(true),
  });
  if (signedOut.value) return <SignedOut />;
  const page = pageOf(route.value);
  return (
    <div class="shell">
      <button type="button" class="btn skip" onClick={() => document.getElementById("main")?.focus()}>
        Skip to content
      </button>
      <Rail page={page} onHelp={() => setHelp(true)} />
      <div class="main">
        <Top onHelp={() => setHelp(true)} />
        <Progress />
        <Banner />
        <main id="main" tabIndex={-1}>
          <Outlet name={page} route={route.value} />
        </main>
      </div>
      <BottomBar page={page} />
      <Palette />
      {help && <Help onClose={() => setHelp(false)} />}
      {leaving.value && (
        <Confirm title="Leave without saving?" confirm="Leave" onConfirm={() => leaving.value?.go()} onClose={() => (leaving.value = null)}>
          {leaving.value.loss}
        </Confirm>
      )}
      <Toasts />
      <Announcer />
      <TabTitle />
    </div>
  );
}

function Outlet({ name, route: r }: { name: string; route: Route }) {
  const [, redraw] = useState(0);
  const [error, setError] = useState<unknown>();
  const [turn, setTurn] = useState(0);
  const Known = loaded.get(name);
  // biome-ignore lint/correctness/useExhaustiveDependencies: turn tries again
  useEffect(() => {
    setError(undefined);
    const load = lazy[name];
    if (!load || loaded.has(name)) return;
    let here = true;
    load().then(
      (m) => {
        loaded.set(name, m.default);
        if (here) redraw((n) => n + 1);
      },
      (err) => here && setError(err),
    );
    return () => {
      here = false;
    };
  }, [name, turn]);
  if (!name)
    return (
      <Page title="Not found">
        <Empty title="There is no such page" actions={<Button href="/">Go to Systems</Button>}>
          The address may be old, or mistyped.
        </Empty>
      </Page>
    );
  if (Known) return <Known key={name} route={r} />;
  if (error)
    return (
      <Page title="Tocsin">
        <ErrorBox
          error="This part of the page could not be fetched. The server may have been updated: reload the page."
          doing="Open the page"
          retry={() => setTurn((n) => n + 1)}
        />
        <div>
          <Button icon="refresh" onClick={() => location.reload()}>
            Reload
          </Button>
        </div>
      </Page>
    );
  return (
    <div class="page">
      <SkeletonRows rows={8} />
    </div>
  );
}

function bad(counts: Int32Array): number {
  return (counts[3] ?? 0) + (counts[4] ?? 0);
}

function Rail({ page, onHelp }: { page: string; onHelp: () => void }) {
  useFleet();
  const here = page === "system" || page === "run" || page === "checks" ? "fleet" : page;
  const down = bad(fleet.counts);
  return (
    <nav class="rail" aria-label="Main">
      <a class="brand" href="/">
        <Mark size={22} />
        <span>Tocsin</span>
      </a>
      {places.map((p) => (
        <a key={p.href} href={p.href} aria-current={here === p.page ? "page" : undefined}>
          <Icon name={p.icon} />
          {p.text}
          {p.page === "fleet" && down > 0 && (
            <b class="num" title={`${down} systems are unhealthy or stale`}>
              {down}
            </b>
          )}
        </a>
      ))}
      <span class="sp" />
      <button type="button" class="rail-b" onClick={onHelp}>
        <Icon name="help" />
        Keys and help
      </button>
      {me.value && (
        <div class="who">
          <span class="avatar" aria-hidden="true">
            {me.value.user.slice(0, 1).toUpperCase()}
          </span>
          <span class="truncate">
            {me.value.user}
            <span class="dim"> {me.value.role}</span>
          </span>
        </div>
      )}
    </nav>
  );
}

function Top({ onHelp }: { onHelp: () => void }) {
  const { title, crumbs } = pageTitle.value;
  return (
    <header class="top">
      <a class="top-mark" href="/" aria-label="Tocsin: Systems">
        <Mark size={22} />
      </a>
      <nav class="crumb" aria-label="Where you are">
        {crumbs.map((c) => (
          <span key={c.text}>
            {c.href ? <a href={c.href}>{c.text}</a> : c.text}
            <i aria-hidden="true">/</i>
          </span>
        ))}
        <b class="truncate" aria-current="page">
          {title}
        </b>
      </nav>
      <span class="sp" />
      <button type="button" class="search" aria-label={`Search or run a command ${keyHint}`} onClick={() => openPalette()}>
        <Icon name="search" size={15} />
        <span>Search or run a command</span> <kbd>{keyHint}</kbd>
      </button>
      <ConnPill />
      <Menu kind="ghost" icon="more" label="More" end items={themeItems(onHelp)} />
    </header>
  );
}

const keyHint = /Mac|iP/.test(navigator.platform) ? "⌘K" : "Ctrl K";

function BottomBar({ page }: { page: string }) {
  useFleet();
  const here = page === "system" || page === "run" || page === "checks" ? "fleet" : page;
  const down = bad(fleet.counts);
  return (
    <nav class="bottom" aria-label="Main, bottom">
      {places.map((p) => (
        <a key={p.href} href={p.href} aria-current={here === p.page ? "page" : undefined}>
          <Icon name={p.icon} size={20} />
          {p.text}
          {p.page === "fleet" && down > 0 && <b class="num">{down}</b>}
        </a>
      ))}
    </nav>
  );
}

/** The title of the tab and the dot of its icon. */
function TabTitle() {
  useFleet();
  const { title } = pageTitle.value;
  const down = bad(fleet.counts);
  const state =
    !fleet.loaded || fleet.old
      ? "unknown"
      : down > 0
        ? "unhealthy"
        : (fleet.counts[2] ?? 0) > 0
          ? "degraded"
          : fleet.size > 0
            ? "healthy"
            : "unknown";
  useEffect(() => {
    document.title = `${down > 0 ? `(${down}) ` : ""}${title}${title === "Tocsin" ? "" : " · Tocsin"}`;
  }, [down, title]);
  useEffect(() => favicon(state), [state]);
  return null;
}

/** Says in one sentence what changed, at most every five seconds, to those who do not see it. */
function Announcer() {
  const [text, setText] = useState("");
  useEffect(() => {
    let last = -1;
    let quietUntil = 0;
    return fleet.subscribe(() => {
      const down = bad(fleet.counts);
      const now = Date.now();
      if (!fleet.loaded || down === last || now < quietUntil) return;
      if (last >= 0) setText(`${down} of ${fleet.size} systems are unhealthy or stale.`);
      last = down;
      quietUntil = now + 5000;
    });
  }, []);
  return (
    <div class="sr" aria-live="polite">
      {text}
    </div>
  );
}
