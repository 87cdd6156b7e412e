// Every decision of a rule, as it is made: one cell a stage, and why.

import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import type { Decision, DecisionVerdict, Page as Paged, Rule, Stored } from "../../api.gen";
import { aborted, api, query, seg } from "../../lib/api";
import { count } from "../../lib/format";
import { useResource } from "../../lib/resource";
import { type Route, setQuery, to } from "../../lib/router";
import { useTopic } from "../../live";
import { Page } from "../../shell/Page";
import { Button, Empty, ErrorBox, Icon, Skeleton, toastError } from "../../ui";
import { DecisionDetail } from "./DecisionDetail";
import { blocking, Change, resultOf, StageMark, saidText, stageNames, stageNumber, stages, verdictNames, verdictWords } from "./stages";
import { merge, type Narrowing, narrow, tally } from "./trace";
import { Why } from "./Why";

const pageSize = 100;
/** Decisions kept in this tab; older ones can be loaded again. */
const most = 2000;

const load = (id: string, before: number, signal?: AbortSignal) =>
  api.get<Paged<Decision>>(`/rules/${seg(id)}/decisions${query({ limit: pageSize, before: before || undefined })}`, { signal });

/** The decisions of a rule: those fetched, and those heard since. */
function useDecisions(id: string) {
  const first = useResource(`rule ${id} decisions`, (signal) => load(id, 0, signal));
  const [all, setAll] = useState<Decision[]>([]);
  const [waiting, setWaiting] = useState<Decision[]>([]);
  const [next, setNext] = useState(0);
  const [older, setOlder] = useState(false);
  const held = useRef(false);
  useEffect(() => {
    if (!first.data) return;
    setAll((was) => merge(was, first.data?.items ?? [], most));
    setNext((was) => was || (first.data?.next ?? 0));
  }, [first.data]);
  useTopic(
    `rule:${id}`,
    (events) => {
      const decided = events.map((e) => e.decision).filter((d): d is Decision => !!d);
      if (decided.length === 0) return;
      if (held.current) setWaiting((was) => merge(was, decided, most));
      else setAll((was) => merge(was, decided, most));
    },
    first.reload,
  );
  const release = () => {
    setAll((was) => merge(was, waiting, most));
    setWaiting([]);
  };
  const more = async () => {
    setOlder(true);
    try {
      const page = await load(id, next);
      setAll((was) => merge(was, page.items ?? [], Number.POSITIVE_INFINITY));
      setNext(page.next ?? 0);
    } catch (err) {
      if (!aborted(err)) toastError("Loading older decisions", err);
    } finally {
      setOlder(false);
    }
  };
  return { first, all, waiting: waiting.length, next, older, more, release, hold: (on: boolean) => (held.current = on) };
}

/** What the address asks for. */
function wanted({ query: q }: Route): Narrowing {
  return {
    verdict: (q.get("verdict") ?? "") as Narrowing["verdict"],
    stage: (q.get("blocked") ?? "") as Narrowing["stage"],
    system: q.get("system") ?? "",
  };
}

export function Trace({ id, route }: { id: string; route: Route }) {
  const rule = useResource(`rule ${id}`, (signal) => api.get<Stored<Rule>>(`/rules/${seg(id)}`, { signal }));
  const { first, all, waiting, next, older, more, release, hold } = useDecisions(id);
  const [open, setOpen] = useState<number>(() => Number(route.query.get("open")) || 0);
  const { verdict, stage, system } = wanted(route);
  const shown = useMemo(() => narrow(all, { verdict, stage, system }), [all, verdict, stage, system]);
  const name = rule.data?.object.name || id;
  const sources = useMemo(
    () => (rule.data ? { when: rule.data.object.when ?? "", unless: rule.data.object.unless ?? "" } : undefined),
    [rule.data],
  );
  const crumbs = [
    { text: "Rules", href: to.rules() },
    { text: name, href: to.rule(id) },
  ];
  return (
    <Page title="Trace" crumbs={crumbs}>
      <div class="row wrap">
        <h1>{name}</h1>
        <span class="dim">what it decided, newest first</span>
        <span class="sp" />
        <Button icon="edit" href={to.rule(id)}>
          Rule
        </Button>
      </div>
      {rule.data && <Why id={id} rule={rule.data.object} about={route.query.get("why") ?? ""} />}
      {first.error && all.length === 0 && <ErrorBox error={first.error} doing="Loading the trace" retry={first.reload} />}
      {!first.data && !first.error && <Waiting />}
      {all.length > 0 && <Facets all={all} only={{ verdict, stage, system }} />}
      {all.length > 0 && (
        <section
          class="card tr"
          onMouseEnter={() => hold(true)}
          onMouseLeave={() => hold(false)}
          onFocusCapture={() => hold(true)}
          onBlurCapture={() => hold(false)}
        >
          {waiting > 0 && (
            <button type="button" class="tr-new" onClick={release}>
              <Icon name="chevronUp" size={14} /> {count(waiting)} new
            </button>
          )}
          <Decisions shown={shown} open={open} setOpen={setOpen} sources={sources} />
          {shown.length === 0 && (
            <Empty
              title="No decision matches"
              actions={<Button onClick={() => setQuery({ verdict: "", blocked: "", system: "" })}>Clear the filters</Button>}
            >
              The filters hide all {count(all.length)} that are loaded.
            </Empty>
          )}
          <footer class="row">
            <span class="dim small">Firings are kept longer than other decisions.</span>
            <span class="sp" />
            {next > 0 && (
              <Button small busy={older} onClick={more}>
                Load older
              </Button>
            )}
          </footer>
        </section>
      )}
      {first.data && all.length === 0 && (
        <div class="card">
          <Empty title="No decision yet" art={<Icon name="activity" size={28} />}>
            {rule.data?.object.disabled
              ? "The rule is off: it decides nothing until it is switched on."
              : "As soon as the health of something it looks at changes, what it made of it appears here, without a reload."}
          </Empty>
        </div>
      )}
    </Page>
  );
}

const verdicts: DecisionVerdict[] = ["fire", "hold", "suppress", "drop", "recover"];

function Facets({ all, only }: { all: Decision[]; only: Narrowing }) {
  const counts = tally(all);
  return (
    <div class="tr-facets">
      {verdicts.map((v) => (
        <button
          key={v}
          type="button"
          class={`tr-facet v-${v}`}
          aria-pressed={only.verdict === v}
          disabled={counts.verdicts[v] === 0 && only.verdict !== v}
          onClick={() => setQuery({ verdict: only.verdict === v ? "" : v })}
        >
          <b class="num">{count(counts.verdicts[v])}</b> {verdictNames[v].toLowerCase()}
        </button>
      ))}
      {(counts.errors > 0 || only.verdict === "error") && (
        <button
          type="button"
          class="tr-facet v-error"
          aria-pressed={only.verdict === "error"}
          onClick={() => setQuery({ verdict: only.verdict === "error" ? "" : "error" })}
        >
          <b class="num">{count(counts.errors)}</b> with an error
        </button>
      )}
      <span class="sp" />
      <select class="in tr-pick" aria-label="Blocked by" value={only.stage} onChange={(e) => setQuery({ blocked: e.currentTarget.value })}>
        <option value="">Blocked by anything</option>
        {stages
          .filter((s) => s !== "firing")
          .map((s) => (
            <option key={s} value={s}>
              Blocked by {stageNames[s].toLowerCase()} ({counts.stages[s] ?? 0})
            </option>
          ))}
      </select>
      <label class="rl-find">
        <Icon name="search" size={14} />
        <input
          type="search"
          aria-label="System"
          placeholder="System"
          value={only.system}
          onInput={(e) => setQuery({ system: e.currentTarget.value })}
        />
      </label>
    </div>
  );
}

interface DecisionsProps {
  shown: Decision[];
  open: number;
  setOpen: (id: number) => void;
  sources: { when: string; unless: string } | undefined;
}

/** Rows drawn at once; the rest comes with a button, so that the page stays quick. */
const step = 150;

function Decisions({ shown, open, setOpen, sources }: DecisionsProps) {
  const [drawn, setDrawn] = useState(step);
  return (
    <div class="scroll-x">
      <table class="tbl tr-table" aria-label="Decisions">
        <thead>
          <tr>
            <th scope="col">Time</th>
            <th scope="col">Subject</th>
            <th scope="col">Change</th>
            {stages.slice(1).map((s) => (
              <th scope="col" key={s} class="tr-st">
                {stageNames[s]}
              </th>
            ))}
            <th scope="col">Verdict</th>
          </tr>
        </thead>
        <tbody>
          {shown.slice(0, drawn).map((d) => [
            <Row key={d.id} d={d} open={open === d.id} toggle={() => setOpen(open === d.id ? 0 : d.id)} />,
            open === d.id && (
              <tr key={`${d.id}-more`} class="tr-more">
                <td colSpan={stages.length + 3}>
                  <DecisionDetail decision={d} sources={sources} />
                </td>
              </tr>
            ),
          ])}
        </tbody>
      </table>
      {shown.length > drawn && (
        <div class="tr-rest">
          <Button small onClick={() => setDrawn(drawn + step)}>
            Show {count(Math.min(step, shown.length - drawn))} more of {count(shown.length)}
          </Button>
        </div>
      )}
    </div>
  );
}

function Row({ d, open, toggle }: { d: Decision; open: boolean; toggle: () => void }) {
  const stop = blocking(d);
  return (
    <tr class={`act${open ? " open" : ""}`} onClick={(e) => !(e.target as Element).closest("a,button") && toggle()}>
      <td class="num nowrap">
        <button type="button" class="tr-time" aria-expanded={open} onClick={toggle}>
          <Icon name={open ? "chevronDown" : "chevronRight"} size={13} />
          <Stamp at={d.at} />
          {d.late && <span class="tag">late</span>}
        </button>
      </td>
      <td>
        <a href={d.subject.kind === "group" ? undefined : to.system(d.subject.id.split(":")[0] ?? "")}>{d.subject.id}</a>
      </td>
      <td>{d.seq ? <Change decision={d} /> : <span class="dim">{d.run ? `run ${d.run}` : "timer"}</span>}</td>
      {stages.slice(1).map((s) => {
        const result = resultOf(d, s);
        return (
          <td
            key={s}
            class={`tr-st${s === stop ? (d.verdict === "drop" && !result?.failed ? " passed" : " blocked") : ""}`}
            title={result ? saidText(result) : "not reached"}
          >
            <span class="tr-cell">
              <StageMark result={result} blocked={s === stop} passed={d.verdict === "drop"} />
              <span class="num">{stageNumber(result)}</span>
              <span class="sr">
                {stageNames[s]}: {result ? saidText(result) : "not reached"}
              </span>
            </span>
          </td>
        );
      })}
      <td class="nowrap">
        <span class={`tr-verdict v-${d.verdict}`}>{verdictWords(d)}</span>
      </td>
    </tr>
  );
}

/** The instant with seconds; the day only when it is another. */
function Stamp({ at }: { at: string }) {
  const when = new Date(at);
  const clock = when.toLocaleTimeString("en-GB");
  const today = when.toDateString() === new Date().toDateString();
  return (
    <time dateTime={at} title={`${when.toLocaleString("en-GB")}\n${at}`}>
      {today ? clock : `${when.getDate()} ${when.toLocaleString("en", { month: "short" })} ${clock}`}
    </time>
  );
}

function Waiting() {
  return (
    <div class="card" role="status" aria-label="Loading">
      {Array.from({ length: 8 }, (_, i) => (
        <div class="tr-skeleton" key={i}>
          <Skeleton height={14} width={`${88 - ((i * 13) % 30)}%`} />
        </div>
      ))}
    </div>
  );
}
