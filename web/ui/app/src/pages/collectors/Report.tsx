// What one run came to: against its limits, what it said, what it called.

import type { ComponentChildren } from "preact";
import type { HostCall, TestReport } from "../../api.gen";
import { bytes, count, logText, ns, visible } from "../../lib/format";
import { Button, Icon, outcomeLook, outcomeNames, Status } from "../../ui";
import { type ListKind, lineFor } from "./permissions";
import { Cells } from "./Usage";

/** Widens the grant of the test by a line that a denied call needed; undefined when the module does not ask for it. */
export type Widen = (kind: ListKind, line: string) => (() => void) | undefined;

export function Report({ r, widen, widenText }: { r: TestReport; widen?: Widen; widenText?: string }) {
  const samples = Object.entries(r.samples ?? {});
  return (
    <div class="col" aria-live="polite">
      <Cells r={r} />
      <Verdict r={r} />
      {samples.length > 0 && (
        <table class="tbl co-samples" aria-label="Samples">
          <tbody>
            {samples.map(([name, value]) => (
              <tr key={name}>
                <th scope="row" class="mono">
                  {visible(name)}
                </th>
                <td class="r num">{text(value)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
      <Denied r={r} widen={widen} text={widenText ?? "Allow for this test"} />
      <Timeline r={r} />
    </div>
  );
}

const text = (value: unknown) => visible(typeof value === "string" ? value : JSON.stringify(value));

const limitHints: Record<string, string> = {
  limit_memory: "Its grant can allow more memory: see Limits in the review.",
  limit_fuel: "Its grant can allow more instructions: see Limits in the review.",
  limit_output: "Its grant can allow more output: see Limits in the review.",
  limit_time: "Give the test more time, or make it ask for less.",
  deadline: "Give the test more time, or make it ask for less.",
  trap: "It failed by itself. The functions named are the innermost ones; the last line of its log may say more.",
};

function Verdict({ r }: { r: TestReport }) {
  const hint = r.why?.code ? limitHints[r.why.code] : undefined;
  return (
    <div class="co-outcome">
      <Status health={outcomeLook(r.outcome)} />
      <div>
        <b>{visible(r.summary || outcomeNames[r.outcome])}</b>
        {r.why?.text && r.why.text !== r.summary && <p class={r.outcome === "error" ? "t-unhealthy" : "dim2"}>{visible(r.why.text)}</p>}
        {hint && <p class="dim">{hint}</p>}
      </div>
    </div>
  );
}

/** Calls that were denied, each with what would allow it. */
function Denied({ r, widen, text: button }: { r: TestReport; widen?: Widen; text: string }) {
  const seen = new Map<string, { kind: ListKind; text: string }>();
  for (const c of r.usage?.calls ?? []) {
    const line = c.allowed ? undefined : lineFor(c.name, c.detail ?? "");
    if (line) seen.set(`${line.kind} ${line.text}`, line);
  }
  if (seen.size === 0 || !widen) return null;
  return (
    <ul class="co-denied" aria-label="Denied calls">
      {[...seen.values()].slice(0, 8).map(({ kind, text }) => {
        const allow = widen(kind, text);
        return (
          <li key={`${kind} ${text}`}>
            <Icon name="shield" size={15} />
            <span>
              <code>{visible(text)}</code> is not granted.{" "}
              {!allow && (
                <span class="dim2">The module does not ask for it, so it cannot be: add it to its wants and upload it again.</span>
              )}
            </span>
            {allow && (
              <Button small onClick={allow}>
                {button}
              </Button>
            )}
          </li>
        );
      })}
    </ul>
  );
}

const maxLines = 500;

/** Log lines and host calls by time. */
export function Timeline({ r }: { r: Pick<TestReport, "logs" | "usage"> }) {
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
    <div class="log co-log" role="log" aria-label="Log and host calls" tabIndex={0}>
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

/** Two runs of the same request, side by side. */
export function Comparison({ r, active }: { r: TestReport; active: TestReport }) {
  const names = [...new Set([...Object.keys(r.samples ?? {}), ...Object.keys(active.samples ?? {})])].sort();
  const rows: [string, string, string][] = [
    ["Outcome", outcomeNames[active.outcome], outcomeNames[r.outcome]],
    ["Summary", visible(active.summary || "–"), visible(r.summary || "–")],
    ...names.map((n): [string, string, string] => [n, sample(active, n), sample(r, n)]),
    ["Time", ns(active.usage.wall_ns), ns(r.usage.wall_ns)],
    ["Instructions", count(active.usage.fuel), count(r.usage.fuel)],
    ["Memory", bytes(active.usage.memory_bytes), bytes(r.usage.memory_bytes)],
    ["Output", bytes(active.usage.output_bytes), bytes(r.usage.output_bytes)],
    ["Host calls", count(active.usage.host_calls), count(r.usage.host_calls)],
  ];
  return (
    <div class="scroll-x" role="region" aria-label="Comparison" tabIndex={0}>
      <table class="tbl co-compare" aria-label="Compared with the active version">
        <thead>
          <tr>
            <th scope="col" />
            <th scope="col">{visible(active.version)}, active</th>
            <th scope="col">{visible(r.version)}, this</th>
          </tr>
        </thead>
        <tbody>
          {rows.map(([name, before, now]) => (
            <tr key={name} class={before === now ? undefined : "differs"}>
              <th scope="row">{visible(name)}</th>
              <td class="num">{before}</td>
              <td class="num">
                {now}
                {before !== now && <span class="sr"> differs</span>}
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

const sample = (r: TestReport, name: string) => (r.samples && name in r.samples ? text(r.samples[name]) : "–");
