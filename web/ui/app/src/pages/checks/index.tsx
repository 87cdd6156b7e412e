// One check: what it asks, of whom, how often, and what must hold.

import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import type { Check, CollectorInfo, ExprEnv, ModuleItem, Page as Paged, Problem, Sampling, Stored } from "../../api.gen";
import { ApiError, api, can, query, seg } from "../../lib/api";
import { plural } from "../../lib/format";
import { modKey, useKeys } from "../../lib/keys";
import { useResource } from "../../lib/resource";
import { guard, navigate, type PageProps, to } from "../../lib/router";
import { offlineReason } from "../../live";
import { systemOptions } from "../../live/systems";
import { Page } from "../../shell/Page";
import { useFleet } from "../../shell/useFleet";
import {
  Ago,
  Button,
  Card,
  Combobox,
  Confirm,
  Diagnostics,
  ErrorBox,
  Icon,
  Menu,
  problemsAt,
  Seg,
  Select,
  SkeletonRows,
  TextArea,
  TextField,
  toast,
} from "../../ui";
import { Fields } from "../collectors/Fields";
import { type Property, properties } from "../collectors/schema";
import { intervals } from "../fleet/AddSystem";
import { slug } from "../fleet/create";
import { ExprField } from "../rules/ExprField";
import {
  type CheckForm,
  type Choice,
  checkForm,
  checkOf,
  choices,
  configOfStep,
  isModule,
  joinUse,
  pins,
  type StepForm,
  schemaOf,
  stepForm,
} from "./model";
import "./checks.css";

interface Loaded {
  stored?: Stored<Check>;
  choices: Choice[];
}

/** /checks/new?use=&system= and /checks/:id. */
export default function CheckPage({ route }: PageProps) {
  const given = route.segments[1] ?? "new";
  const id = given === "new" ? "" : given;
  const found = useResource<Loaded>(`check ${id}`, async (signal) => {
    const [stored, infos, modules] = await Promise.all([
      id ? api.get<Stored<Check>>(`/checks/${seg(id)}`, { signal }) : undefined,
      api.get<Paged<CollectorInfo>>("/collectors", { signal }),
      api.get<Paged<ModuleItem>>("/modules", { signal }),
    ]);
    return { stored, choices: choices(infos.items ?? [], modules.items ?? []) };
  });
  const title = id ? found.data?.stored?.object.name || id : "New check";
  return (
    <Page title={title} crumbs={[{ text: "Systems", href: "/" }]} class="ck">
      {found.error && !found.data && <ErrorBox error={found.error} doing={`Loading ${title}`} retry={found.reload} />}
      {!found.data && !found.error && (
        <Card title={title}>
          <SkeletonRows rows={8} />
        </Card>
      )}
      {found.data && (
        <Editing
          key={`${id} ${found.data.stored?.version ?? 0}`}
          loaded={found.data}
          use={route.query.get("use") ?? ""}
          system={route.query.get("system") ?? ""}
          saved={(stored) => found.set({ ...(found.data as Loaded), stored })}
        />
      )}
    </Page>
  );
}

function begin(use: string, system: string): Check {
  return { id: "", systems: system ? { names: [system] } : {}, every: "30s", collect: [{ use: use || "http" }] };
}

interface EditingProps {
  loaded: Loaded;
  use: string;
  system: string;
  saved: (stored: Stored<Check>) => void;
}

function Editing({ loaded, use, system, saved }: EditingProps) {
  const { stored } = loaded;
  const base = useMemo(() => stored?.object ?? begin(use, system), [stored, use, system]);
  const cache = useRef(new Map<string, Property[]>());
  const fieldsOf = (joined: string): Property[] => {
    const known = cache.current.get(joined);
    if (known) return known;
    const [collector = "", pin = ""] = joined.split("@");
    const all = properties(
      schemaOf(
        loaded.choices.find((c) => c.collector === collector),
        pin,
      ),
    );
    cache.current.set(joined, all);
    return all;
  };
  const [form, setForm] = useState<CheckForm>(() => checkForm(base, fieldsOf));
  const [busy, setBusy] = useState(false);
  const [problems, setProblems] = useState<Problem[]>([]);
  const [failed, setFailed] = useState<unknown>();
  const [deleting, setDeleting] = useState(false);
  const [tried, setTried] = useState(false);
  const readOnly = !can("editor");
  const { check, wrong } = checkOf(form, fieldsOf);
  const text = JSON.stringify(check);
  const began = useRef(text);
  const dirty = text !== began.current;
  const leaving = useRef(false);
  leaving.current = dirty && !busy && !readOnly;
  useEffect(() => guard(() => (leaving.current ? "What you changed of this check is not saved." : undefined)), []);
  useFleet();
  const put = (fields: Partial<CheckForm>) => setForm((was) => ({ ...was, ...fields }));
  const putStep = (i: number, fields: Partial<StepForm>) =>
    setForm((was) => ({ ...was, steps: was.steps.map((s, k) => (k === i ? { ...s, ...fields } : s)) }));
  const save = async (over?: number) => {
    setTried(true);
    if (Object.keys(wrong).length > 0) return;
    setBusy(true);
    setFailed(undefined);
    setProblems([]);
    try {
      const fresh = stored
        ? await api.put<Stored<Check>>(`/checks/${seg(check.id)}`, check, { version: over ?? stored.version })
        : await api.post<Stored<Check>>("/checks", check);
      toast(`${fresh.object.name || fresh.object.id} is saved`);
      leaving.current = false;
      if (!stored) navigate(to.check(fresh.object.id), { force: true, replace: true });
      else {
        saved(fresh);
        setBusy(false);
      }
    } catch (err) {
      if (err instanceof ApiError && err.problems.length > 0) setProblems(err.problems);
      else setFailed(err);
      setBusy(false);
    }
  };
  const overwrite = async () => {
    try {
      const theirs = await api.get<Stored<Check>>(`/checks/${seg(check.id)}`);
      await save(theirs.version);
    } catch (err) {
      setFailed(err);
    }
  };
  const no = readOnly
    ? "You may look, not edit: this needs the role editor"
    : (offlineReason() ?? (stored && !dirty ? "Nothing has changed" : !form.id ? "Give it a name first" : undefined));
  useKeys({ "Mod+s": () => !no && !busy && void save() });
  const known = ["id", "name", "systems", "every", "timeout", "policy", "collect"];
  const elsewhere = problems.filter((p) => !known.some((path) => problemsAt([p], path).length > 0));
  const auto = !stored && (form.id === "" || form.id === slugOf(form.name));
  const conflict = failed instanceof ApiError && failed.conflict;
  return (
    <>
      <header class="row wrap ck-head">
        <Icon name="check" size={20} />
        <div class="sp">
          <h1>{stored ? stored.object.name || stored.object.id : "New check"}</h1>
          {stored && (
            <p class="dim">
              <span class="mono">{stored.object.id}</span>, v{stored.version}, edited {stored.by ? `by ${stored.by} ` : ""}
              <Ago at={stored.updated} /> ago
            </p>
          )}
        </div>
        {!readOnly && (
          <Button kind="primary" busy={busy} disabled={!!no} title={no ?? `${modKey} S`} onClick={() => save()}>
            {stored ? "Save" : "Create check"}
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
      </header>
      {conflict ? (
        <div class="errbox" role="alert">
          <Icon name="alert" size={16} />
          <div class="sp">
            <b>Somebody saved it meanwhile</b>
            <div>Reload to see their version, or overwrite it with yours.</div>
          </div>
          <Button small kind="danger" onClick={overwrite}>
            Overwrite theirs
          </Button>
        </div>
      ) : (
        <ErrorBox error={failed} doing="Saving" />
      )}
      {elsewhere.length > 0 && <Diagnostics problems={elsewhere} />}
      <div class="ck-two">
        <div class="ck-col">
          {form.steps.map((step, i) => (
            <StepCard
              key={i}
              i={i}
              step={step}
              choices={loaded.choices}
              fieldsOf={fieldsOf}
              wrong={tried ? wrong : {}}
              problems={problems}
              only={form.steps.length === 1}
              readOnly={readOnly}
              put={(fields) => putStep(i, fields)}
              remove={() => put({ steps: form.steps.filter((_, k) => k !== i) })}
            />
          ))}
          {!readOnly && (
            <div>
              <Button icon="plus" onClick={() => put({ steps: [...form.steps, stepForm({ use: "http" }, fieldsOf("http"))] })}>
                Another step
              </Button>
            </div>
          )}
        </div>
        <aside class="ck-col" aria-label="Which systems and how often">
          <Card title="Check">
            <div class="col">
              <TextField
                label="Name"
                value={form.name}
                placeholder="Queue is short"
                readOnly={readOnly}
                error={problemsAt(problems, "name")}
                onInput={(name) => put(auto ? { name, id: slugOf(name) } : { name })}
              />
              {!stored && (
                <TextField label="Id" mono value={form.id} error={problemsAt(problems, "id")} onInput={(id) => put({ id: id.trim() })} />
              )}
            </div>
          </Card>
          <Card title="Systems" actions={<span class="dim small">{plural(form.systems.length, "named", "named")}</span>}>
            <div class="col">
              {!readOnly && (
                <Combobox
                  label="Add a system"
                  strict
                  value=""
                  placeholder="name or id"
                  options={systemOptions().filter((o) => !form.systems.includes(o.value))}
                  error={problemsAt(problems, "systems")[0]?.message}
                  onChange={(id) => id && !form.systems.includes(id) && put({ systems: [...form.systems, id] })}
                />
              )}
              {form.systems.length > 0 && (
                <ul class="row wrap" aria-label="Systems">
                  {form.systems.map((id) => (
                    <li class="tag ck-chip" key={id}>
                      {id}
                      {!readOnly && (
                        <button
                          type="button"
                          aria-label={`Remove ${id}`}
                          onClick={() => put({ systems: form.systems.filter((s) => s !== id) })}
                        >
                          <Icon name="x" size={12} />
                        </button>
                      )}
                    </li>
                  ))}
                </ul>
              )}
              <TextField
                label="And those that match"
                mono
                value={form.match}
                placeholder={'system.tags.env == "prod"'}
                readOnly={readOnly}
                error={problemsAt(problems, "systems.match")}
                onInput={(match) => put({ match })}
              />
            </div>
          </Card>
          <Card title="When">
            <div class="col">
              {!base.cron && (
                <div>
                  <Seg
                    label="Run it every"
                    value={form.every}
                    options={intervals.map(([v, t]) => [v as string, t] as const)}
                    onChange={(every) => put({ every })}
                  />
                </div>
              )}
              <div class="pair">
                {base.cron ? (
                  <div class="fld">
                    <span class="lb">Cron</span>
                    <code>{base.cron}</code>
                  </div>
                ) : (
                  <TextField
                    label="Every"
                    value={form.every}
                    readOnly={readOnly}
                    error={problemsAt(problems, "every")}
                    onInput={(every) => put({ every })}
                  />
                )}
                <TextField
                  label="Timeout"
                  value={form.timeout}
                  placeholder="10s"
                  readOnly={readOnly}
                  error={problemsAt(problems, "timeout")}
                  onInput={(timeout) => put({ timeout })}
                />
              </div>
            </div>
          </Card>
          <Card title="Health">
            <div class="ck-policy">
              {(
                [
                  ["degraded", "Degraded after", "2"],
                  ["unhealthy", "Unhealthy after", "5"],
                  ["healthy", "Healthy after", "1"],
                ] as const
              ).map(([key, label, usual]) => (
                <TextField
                  key={key}
                  label={label}
                  value={form[key]}
                  placeholder={usual}
                  inputMode="numeric"
                  readOnly={readOnly}
                  error={wrong[`policy.${key}`] ?? problemsAt(problems, `policy.${key}`)}
                  onInput={(v) => put({ [key]: v })}
                />
              ))}
            </div>
            <p class="dim small">Runs in a row that failed, or passed. A run that could not ask never moves health.</p>
          </Card>
        </aside>
      </div>
      {deleting && stored && <DeleteCheck check={stored.object} version={stored.version} onClose={() => setDeleting(false)} />}
    </>
  );
}

const slugOf = (name: string) => (name.trim() ? slug(name) : "");

const samplings: readonly (readonly [Sampling | "", string])[] = [
  ["", "of runs that did not pass (default)"],
  ["all", "of all runs"],
  ["none", "of none"],
];

interface StepProps {
  i: number;
  step: StepForm;
  choices: Choice[];
  fieldsOf: (joined: string) => Property[];
  wrong: Record<string, string>;
  problems: Problem[];
  only: boolean;
  readOnly: boolean;
  put: (fields: Partial<StepForm>) => void;
  remove: () => void;
}

function StepCard({ i, step, choices: all, fieldsOf, wrong, problems, only, readOnly, put, remove }: StepProps) {
  const path = `collect[${i}]`;
  const choice = all.find((c) => c.collector === step.use.collector);
  const use = joinUse(step.use);
  const fields = fieldsOf(use);
  const env = useResource(choice ? `env ${use}` : null, (signal) =>
    api.get<ExprEnv>(`/rules/env${query({ where: "assert", use })}`, { signal }),
  );
  const mine = problemsAt(problems, path);
  const at = (p: string) => problemsAt(mine, `${path}.${p}`);
  const served = Object.fromEntries(
    at("with").map((p) => [(p.path ?? "").replace(`${path}.with.`, "").replace(`${path}.with`, ""), p.message]),
  );
  const local = Object.fromEntries(
    Object.entries(wrong)
      .filter(([key]) => key.startsWith(`${path}.with`))
      .map(([key, text]) => [key.replace(`${path}.with.`, "").replace(`${path}.with`, ""), text]),
  );
  const rest = mine.filter(
    (p) => !["use", "with", "assert", "warn", "sampling", "id"].some((part) => problemsAt([p], `${path}.${part}`).length > 0),
  );
  const switchTo = (collector: string, pin = "") => {
    const { config } = configOfStep(step, fieldsOf(joinUse(step.use)));
    const next = stepForm(
      { use: joinUse({ collector, pin }), with: collector === step.use.collector ? config : {} },
      fieldsOf(joinUse({ collector, pin })),
    );
    put({ use: next.use, values: next.values, rest: next.rest, raw: undefined });
  };
  const json = step.raw !== undefined;
  const samples = choice?.info?.samples ?? [];
  return (
    <Card
      title={<h2>{only ? "What it asks" : `Step ${i + 1}`}</h2>}
      actions={!only && !readOnly && <Button small kind="ghost" icon="trash" label={`Remove step ${i + 1}`} onClick={remove} />}
    >
      <div class="col">
        <div class="pair">
          <Select
            label="Collector"
            value={step.use.collector}
            disabled={readOnly}
            options={[
              ...(choice ? [] : [[step.use.collector, `${step.use.collector}, not there`] as const]),
              ...all.map((c) => [c.collector, c.label] as const),
            ]}
            hint={choice?.doc}
            error={at("use")}
            onChange={(collector) => switchTo(collector)}
          />
          {choice?.module && (
            <Select
              label="Version"
              value={step.use.pin}
              disabled={readOnly}
              options={[
                ...(pins(choice.module).some(([p]) => p === step.use.pin) ? [] : [[step.use.pin, step.use.pin] as const]),
                ...pins(choice.module),
              ]}
              hint={step.use.pin ? "It stays at this when a new version is activated." : "It follows activation, canary and rollback."}
              onChange={(pin) => switchTo(step.use.collector, pin)}
            />
          )}
        </div>
        {!only && (
          <TextField
            label="Id of the step"
            mono
            value={step.id}
            placeholder={step.use.collector}
            error={at("id")}
            onInput={(id) => put({ id })}
          />
        )}
        <section class="ck-part" aria-label="Configuration">
          <div class="row wrap">
            <h3>Configuration</h3>
            <span class="sp" />
            <Seg
              label="How the configuration is written"
              value={json ? "json" : "form"}
              options={[
                ["form", "Form"],
                ["json", "JSON"],
              ]}
              onChange={(how) => {
                const { config, wrong: bad } = configOfStep(step, fields);
                if (how === "json") put({ raw: JSON.stringify(config, null, 2) });
                else if (!bad[""]) {
                  const next = stepForm({ use, with: config }, fields);
                  put({ values: next.values, rest: next.rest, raw: undefined });
                }
              }}
            />
          </div>
          {json ? (
            <TextArea
              label="Configuration as JSON"
              mono
              rows={7}
              spellcheck={false}
              value={step.raw ?? ""}
              error={local[""] ?? served[""]}
              onInput={(raw) => put({ raw })}
            />
          ) : fields.length > 0 ? (
            <Fields
              all={fields}
              values={step.values}
              wrong={{ ...local, ...served }}
              onInput={(name, v) => put({ values: { ...step.values, [name]: v } })}
            />
          ) : (
            <p class="dim">It takes none, or says nothing of it.</p>
          )}
          <p class="dim small">
            Text may hold <code>{"${system.id}"}</code> and other expressions over system and check.
          </p>
        </section>
        <Expressions
          title="Must hold"
          none="Nothing: it passes when the collector says so."
          label="Assertion"
          list={step.assert}
          path={`${path}.assert`}
          problems={problems}
          env={env.data}
          use={use}
          readOnly={readOnly}
          suggest={samples.map((s) => s.name)}
          put={(assert) => put({ assert })}
        />
        <Expressions
          title="Warns unless"
          none="Nothing."
          label="Warning"
          list={step.warn}
          path={`${path}.warn`}
          problems={problems}
          env={env.data}
          use={use}
          readOnly={readOnly}
          suggest={[]}
          put={(warn) => put({ warn })}
        />
        {isModule(step.use.collector) && (
          <Select
            label="Recordings are kept"
            value={step.sampling === "failures" ? "" : step.sampling}
            disabled={readOnly}
            options={samplings}
            hint="A recorded run can be replayed on its page, bit for bit."
            error={at("sampling")}
            onChange={(sampling) => put({ sampling })}
          />
        )}
        {rest.length > 0 && <Diagnostics problems={rest} />}
      </div>
    </Card>
  );
}

interface ExpressionsProps {
  title: string;
  none: string;
  label: string;
  list: string[];
  path: string;
  problems: Problem[];
  env: ExprEnv | undefined;
  use: string;
  readOnly: boolean;
  /** Samples to begin with. */
  suggest: string[];
  put: (list: string[]) => void;
}

function Expressions({ title, none, label, list, path, problems, env, use, readOnly, suggest, put }: ExpressionsProps) {
  const set = (i: number, text: string) => put(list.map((l, k) => (k === i ? text : l)));
  return (
    <section class="ck-part" aria-label={title}>
      <h3>{title}</h3>
      {list.length === 0 && <p class="dim">{none}</p>}
      {list.map((text, i) => (
        <div class="ck-expr" key={i}>
          <ExprField
            label={`${label} ${i + 1}`}
            quiet
            value={text}
            onInput={(v) => set(i, v)}
            where="assert"
            envs={env ? { assert: env } : {}}
            multiline={false}
            collector={use}
            placeholder="latency_ms < 500"
            problems={problemsAt(problems, `${path}[${i}]`)}
            readOnly={readOnly}
          />
          {!readOnly && (
            <Button
              small
              kind="ghost"
              icon="x"
              label={`Remove ${label.toLowerCase()} ${i + 1}`}
              onClick={() => put(list.filter((_, k) => k !== i))}
            />
          )}
        </div>
      ))}
      {!readOnly && (
        <div class="row wrap">
          <Button small icon="plus" onClick={() => put([...list, ""])}>
            Add {label === "Assertion" ? "an assertion" : "a warning"}
          </Button>
          {suggest
            .filter((name) => !list.some((l) => l.includes(name)))
            .slice(0, 6)
            .map((name) => (
              <Button small kind="ghost" key={name} label={`Assert on ${name}`} onClick={() => put([...list, `${name} `])}>
                {name}
              </Button>
            ))}
        </div>
      )}
    </section>
  );
}

function DeleteCheck({ check, version, onClose }: { check: Check; version: number; onClose: () => void }) {
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<unknown>();
  const name = check.name || check.id;
  const remove = async () => {
    setBusy(true);
    try {
      await api.del(`/checks/${seg(check.id)}`, { version });
      toast(`${name} is deleted`);
      navigate("/", { force: true });
    } catch (err) {
      setError(err);
      setBusy(false);
    }
  };
  return (
    <Confirm title={`Delete ${name}?`} confirm={`Delete ${name}`} busy={busy} onConfirm={remove} onClose={onClose}>
      <p>It is run on no system any more. Systems that nothing else checks become Unknown.</p>
      <ErrorBox error={error} doing="Deleting" />
    </Confirm>
  );
}
