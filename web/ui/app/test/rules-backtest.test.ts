import { describe, expect, it } from "vitest";
import type { BacktestFiring, BacktestRule, Decision, Rule, Run, Transition } from "../src/api.gen";
import { look, ranges, shards } from "../src/pages/nodes/model";
import { bySubject, lanes, times } from "../src/pages/rules/lanes";
import { canonical, formGate, gateForm, triggerWords } from "../src/pages/rules/model";
import { formStep, stepForm, stepProblems, stepWords } from "../src/pages/rules/steps";
import { happenings } from "../src/pages/rules/subjects";
import { asking } from "../src/pages/rules/Why";

const day = Date.parse("2026-11-23T10:00:00Z");
const iso = (s: number) => new Date(day + s * 1000).toISOString();
const decision = (s: number, fields: Partial<Decision>): Decision =>
  ({
    id: s,
    rule: "r",
    revision: "",
    at: iso(s),
    decided: iso(s),
    subject: { kind: "system", id: "web" },
    verdict: "hold",
    stage: "dwell",
    stages: [],
    from: "healthy",
    to: "unhealthy",
    ...fields,
  }) as Decision;
const rule = (decisions: Decision[]): BacktestRule => ({
  revision: "",
  fired: 0,
  recovered: 0,
  open: 0,
  stages: [],
  firings: [],
  decisions,
});
const firing = (s: number, id: string, recovery = false): BacktestFiring => ({
  at: iso(s),
  subject: { kind: "system", id },
  partition: id,
  n: 1,
  text: "down",
  recovery,
});

describe("lanes of a backtest", () => {
  const got = lanes(
    rule([
      decision(10, { seq: 1, verdict: "drop", stage: "when", stages: [{ stage: "when", ok: false, text: "to is degraded" }] }),
      decision(20, {
        seq: 2,
        episode: "e",
        stages: [
          { stage: "when", ok: true, text: "to is unhealthy" },
          { stage: "window", ok: true, text: "open", n: 2, need: 2 },
          { stage: "dwell", ok: false, text: "holds", until: iso(80) },
        ],
      }),
      decision(50, { episode: "e", verdict: "drop", stages: [{ stage: "dwell", ok: false, text: "released: it is healthy" }] }),
      decision(60, {
        seq: 3,
        verdict: "suppress",
        stage: "cooldown",
        stages: [{ stage: "cooldown", ok: false, text: "cools down", until: iso(90) }],
      }),
    ]),
    [firing(80, "web"), firing(85, "web", true)],
    day,
    day + 100_000,
  );
  const of = (name: string) => got.find((l) => l.name === name)?.spans ?? [];
  it("draws a lane for each stage that said something, in order", () => {
    expect(got.map((l) => l.name)).toEqual(["Condition", "Window", "Hold", "Cooldown", "Fired"]);
  });
  it("ends a hold where it is released", () => {
    expect(of("Hold").map((s) => [s.from - day, s.to - day])).toEqual([[20_000, 50_000]]);
    expect(of("Hold")[0]?.text).toContain("released before it was over");
  });
  it("says of a hold that goes on that it is not over", () => {
    const on = decision(10, { seq: 1, episode: "e", stages: [{ stage: "dwell", ok: false, text: "holds", until: iso(900) }] });
    expect(lanes(rule([on]), [], day, day + 100_000).find((l) => l.name === "Hold")?.spans[0]).toMatchObject({
      to: day + 100_000,
      text: expect.stringContaining("not over yet"),
    });
  });
  it("draws what is true high, and what is false low", () => {
    expect(of("Condition").map((s) => s.height)).toEqual([0.35, 1, 1]);
    expect(of("Window")[0]?.text).toContain("2 of 2");
  });
  it("draws a cooldown to its end, and recoveries apart", () => {
    expect(of("Cooldown")[0]?.to).toBe(day + 90_000);
    expect(of("Fired").map((s) => s.fill)).toEqual(["f-unhealthy", "f-healthy"]);
  });
  it("counts firings by subject, without recoveries", () => {
    expect(bySubject([firing(1, "a"), firing(2, "b"), firing(3, "b"), firing(4, "a", true), firing(5, "a", true)])).toEqual([
      { id: "b", n: 2 },
      { id: "a", n: 1 },
    ]);
    expect([0, 1, 2, 5].map(times)).toEqual(["never", "once", "twice", "5 times"]);
  });
});

describe("what a form does not know", () => {
  it("is kept of a rule, its triggers, its gate and its steps", () => {
    const odd = {
      id: "r",
      on: [{ event: "metric", value: "run.latency", above: 2, clear: 1, later: true }],
      gate: { for: "5s", later: 1, window: { count: 2, within: "1m", later: "x" } },
      do: [{ action: "log", with: { message: "m" }, later: [1] }, { choose: [{ if: "true", do: [] }] }],
      later: { a: 1 },
    } as unknown as Rule;
    const through = canonical({ ...odd, gate: formGate(gateForm(odd.gate)), do: odd.do.map(stepForm).map(formStep) });
    expect(through).toEqual(odd);
  });
  it("is edited as JSON when it is a step without an action", () => {
    const form = stepForm({ choose: [] } as never);
    expect(stepWords(form)).toBe("Steps: choose");
    expect(stepProblems({ ...form, raw: "{" })[0]?.path).toBe("action");
  });
});

describe("what a rule is asked about", () => {
  it("says what a trigger on a number looks at", () => {
    expect(triggerWords({ event: "metric", value: "samples.messages", above: 100 })).toBe(
      "samples.messages of a check of a system is more than 100",
    );
    expect(triggerWords({ event: "run.failed" })).toBe("a check of a system has a run that fails");
  });
  it("takes the newest of each subject", () => {
    const change = (seq: number, id: string, kind = "system") =>
      ({ seq, at: iso(seq), subject: { kind, id }, from: "healthy", to: "stale" }) as Transition;
    expect(happenings("system", [], [change(9, "a"), change(8, "g", "group"), change(7, "a"), change(6, "b")]).map((h) => h.seq)).toEqual([
      9, 6,
    ]);
    const run = { id: 4, assignment: "a:http", ended: iso(4), outcome: "fail" } as Run;
    expect(happenings("assignment", [run], [])[0]).toMatchObject({ run: 4, subject: { id: "a:http" }, text: "run fail" });
  });
  it("names a system, a check of it or a group", () => {
    expect([asking("system", "web"), asking("assignment", "web:http"), asking("group", "shop")]).toEqual([
      "?system=web",
      "?system=web&check=http",
      "?group=shop",
    ]);
  });
});

describe("nodes", () => {
  const node = (fields: object) => ({ name: "n", alive: true, rules: false, shards: [], ...fields }) as never;
  it("tells who is up, who holds nothing and who is gone", () => {
    expect([node({ shards: [1] }), node({ rules: true }), node({}), node({ alive: false, shards: [1] })].map(look)).toEqual([
      "up",
      "up",
      "idle",
      "gone",
    ]);
  });
  it("counts shards once, and writes them as ranges", () => {
    expect(shards([node({ shards: [1, 2] }), node({ shards: [2, 3] })])).toBe(3);
    expect(ranges([3, 1, 2, 9])).toBe("1-3, 9");
  });
});
