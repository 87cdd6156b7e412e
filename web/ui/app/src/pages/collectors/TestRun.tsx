// Running a version once, with the production runner, storing nothing.

import type { ComponentChildren } from "preact";
import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import type { HostCall, Module, TestReport } from "../../api.gen";
import { ApiError, api, seg } from "../../lib/api";
import { bytes, count, logText, ms, ns, parseDuration, visible } from "../../lib/format";
import { useKeys } from "../../lib/keys";
import { fleet } from "../../live";
import { useFleet } from "../../shell/useFleet";
import { Button, Card, Combobox, ErrorBox, Icon, outcomeLook, outcomeNames, Pill, Status, TextArea, TextField } from "../../ui";
import { Fields } from "./Fields";
import { effective } from "./permissions";
import { configOf, properties, type Values } from "./schema";
import { barred } from "./Upload";

export function TestRun({ module: m }: { module: Module }) {
  const all = useMemo(() => properties(m.manifest.config_schema), [m.manifest.config_schema]);
  const [values, setValues] = useState<Values>({});
  const [raw, setRaw] = useState("");
  const [system, setSystem] = useState("");
  const [timeout, setTime] = useState("");
  const [tried, setTried] = useState(false);
  const [busy, setBusy] = useState(false);
  const [report, setReport] = useState<TestReport | null>(null);
  const [error, setError] = useState<unknown>();
  const shown = useRef<HTMLDivElement>(null);
  useFleet();
  const form = all.length > 0;
  const { config, wrong } = form ? configOf(all, values) : parsed(raw);
  const no = barred();
  const run = async () => {
    setTried(true);
    if (Object.keys(wrong).length > 0) return;
    setBusy(true);
    setError(undefined);
    try {
      setReport(
        await api.post<TestReport>(`/modules/${seg(m.name)}/test`, {
          version: m.version,
          config,
          ...(system ? { system } : {}),
          ...(timeout.trim() ? { timeout: timeout.trim() } : {}),
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
  const served =
    error instanceof ApiError ? Object.fromEntries(error.problems.map((p) => [p.path?.replace(/^config\./, "") ?? "", p.message])) : {};
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
        <Button icon="play" busy={busy} disabled={!!no} title={no ?? "Ctrl Enter"} onClick={run}>
          {report ? "Run again" : "Run once"}
        </Button>
      }
    >
      <div class="col">
        {form ? (
          <Fields
            all={all}
            values={values}
            wrong={tried ? { ...wrong, ...served } : served}
            onInput={(name, v) => setValues((was) => ({ ...was, [name]: v }))}
          />
        ) : (
          <TextArea
            label="Configuration"
            hint="This module declares no fields, so it takes JSON as it is."
            mono
            rows={3}
            value={raw}
            placeholder="{ }"
            error={tried ? wrong[""] : undefined}
            onInput={setRaw}
          />
        )}
        <div class="co-fields">
          <Combobox
            label="Run as system"
            hint="What it is told of the system; nothing is stored."
            value={system}
            placeholder="none"
            options={systems()}
            onChange={setSystem}
          />
          <TextField label="Time limit" value={timeout} placeholder="10s" onInput={setTime} />
        </div>
        <ErrorBox error={error} doing="The test run" />
        {report && (
          <div ref={shown}>
            <Report r={report} />
          </div>
        )}
      </div>
    </Card>
  );
}

function parsed(raw: string): { config: unknown; wrong: Record<string, string> } {
  if (raw.trim() === "") return { config: {}, wrong: {} };
  try {
    return { config: JSON.parse(raw), wrong: {} };
  } catch {
    return { config: {}, wrong: { "": "This is not JSON." } };
  }
}

function systems() {
  const out: { value: string; label: string; hint: string }[] = [];
  for (const slot of fleet.order.subarray(0, 5000)) {
    const { id, name } = fleet.row(slot);
    out.push({ value: id, label: name, hint: id === name ? "" : id });
  }
  return out;
}

function Report({ r }: { r: TestReport }) {
  const limits = effective(r.limits);
  const u = r.usage ?? { wall_ns: 0, memory_bytes: 0, fuel: 0, output_bytes: 0, log_bytes: 0, http_calls: 0, host_calls: 0 };
  const wall = parseDuration(r.wall_limit);
  const samples = Object.entries(r.samples ?? {});
  return (
    <div class="col" aria-live="polite">
      <div class="co-cells">
        <Cell name="Time" value={ns(u.wall_ns)} limit={ms(wall)} share={u.wall_ns / 1e6 / wall} />
        <Cell name="Memory" value={bytes(u.memory_bytes)} limit={bytes(limits.memory_bytes)} share={u.memory_bytes / limits.memory_bytes} />
        <Cell name="Instructions" value={big(u.fuel ?? 0)} limit={big(limits.fuel)} share={(u.fuel ?? 0) / limits.fuel} />
        <Cell
          name="HTTP calls"
          value={count(u.http_calls)}
          limit={`${count(limits.http_calls)}, ${count(u.host_calls)} host calls`}
          share={u.http_calls / limits.http_calls}
        />
        <Cell name="Output" value={bytes(u.output_bytes)} limit={bytes(limits.output_bytes)} share={u.output_bytes / limits.output_bytes} />
        <Cell name="Log" value={bytes(u.log_bytes)} limit={bytes(limits.log_bytes)} share={u.log_bytes / limits.log_bytes} />
      </div>
      <div class="co-outcome">
        <Status health={outcomeLook(r.outcome)} />
        <div>
          <b>{visible(r.summary || outcomeNames[r.outcome])}</b>
          {r.why?.text && r.why.text !== r.summary && <p class={r.outcome === "error" ? "t-unhealthy" : "dim2"}>{visible(r.why.text)}</p>}
        </div>
      </div>
      {samples.length > 0 && (
        <table class="tbl co-samples" aria-label="Samples">
          <tbody>
            {samples.map(([name, value]) => (
              <tr key={name}>
                <th scope="row" class="mono">
                  {visible(name)}
                </th>
                <td class="r num">{visible(typeof value === "string" ? value : JSON.stringify(value))}</td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
      <Timeline r={r} />
    </div>
  );
}

const compact = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });

/** A large count, briefly: "2.1M". */
const big = (n: number) => compact.format(n);

function Cell({ name, value, limit, share }: { name: string; value: string; limit: string; share: number }) {
  const full = Number.isFinite(share) ? Math.max(0, Math.min(1, share)) : 0;
  return (
    <div class="co-cell">
      <small>{name}</small>
      <b class="num">{value}</b>
      <span class="dim small">of {limit}</span>
      <div
        class="meter"
        role="meter"
        aria-label={`${name} against its limit`}
        aria-valuemin={0}
        aria-valuemax={100}
        aria-valuenow={Math.round(full * 100)}
      >
        <i class={full > 0.8 ? "hot" : undefined} style={{ width: `${Math.max(full * 100, share > 0 ? 1.5 : 0)}%` }} />
      </div>
    </div>
  );
}

const maxLines = 500;

/** Log lines and host calls by time. */
function Timeline({ r }: { r: TestReport }) {
  const calls = r.usage?.calls ?? [];
  const logs = r.logs ?? [];
  const lines: { at: number; key: string; body: ComponentChildren; kind: string }[] = [
    ...logs.slice(0, maxLines).map((l, i) => ({ at: l.after_ns, key: `l${i}`, kind: l.level, body: logText(l.text) })),
    ...calls
      .slice(0, maxLines)
      .map((c, i) => ({ at: c.after_ns, key: `c${i}`, kind: c.allowed ? "call" : "denied", body: <Call c={c} /> })),
  ].sort((a, b) => a.at - b.at);
  if (lines.length === 0) return <p class="dim small">It wrote no log and called nothing of the host.</p>;
  const dropped = logs.length + calls.length - lines.length;
  return (
    <div class="log co-log" role="log" aria-label="Log and host calls">
      {lines.map((l) => (
        <div key={l.key} class={l.kind}>
          <span class="dim">+{ns(l.at)}</span> {l.body}
        </div>
      ))}
      {dropped > 0 && <div class="dim">… {count(dropped)} more</div>}
    </div>
  );
}

function Call({ c }: { c: HostCall }) {
  return (
    <>
      <Icon name={c.allowed ? "check" : "x"} size={12} /> {c.name} {c.detail ? visible(c.detail) : ""}{" "}
      <span class="dim">
        {c.allowed
          ? `allowed${c.grant ? ` by ${visible(c.grant)}` : ""}, ${ns(c.took_ns)}`
          : `denied${c.grant ? `: ${visible(c.grant)}` : ""}`}
      </span>
    </>
  );
}
