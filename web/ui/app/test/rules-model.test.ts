import { describe, expect, test } from "vitest";
import type { Gate, Rule, Step } from "../src/api.gen";
import { folded } from "../src/lib/diff";
import {
  canonical,
  diff,
  dropDraft,
  duration,
  durationWords,
  elsewhere,
  formGate,
  gateForm,
  idFrom,
  keepDraft,
  loadDraft,
  presets,
  same,
  templates,
  triggerWords,
  under,
} from "../src/pages/rules/model";
import { formStep, newStep, stepForm, stepProblems, stepWords } from "../src/pages/rules/steps";

describe("a gate comes back from its form", () => {
  const gates: (Gate | undefined)[] = [
    undefined,
    { for: "2m" },
    { by: "system.tags.team", for: "1h30m", while: 'health != "healthy"', cooldown: "30m" },
    { window: { count: 3, within: "10m" } },
    { window: { count: 3, within: "10m", exit: 1, quiet: "30m", refire: "every" } },
    { window: { count: 1, within: "36h", refire: "15m" }, cooldown: "7d" },
    ...presets.map((p) => p.gate),
    ...templates.map((t) => t.rule.gate),
  ];
  test.each(gates.map((g) => [JSON.stringify(g), g] as const))("%s", (_, gate) => {
    const want = gate && Object.keys(gate).length > 0 ? gate : undefined;
    expect(formGate(gateForm(gate))).toEqual(want);
  });
  test("what the server writes by default is left out", () => {
    expect(formGate(gateForm({ window: { count: 3, within: "10m", exit: 0, refire: "never" } }))).toEqual({
      window: { count: 3, within: "10m" },
    });
  });
  test("what is half typed is kept for the server to refuse", () => {
    expect(formGate({ ...gateForm(undefined), hold: "soon", counted: true, count: "x", within: "" })).toEqual({
      for: "soon",
      window: { count: 0 },
    });
  });
});

test.each([
  ["2 min", "2m"],
  ["2m", "2m"],
  ["1 h 30 min", "1h30m"],
  ["1 hour and 5 minutes", "1h5m"],
  ["90s", "90s"],
  ["500 ms", "500ms"],
  ["1.5h", "1.5h"],
  ["7 days", "7d"],
  ["10", "10"],
  ["soon", "soon"],
  ["5 parsecs", "5 parsecs"],
  ["5m x", "5m x"],
])("duration %j is %j", (text, want) => expect(duration(text)).toBe(want));

test("durations in words", () => {
  expect(durationWords("1h30m")).toBe("1 h 30 min");
  expect(durationWords("2m")).toBe("2 min");
});

test("ids from names", () => {
  expect(idFrom("Page on outage!")).toBe("page-on-outage");
  expect(idFrom("  Größe – 2 ")).toBe("gro-e-2");
  expect(idFrom("a".repeat(99))).toHaveLength(64);
  expect(idFrom("***")).toBe("");
});

const rule: Rule = {
  id: "r",
  on: [{ event: "health.changed" }],
  when: 'to == "unhealthy"',
  do: [{ action: "log", with: { message: "x" } }],
};

describe("sameness", () => {
  test("defaults and empty fields do not matter", () => {
    const other = {
      ...rule,
      name: "",
      labels: {},
      gate: {},
      recover: [],
      mode: "single",
      max: 10,
      on: [{ event: "health.changed", subject: "system" as const }],
    };
    expect(same(rule, other)).toBe(true);
    expect(canonical(other)).toEqual(rule);
  });
  test("a changed expression does", () => expect(same(rule, { ...rule, when: "true" })).toBe(false));
  test("null lists of the server are empty lists", () =>
    expect(canonical({ id: "r", on: null, do: null } as unknown as Rule)).toEqual({ id: "r", on: [], do: [] }));
});

test("a diff holds both sides and nothing else", () => {
  const mine = { ...rule, when: 'to == "degraded"', gate: { for: "2m" } };
  const lines = diff(rule, mine);
  expect(lines.filter((l) => l.kind === "theirs").map((l) => l.text.trim())).toEqual(['"when": "to == \\"unhealthy\\""']);
  expect(lines.filter((l) => l.kind === "mine").map((l) => l.text.trim())).toContain('"for": "2m"');
  expect(
    JSON.parse(
      lines
        .filter((l) => l.kind !== "mine")
        .map((l) => l.text)
        .join("\n"),
    ),
  ).toEqual(canonical(rule));
  expect(
    JSON.parse(
      lines
        .filter((l) => l.kind !== "theirs")
        .map((l) => l.text)
        .join("\n"),
    ),
  ).toEqual(canonical(mine));
});

test("equal lines far from a change are counted", () => {
  const lines = [..."abcdefghij"].map((text) => ({ kind: "same" as const, text }));
  const changed = [...lines, { kind: "mine" as const, text: "new" }, ...lines];
  expect(folded(changed).map((l) => l.text)).toEqual(["8 equal lines", "i", "j", "new", "a", "b", "8 equal lines"]);
  expect(folded(lines).map((l) => l.text)).toEqual(["10 equal lines"]);
});

describe("drafts", () => {
  const shelf = () => {
    const held = new Map<string, string>();
    return {
      held,
      getItem: (k: string) => held.get(k) ?? null,
      setItem: (k: string, v: string) => void held.set(k, v),
      removeItem: (k: string) => void held.delete(k),
    };
  };
  test("come back", () => {
    const s = shelf();
    keepDraft(s, "r", { rule, base: 7, at: 1 });
    expect(loadDraft(s, "r")).toEqual({ rule, base: 7, at: 1 });
    expect(loadDraft(s, "other")).toBeNull();
    dropDraft(s, "r");
    expect(loadDraft(s, "r")).toBeNull();
  });
  test("broken ones are forgotten", () => {
    const s = shelf();
    s.setItem("tocsin.draft.rule.r", "{");
    expect(loadDraft(s, "r")).toBeNull();
    s.setItem("tocsin.draft.rule.r", '{"base":1}');
    expect(loadDraft(s, "r")).toBeNull();
  });
  test("a full storage does not stop typing", () => {
    const full = {
      ...shelf(),
      setItem: () => {
        throw new Error("quota");
      },
    };
    expect(() => keepDraft(full, "r", { rule, base: 1, at: 1 })).not.toThrow();
  });
});

test("triggers in words", () => {
  expect(triggerWords({ event: "health.changed" })).toBe("the health of a system changes");
  expect(triggerWords({ event: "health.unhealthy", subject: "assignment" })).toBe("a check of a system becomes unhealthy");
});

test("problems find their fields", () => {
  const problems = [{ path: "when" }, { path: "do[1].with.url" }, { path: "spec.gate.for" }, { path: "labels.x" }, { path: "" }];
  expect(under(problems, "do[1]")).toEqual([problems[1]]);
  expect(under(problems, "gate")).toEqual([problems[2]]);
  expect(elsewhere(problems)).toEqual([problems[3], problems[4]]);
});

describe("a step comes back from its form", () => {
  const steps: Step[] = [
    { action: "webhook", with: { url: "https://x.test/${system.id}", body: { a: "${to}", n: 1, list: [true] } } },
    {
      action: "webhook",
      id: "send",
      if: 'system.tags.tier == "1"',
      with: { method: "PUT", url: "https://x.test", headers: { "X-A": "${to}", Authorization: { secret: "token" } }, body: "plain ${why}" },
      timeout: "5s",
      retry: { max: 3, backoff: "2s" },
      continue_on_error: true,
    },
    { action: "webhook", with: { url: "https://x.test", body: '{"still": "text"}' } },
    { action: "webhook", with: { url: "https://x.test", body: [1, 2] } },
    { action: "webhook", with: { url: { secret: "hook" } } },
    { action: "log", with: { level: "warn", message: "${why}" } },
    { action: "log" },
    { action: "incident.open", with: { title: "x" } },
    { action: "log", with: { message: 1 } },
  ];
  test.each(steps.map((s) => [JSON.stringify(s), s] as const))("%s", (_, step) => expect(formStep(stepForm(step))).toEqual(step));

  test("a body that is no JSON is kept and refused", () => {
    const form = { ...stepForm({ action: "webhook", with: { url: "x" } }), body: "{oops" };
    expect(formStep(form).with?.body).toBe("{oops");
    expect(stepProblems(form)[0]?.path).toBe("with.body");
    expect(stepProblems({ ...form, json: false })).toEqual([]);
    expect(stepProblems({ ...form, raw: "{" })[0]?.path).toBe("with");
  });
  test("in words", () => {
    expect(stepWords(stepForm({ action: "webhook", with: { url: "https://hooks.test/x" } }))).toBe("POST to hooks.test");
    expect(stepWords(stepForm({ action: "log", with: { message: "hi" } }))).toBe("Write to the log: hi");
  });
  test("new ones are valid", () => {
    for (const action of ["webhook", "log"]) expect(stepProblems(newStep(action))).toEqual([]);
  });
});
