import type { Run, StepResult } from "../../api.gen";
import { bytes, logText, ns, visible } from "../../lib/format";
import { Icon, outcomeLook, outcomeNames, Pill, Status } from "../../ui";
import "./run.css";

/** All that is kept of a run: per step its assertions with the values that decided, phases, logs, use of limits; then its samples. */
export function RunDetail({ run }: { run: Run }) {
  const steps = run.steps ?? [];
  const samples = Object.entries(run.samples ?? {});
  return (
    <div class="run-d">
      {steps.map((s) => (
        <StepPart key={s.id} s={s} only={steps.length === 1} />
      ))}
      {steps.length === 0 && (
        <p class="dim">{run.outcome === "pass" ? "Of passing runs only the samples are kept." : "No detail is kept of this run."}</p>
      )}
      {samples.length > 0 && (
        <section>
          <h3 class="dim">Samples</h3>
          <dl class="samples">
            {samples
              .sort(([a], [b]) => (a < b ? -1 : 1))
              .map(([name, value]) => (
                <div key={name}>
                  <dt class="mono">{visible(name)}</dt>
                  <dd class="mono num">{visible(show(value))}</dd>
                </div>
              ))}
          </dl>
        </section>
      )}
    </div>
  );
}

function show(value: unknown): string {
  return typeof value === "string" ? value : JSON.stringify(value);
}

function StepPart({ s, only }: { s: StepResult; only: boolean }) {
  const phases = s.phases ?? [];
  const logs = s.logs ?? [];
  return (
    <section class="step">
      <header class="row wrap">
        {!only && <b>{visible(s.id)}</b>}
        <span class="mono dim">{visible(s.use)}</span>
        <Pill kind={outcomeLook(s.outcome)}>
          <Status health={outcomeLook(s.outcome)} size={13} />
          {outcomeNames[s.outcome]}
        </Pill>
        <span class="dim2">{visible(s.summary ?? "")}</span>
      </header>
      {s.why?.text && s.outcome !== "pass" && <p class={`t-${outcomeLook(s.outcome)}`}>{visible(s.why.text)}</p>}
      {(s.asserts ?? []).length > 0 && (
        <ul class="asserts">
          {(s.asserts ?? []).map((a) => (
            <li key={a.expr}>
              <span
                class={a.ok ? "t-healthy" : a.warn ? "t-degraded" : "t-unhealthy"}
                role="img"
                aria-label={a.ok ? "held" : a.warn ? "warned" : "failed"}
              >
                <Icon name={a.ok ? "check" : "x"} size={14} />
              </span>
              <code>{visible(a.expr)}</code>
              {a.warn && <span class="tag">warn</span>}
              <span class="dim2">{visible(a.why ?? "")}</span>
            </li>
          ))}
        </ul>
      )}
      {phases.length > 0 && <Phases phases={phases} />}
      {s.usage && (
        <p class="dim small num">
          {ns(s.usage.wall_ns)} wall, {bytes(s.usage.memory_bytes)} memory, {bytes(s.usage.output_bytes)} output, {s.usage.http_calls} HTTP
          calls, {s.usage.host_calls} host calls
        </p>
      )}
      {logs.length > 0 && (
        <div class="log" role="log" aria-label={`Log of ${s.id}`} tabIndex={0}>
          {logs.map((l, i) => (
            <div key={i}>
              <span class="dim num">{`+${ns(l.after_ns)}`.padEnd(9)} </span>
              <span class={l.level === "error" ? "t-unhealthy" : l.level === "warn" ? "t-degraded" : "dim"}>{l.level.padEnd(5)} </span>
              {logText(l.text)}
            </div>
          ))}
        </div>
      )}
    </section>
  );
}

function Phases({ phases }: { phases: NonNullable<StepResult["phases"]> }) {
  const end = Math.max(1, ...phases.map((p) => p.start_ns + p.took_ns));
  return (
    <ol class="phases" aria-label="Phases">
      {phases.map((p) => (
        <li key={p.name}>
          <span class="dim2">{visible(p.name)}</span>
          <span class="bar">
            <i style={{ marginInlineStart: `${(p.start_ns / end) * 100}%`, width: `max(2px, ${(p.took_ns / end) * 100}%)` }} />
          </span>
          <span class="num dim r">{ns(p.took_ns)}</span>
        </li>
      ))}
    </ol>
  );
}
