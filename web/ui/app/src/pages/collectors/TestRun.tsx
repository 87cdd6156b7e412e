// Running a version once, with the production runner, storing nothing.

import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import type { Grant, Module, TestReport } from "../../api.gen";
import { ApiError, api, seg } from "../../lib/api";
import { ns, visible } from "../../lib/format";
import { useKeys } from "../../lib/keys";
import { systemOptions } from "../../live/systems";
import { useFleet } from "../../shell/useFleet";
import { Button, Card, Combobox, ErrorBox, outcomeLook, outcomeNames, Pill, Seg, Switch, TextArea, TextField } from "../../ui";
import { Fields } from "./Fields";
import { covers, isList, kindTitles, type ListKind, widened } from "./permissions";
import { Comparison, Report, type Widen } from "./Report";
import { type Asked, formOf, nothingAsked, requestOf } from "./request";
import { type Property, properties } from "./schema";
import { barred } from "./Upload";

/** The fields of a request: configuration, the system it runs as, and the time that it may take. */
export function RequestForm({
  all,
  asked,
  wrong,
  onChange,
}: {
  all: Property[];
  asked: Asked;
  wrong: Record<string, string>;
  onChange: (next: Asked) => void;
}) {
  useFleet();
  const json = asked.raw !== undefined;
  return (
    <>
      <div class="row wrap">
        <Seg
          label="How the request is written"
          value={json ? "json" : "form"}
          options={[
            ["form", "Form"],
            ["json", "JSON"],
          ]}
          onChange={(how) => {
            if (how === "json" && !json) onChange({ ...asked, raw: JSON.stringify(requestOf(all, asked).body, null, 2) });
            if (how === "form" && json) onChange(formOf(all, asked));
          }}
        />
        {!json && all.length === 0 && <span class="dim">It takes no configuration, or says nothing of it.</span>}
      </div>
      {json ? (
        <TextArea
          label="Request"
          hint="All of it: config; system, or as with id, name and tags; timeout."
          mono
          rows={8}
          spellcheck={false}
          value={asked.raw ?? ""}
          error={wrong[""]}
          onInput={(raw) => onChange({ ...asked, raw })}
        />
      ) : (
        <>
          {all.length > 0 && (
            <Fields
              all={all}
              values={asked.values}
              wrong={wrong}
              onInput={(name, v) => onChange({ ...asked, values: { ...asked.values, [name]: v } })}
            />
          )}
          <div class="row wrap">
            <Seg
              label="Run as"
              value={asked.target}
              options={[
                ["stored", "As a system"],
                ["made", "As a made-up one"],
              ]}
              onChange={(target) => onChange({ ...asked, target })}
            />
          </div>
          <div class="fields">
            {asked.target === "stored" ? (
              <Combobox
                label="System"
                hint="What it is told of the system; nothing is stored."
                value={asked.system}
                placeholder="none"
                options={systemOptions()}
                error={wrong.system}
                onChange={(system) => onChange({ ...asked, system })}
              />
            ) : (
              <>
                <TextField
                  label="Id of the system"
                  mono
                  value={asked.made.id}
                  error={wrong["as.id"]}
                  onInput={(id) => onChange({ ...asked, made: { ...asked.made, id } })}
                />
                <TextField
                  label="Its name"
                  value={asked.made.name}
                  placeholder={asked.made.id}
                  onInput={(name) => onChange({ ...asked, made: { ...asked.made, name } })}
                />
                <TextField
                  label="Its tags"
                  value={asked.made.tags}
                  placeholder="env=prod, tier=1"
                  onInput={(tags) => onChange({ ...asked, made: { ...asked.made, tags } })}
                />
              </>
            )}
            <TextField
              label="Time limit"
              value={asked.timeout}
              placeholder="10s"
              error={wrong.timeout}
              onInput={(timeout) => onChange({ ...asked, timeout })}
            />
          </div>
        </>
      )}
    </>
  );
}

/** What the server says of each field. */
export function servedBy(error: unknown): Record<string, string> {
  return error instanceof ApiError
    ? Object.fromEntries(error.problems.map((p) => [p.path?.replace(/^config\./, "") ?? "", `${p.message}${p.fix ? `; ${p.fix}` : ""}`]))
    : {};
}

export function TestRun({ module: m, stable }: { module: Module; stable: string | undefined }) {
  const all = useMemo(() => properties(m.manifest.config_schema), [m.manifest.config_schema]);
  const [asked, setAsked] = useState<Asked>(nothingAsked);
  const [grant, setGrant] = useState<Grant | undefined>(m.granted ? undefined : {});
  const [compare, setCompare] = useState(false);
  const [tried, setTried] = useState(false);
  const [busy, setBusy] = useState(false);
  const [report, setReport] = useState<TestReport | null>(null);
  const [error, setError] = useState<unknown>();
  const shown = useRef<HTMLDivElement>(null);
  const { body, wrong } = requestOf(all, asked);
  const no = barred();
  const other = stable && stable !== m.version ? stable : undefined;
  const run = async (own = grant) => {
    setTried(true);
    if (Object.keys(wrong).length > 0) return;
    setBusy(true);
    setError(undefined);
    try {
      setReport(
        await api.post<TestReport>(`/modules/${seg(m.name)}/test`, {
          ...body,
          version: m.version,
          ...(own ? { grant: own } : {}),
          ...(compare && other ? { compare: true } : {}),
        }),
      );
    } catch (err) {
      setReport(null);
      setError(err);
    } finally {
      setBusy(false);
    }
  };
  useEffect(() => {
    if (report) shown.current?.scrollIntoView({ block: "nearest" });
  }, [report]);
  useKeys({ "Mod+Enter": () => !no && !busy && void run() });
  const widen: Widen = (kind, line) => {
    const next = widened(grant ?? m.grant, m.manifest.wants, kind, line);
    if (!next) return undefined;
    return () => {
      setGrant(next);
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
        <>
          {other && <Switch label={`Compare with ${other}`} on={compare} onChange={setCompare} />}
          <Button icon="play" busy={busy} disabled={!!no} title={no ?? "Ctrl Enter"} onClick={() => run()}>
            {report ? "Run again" : "Run once"}
          </Button>
        </>
      }
    >
      <div class="col">
        <RequestForm all={all} asked={asked} wrong={tried ? { ...wrong, ...served } : served} onChange={setAsked} />
        <TestGrant m={m} grant={grant} onChange={setGrant} />
        <ErrorBox error={error} doing="The test run" />
        {report && (
          <div ref={shown} class="col">
            {report.active && <Comparison r={report} active={report.active} />}
            <Report r={report} widen={widen} />
          </div>
        )}
      </div>
    </Card>
  );
}

/** What the module may reach in this test: its grant, or another that is at most what it asks for. */
function TestGrant({ m, grant, onChange }: { m: Module; grant: Grant | undefined; onChange: (grant: Grant | undefined) => void }) {
  const { wants } = m.manifest;
  const now = grant ?? m.grant ?? {};
  const lists = (["http", "tcp", "dns", "secrets", "reveal"] as ListKind[]).filter((kind) => (wants?.[kind] ?? []).length > 0);
  const flags = [wants?.private ? "private" : "", wants?.kv ? "kv" : ""].filter(Boolean) as ("private" | "kv")[];
  if (lists.length + flags.length === 0) return null;
  const toggle = (kind: ListKind, line: string, on: boolean) => {
    const had = now[kind] ?? [];
    const lines = on ? [...had, line] : had.filter((l) => !covers(line, l, kind));
    onChange({ ...now, [kind]: lines.length > 0 ? lines : undefined });
  };
  return (
    <details class="co-testgrant">
      <summary>
        What it may reach in this test
        <span class="dim">
          {" "}
          {grant ? (m.granted ? "differs from its grant" : "nothing, until you allow it here") : "as it was granted"}
        </span>
      </summary>
      <ul>
        {lists.flatMap((kind) =>
          (wants?.[kind] ?? []).map((line) => (
            <li key={`${kind} ${line}`}>
              <label>
                <input
                  type="checkbox"
                  checked={(now[kind] ?? []).some((l) => covers(line, l, kind))}
                  onChange={(e) => toggle(kind, line, e.currentTarget.checked)}
                />
                <span class="dim">{kindTitles[kind]}</span> <span class={isList(kind) ? "mono" : undefined}>{visible(line)}</span>
              </label>
            </li>
          )),
        )}
        {flags.map((flag) => (
          <li key={flag}>
            <label>
              <input
                type="checkbox"
                checked={!!now[flag]}
                onChange={(e) => onChange({ ...now, [flag]: e.currentTarget.checked ? wants?.[flag] : undefined })}
              />
              <span class="dim">{kindTitles[flag]}</span>
            </label>
          </li>
        ))}
      </ul>
      {grant && m.granted && (
        <button type="button" class="link co-narrow" onClick={() => onChange(undefined)}>
          As it was granted
        </button>
      )}
    </details>
  );
}
