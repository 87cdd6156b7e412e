import type { Check, ModuleItem, Run, StepResult, Stored } from "../../api.gen";
import { api, seg } from "../../lib/api";
import { bytes, count, logText, ns, plural, visible } from "../../lib/format";
import { useResource } from "../../lib/resource";
import { to } from "../../lib/router";
import { Icon, outcomeLook, outcomeNames, Pill, Status } from "../../ui";
import { Cells } from "../collectors/Usage";
import { Replay } from "./Replay";
import "./run.css";

/** All that is kept of a run: per step its assertions with the values that decided, phases, logs, use of limits; then its samples. */
export function RunDetail({ run }: { run: Run }) {
  const steps = run.steps ?? [];
  const samples = Object.entries(run.samples ?? {});
  return (
    <div class="run-d">
      {steps.map((s) => (
        <StepPart key={s.id} s={s} run={run} only={steps.length === 1} />
      ))}
      {steps.length === 0 && (
        <p class="dim">
          {run.outcome === "pass"
            ? "Of passing runs only the samples are kept, unless the check keeps recordings of all runs."
            : "No detail is kept of this run."}
        </p>
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

function StepPart({ s, run, only }: { s: StepResult; run: Run; only: boolean }) {
  const phases = s.phases ?? [];
  const logs = s.logs ?? [];
  return (
    <section class="step">
      <header class="row wrap">
        {!only && <b>{visible(s.id)}</b>}
        <span class="mono dim">
          {s.module ? (
            <a class="link" href={moduleHref(s.module)} title={visible(s.use)}>
              {visible(s.module)}
            </a>
          ) : (
            visible(s.use)
          )}
        </span>
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
      {s.usage && (s.module ? <OfLimits s={s} run={run} /> : <Used u={s.usage} />)}
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
      {s.module && <Replay run={run} step={s} />}
    </section>
  );
}

/** The page of a module: of "queue-depth@1.2.0" the version that ran. */
export function moduleHref(module: string): string {
  const [name = "", version] = module.split("@");
  return to.collector(name) + (version ? `?v=${encodeURIComponent(version)}` : "");
}

/**
 * What a module used of its limits. They are those of the version that ran, and
 * the timeout of the check as it is now; while they are not known, or when they
 * are kept no longer, the use alone is shown.
 */
function OfLimits({ s, run }: { s: StepResult; run: Run }) {
  const [name = "", version = ""] = (s.module ?? "").split("@");
  const [system = "", check = ""] = run.assignment.split(":");
  const found = useResource(`${s.module} ${run.assignment}`, async (signal) => {
    const [item, stored] = await Promise.all([
      api.get<ModuleItem>(`/modules/${seg(name)}`, { signal }),
      api.get<Stored<Check>>(`/checks/${seg(check)}`, { signal }),
    ]);
    const ran = (item.versions ?? []).find((v) => v.version === version);
    const c = stored.object;
    return ran && { limits: ran.grant.limits ?? {}, wall: c.overrides?.[system]?.timeout || c.timeout || "10s" };
  });
  const u = s.usage;
  if (!u) return null;
  if (!found.data) return <Used u={u} />;
  return (
    <>
      <Cells r={{ usage: u, limits: found.data.limits, wall_limit: found.data.wall }} />
      <p class="dim small prose">
        {plural(u.host_calls, "call to the host", "calls to the host")}. The limits are those that{" "}
        <a class="link" href={moduleHref(s.module ?? "")}>
          {visible(s.module ?? "")}
        </a>{" "}
        is granted; the time is that of the check.
      </p>
    </>
  );
}

/** What a module used. */
function Used({ u }: { u: NonNullable<StepResult["usage"]> }) {
  const facts: [string, string][] = [
    ["time", ns(u.wall_ns)],
    ["instructions", count(u.fuel ?? 0)],
    ["memory", bytes(u.memory_bytes)],
    ["output", bytes(u.output_bytes)],
    ["log", bytes(u.log_bytes)],
    ["host calls", count(u.host_calls)],
    ["HTTP calls", count(u.http_calls)],
    ["TCP connections", count(u.tcp_calls ?? 0)],
    ["DNS queries", count(u.dns_calls ?? 0)],
  ];
  return (
    <dl class="used" aria-label="What it used">
      {facts
        .filter(([, value]) => value !== "0")
        .map(([name, value]) => (
          <div key={name}>
            <dt>{name}</dt>
            <dd class="num">{value}</dd>
          </div>
        ))}
    </dl>
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
