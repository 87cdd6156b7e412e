// A script: written, checked, tested and saved as a version, all in one place.

import type { ComponentType } from "preact";
import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import type { Grant, ModuleItem, Problem, ScriptHelp, ScriptSource, TestReport } from "../../api.gen";
import { ApiError, aborted, api, can, seg, url } from "../../lib/api";
import { diffLines } from "../../lib/diff";
import { ns, visible } from "../../lib/format";
import { modKey, useKeys } from "../../lib/keys";
import { useResource } from "../../lib/resource";
import { guard, navigate, to } from "../../lib/router";
import { edits, offlineReason } from "../../live";
import type { ScriptEditorProps } from "../../script/Editor";
import { Page } from "../../shell/Page";
import {
  Ago,
  Button,
  Card,
  Dialog,
  Diff,
  ErrorBox,
  Field,
  Icon,
  outcomeLook,
  outcomeNames,
  Pill,
  problemsAt,
  Select,
  SkeletonRows,
  Switch,
  TextArea,
  TextField,
  toast,
} from "../../ui";
import { kindTitles, type ListKind, linesOf, widened } from "./permissions";
import { Report, type Widen } from "./Report";
import { type Asked, nothingAsked, requestOf } from "./request";
import { sampleLine, samplesOf } from "./samples";
import { properties } from "./schema";
import { dropDraft, keepDraft, loadDraft, nextVersion, type ScriptDraft, splitFile } from "./script";
import { scripts } from "./scriptApi";
import { RequestForm, servedBy } from "./TestRun";
import { reviewPath } from "./Upload";

interface Loaded {
  help: ScriptHelp;
  item?: ModuleItem;
  /** The version that is edited, and its source. */
  version?: ModuleItem["versions"][number];
  source?: string;
}

async function source(name: string, version: string, signal: AbortSignal): Promise<string> {
  const res = await fetch(url(`/modules/${seg(name)}/versions/${seg(version)}/file`), { signal, credentials: "same-origin" });
  if (!res.ok) throw new ApiError(res.status, "The source cannot be fetched", "");
  return splitFile(await res.text()).source;
}

/** /collectors/new-script and /collectors/:name/edit?v=. */
export function ScriptPage({ name, version }: { name: string; version: string }) {
  const found = useResource<Loaded>(`script ${name} ${version}`, async (signal) => {
    const help = scripts.help(signal);
    if (!name) return { help: await help };
    const item = await api.get<ModuleItem>(`/modules/${seg(name)}`, { signal });
    const versions = item.versions ?? [];
    const chosen = versions.find((v) => v.version === version) ?? versions.find((v) => v.active) ?? versions[0];
    if (!chosen || item.kind !== "script")
      throw new ApiError(404, `${name} is no script`, "Its source was compiled elsewhere: upload a new version of it.");
    return { help: await help, item, version: chosen, source: await source(name, chosen.version, signal) };
  });
  const crumbs = [{ text: "Collectors", href: to.collectors() }, ...(name ? [{ text: name, href: to.collector(name) }] : [])];
  const title = name ? "Edit" : "New script";
  return (
    <Page title={title} crumbs={crumbs}>
      {found.error && !found.data && <ErrorBox error={found.error} doing="Opening the editor" retry={found.reload} />}
      {!found.data && !found.error && (
        <Card title={title}>
          <SkeletonRows rows={12} />
        </Card>
      )}
      {found.data && <Editing key={`${name} ${found.data.version?.version}`} loaded={found.data} />}
    </Page>
  );
}

function begin({ help, item, version, source: text }: Loaded): ScriptDraft {
  const m = version?.manifest;
  return {
    name: item?.name ?? "",
    version: version && item ? nextVersion(item.versions[0]?.version ?? version.version) : "1.0.0",
    source: text ?? help.template,
    doc: m?.doc ?? "",
    schema: m?.config_schema ? JSON.stringify(m.config_schema, null, 2) : item ? "" : firstSchema,
    samples: m ? (m.samples ?? []).map(sampleLine).join("\n") : "status integer",
    wants: m?.wants ?? {},
    base: version?.version ?? "",
    at: 0,
  };
}

const firstSchema = `{
  "type": "object",
  "required": ["url"],
  "properties": {
    "url": { "type": "string", "description": "where to ask" }
  }
}`;

/** What is sent of a draft, and what is wrong with it already. */
export function sourceOf(d: ScriptDraft): { script: ScriptSource; wrong: Record<string, string> } {
  const wrong: Record<string, string> = {};
  let schema: unknown;
  if (d.schema.trim()) {
    try {
      schema = JSON.parse(d.schema);
    } catch {
      wrong.schema = "This is not JSON.";
    }
  }
  const { samples, wrong: bad } = samplesOf(d.samples);
  if (bad) wrong.samples = bad;
  return {
    script: {
      name: d.name.trim(),
      version: d.version.trim(),
      source: d.source,
      ...(d.doc.trim() ? { doc: d.doc.trim() } : {}),
      ...(schema === undefined ? {} : { config_schema: schema }),
      samples,
      wants: d.wants,
    },
    wrong,
  };
}

function Editing({ loaded }: { loaded: Loaded }) {
  const { item, help } = loaded;
  const key = item?.name ?? "";
  const first = useMemo(() => begin(loaded), [loaded]);
  const [restored, setRestored] = useState(() => {
    const kept = loadDraft(localStorage, key);
    return kept && kept.source !== first.source ? kept : null;
  });
  const [draft, setDraft] = useState<ScriptDraft>(() => (restored ? { ...first, ...restored, version: first.version } : first));
  const [problems, setProblems] = useState<Problem[]>([]);
  const [checked, setChecked] = useState<"" | "asking" | "ok" | "bad" | "failed">("");
  const [saving, setSaving] = useState(false);
  const [failed, setFailed] = useState<unknown>();
  const [comparing, setComparing] = useState(false);
  const { script, wrong } = sourceOf(draft);
  const text = JSON.stringify(script);
  const touched = JSON.stringify({ ...draft, at: 0 }) !== JSON.stringify(first);
  const readOnly = !can("editor");
  const put = (fields: Partial<ScriptDraft>) => {
    setFailed(undefined);
    setDraft((was) => ({ ...was, ...fields }));
  };
  const newer = useNewer(item, draft.base);

  // biome-ignore lint/correctness/useExhaustiveDependencies: text says all of the script
  useEffect(() => {
    if (!touched) return;
    const timer = setTimeout(() => keepDraft(localStorage, key, { ...draft, at: Date.now() }), 300);
    return () => clearTimeout(timer);
  }, [text, draft.schema, draft.samples, touched]);
  const leaving = useRef(false);
  leaving.current = touched && !saving && !readOnly;
  useEffect(
    () => guard(() => (leaving.current ? "Your script is kept in this browser as a draft, and is not saved on the server." : undefined)),
    [],
  );
  // biome-ignore lint/correctness/useExhaustiveDependencies: text says all of the script
  useEffect(() => {
    if (readOnly) return; // checking evaluates the script
    const abort = new AbortController();
    setChecked("asking");
    const timer = setTimeout(async () => {
      try {
        const said = await scripts.validate({ ...script, name: script.name || "new", version: script.version || "1" }, abort.signal);
        setProblems(said.problems ?? []);
        setChecked((said.problems ?? []).length === 0 ? "ok" : "bad");
      } catch (err) {
        if (!aborted(err)) setChecked("failed");
      }
    }, 350);
    return () => {
      abort.abort();
      clearTimeout(timer);
    };
  }, [text]);

  const no = readOnly
    ? "Saving needs the role editor"
    : (offlineReason() ??
      (!script.name
        ? "Give it a name first"
        : !script.version
          ? "Give it a version first"
          : Object.keys(wrong).length > 0
            ? "Mend what is marked first"
            : undefined));
  const save = async () => {
    setSaving(true);
    setFailed(undefined);
    try {
      const review = await scripts.save(script);
      dropDraft(localStorage, key);
      leaving.current = false;
      toast(`${review.manifest.name} ${review.manifest.version} is saved; review what it may reach`);
      navigate(reviewPath(review), { force: true });
    } catch (err) {
      if (err instanceof ApiError && err.problems.length > 0) setProblems(err.problems);
      setFailed(err);
      setSaving(false);
    }
  };
  useKeys({ "Mod+s": () => !no && !saving && void save() });
  const discard = () => {
    dropDraft(localStorage, key);
    setRestored(null);
    setDraft(first);
  };
  const conflict = failed instanceof ApiError && failed.status === 409;
  return (
    <>
      <header class="row wrap co-head">
        <Icon name="file" size={20} />
        {item ? (
          <h1>{item.name}</h1>
        ) : (
          <input
            class="in co-name"
            aria-label="Name of the script"
            placeholder="name-of-the-script"
            spellcheck={false}
            value={draft.name}
            aria-invalid={problemsAt(problems, "name").length > 0 || undefined}
            onInput={(e) => put({ name: e.currentTarget.value.trim() })}
          />
        )}
        <label class="row dim2">
          version
          <input
            class="in mono co-version"
            aria-label="Version"
            spellcheck={false}
            value={draft.version}
            onInput={(e) => put({ version: e.currentTarget.value.trim() })}
          />
        </label>
        <Judged checked={checked} problems={problems.length} />
        <span class="sp" />
        {touched && <Button onClick={discard}>Discard</Button>}
        <Button kind="primary" busy={saving} disabled={!!no} title={no ?? `${modKey} S`} onClick={save}>
          Save {draft.version || "it"}
        </Button>
      </header>
      {restored && (
        <div class="notice">
          <Icon name="file" size={15} />
          <span class="sp">
            This is the draft that you left
            {restored.at ? (
              <>
                {" "}
                <Ago at={restored.at} /> ago
              </>
            ) : (
              ""
            )}
            .
          </span>
          <Button small onClick={discard}>
            Discard it
          </Button>
        </div>
      )}
      {newer && (
        <div class="notice warn">
          <Icon name="alert" size={15} />
          <span class="sp">
            {newer.by ? visible(newer.by) : "Somebody"} saved {visible(newer.version)} since you began on {visible(draft.base)}.
          </span>
          <Button small onClick={() => setComparing(true)}>
            Compare
          </Button>
        </div>
      )}
      {conflict && (
        <div class="errbox" role="alert">
          <Icon name="alert" size={16} />
          <div class="sp">
            <b>{draft.version} is there already</b>
            <div>{failed instanceof ApiError ? visible(failed.detail) : ""}</div>
          </div>
          <Button small onClick={() => put({ version: nextVersion(draft.version) })}>
            Call it {nextVersion(draft.version)}
          </Button>
        </div>
      )}
      {!conflict && failed !== undefined && !(failed instanceof ApiError && failed.problems.some((p) => p.line)) && (
        <ErrorBox error={failed} doing="Saving" />
      )}
      <div class="co-two">
        <div class="co-col">
          <Card title="Source" bare>
            <div class="co-source">
              <Source
                value={draft.source}
                onInput={(s) => put({ source: s })}
                label="Source of the script"
                api={withConfig(help, draft.schema)}
                problems={problems.filter(
                  (p) => !["name", "version", "wants", "config_schema", "samples"].some((f) => p.path?.startsWith(f)),
                )}
                readOnly={readOnly}
              />
            </div>
          </Card>
          <ScriptTest script={script} wrong={wrong} wants={(wants) => put({ wants })} />
        </div>
        <aside class="co-col" aria-label="What it says of itself">
          <Wants wants={draft.wants} problems={problems} readOnly={readOnly} onChange={(wants) => put({ wants })} />
          <Card title="What it is">
            <div class="col">
              <TextField
                label="In a sentence"
                value={draft.doc}
                placeholder="What it finds out"
                readOnly={readOnly}
                onInput={(doc) => put({ doc })}
              />
              <TextArea
                label="Samples it reports"
                hint="One a line: name, type, unit. Assertions and charts know them by this."
                mono
                rows={3}
                spellcheck={false}
                value={draft.samples}
                error={wrong.samples ?? problemsAt(problems, "samples")}
                readOnly={readOnly}
                onInput={(samples) => put({ samples })}
              />
              <TextArea
                label="Configuration, as JSON schema"
                hint="It makes the form of checks, and what config completes to."
                mono
                rows={7}
                spellcheck={false}
                value={draft.schema}
                error={wrong.schema ?? problemsAt(problems, "config_schema")}
                readOnly={readOnly}
                onInput={(schema) => put({ schema })}
              />
            </div>
          </Card>
          <Help help={help} />
        </aside>
      </div>
      {comparing && newer && item && (
        <Compare
          item={item}
          version={newer.version}
          mine={draft.source}
          onClose={() => setComparing(false)}
          adopt={() => put({ base: newer.version })}
        />
      )}
    </>
  );
}

/** The newest version, when somebody saved it after the one that this draft began with. */
function useNewer(item: ModuleItem | undefined, base: string): ModuleItem["versions"][number] | undefined {
  const [now, setNow] = useState(item);
  const edited = edits.value;
  const name = item?.name;
  // biome-ignore lint/correctness/useExhaustiveDependencies: asks again with each edit of anybody
  useEffect(() => {
    if (!name || edited === 0) return;
    const abort = new AbortController();
    api.get<ModuleItem>(`/modules/${seg(name)}`, { signal: abort.signal }).then(setNow, () => {
      // What is there is told when it is saved.
    });
    return () => abort.abort();
  }, [edited, name]);
  const versions = now?.versions ?? [];
  const from = versions.find((v) => v.version === base);
  return from ? versions.find((v) => v.number > from.number) : undefined;
}

function Judged({ checked, problems }: { checked: string; problems: number }) {
  if (checked === "ok")
    return (
      <Pill kind="healthy">
        <Icon name="check" size={13} /> Compiles
      </Pill>
    );
  if (checked === "bad") return <Pill kind="unhealthy">{problems === 1 ? "1 problem" : `${problems} problems`}</Pill>;
  if (checked === "failed") return <Pill kind="degraded">Not checked</Pill>;
  return <span class="dim">Checking…</span>;
}

/** The API with the fields of the configuration. */
function withConfig(help: ScriptHelp, schema: string) {
  let fields: { name: string; type: string; doc: string }[] = [];
  try {
    fields = properties(JSON.parse(schema || "{}")).map((p) => ({ name: p.name, type: p.control, doc: p.doc }));
  } catch {
    // Said at the field of the schema.
  }
  return (help.names ?? []).map((n) => (n.name === "config" ? { ...n, members: fields } : n));
}

let editor: ComponentType<ScriptEditorProps> | null = null;

/** The editor once its code is here; until then, and when that fails, plain text. */
function Source(props: ScriptEditorProps) {
  const [Editor, setEditor] = useState<ComponentType<ScriptEditorProps> | "failed" | null>(() => editor);
  useEffect(() => {
    if (editor) return;
    let here = true;
    import("../../script/Editor").then(
      (m) => {
        editor = m.ScriptEditor;
        if (here) setEditor(() => m.ScriptEditor);
      },
      () => here && setEditor("failed"),
    );
    return () => {
      here = false;
    };
  }, []);
  if (Editor && Editor !== "failed") return <Editor {...props} />;
  return (
    <TextArea
      label={props.label}
      mono
      rows={20}
      spellcheck={false}
      value={props.value}
      readOnly={props.readOnly}
      hint={Editor === "failed" ? "The editor could not be loaded. You can still write here." : undefined}
      error={props.problems}
      onInput={props.onInput}
    />
  );
}

const wantHints: Record<ListKind, string> = {
  http: "https://api.example.com:443",
  tcp: "db.example.com:5432",
  dns: "*.example.com",
  secrets: "api_token",
  reveal: "api_token",
};

/** What the script asks to reach; somebody grants it when it is saved. */
function Wants({
  wants,
  problems,
  readOnly,
  onChange,
}: {
  wants: Grant;
  problems: Problem[];
  readOnly: boolean;
  onChange: (wants: Grant) => void;
}) {
  const lines = (kind: ListKind, text: string) => {
    const all = linesOf(text);
    onChange({ ...wants, [kind]: all.length > 0 ? all : undefined });
  };
  return (
    <Card title="What it asks to reach">
      <div class="col">
        {(["http", "tcp", "dns", "secrets"] as ListKind[]).map((kind) => (
          <Lines
            key={kind}
            label={kindTitles[kind]}
            placeholder={wantHints[kind]}
            value={wants[kind] ?? []}
            error={problemsAt(problems, `wants.${kind}`)}
            readOnly={readOnly}
            onInput={(text) => lines(kind, text)}
          />
        ))}
        <Switch
          label="Private and loopback addresses too"
          on={!!wants.private}
          disabled={readOnly}
          onChange={(on) => onChange({ ...wants, private: on || undefined })}
        />
        <Select
          label={kindTitles.kv}
          value={(wants.kv ?? "") as "" | "assignment" | "module"}
          options={[
            ["", "keeps nothing between runs"],
            ["assignment", "its own for each check on each system"],
            ["module", "one set for the whole script"],
          ]}
          disabled={readOnly}
          onChange={(kv) => onChange({ ...wants, kv: kv || undefined })}
        />
        <p class="dim small">The test below runs with all of this. After saving somebody reviews it, and can grant less.</p>
      </div>
    </Card>
  );
}

/** A list as text, one a line; what is typed stays as typed. */
function Lines({
  label,
  placeholder,
  value,
  error,
  readOnly,
  onInput,
}: {
  label: string;
  placeholder: string;
  value: string[];
  error: Problem[];
  readOnly: boolean;
  onInput: (text: string) => void;
}) {
  const [text, setText] = useState(value.join("\n"));
  const joined = value.join("\n");
  useEffect(() => setText((was) => (linesOf(was).join("\n") === joined ? was : joined)), [joined]);
  return (
    <Field label={label} error={error}>
      {(attrs) => (
        <textarea
          class="in mono co-lines-in"
          rows={Math.max(1, Math.min(5, text.split("\n").length))}
          spellcheck={false}
          placeholder={placeholder}
          value={text}
          readOnly={readOnly}
          onInput={(e) => {
            setText(e.currentTarget.value);
            onInput(e.currentTarget.value);
          }}
          {...attrs}
        />
      )}
    </Field>
  );
}

/** Runs what is written, saved or not. */
function ScriptTest({ script, wrong: bad, wants }: { script: ScriptSource; wrong: Record<string, string>; wants: (wants: Grant) => void }) {
  const schema = JSON.stringify(script.config_schema ?? null);
  const all = useMemo(() => properties(JSON.parse(schema)), [schema]);
  const [asked, setAsked] = useState<Asked>(nothingAsked);
  const [busy, setBusy] = useState(false);
  const [tried, setTried] = useState(false);
  const [report, setReport] = useState<TestReport | null>(null);
  const [error, setError] = useState<unknown>();
  const { body, wrong } = requestOf(all, asked);
  const no =
    offlineReason() ??
    (can("editor") ? undefined : "Test runs need the role editor") ??
    (Object.keys(bad).length > 0 ? "Mend what is marked first" : undefined);
  const run = async (own: Grant | undefined = script.wants) => {
    setTried(true);
    if (Object.keys(wrong).length > 0) return;
    setBusy(true);
    setError(undefined);
    try {
      setReport(await scripts.test({ ...script, name: script.name || "new", version: script.version || "1", wants: own }, body));
    } catch (err) {
      setReport(null);
      setError(err);
    } finally {
      setBusy(false);
    }
  };
  useKeys({ "Mod+Enter": () => !no && !busy && void run() });
  const widen: Widen = (kind, line) => {
    const next = widened(script.wants, { [kind]: [line] }, kind, line) as Grant;
    return () => {
      wants(next);
      void run(next);
    };
  };
  const served = servedBy(error);
  return (
    <Card
      title={
        <h2 class="row">
          Test run
          {report && (
            <Pill kind={outcomeLook(report.outcome)}>
              {outcomeNames[report.outcome]} in {ns(report.usage?.wall_ns ?? 0)}
            </Pill>
          )}
        </h2>
      }
      actions={
        <Button icon="play" busy={busy} disabled={!!no} title={no ?? `${modKey} Enter`} onClick={() => run()}>
          {report ? "Run again" : "Run it"}
        </Button>
      }
    >
      <div class="col">
        <RequestForm all={all} asked={asked} wrong={tried ? { ...wrong, ...served } : served} onChange={setAsked} />
        <ErrorBox error={error} doing="The test run" />
        {report && <Report r={report} widen={widen} widenText="Ask for it, and run again" />}
      </div>
    </Card>
  );
}

/** The API, to read. */
function Help({ help }: { help: ScriptHelp }) {
  const names = help.names ?? [];
  if (names.length === 0) return null;
  return (
    <Card title="What a script can use" bare>
      <ul class="co-decls co-api">
        {names.map((n) => (
          <li key={n.name}>
            <code>{n.name}</code>
            <span class="dim mono small">{n.members ? "" : n.type}</span>
            {n.doc && <p class="dim small">{n.doc}</p>}
            {(n.members ?? []).map((m) => (
              <p key={m.name} class="co-member" title={m.doc}>
                <code>
                  {n.name}.{m.name}
                </code>{" "}
                <span class="dim mono">{m.type}</span>
              </p>
            ))}
          </li>
        ))}
      </ul>
    </Card>
  );
}

function Compare({
  item,
  version,
  mine,
  onClose,
  adopt,
}: {
  item: ModuleItem;
  version: string;
  mine: string;
  onClose: () => void;
  adopt: () => void;
}) {
  const theirs = useResource(`source ${item.name} ${version}`, (signal) => source(item.name, version, signal));
  return (
    <Dialog title={`${item.name} ${version} against yours`} wide onClose={onClose}>
      <div class="b">
        {theirs.error && <ErrorBox error={theirs.error} doing="Fetching the source" retry={theirs.reload} />}
        {theirs.data === undefined && !theirs.error && <SkeletonRows />}
        {theirs.data !== undefined && (
          <>
            <p class="dim2">Lines with + are yours, lines with − are in {version} only.</p>
            <Diff lines={diffLines(theirs.data, mine)} />
          </>
        )}
        <div class="actions">
          <Button onClick={onClose}>Go on editing</Button>
          <Button
            kind="primary"
            onClick={() => {
              adopt();
              onClose();
            }}
          >
            I have taken over what matters
          </Button>
        </div>
      </div>
    </Dialog>
  );
}
