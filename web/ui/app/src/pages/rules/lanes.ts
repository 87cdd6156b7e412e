// What a backtest decided about one subject, as strips over time.

import type { BacktestFiring, BacktestRule, Decision, Stage, StageResult } from "../../api.gen";
import { instant, span } from "../../lib/format";
import { at } from "../../lib/time";
import type { LaneSpan } from "../../ui";

export interface LaneOf {
  name: string;
  spans: LaneSpan[];
}

/** How wide a moment is drawn, as a share of the whole. */
const moment = 0.006;

const said = (d: Decision, stage: Stage): StageResult | undefined => d.stages?.find((s) => s.stage === stage);

/**
 * The lanes of a rule for one subject: its condition, window, hold, what held
 * it back, its cooldown and when it fired. A lane of which nothing was said is
 * left out, but for the last.
 */
export function lanes(rule: BacktestRule, firings: BacktestFiring[], from: number, to: number): LaneOf[] {
  const decisions = rule.decisions ?? [];
  const wide = (to - from) * moment;
  const today = new Date(to);
  const when = (ms: number) => instant(new Date(ms), today);
  const tick = (ms: number, fill: string, height: number, text: string): LaneSpan => ({ from: ms, to: ms + wide, fill, height, text });
  const stretch = (d: Decision, until: number, fill: string, height: number, text: string): LaneSpan => {
    const begin = at(d.at);
    const end = Math.min(Math.max(until, begin + wide), to);
    return { from: begin, to: end, fill, height, text: `${when(begin)} for ${span(end - begin)}: ${text}` };
  };
  const out: Record<"when" | "window" | "dwell" | "unless" | "cooldown", LaneSpan[]> = {
    when: [],
    window: [],
    dwell: [],
    unless: [],
    cooldown: [],
  };
  decisions.forEach((d, i) => {
    const next = at(decisions[i + 1]?.at) || to;
    const when_ = said(d, "when") ?? (d.stage === "trigger" ? said(d, "trigger") : undefined);
    const looked = d.seq || d.run;
    if (looked && (when_ || d.stage !== "trigger")) {
      const ok = when_?.ok ?? true;
      out.when.push(
        tick(at(d.at), ok ? "f-accent" : "f-unknown", ok ? 1 : 0.35, `${when(at(d.at))}: ${when_?.text ?? "every change counts"}`),
      );
    }
    const w = said(d, "window");
    if (w?.need) {
      const share = Math.min(1, (w.n ?? 0) / w.need);
      out.window.push(
        tick(at(d.at), w.ok ? "f-accent" : "f-degraded", Math.max(0.12, share), `${when(at(d.at))}: ${w.n ?? 0} of ${w.need}, ${w.text}`),
      );
    }
    const hold = said(d, "dwell");
    if (hold?.until && !hold.ok) {
      const ends = decisions.slice(i + 1).find((later) => said(later, "dwell") && (later.episode ?? "") === (d.episode ?? ""));
      const end = Math.min(at(hold.until), ends ? at(ends.at) : at(hold.until));
      const how = end < at(hold.until) ? "released before it was over" : end > to ? "not over yet" : "to its end";
      out.dwell.push(stretch(d, end, "f-degraded", 0.75, `${hold.text}, ${how}`));
    }
    const held = said(d, "unless");
    if (held && !held.ok) out.unless.push(stretch(d, next, "f-maint", 0.75, held.text));
    const cool = said(d, "cooldown");
    if (cool && !cool.ok) out.cooldown.push(stretch(d, at(cool.until) || next, "f-stale", 0.6, cool.text));
  });
  const names: [keyof typeof out, string][] = [
    ["when", "Condition"],
    ["window", "Window"],
    ["dwell", "Hold"],
    ["unless", "Unless"],
    ["cooldown", "Cooldown"],
  ];
  return [
    ...names.filter(([key]) => out[key].length > 0).map(([key, name]) => ({ name, spans: out[key] })),
    { name: "Fired", spans: fired(firings, from, to) },
  ];
}

/** Firings as moments. */
export function fired(firings: BacktestFiring[], from: number, to: number): LaneSpan[] {
  const wide = (to - from) * moment;
  return firings.map((f) => ({
    from: at(f.at),
    to: at(f.at) + wide,
    fill: f.recovery ? "f-healthy" : "f-unhealthy",
    height: f.recovery ? 0.5 : 1,
    text: `${instant(new Date(at(f.at)), new Date(to))}: ${f.recovery ? "recovered" : "fired"}. ${f.text}`,
  }));
}

/** "3 times", "once", "never". */
export function times(n: number): string {
  return n === 0 ? "never" : n === 1 ? "once" : n === 2 ? "twice" : `${n} times`;
}

/** How many firings there are of each subject, most first. */
export function bySubject(firings: BacktestFiring[]): { id: string; n: number }[] {
  const counts = new Map<string, number>();
  for (const f of firings) if (!f.recovery) counts.set(f.subject.id, (counts.get(f.subject.id) ?? 0) + 1);
  return [...counts].map(([id, n]) => ({ id, n })).sort((a, b) => b.n - a.n || (a.id < b.id ? -1 : 1));
}
