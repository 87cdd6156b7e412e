// What the rule, as it stands in the form, would have made of the past: how
// often it would have fired, how that differs from the rule that is saved, and
// for one subject every stage over time.

import { useEffect, useRef, useState } from "preact/hooks";
import type { Backtest as Answer, BacktestFiring, BacktestStage, Rule, SpanSeries } from "../../api.gen";
import { ApiError, aborted, api, seg } from "../../lib/api";
import { count, instant, plural, span, visible } from "../../lib/format";
import { useResource } from "../../lib/resource";
import { at, zone } from "../../lib/time";
import { Button, Card, Combobox, Empty, ErrorBox, healthNames, Icon, Lane, type LaneSpan, laneHeight, Seg, Skeleton, Time } from "../../ui";
import { Head } from "./GateCard";
import { bySubject, fired, lanes, times } from "./lanes";
import { stageNames, verdictNames } from "./stages";
import { kindNames, kindOf, useHappenings, useSubjects } from "./subjects";

const spans = [
  ["1h", "1 h"],
  ["24h", "24 h"],
  ["7d", "7 d"],
  ["30d", "30 d"],
] as const;
type Span = (typeof spans)[number][0];
const words: Record<Span, string> = {
  "1h": "the last hour",
  "24h": "the last 24 hours",
  "7d": "the last 7 days",
  "30d": "the last 30 days",
};
/** As the server reads it. */
const length: Record<Span, string> = { "1h": "1h", "24h": "1d", "7d": "7d", "30d": "30d" };

interface Asked {
  answer?: Answer;
  error?: unknown;
  busy: boolean;
}

/** Asks while it is on: at once, and a while after each edit. */
function useBacktest(rule: Rule, range: Span, about: string, on: boolean): Asked {
  const [asked, setAsked] = useState<Asked>({ busy: false });
  const text = JSON.stringify(rule);
  const first = useRef(true);
  // biome-ignore lint/correctness/useExhaustiveDependencies: the text says all of the rule
  useEffect(() => {
    if (!on) return;
    const abort = new AbortController();
    setAsked((was) => ({ ...was, busy: true }));
    const timer = setTimeout(
      async () => {
        try {
          const answer = await api.post<Answer>(
            "/rules/backtest",
            { rule: { ...rule, id: rule.id || "new" }, span: length[range], about: about ? { kind: kindOf(rule), id: about } : undefined },
            { signal: abort.signal },
          );
          setAsked({ answer, busy: false });
        } catch (error) {
          if (!aborted(error)) setAsked((was) => ({ answer: was.answer, error, busy: false }));
        }
      },
      first.current ? 0 : 600,
    );
    first.current = false;
    return () => {
      abort.abort();
      clearTimeout(timer);
    };
  }, [text, range, about, on]);
  return asked;
}

export function Backtest({ rule, saved, dirty }: { rule: Rule; saved: boolean; dirty: boolean }) {
  const [on, setOn] = useState(false);
  const [range, setRange] = useState<Span>("24h");
  const [picked, setPicked] = useState("");
  const lately = useHappenings(rule);
  const options = useSubjects(rule, lately);
  const kind = kindOf(rule);
  const [busiest, setBusiest] = useState("");
  const about = picked || busiest || lately[0]?.subject.id || "";
  const { answer, error, busy } = useBacktest(rule, range, about, on);
  // The subject with the most firings is looked at first.
  const top = answer && (bySubject(answer.rule.firings)[0]?.id ?? bySubject(answer.saved?.firings ?? [])[0]?.id);
  useEffect(() => {
    if (top && !busiest) setBusiest(top);
  }, [top, busiest]);
  return (
    <Card
      id="backtest"
      class="bt-card"
      title={<Head tag="Backtest" text="What it would have done, with what is stored; nothing is sent" />}
      actions={on && <Seg label="How far back" value={range} options={spans} onChange={setRange} />}
    >
      {!on ? (
        <div class="row wrap">
          <p class="dim2 sp">
            Plays the stored changes through this rule as it stands here
            {saved && dirty ? ", and through the saved one to compare" : ""}. It goes on while you edit.
          </p>
          <Button icon="play" onClick={() => setOn(true)}>
            Run the backtest
          </Button>
        </div>
      ) : (
        <div class="col bt" aria-busy={busy}>
          {error instanceof ApiError && error.problems.length > 0 ? (
            <div class="rl-note warn" role="status">
              <Icon name="alert" size={15} />
              <span>It is played again as soon as what is wrong with the rule is mended: {visible(error.problems[0]?.message ?? "")}</span>
            </div>
          ) : (
            error !== undefined && <ErrorBox error={error} doing="The backtest" />
          )}
          {!answer && !error && <Skeleton height={120} />}
          {answer && (
            <>
              <Headline b={answer} range={range} saved={saved} />
              {answer.diff && <Difference b={answer} pick={setPicked} />}
              <Funnel b={answer} />
              <div class="bt-about">
                <Combobox label={kindNames[kind]} value={about} options={options} onChange={setPicked} />
                <div class="rl-chips" role="group" aria-label="Where it fired most">
                  {bySubject(answer.rule.firings)
                    .slice(0, 5)
                    .map((s) => (
                      <button key={s.id} type="button" class="rl-chip" aria-pressed={s.id === about} onClick={() => setPicked(s.id)}>
                        {visible(s.id)} <b class="num">{s.n}</b>
                      </button>
                    ))}
                </div>
              </div>
              {about && <Lanes b={answer} about={about} system={kind === "group" ? "" : (about.split(":")[0] ?? "")} range={range} />}
              <Notes b={answer} />
            </>
          )}
        </div>
      )}
    </Card>
  );
}

function Headline({ b, range, saved }: { b: Answer; range: Span; saved: boolean }) {
  const more = b.rule.fired - (b.saved?.fired ?? 0);
  return (
    <div aria-live="polite">
      <p class="bt-head">
        It would have fired <b class="num">{times(b.rule.fired)}</b> in {words[range]}
        {b.rule.recovered > 0 && <span class="dim2"> and told of {plural(b.rule.recovered, "recovery", "recoveries")}</span>}.
      </p>
      {b.saved ? (
        <p class="dim2">
          The saved rule would have fired {times(b.saved.fired)}:{" "}
          {more === 0 ? "as many" : `${Math.abs(more)} ${more > 0 ? "more" : "fewer"} now`}.
        </p>
      ) : (
        <p class="dim small">
          {saved ? "This is the rule as it is saved. Change it, and both are compared." : "There is no saved rule to compare with."}
        </p>
      )}
    </div>
  );
}

const most = 12;

/** The firings that the edit adds, removes or moves. */
function Difference({ b, pick }: { b: Answer; pick: (id: string) => void }) {
  const d = b.diff;
  if (!d) return null;
  const rows: [string, string, BacktestFiring][] = [
    ...(d.added ?? []).map((f): [string, string, BacktestFiring] => ["+", "only as edited", f]),
    ...(d.removed ?? []).map((f): [string, string, BacktestFiring] => ["−", "only as saved", f]),
    ...(d.moved ?? []).map((f): [string, string, BacktestFiring] => ["~", "at another time", f]),
  ].sort(([, , x], [, , y]) => at(y.at) - at(x.at));
  if (rows.length === 0) return <p class="dim2">Both fire at the same times: {count(d.same)} the same.</p>;
  return (
    <section>
      <h3>
        Difference{" "}
        <span class="dim">
          {plural(d.added?.length ?? 0, "firing")} more, {d.removed?.length ?? 0} fewer, {d.moved?.length ?? 0} moved, {count(d.same)} the
          same
        </span>
      </h3>
      <ul class="bt-diff">
        {rows.slice(0, most).map(([mark, what, f], i) => (
          <li key={`${mark}${f.at}${f.subject.id}${i}`} class={mark === "+" ? "more" : mark === "−" ? "less" : undefined}>
            <b aria-hidden="true">{mark}</b>
            <span class="bt-what">{what}</span>
            <Time at={f.at} />
            <button type="button" class="link" onClick={() => pick(f.subject.id)}>
              {visible(f.subject.id)}
            </button>
            <span class="dim2">
              {f.recovery ? "recovery" : ""}
              {f.was && (
                <>
                  {" "}
                  was at <Time at={f.was} />
                </>
              )}
            </span>
          </li>
        ))}
      </ul>
      {rows.length > most && <p class="dim small">and {count(rows.length - most)} more</p>}
    </section>
  );
}

const verdictAt = (s: BacktestStage) =>
  s.verdict === "fire" || s.verdict === "recover"
    ? verdictNames[s.verdict]
    : `${verdictNames[s.verdict]}: ${stageNames[s.stage].toLowerCase()}`;

/** Where its decisions ended. */
function Funnel({ b }: { b: Answer }) {
  const stages = b.rule.stages ?? [];
  const all = stages.reduce((sum, s) => sum + s.count, 0);
  if (all === 0)
    return (
      <p class="dim2">
        {b.changes === 0 && !b.runs ? "Nothing is stored of this time." : `It looked at none of ${plural(b.changes, "change")}.`}
      </p>
    );
  return (
    <section>
      <h3>
        {plural(all, "decision")}{" "}
        <span class="dim">
          on {plural(b.changes, "stored change")}
          {b.runs ? ` and ${plural(b.runs, "run")}` : ""}
        </span>
      </h3>
      <ul class="bt-funnel">
        {stages.map((s) => (
          <li key={`${s.stage} ${s.verdict}`}>
            <span>{verdictAt(s)}</span>
            <span class="meter" aria-hidden="true">
              <i class={`v-${s.verdict}`} style={{ width: `max(2px, ${(100 * s.count) / all}%)` }} />
            </span>
            <b class="num">{count(s.count)}</b>
          </li>
        ))}
      </ul>
    </section>
  );
}

/** Every stage of one subject over time. */
function Lanes({ b, about, system, range }: { b: Answer; about: string; system: string; range: Span }) {
  const health = useResource<SpanSeries>(system ? `${system} ${range}` : null, (signal) =>
    api.get(`/systems/${seg(system)}/timeline?range=${range}`, { signal }),
  );
  const [under, setUnder] = useState<{ lane: string; text: string }>();
  const from = at(b.from);
  const to = at(b.to);
  const today = new Date(to);
  const mine = (list: BacktestFiring[] | undefined) => (list ?? []).filter((f) => f.subject.id === about);
  const known: LaneSpan[] = (health.data?.spans ?? [])
    .filter((s) => at(s.to) > from)
    .map((s) => ({
      from: Math.max(from, at(s.from)),
      to: Math.min(to, at(s.to)),
      fill: `f-${s.health}`,
      height: laneHeight[s.health],
      hatch: s.health === "stale" || s.health === "unknown",
      text: `${instant(new Date(at(s.from)), today)} for ${span(at(s.to) - at(s.from))}: ${healthNames[s.health]}${s.health === "unknown" ? ", no data, not evaluated" : ""}`,
    }));
  const all = [
    ...(system ? [{ name: "Health", spans: known }] : []),
    ...lanes(b.rule, mine(b.rule.firings), from, to),
    ...(b.saved ? [{ name: "Fired as saved", spans: fired(mine(b.saved.firings), from, to) }] : []),
  ];
  const ticks = [0, 0.25, 0.5, 0.75].map((share) => instant(new Date(from + (to - from) * share), today, range === "1h"));
  return (
    <section aria-label={`What it decided about ${about}, over time`}>
      <div class="bt-lanes">
        {all.map((l) => (
          <div class="lane" key={l.name}>
            <span>{l.name}</span>
            <Lane
              label={`${l.name} of ${about}`}
              spans={l.spans}
              from={from}
              to={to}
              height={22}
              onPick={(s) => setUnder(s && { lane: l.name, text: s.text })}
              empty={<div class="bt-none">{l.name.startsWith("Fired") ? "never" : "–"}</div>}
            />
          </div>
        ))}
        <div class="lane bt-axis" title={zone}>
          <span />
          <div class="axis">
            {ticks.map((t, i) => (
              <span key={i} class="num">
                {t}
              </span>
            ))}
            <span>now</span>
          </div>
        </div>
      </div>
      <p class="bt-under dim2" aria-hidden="true">
        {under ? `${under.lane}: ${visible(under.text)}` : <span class="dim">Point at a lane, or use the arrow keys, to see why.</span>}
      </p>
      {(b.rule.decisions ?? []).length === 0 && (
        <Empty title={`It decides nothing about ${about}`}>None of its changes in this time is one that the rule looks at.</Empty>
      )}
    </section>
  );
}

/** What is not known of the past. */
function Notes({ b }: { b: Answer }) {
  const notes = b.notes ?? [];
  if (notes.length === 0) return null;
  return (
    <ul class="bt-notes">
      {notes.map((n) => (
        <li key={n}>
          <Icon name="info" size={14} /> <span>{visible(n)}</span>
        </li>
      ))}
    </ul>
  );
}
