import { useMemo, useRef, useState } from "preact/hooks";
import type { Firing, Page as PageOf, Transition } from "../../api.gen";
import { api, query } from "../../lib/api";
import { day, plural, visible } from "../../lib/format";
import { useResource } from "../../lib/resource";
import { type PageProps, setQuery, to } from "../../lib/router";
import { now } from "../../lib/time";
import { fleet, useTopic } from "../../live";
import { Page } from "../../shell/Page";
import {
  Button,
  Card,
  Combobox,
  Empty,
  ErrorBox,
  healthNames,
  Icon,
  Pill,
  Seg,
  SkeletonRows,
  Status,
  Tag,
  Time,
  toastError,
} from "../../ui";
import "./activity.css";
import { changes, type Entry, kinds, merge, ofFiring, ofTransition, wanted } from "./entries";

/** What happened: changes of health and firings of rules, as they happen. */
export default function Activity({ route }: PageProps) {
  const kind = (kinds.find(([k]) => k === route.query.get("kind")) ?? kinds[0])[0];
  const change = (changes.find(([c]) => c === route.query.get("change")) ?? changes[0])[0];
  const system = route.query.get("system") ?? "";
  const filter = { kind, change, system };
  const ask = query({ system, kind: kind === "system" ? "system" : kind === "checks" ? "assignment" : undefined, limit: 200 });
  const past = useResource<PageOf<Transition>>(ask, (signal) => api.get(`/transitions${ask}`, { signal }));
  const fired = useResource<PageOf<Firing>>("firings", (signal) => api.get(`/firings?limit=200`, { signal }));
  const [older, setOlder] = useState<{ ask: string; list: Transition[]; next: number }>({ ask: "", list: [], next: 0 });
  const [fresh, setFresh] = useState<Entry[]>([]);
  const [held, setHeld] = useState<Entry[]>([]);
  const [busy, setBusy] = useState(false);
  const top = useRef<HTMLDivElement>(null);

  useTopic(
    "activity",
    (events) => {
      const more = events.flatMap((e) => (e.transition ? [ofTransition(e.transition)] : e.firing ? [ofFiring(e.firing)] : [])).reverse();
      if (more.length === 0) return;
      // Whoever reads further down is not moved: what is new waits behind a button.
      if ((document.getElementById("main")?.scrollTop ?? 0) > 60) setHeld((was) => [...more, ...was].slice(0, 1000));
      else setFresh((was) => [...more, ...was].slice(0, 1000));
    },
    () => past.reload(),
  );
  const show = () => {
    setFresh((was) => [...held, ...was].slice(0, 1000));
    setHeld([]);
    document.getElementById("main")?.scrollTo({ top: 0 });
  };
  const pages = older.ask === ask ? older : { list: [], next: past.data?.next ?? 0 };
  // biome-ignore lint/correctness/useExhaustiveDependencies: kind, change and system are all of filter
  const shown = useMemo(
    () =>
      merge(
        fresh,
        (past.data?.items ?? []).map(ofTransition),
        pages.list.map(ofTransition),
        (fired.data?.items ?? []).map(ofFiring),
      ).filter((e) => wanted(e, filter)),
    [fresh, past.data, pages.list, fired.data, kind, change, system],
  );
  const next = older.ask === ask ? older.next : (past.data?.next ?? 0);
  const more = async () => {
    setBusy(true);
    try {
      const page = await api.get<PageOf<Transition>>(
        `/transitions${query({ system, kind: kind === "system" ? "system" : kind === "checks" ? "assignment" : undefined, limit: 200, before: next })}`,
      );
      setOlder({ ask, list: [...pages.list, ...(page.items ?? [])], next: page.next ?? 0 });
    } catch (err) {
      toastError("Fetch older entries", err);
    }
    setBusy(false);
  };
  const waiting = held.filter((e) => wanted(e, filter)).length;
  // biome-ignore lint/correctness/useExhaustiveDependencies: names are read anew when systems come or go
  const options = useMemo(
    () => [...fleet.all()].map((s) => ({ value: s.id, label: s.name, hint: s.name === s.id ? undefined : s.id })),
    [fleet.size],
  );
  return (
    <Page title="Activity">
      <div class="row wrap act-f" ref={top}>
        <Seg label="What" value={kind} options={kinds} onChange={(k) => setQuery({ kind: k === "all" ? undefined : k })} />
        <Seg label="Which changes" value={change} options={changes} onChange={(c) => setQuery({ change: c === "any" ? undefined : c })} />
        <Combobox
          class="act-s"
          label="System"
          placeholder="Any system"
          value={system}
          options={options}
          onChange={(s) => setQuery({ system: s || undefined })}
        />
      </div>
      {waiting > 0 && (
        <button type="button" class="new-b" onClick={show}>
          {plural(waiting, "new entry", "new entries")}
        </button>
      )}
      <Card bare class="act">
        {past.error && !past.data ? (
          <div class="b">
            <ErrorBox error={past.error} doing="Fetch the activity" retry={past.reload} />
          </div>
        ) : !past.data ? (
          <div class="b">
            <SkeletonRows rows={10} />
          </div>
        ) : shown.length === 0 ? (
          <Empty title={kind === "all" && change === "any" && !system ? "Nothing has happened yet" : "Nothing matches"}>
            {kind === "all" && change === "any" && !system
              ? "Changes of health and firings of rules appear here as they happen."
              : "Try another filter."}
          </Empty>
        ) : (
          <Stream entries={shown} />
        )}
        {fired.error && (
          <div class="b">
            <ErrorBox error={fired.error} doing="Fetch the firings" retry={fired.reload} />
          </div>
        )}
        {next > 0 && kind !== "fired" && (
          <div class="b">
            <Button small busy={busy} onClick={more}>
              Older
            </Button>
          </div>
        )}
      </Card>
    </Page>
  );
}

function Stream({ entries }: { entries: Entry[] }) {
  let last = "";
  const today = day(new Date(now()));
  return (
    <ol class="stream">
      {entries.map((e) => {
        const date = day(new Date(e.at));
        const head = date !== last;
        last = date;
        return [
          head && (
            <li class="day" key={`d${date}`}>
              {date === today ? "Today" : date}
            </li>
          ),
          <li key={e.key} class="ent">
            <Time at={e.at} />
            {"transition" in e ? <TransitionLine t={e.transition} /> : <FiringLine f={e.firing} />}
          </li>,
        ];
      })}
    </ol>
  );
}

function nameOf(id: string): string {
  return fleet.find(id)?.name ?? id;
}

function SubjectLink({ kind, id }: { kind: string; id: string }) {
  const [system = "", check] = id.split(":");
  if (kind === "group")
    return (
      <a class="subj" href={`/?q=${encodeURIComponent(`group:${id}`)}`}>
        {id} <span class="dim">group</span>
      </a>
    );
  return (
    <a class="subj truncate" href={to.system(system)}>
      {visible(nameOf(system))}
      {check && <span class="dim"> {check}</span>}
    </a>
  );
}

function TransitionLine({ t }: { t: Transition }) {
  return (
    <>
      <span class="ft" title={`${healthNames[t.from]} to ${healthNames[t.to]}`}>
        <Status health={t.from} size={14} label />
        <Icon name="arrowRight" size={13} />
        <Status health={t.to} size={14} label />
      </span>
      <SubjectLink kind={t.subject.kind} id={t.subject.id} />
      <span class="txt truncate" title={visible(t.why?.text ?? "")}>
        {t.cause !== "run" && <Tag>{t.cause}</Tag>} {visible(t.why?.text ?? "")}
      </span>
      {t.run && t.subject.kind !== "group" ? (
        <a class="dim small go" href={to.run(t.subject.id.split(":")[0] ?? "", t.run)}>
          run {t.run}
        </a>
      ) : (
        <span />
      )}
    </>
  );
}

const firingLook = { queued: "unknown", running: "accent", done: "healthy", failed: "unhealthy", cancelled: "unknown" } as const;

function FiringLine({ f }: { f: Firing }) {
  return (
    <>
      <span class="ft">
        <Icon name="zap" size={15} class="t-degraded" />
        <Pill kind={firingLook[f.status]}>{f.recovery && f.status === "done" ? "recovery" : f.status}</Pill>
      </span>
      <SubjectLink kind={f.subject.kind} id={f.subject.id} />
      <span class="txt truncate">
        rule{" "}
        <a class="link" href={to.trace(f.rule)}>
          {visible(f.rule)}
        </a>{" "}
        <span class="dim">{visible(f.why?.text ?? "")}</span>
      </span>
      <span />
    </>
  );
}
