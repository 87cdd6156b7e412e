// Repeating a run of a module in the sandbox, with the recorded answers of the
// host: it reaches nothing, and says whether the same comes out.

import { useEffect, useState } from "preact/hooks";
import type { ModuleItem, ReplayReport, Run, StepResult } from "../../api.gen";
import { api, can, seg } from "../../lib/api";
import { count, logText, ns, visible } from "../../lib/format";
import { offlineReason } from "../../live";
import { Button, ErrorBox, Icon, outcomeLook, outcomeNames, Pill } from "../../ui";

/** Replay of one step of a run. */
export function Replay({ run, step }: { run: Run; step: StepResult }) {
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<unknown>();
  const [report, setReport] = useState<ReplayReport | null>(null);
  const [versions, setVersions] = useState<string[]>([]);
  const [version, setVersion] = useState("");
  const [name = "", ran = ""] = (step.module ?? "").split("@");
  const kept = !!step.replay;
  useEffect(() => {
    if (!kept) return;
    const abort = new AbortController();
    api.get<ModuleItem>(`/modules/${seg(name)}`, { signal: abort.signal }).then(
      (m) => setVersions((m.versions ?? []).map((v) => v.version)),
      () => setVersions([]), // it can still be replayed with what ran, if that is there
    );
    return () => abort.abort();
  }, [kept, name]);
  if (!kept)
    return (
      <p class="dim small">
        It cannot be replayed: no recording is kept. A check keeps those of runs that did not pass, of all, or of none, see its sampling.
      </p>
    );
  const no = offlineReason() ?? (can("editor") ? undefined : "Replaying needs the role editor");
  const go = async () => {
    setBusy(true);
    setError(undefined);
    try {
      setReport(await api.post<ReplayReport>(`/runs/${run.id}/replay`, { step: step.id, ...(version ? { version } : {}) }));
    } catch (err) {
      setReport(null);
      setError(err);
    } finally {
      setBusy(false);
    }
  };
  return (
    <section class="replay" aria-label={`Replay of ${step.id}`}>
      <div class="row wrap">
        <Button
          icon="refresh"
          busy={busy}
          disabled={!!no}
          title={no ?? "Repeat it with the recorded answers; nothing is reached"}
          onClick={go}
        >
          Replay
        </Button>
        <label class="row dim2">
          with
          <select
            class="in replay-v"
            aria-label="Version to replay with"
            value={version}
            onChange={(e) => setVersion(e.currentTarget.value)}
          >
            <option value="">{visible(ran)}, which ran</option>
            {versions
              .filter((v) => v !== ran)
              .map((v) => (
                <option key={v} value={v}>
                  {visible(v)}
                </option>
              ))}
          </select>
        </label>
        <span class="sp" />
        {can("editor") && (
          <a class="btn small ghost" href={`/api/v1/runs/${run.id}/recordings/${seg(step.id)}`} download={`run-${run.id}-${step.id}.json`}>
            <Icon name="download" size={14} />
            Recording
          </a>
        )}
      </div>
      <ErrorBox error={error} doing="The replay" retry={go} />
      {report && <Outcome r={report} />}
    </section>
  );
}

function Outcome({ r }: { r: ReplayReport }) {
  const logs = r.logs ?? [];
  const other = r.module !== r.recorded;
  return (
    <div class="replay-r" aria-live="polite">
      <p class="row wrap">
        <Pill kind={r.identical ? "healthy" : "degraded"}>
          <Icon name={r.identical ? "check" : "swap"} size={13} />
          {r.identical ? "Identical" : "Differs"}
        </Pill>
        <span class="dim2">
          {r.identical
            ? `${visible(r.module)} did the same: the same output, the same end, the same ${count(r.fuel)} instructions.`
            : other
              ? `${visible(r.module)} instead of ${visible(r.recorded)}.`
              : `${visible(r.module)} did something else than when it was recorded.`}
        </span>
      </p>
      {!r.identical && (
        <dl class="replay-d">
          {r.diverged && (
            <>
              <dt>First difference</dt>
              <dd>
                {r.diverged_at ? `Call ${r.diverged_at}: ` : ""}
                {visible(r.diverged)}
              </dd>
            </>
          )}
          <dt>Outcome</dt>
          <dd>
            <span class={`t-${outcomeLook(r.was)}`}>{outcomeNames[r.was]}</span> then,{" "}
            <span class={`t-${outcomeLook(r.outcome)}`}>{outcomeNames[r.outcome]}</span> now
            {r.why?.text ? <span class="dim2">: {visible(r.why.text)}</span> : null}
          </dd>
          <dt>Output</dt>
          <dd>{r.same_output ? "the same" : `another: ${visible(r.summary || "no summary")}`}</dd>
          <dt>Instructions</dt>
          <dd class="num">
            {count(r.fuel_was)} then, {count(r.fuel)} now
          </dd>
        </dl>
      )}
      {logs.length > 0 && (
        <div class="log" role="log" aria-label="Log of the replay" tabIndex={0}>
          {logs.map((l, i) => (
            <div key={i}>
              <span class="dim num">{`+${ns(l.after_ns)}`.padEnd(9)} </span>
              <span class={l.level === "error" ? "t-unhealthy" : l.level === "warn" ? "t-degraded" : "dim"}>{l.level.padEnd(5)} </span>
              {logText(l.text)}
            </div>
          ))}
        </div>
      )}
    </div>
  );
}
