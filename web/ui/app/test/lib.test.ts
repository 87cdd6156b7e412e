import { describe, expect, it } from "vitest";
import { problem } from "../src/lib/api";
import { brief, bytes, clock, instant, logText, ms, parseDuration, percent, plural, span, visible } from "../src/lib/format";
import { parse } from "../src/lib/router";
import { at } from "../src/lib/time";
import { merge, wanted } from "../src/pages/activity/entries";
import { fieldOf, nameOf, objects, parseTags, slug, withScheme } from "../src/pages/fleet/create";
import { latencyLimit } from "../src/pages/system/limit";
import { withoutSystem } from "../src/pages/system/without";
import { faviconSvg } from "../src/shell/favicon";
import { fuzzy } from "../src/shell/fuzzy";
import { barPaths, barsText } from "../src/ui/Bars";

describe("format", () => {
  it("never rounds up to 100 %", () => {
    expect(percent(1)).toBe("100%");
    expect(percent(0.99999)).toBe("99.99%");
    expect(percent(0)).toBe("0.00%");
    expect(percent(-1)).toBe("–");
    expect(percent(undefined)).toBe("–");
  });
  it.each([
    [-1, "–"],
    [null, "–"],
    [0, "0 ms"],
    [0.04, "<0.1 ms"],
    [0.44, "0.4 ms"],
    [1840, "1,840 ms"],
    [12_400, "12.4 s"],
  ])("ms(%s)", (v, want) => expect(ms(v)).toBe(want));
  it.each([
    [-5, "0 s"],
    [59_999, "59 s"],
    [60_000, "1 min"],
    [3_600_000, "1 h"],
    [11_520_000, "3 h 12 min"],
    [86_400_000 * 2 + 3_600_000 * 4, "2 d 4 h"],
    [86_400_000 * 30, "30 d"],
  ])("span(%s)", (v, want) => expect(span(v)).toBe(want));
  it("is brief in narrow columns", () => expect([4e3, 60e3, 3600e3, 86400e3 * 3].map(brief)).toEqual(["4s", "1m", "1h", "3d"]));
  it("counts", () =>
    expect([plural(1, "check"), plural(9583, "check"), plural(2, "entry", "entries")]).toEqual(["1 check", "9,583 checks", "2 entries"]));
  it("names bytes", () => expect([0, 1023, 1024, 16 << 20].map(bytes)).toEqual(["0 B", "1023 B", "1.0 KiB", "16.0 MiB"]));
  it("reads durations as the server writes them", () => {
    expect([parseDuration("1h30m"), parseDuration("500ms"), parseDuration("7d"), parseDuration("1.5s")]).toEqual([
      5_400_000, 500, 604_800_000, 1500,
    ]);
    for (const bad of ["", "x", "5", "5 m", "m5"]) expect(parseDuration(bad)).toBeNaN();
  });
  it("shows control and direction characters instead of obeying them", () => {
    expect(visible("a\u202eb\u0007c\u200b")).toBe("a\\u202eb\\u0007c\\u200b");
    expect(visible("grün ✓ 日本\ttab\n")).toBe("grün ✓ 日本\ttab\n");
    expect(logText("\u001b[31mred\u001b[0m \u001bX")).toBe("red \\u001bX");
  });
  it("writes an instant as briefly as today allows", () => {
    const now = new Date(2026, 10, 23, 14, 6, 41);
    expect(instant(now, now)).toBe("14:06:41");
    expect(instant(new Date(2026, 10, 22, 9, 5), now)).toBe("22 Nov 09:05");
    expect(instant(new Date(2025, 0, 2), now)).toBe("2 Jan 2025");
    expect(clock(now, false)).toBe("14:06");
  });
  it("knows the zero instant of the server", () => {
    expect(at("0001-01-01T00:00:00Z")).toBe(0);
    expect(at(undefined)).toBe(0);
    expect(at("1970-01-01T00:00:01Z")).toBe(1000);
  });
});

describe("problem", () => {
  it("takes the problems of the server", () => {
    const err = problem(422, {
      title: "Not valid",
      detail: "look",
      request_id: "r1",
      errors: [{ path: "spec.every", code: "x", message: "too short", fix: "write 1s" }],
    });
    expect(err).toMatchObject({ status: 422, title: "Not valid", detail: "look", request: "r1", offline: false, conflict: false });
    expect(err.problems).toEqual([{ path: "spec.every", code: "x", message: "too short", fix: "write 1s" }]);
  });
  it("makes do with a proxy's page", () => expect(problem(502, {}).title).toBe("The server answered 502"));
  it("knows a conflict", () => expect(problem(412, {}).conflict).toBe(true));
});

describe("router", () => {
  it("splits and decodes", () => {
    expect(parse("/systems/a%20b/runs/7", "q=x").segments).toEqual(["systems", "a b", "runs", "7"]);
    expect(parse("/%E0%A4%A", "").segments).toEqual(["%E0%A4%A"]);
    expect(parse("/", "?q=status:stale").query.get("q")).toBe("status:stale");
  });
});

describe("a new system", () => {
  it("has an id that the server takes", () => {
    const ok = /^[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?$/;
    for (const text of ["Shop front", "-x-", "日本", "a/b?c", "Ärger", "x".repeat(300), "...", "api.example.com:8080/health"])
      expect(slug(text)).toMatch(ok);
  });
  it("gets a scheme", () => {
    expect(withScheme("example.com/x")).toBe("https://example.com/x");
    expect(withScheme(" localhost:8080 ")).toBe("http://localhost:8080");
    expect(withScheme("192.168.1.4")).toBe("http://192.168.1.4");
    expect(withScheme("http://a")).toBe("http://a");
    expect(nameOf("https://www.example.com/healthz")).toBe("example.com/healthz");
    expect(nameOf("http://[")).toBe("");
  });
  it("never takes an id that is taken", () => {
    const made = objects(
      { url: "https://a.example/", name: "", every: "10s", tags: "tier=1, x", groups: "eu us" },
      (id) => id === "a.example" || id === "a.example-2",
    );
    expect(made.system).toMatchObject({ id: "a.example-3", tags: { tier: "1", x: "yes" }, groups: ["eu", "us"] });
    expect(made.check).toMatchObject({
      id: "a.example-3-http",
      systems: { names: ["a.example-3"] },
      every: "10s",
      collect: [{ use: "http", with: { url: "https://a.example/" } }],
    });
  });
  it("reads tags", () => expect(parseTags("a=1, b: two words\n c,,=x")).toEqual({ a: "1", b: "two words", c: "yes" }));
  it("puts problems at their fields", () => {
    const field = (path: string) => fieldOf({ path, code: "", message: "" });
    expect([field("collect[0].with.url"), field("every"), field("tags.env"), field("id"), field("policy")]).toEqual([
      "url",
      "every",
      "tags",
      "name",
      undefined,
    ]);
  });
});

describe("deleting a system", () => {
  const check = (names: string[], match?: string, overrides?: Record<string, object>) => ({
    id: "c",
    systems: { names, match },
    collect: [],
    overrides,
  });
  it("deletes checks that watch nothing else, and takes its name out of the others", () => {
    expect(withoutSystem(check(["a"]), "a")).toBe("delete");
    expect(withoutSystem(check(["b"]), "a")).toBe("keep");
    expect(withoutSystem(check(["a", "b"], undefined, { a: {}, b: { disabled: true } }), "a")).toMatchObject({
      systems: { names: ["b"] },
      overrides: { b: { disabled: true } },
    });
    expect(withoutSystem(check(["a"], "true"), "a")).toMatchObject({ systems: { match: "true" } });
  });
});

describe("latency limit", () => {
  it("is the smallest that the assertions name", () => {
    const check = (assert: string[], warn: string[] = []) => ({ id: "c", systems: {}, collect: [{ use: "http", assert, warn }] });
    expect(latencyLimit(check(['latency < duration("900ms")', "status == 200"], ['latency <= duration("0.5s")']))).toBe(500);
    expect(latencyLimit(check(['latency < duration("900ms") || status == 200']))).toBeUndefined();
    expect(latencyLimit(undefined)).toBeUndefined();
  });
});

describe("activity", () => {
  const t = (
    seq: number,
    from: "healthy" | "unhealthy" | "unknown",
    to: "healthy" | "unhealthy",
    id = "a",
    kind: "system" | "assignment" = "system",
  ) => ({
    key: `t${seq}`,
    at: seq,
    transition: {
      seq,
      at: "",
      subject: { kind, id },
      from,
      to,
      cause: "run" as const,
      healthy_checks: 0,
      total_checks: 1,
      why: { code: "", text: "" },
    },
  });
  it("merges without doubles, newest first", () => {
    expect(
      merge(
        [t(3, "healthy", "unhealthy")],
        [t(3, "healthy", "unhealthy"), t(1, "healthy", "unhealthy")],
        [t(2, "healthy", "unhealthy")],
      ).map((e) => e.key),
    ).toEqual(["t3", "t2", "t1"]);
  });
  it("filters", () => {
    const all = { kind: "all", change: "any", system: "" } as const;
    expect(wanted(t(1, "healthy", "unhealthy"), { ...all, change: "bad" })).toBe(true);
    expect(wanted(t(1, "unhealthy", "healthy"), { ...all, change: "bad" })).toBe(false);
    expect(wanted(t(1, "unknown", "healthy"), { ...all, change: "good" })).toBe(false);
    expect(wanted(t(1, "healthy", "unhealthy", "a:http", "assignment"), { ...all, system: "a" })).toBe(true);
    expect(wanted(t(1, "healthy", "unhealthy", "a:http", "assignment"), { ...all, kind: "system" })).toBe(false);
  });
});

describe("fuzzy", () => {
  it("ranks beginnings over pieces over gaps", () => {
    const order = ["xpayx", "pay-api", "core-pay", "p-a-y", "nothing"].sort((a, b) => fuzzy("pay", b) - fuzzy("pay", a));
    expect(order).toEqual(["pay-api", "core-pay", "xpayx", "p-a-y", "nothing"]);
    expect(fuzzy("pay", "nothing")).toBe(0);
  });
});

describe("bars", () => {
  it("are at most four paths", () => expect(Object.keys(barPaths("pwfe".repeat(8).slice(0, 30)))).toHaveLength(4));
  it("are said in words", () => {
    expect(barsText("")).toBe("no run yet");
    expect(barsText("pppp")).toBe("last 4 runs: all passed");
    expect(barsText("ppfwe")).toBe("last 5 runs: 1 failed, 1 warned, 1 could not be asked");
  });
});

describe("favicon", () => {
  it("has a dot only when something is wrong", () => {
    expect(faviconSvg("healthy")).not.toContain("circle");
    expect(faviconSvg("unhealthy")).toContain("#e5383b");
  });
});
