import { describe, expect, it } from "vitest";
import { chosen, type Facts, formatFilter, matches, parseFilter, toggleToken } from "../src/live/filter";

const facts: Facts = {
  id: "pay-api",
  name: "Payments API",
  groups: ["EU"],
  tags: { team: "payments", Region: "eu-1" },
  status: "unhealthy",
  flags: ["firing"],
  why: "connection refused",
};
const hit = (text: string) => matches(parseFilter(text), facts);

describe("filter", () => {
  it.each([
    ["", true],
    ["payments", true],
    ["pay-a", true],
    ["refused", true],
    ["other", false],
    ["payments refused", true],
    ["payments other", false],
    ['"payments api"', true],
    ['"api payments"', false],
    ["status:unhealthy", true],
    ["status:down", true],
    ["status:healthy", false],
    ["status:healthy,unhealthy", true],
    ["-status:healthy", true],
    ["-status:unhealthy", false],
    ["team:payments", true],
    ["team:pay", false],
    ["TEAM:Payments", true],
    ["region:eu-1", true],
    ["nosuch:tag", false],
    ["-nosuch:tag", true],
    ["group:eu", true],
    ["is:firing", true],
    ["is:silenced", false],
    ["name:api", true],
    ["why:refused", true],
    ["-refused", false],
    ["team:", true],
    [":", false],
  ])("%j", (text, want) => expect(hit(text)).toBe(want));

  it("writes what it reads", () => {
    for (const text of ["status:unhealthy,stale team:pay", '-group:eu "two words"', "plain text", 'name:"two words"'])
      expect(formatFilter(parseFilter(text))).toBe(text);
  });

  it("puts values in and takes them out", () => {
    let text = toggleToken("team:pay x", "status", "stale");
    expect(text).toBe("status:stale team:pay x");
    text = toggleToken(text, "status", "unhealthy");
    expect(chosen(text, "status")).toEqual(["stale", "unhealthy"]);
    text = toggleToken(toggleToken(text, "status", "stale"), "status", "unhealthy");
    expect(text).toBe("team:pay x");
  });

  it("takes any text within bounds", () => {
    const chars = 'ab:,-" status:is:\u202e\\(*';
    let seed = 3;
    for (let i = 0; i < 500; i++) {
      let text = "";
      for (let k = 0; k < i % 40; k++) {
        seed = (seed * 1103515245 + 12345) & 0x7fffffff;
        text += chars[seed % chars.length];
      }
      expect(() => hit(text)).not.toThrow();
    }
  });
});
