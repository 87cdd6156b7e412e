// One rule, from the change it looks at to what it sends.

import { useCallback, useEffect, useMemo, useRef, useState } from "preact/hooks";
import type { ExprReport, Problem, Rule, Stored, Trigger, Validated } from "../../api.gen";
import { ApiError, aborted, api, can, seg } from "../../lib/api";
import { count, plural } from "../../lib/format";
import { modKey, useKeys } from "../../lib/keys";
import { useResource } from "../../lib/resource";
import { guard, navigate, to } from "../../lib/router";
import { edits, offlineReason } from "../../live";
import { Page } from "../../shell/Page";
import { Ago, Button, Card, Diagnostics, ErrorBox, Icon, Menu, Pill, Select, Skeleton, Switch, TextArea, TextField, toast } from "../../ui";
import { Backtest } from "./Backtest";
import { Conflict } from "./Conflict";
import { DeleteRule } from "./Delete";
import { type Envs, ExprField, useEnvs } from "./ExprField";
import { GateCard, Head } from "./GateCard";
import { Latest } from "./Latest";
import { Templates } from "./List";
import {
  canonical,
  type Draft,
  dropDraft,
  elsewhere,
  events,
  formGate,
  type GateForm,
  gateForm,
  idFrom,
  keepDraft,
  loadDraft,
  ofRuns,
  same,
  subjectOf,
  subjects,
  templates,
  triggerWords,
  under,
} from "./model";
import { Preview } from "./Preview";
import { StepCards } from "./StepCards";
import { formStep, type StepForm, stepForm, stepProblems } from "./steps";

/** The rule as the form holds it. */
interface Form {
  rule: Omit<Rule, "gate" | "do" | "recover">;
  gate: GateForm;
  steps: StepForm[];
  recover: StepForm[];
}

const formOf = (rule: Rule): Form => ({
  rule: { ...rule, on: rule.on ?? [] },
  gate: gateForm(rule.gate),
  steps: (rule.do ?? []).map(stepForm),
  recover: (rule.recover ?? []).map(stepForm),
});

const ruleOf = (form: Form): Rule =>
  canonical({ ...form.rule, gate: formGate(form.gate), do: form.steps.map(formStep), recover: form.recover.map(formStep) } as Rule);

const emptyRule: Rule = { id: "", on: [{ event: "health.changed" }], do: [] };

/** What is wrong with a form before the server is asked. */
function localProblems(form: Form): Problem[] {
  const of = (steps: StepForm[], path: string) =>
    steps.flatMap((s, i) => stepProblems(s).map((p) => ({ ...p, path: `${path}[${i}].${p.path}` })));
  return [...of(form.steps, "do"), ...of(form.recover, "recover")];
}

/** Fetches the rule, or begins a new one, and then shows its form. */
export function Edit({ id, template }: { id: string; template: string }) {
  const stored = useResource(id ? `rule ${id}` : null, (signal) => api.get<Stored<Rule>>(`/rules/${seg(id)}`, { signal }));
  const crumbs = [{ text: "Rules", href: to.rules() }];
  if (!id && !template && !loadDraft(localStorage, ""))
    return (
      <Page title="New rule" crumbs={crumbs}>
        <h1>Begin with</h1>
        <Templates />
      </Page>
    );
  if (id && stored.error && !stored.data)
    return (
      <Page title={id} crumbs={crumbs}>
        <ErrorBox error={stored.error} doing={`Loading ${id}`} retry={stored.reload} />
        <p>
          <a class="link" href={to.rules()}>
            All rules
          </a>
        </p>
      </Page>
    );
  if (id && !stored.data)
    return (
      <Page title={id} crumbs={crumbs}>
        <Waiting />
      </Page>
    );
  const begin = id ? undefined : (templates.find((t) => t.id === template)?.rule ?? emptyRule);
  return <Editing key={`${id}@${template}`} stored={stored.data} begin={begin ?? emptyRule} adopt={stored.set} />;
}

interface EditingProps {
  /** The rule as it is stored; undefined for a new one. */
  stored: Stored<Rule> | undefined;
  begin: Rule;
  /** Take a newer stored version as the base. */
  adopt: (stored: Stored<Rule>) => void;
}

function Editing({ stored, begin, adopt }: EditingProps) {
  const id = stored?.object.id ?? "";
  const base = stored?.object ?? begin;
  const version = stored?.version ?? 0;
  const [restored, setRestored] = useState<Draft | null>(() => {
    const draft = loadDraft(localStorage, id);
    return draft && (!stored || !same(draft.rule, stored.object)) ? draft : null;
  });
  const [form, setForm] = useState<Form>(() => formOf(restored?.rule ?? base));
  const [saving, setSaving] = useState(false);
  const [problems, setProblems] = useState<Problem[]>([]);
  const [failed, setFailed] = useState<unknown>();
  const [theirs, setTheirs] = useState<Stored<Rule> | null>(null);
  const [basis, setBasis] = useState(restored && stored ? restored.base : version);
  const [deleting, setDeleting] = useState(false);
  const [matches, setMatches] = useState<ExprReport | null>(null);
  const readOnly = !can("editor");
  const envs = useEnvs(["when", "step"]);

  const rule = useMemo(() => ruleOf(form), [form]);
  const dirty = stored ? !same(rule, stored.object) : true;
  const touched = stored ? dirty : !same(rule, begin) || restored !== null;
  const name = form.rule.name || form.rule.id || "New rule";

  useDraft(id, rule, basis, touched && !readOnly);
  useLeaving(
    touched && !saving && !readOnly
      ? `Your changes to ${name} are kept in this browser as a draft, and are not saved on the server.`
      : undefined,
  );
  const judged = useValidation(rule, problems.length > 0 ? setProblems : undefined, form);

  const change = useCallback((fields: Partial<Form>) => setForm((was) => ({ ...was, ...fields })), []);
  const put = (fields: Partial<Rule>) => setForm((was) => ({ ...was, rule: { ...was.rule, ...fields } }));

  const saved = (fresh: Stored<Rule>) => {
    dropDraft(localStorage, id);
    setRestored(null);
    toast(`${fresh.object.name || fresh.object.id} is saved as version ${fresh.version}`);
    if (!stored) return navigate(to.rule(fresh.object.id), { force: true, replace: true });
    adopt(fresh);
    setBasis(fresh.version);
    setForm(formOf(fresh.object));
  };

  const refused = async (err: unknown) => {
    if (err instanceof ApiError && err.conflict && stored) {
      setTheirs(await api.get<Stored<Rule>>(`/rules/${seg(id)}`));
    } else if (err instanceof ApiError && err.problems.length > 0) {
      setProblems(err.problems);
      requestAnimationFrame(() =>
        document
          .querySelector(".rl-edit [aria-invalid=true], .rl-edit .ex-box.bad, .rl-edit .err")
          ?.scrollIntoView({ block: "center", behavior: "smooth" }),
      );
    } else setFailed(err);
  };

  const save = async (over?: number) => {
    const local = localProblems(form);
    if (local.length > 0) return setProblems(local);
    setSaving(true);
    setFailed(undefined);
    setProblems([]);
    try {
      saved(
        stored
          ? await api.put<Stored<Rule>>(`/rules/${seg(id)}`, rule, { version: over ?? basis })
          : await api.post<Stored<Rule>>("/rules", rule),
      );
    } catch (err) {
      await refused(err).catch(setFailed);
    } finally {
      setSaving(false);
    }
  };

  const discard = (to?: Stored<Rule>) => {
    dropDraft(localStorage, id);
    setRestored(null);
    setProblems([]);
    setTheirs(null);
    if (to) adopt(to);
    setBasis(to?.version ?? version);
    setForm(formOf(to?.object ?? base));
  };

  const why = readOnly
    ? "You may look, not edit: this needs the role editor"
    : (offlineReason() ?? (stored && !dirty ? "Nothing has changed" : !rule.id ? "Give it a name first" : undefined));
  useKeys({ "Mod+s": () => !why && !saving && void save() });

  return (
    <Page title={name} crumbs={[{ text: "Rules", href: to.rules() }]} class="rl-edit">
      <Top form={form} put={put} stored={stored} dirty={dirty} readOnly={readOnly} problems={problems}>
        {stored && (
          <>
            <Button icon="play" onClick={() => document.getElementById("backtest")?.scrollIntoView({ block: "start" })}>
              Backtest
            </Button>
            <Button icon="activity" href={to.trace(id)}>
              Trace
            </Button>
          </>
        )}
        {stored && touched && !readOnly && <Button onClick={() => discard()}>Discard</Button>}
        {!readOnly && (
          <Button kind="primary" busy={saving} disabled={!!why} title={why ?? `${modKey} S`} onClick={() => save()}>
            {stored ? `Save as v${version + 1}` : "Create rule"}
          </Button>
        )}
        {stored && !readOnly && (
          <Menu
            kind="ghost"
            icon="more"
            label="More"
            end
            items={[{ label: "Delete", icon: "trash", danger: true, disabled: !!offlineReason(), run: () => setDeleting(true) }]}
          />
        )}
      </Top>
      <Notices
        restored={restored}
        stored={stored}
        basis={basis}
        failed={failed}
        problems={elsewhere(problems)}
        onDiscard={() => discard()}
        onCompare={() => setTheirs(stored ?? null)}
        id={id}
        adoptNews={refetchWhenEdited}
      />
      <div class="rl-two">
        <div class="rl-col">
          <WhenCard form={form} put={put} envs={envs} matches={matches} onReport={setMatches} problems={problems} readOnly={readOnly} />
          <GateCard
            gate={form.gate}
            onChange={(gate) => change({ gate })}
            envs={envs}
            words={judged.words}
            problems={problems.length > 0 ? problems : judged.gate}
            readOnly={readOnly}
          />
          <UnlessCard
            value={form.rule.unless ?? ""}
            onInput={(unless) => put({ unless })}
            envs={envs}
            problems={under(problems, "unless")}
            readOnly={readOnly}
          />
          <Card title={<Head tag="Then" text={form.steps.length > 0 ? plural(form.steps.length, "step") : "nothing yet"} />}>
            {problems
              .filter((p) => p.path === "do")
              .map((p) => (
                <p class="err" key={p.message}>
                  {p.message}
                </p>
              ))}
            <StepCards
              steps={form.steps}
              onChange={(steps) => change({ steps })}
              path="do"
              envs={envs}
              problems={problems}
              readOnly={readOnly}
              empty="It decides and is traced, and sends nothing."
            />
          </Card>
          <Card
            title={
              <Head
                tag="Recover"
                text={form.recover.length > 0 ? `${plural(form.recover.length, "step")}, once, when it is over` : "nothing when it is over"}
              />
            }
          >
            <StepCards
              steps={form.recover}
              onChange={(recover) => change({ recover })}
              path="recover"
              envs={envs}
              problems={problems}
              readOnly={readOnly}
              empty="Add a step to say that a problem which was told is over. It runs exactly once for each."
            />
          </Card>
          <MoreCard form={form} put={put} problems={problems} readOnly={readOnly} isNew={!stored} />
          <Backtest rule={rule} saved={!!stored} dirty={dirty} />
        </div>
        <aside class="rl-col" aria-label="What it does now">
          {touched && <Preview rule={rule} />}
          {stored ? <Latest id={id} disabled={!!stored.object.disabled} /> : <Begin />}
        </aside>
      </div>
      {theirs && stored && (
        <Conflict
          mine={rule}
          theirs={theirs}
          busy={saving}
          onClose={() => setTheirs(null)}
          onTheirs={() => discard(theirs)}
          onMine={() => {
            const over = theirs.version;
            setTheirs(null);
            adopt(theirs);
            setBasis(over);
            void save(over);
          }}
        />
      )}
      {deleting && stored && (
        <DeleteRule
          rule={stored.object}
          version={version}
          open={0}
          onClose={() => setDeleting(false)}
          onGone={() => {
            dropDraft(localStorage, id);
            navigate(to.rules(), { force: true });
          }}
        />
      )}
    </Page>
  );
}

/** Keeps what is typed, so that a closed tab loses nothing. */
function useDraft(id: string, rule: Rule, base: number, on: boolean): void {
  useEffect(() => {
    if (!on) return;
    const timer = setTimeout(() => keepDraft(localStorage, id, { rule, base, at: Date.now() }), 300);
    return () => clearTimeout(timer);
  }, [id, rule, base, on]);
}

/** Asks before the page is left while there is something to lose. */
function useLeaving(loss: string | undefined): void {
  const latest = useRef(loss);
  latest.current = loss;
  useEffect(() => guard(() => latest.current), []);
}

interface Judged {
  /** The gate in words, null while it is on the way. */
  words: string | null;
  /** What is wrong with the gate, while it is typed. */
  gate: Problem[];
}

/** Asks the server what it thinks of the whole rule, half a second after the newest edit. */
function useValidation(rule: Rule, retell: ((problems: Problem[]) => void) | undefined, form: Form): Judged {
  const [judged, setJudged] = useState<Judged>({ words: null, gate: [] });
  const tell = useRef(retell);
  tell.current = retell;
  const text = JSON.stringify(rule);
  // biome-ignore lint/correctness/useExhaustiveDependencies: the text says all of the rule
  useEffect(() => {
    const abort = new AbortController();
    const timer = setTimeout(async () => {
      try {
        const v = await api.post<Validated>("/rules/validate", { ...rule, id: rule.id || "new" }, { signal: abort.signal });
        const found = v.problems ?? [];
        setJudged({ words: v.gate ?? "", gate: under(found, "gate") });
        // After a refused save the marks follow what is mended.
        tell.current?.([...localProblems(form), ...found]);
      } catch (err) {
        if (!aborted(err)) setJudged((was) => ({ ...was, words: was.words ?? "" }));
      }
    }, 400);
    return () => {
      abort.abort();
      clearTimeout(timer);
    };
  }, [text]);
  return judged;
}

/** Calls back when somebody has saved something while this page is open. */
function refetchWhenEdited(id: string, current: number, news: (stored: Stored<Rule>) => void): () => void {
  const abort = new AbortController();
  api.get<Stored<Rule>>(`/rules/${seg(id)}`, { signal: abort.signal }).then(
    (s) => s.version !== current && news(s),
    () => {
      // A rule that is gone or unreachable is told when it is saved.
    },
  );
  return () => abort.abort();
}

interface TopProps {
  form: Form;
  put: (fields: Partial<Rule>) => void;
  stored: Stored<Rule> | undefined;
  dirty: boolean;
  readOnly: boolean;
  problems: Problem[];
  children: preact.ComponentChildren;
}

function Top({ form, put, stored, dirty, readOnly, problems, children }: TopProps) {
  const r = form.rule;
  const auto = !stored && (r.id === "" || r.id === idFrom(r.name ?? ""));
  const wrong = [...under(problems, "id"), ...under(problems, "name"), ...under(problems, "metadata.name")];
  return (
    <header class="rl-top">
      <Icon name="zap" size={20} />
      <div class="rl-naming">
        <input
          class="rl-title"
          aria-label="Name of the rule"
          placeholder="Name of the rule"
          value={r.name ?? ""}
          readOnly={readOnly}
          aria-invalid={wrong.length > 0 || undefined}
          onInput={(e) => put(auto ? { name: e.currentTarget.value, id: idFrom(e.currentTarget.value) } : { name: e.currentTarget.value })}
        />
        <div class="row wrap dim small">
          <Switch label={r.disabled ? "Off" : "On"} on={!r.disabled} disabled={readOnly} onChange={(on) => put({ disabled: !on })} />
          {stored ? (
            <span>
              v{stored.version}, edited {stored.by ? `by ${stored.by} ` : ""}
              <Ago at={stored.updated} /> ago
            </span>
          ) : (
            <label class="row">
              id{" "}
              <input
                class="in mono rl-id"
                value={r.id}
                placeholder="page-on-outage"
                spellcheck={false}
                onInput={(e) => put({ id: e.currentTarget.value.trim() })}
              />
            </label>
          )}
          {stored && <span class="mono">{r.id}</span>}
          {stored && dirty && <Pill kind="accent">not saved</Pill>}
        </div>
        {wrong.map((p) => (
          <p class="err" key={p.message}>
            <Icon name="alert" size={14} /> {p.message}
            {p.fix ? `; ${p.fix}` : ""}
          </p>
        ))}
      </div>
      <span class="sp" />
      <div class="row wrap rl-do">{children}</div>
    </header>
  );
}

interface NoticesProps {
  restored: Draft | null;
  stored: Stored<Rule> | undefined;
  basis: number;
  failed: unknown;
  problems: Problem[];
  id: string;
  onDiscard: () => void;
  onCompare: () => void;
  adoptNews: typeof refetchWhenEdited;
}

/** What the person must know before going on. */
function Notices({ restored, stored, basis, failed, problems, id, onDiscard, onCompare, adoptNews }: NoticesProps) {
  const [news, setNews] = useState<Stored<Rule> | null>(null);
  const edited = edits.value;
  // biome-ignore lint/correctness/useExhaustiveDependencies: each edit of anybody may be one of this rule
  useEffect(() => {
    setNews(null);
    return id && edited > 0 ? adoptNews(id, stored?.version ?? 0, setNews) : undefined;
  }, [edited, id, stored?.version]);
  const behind = restored && stored && basis !== stored.version;
  return (
    <>
      <ErrorBox error={failed} doing="Saving" />
      {problems.length > 0 && <Diagnostics problems={problems} />}
      {restored && !behind && (
        <div class="rl-note">
          <Icon name="file" size={15} />
          <span>
            This is the draft that you left <Ago at={restored.at} /> ago.
          </span>
          <Button small onClick={onDiscard}>
            Discard it
          </Button>
        </div>
      )}
      {behind && (
        <div class="rl-note warn">
          <Icon name="alert" size={15} />
          <span>
            Your draft was begun on v{basis}. {stored.by || "Somebody"} saved v{stored.version} since.
          </span>
          <Button small onClick={onCompare}>
            Compare
          </Button>
        </div>
      )}
      {news && (
        <div class="rl-note warn">
          <Icon name="alert" size={15} />
          <span>
            {news.by || "Somebody"} saved v{news.version} while you were here. Saving will show the difference first.
          </span>
        </div>
      )}
    </>
  );
}

interface PartProps {
  form: Form;
  put: (fields: Partial<Rule>) => void;
  problems: Problem[];
  readOnly: boolean;
}

function WhenCard({
  form,
  put,
  envs,
  matches,
  onReport,
  problems,
  readOnly,
}: PartProps & { envs: Envs; matches: ExprReport | null; onReport: (r: ExprReport | null) => void }) {
  const on = form.rule.on;
  const set = (i: number, fields: Partial<Trigger>) => put({ on: on.map((t, k) => (k === i ? { ...t, ...fields } : t)) });
  const when = form.rule.when ?? "";
  const insert = (text: string) => put({ when: when.trim() ? `${when.trim()} && ${text}` : text });
  return (
    <Card title={<Head tag="When" text={on.map(triggerWords).join(", or ")} />} actions={<Matches report={matches} />}>
      <div class="col">
        {on.map((t, i) => (
          <div class="wn-trigger" key={i}>
            <select
              class="in"
              aria-label={`What trigger ${i + 1} looks at`}
              value={subjectOf(t)}
              disabled={readOnly || ofRuns(t)}
              onChange={(e) => set(i, { subject: e.currentTarget.value as Trigger["subject"] })}
            >
              {subjects.map(([value, text]) => (
                <option key={value} value={value}>
                  {text}
                </option>
              ))}
            </select>
            <select
              class="in"
              aria-label={`What must happen for trigger ${i + 1}`}
              value={t.event}
              disabled={readOnly}
              onChange={(e) => put({ on: on.map((was, k) => (k === i ? eventOf(was, e.currentTarget.value) : was)) })}
            >
              {!events.some(([value]) => value === t.event) && <option value={t.event}>{t.event}</option>}
              {events.map(([value, text]) => (
                <option key={value} value={value}>
                  {text}
                </option>
              ))}
            </select>
            {on.length > 1 && !readOnly && (
              <Button
                small
                kind="ghost"
                icon="x"
                label={`Remove trigger ${i + 1}`}
                onClick={() => put({ on: on.filter((_, k) => k !== i) })}
              />
            )}
            {t.event === "metric" && (
              <MetricFields t={t} at={i} set={(fields) => set(i, fields)} envs={envs} problems={problems} readOnly={readOnly} />
            )}
            {(on.length > 1 || t.when) && (
              <ExprField
                label={`Condition of trigger ${i + 1}`}
                quiet
                value={t.when ?? ""}
                onInput={(v) => set(i, { when: v })}
                where="trigger"
                envs={envs}
                placeholder="and only if…"
                multiline={false}
                problems={under(problems, `on[${i}].when`)}
                readOnly={readOnly}
              />
            )}
            {under(problems, `on[${i}]`)
              .filter((p) => !/\.(when|value|above|below|clear)$/.test(p.path ?? ""))
              .map((p) => (
                <span class="err" key={p.message}>
                  {p.message}
                </span>
              ))}
          </div>
        ))}
        {problems
          .filter((p) => p.path === "on")
          .map((p) => (
            <span class="err" key={p.message}>
              {p.message}
            </span>
          ))}
        <ExprField
          label="Condition"
          quiet
          value={when}
          onInput={(v) => put({ when: v })}
          where="when"
          envs={envs}
          placeholder={'every change; or for example to == "unhealthy" && system.tags.env == "prod"'}
          problems={under(problems, "when")}
          readOnly={readOnly}
          onReport={onReport}
        />
        {!readOnly && (
          <Chips
            label="Add to the condition"
            chips={['to == "unhealthy"', 'to in ["degraded", "unhealthy"]', 'system.tags.env == "prod"', "healthy_checks == 0"]}
            pick={insert}
            more={{ text: "another trigger", run: () => put({ on: [...on, { event: "health.recovered" }] }) }}
          />
        )}
      </div>
    </Card>
  );
}

/** A trigger with another event: what only a metric has is kept by no other. */
function eventOf(t: Trigger, event: string): Trigger {
  const { value, above, below, clear, ...rest } = t;
  const next = { ...rest, event };
  if (ofRuns(next) !== ofRuns(t)) next.subject = undefined;
  return event === "metric" ? { ...next, value, above: below === undefined ? (above ?? 0) : above, below, clear } : next;
}

/** The number that a trigger watches, and where it begins and ends. */
function MetricFields({
  t,
  at,
  set,
  envs,
  problems,
  readOnly,
}: {
  t: Trigger;
  at: number;
  set: (fields: Partial<Trigger>) => void;
  envs: Envs;
  problems: Problem[];
  readOnly: boolean;
}) {
  const less = t.below !== undefined;
  const number = (text: string) =>
    text.trim() === "" ? undefined : Number.isNaN(Number(text)) ? (text as unknown as number) : Number(text);
  const shown = (n: number | undefined) => (n === undefined ? "" : String(n));
  return (
    <div class="wn-metric">
      <ExprField
        label="Value"
        hint="A number of each run; a length of time counts in seconds."
        value={t.value ?? ""}
        onInput={(value) => set({ value })}
        where="trigger"
        as="any"
        envs={envs}
        placeholder="run.latency, or for example samples.messages"
        multiline={false}
        problems={under(problems, `on[${at}].value`)}
        readOnly={readOnly}
      />
      <Select
        label="It begins when it is"
        value={less ? "below" : "above"}
        options={[
          ["above", "more than"],
          ["below", "less than"],
        ]}
        disabled={readOnly}
        onChange={(to) =>
          set(to === "below" ? { above: undefined, below: t.above ?? t.below ?? 0 } : { above: t.below ?? t.above ?? 0, below: undefined })
        }
      />
      <TextField
        label="Limit"
        value={shown(less ? t.below : t.above)}
        inputMode="decimal"
        readOnly={readOnly}
        error={under(problems, `on[${at}].${less ? "below" : "above"}`)}
        onInput={(v) => set(less ? { below: number(v) } : { above: number(v) })}
      />
      <TextField
        label="It ends at"
        value={shown(t.clear)}
        placeholder={shown(less ? t.below : t.above) || "the limit"}
        inputMode="decimal"
        readOnly={readOnly}
        error={under(problems, `on[${at}].clear`)}
        onInput={(v) => set({ clear: number(v) })}
      />
    </div>
  );
}

function Matches({ report }: { report: ExprReport | null }) {
  if (report?.matches === undefined || report.matches === null) return null;
  return (
    <span class="dim num">
      matches <b class="rl-strong">{count(report.matches)}</b> of {plural(report.systems, "system")} now
    </span>
  );
}

function Chips({
  label,
  chips,
  pick,
  more,
}: {
  label: string;
  chips: string[];
  pick: (text: string) => void;
  more?: { text: string; run: () => void };
}) {
  return (
    <div class="rl-chips" role="group" aria-label={label}>
      {chips.map((c) => (
        <button type="button" key={c} class="rl-chip" onClick={() => pick(c)}>
          <Icon name="plus" size={12} />
          <code>{c}</code>
        </button>
      ))}
      {more && (
        <button type="button" class="rl-chip" onClick={more.run}>
          <Icon name="plus" size={12} /> {more.text}
        </button>
      )}
    </div>
  );
}

function UnlessCard({
  value,
  onInput,
  envs,
  problems,
  readOnly,
}: {
  value: string;
  onInput: (v: string) => void;
  envs: Envs;
  problems: Problem[];
  readOnly: boolean;
}) {
  const add = (text: string) => onInput(value.trim() ? `${value.trim()} || ${text}` : text);
  return (
    <Card title={<Head tag="Unless" text={value.trim() ? "hold back while this is true" : "never held back"} />}>
      <div class="col">
        <ExprField
          label="Unless"
          quiet
          value={value}
          onInput={onInput}
          where="unless"
          envs={envs}
          placeholder="for example in_maintenance || silenced"
          multiline={false}
          problems={problems}
          readOnly={readOnly}
          hint="What is held back is not forgotten: it is offered again when this becomes false."
        />
        {!readOnly && (
          <Chips
            label="Add to unless"
            chips={["in_maintenance", "silenced", "caused_by != nil"].filter((c) => !value.includes(c))}
            pick={add}
          />
        )}
      </div>
    </Card>
  );
}

const modes = [
  ["single", "One at a time; others are dropped"],
  ["queued", "One after another, in a queue"],
  ["restart", "The newest cancels the one before"],
  ["parallel", "Side by side"],
] as const;

function MoreCard({ form, put, problems, readOnly }: PartProps & { isNew: boolean }) {
  const r = form.rule;
  const bounded = r.mode === "queued" || r.mode === "parallel";
  return (
    <Card title={<Head tag="Mode" text="when it fires while it is still at work" />}>
      <div class="col">
        <div class="gt-more">
          <Select
            label="Firings of one partition run"
            value={(r.mode || "single") as (typeof modes)[number][0]}
            options={modes}
            disabled={readOnly}
            error={under(problems, "mode")}
            onChange={(mode) => put({ mode })}
          />
          {bounded && (
            <TextField
              label="At most"
              value={r.max ? String(r.max) : ""}
              placeholder="10"
              inputMode="numeric"
              error={under(problems, "max")}
              readOnly={readOnly}
              onInput={(v) => put({ max: Number.parseInt(v, 10) || undefined })}
            />
          )}
        </div>
        <TextArea
          label="Note"
          rows={2}
          value={r.note ?? ""}
          placeholder="For people: why this rule exists, or a link to the runbook"
          readOnly={readOnly}
          error={under(problems, "note")}
          onInput={(note) => put({ note })}
        />
      </div>
    </Card>
  );
}

/** Beside a rule that is not saved yet. */
function Begin() {
  return (
    <Card title="After you create it">
      <ul class="rl-steps">
        <li>It looks at every change from then on, not at the past.</li>
        <li>Each decision is kept with its reason: the trace says why it fired, and why it did not.</li>
        <li>What it sends is kept until it is delivered, and can be sent again.</li>
      </ul>
    </Card>
  );
}

function Waiting() {
  return (
    <div class="rl-two" role="status" aria-label="Loading">
      <div class="rl-col">
        {[96, 190, 90].map((h) => (
          <Card key={h}>
            <Skeleton width="40%" height={14} />
            <Skeleton height={h} />
          </Card>
        ))}
      </div>
      <Card>
        <Skeleton height={180} />
      </Card>
    </div>
  );
}
