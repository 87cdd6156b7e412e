// Declared samples as text, one a line.

import type { SampleDecl, SampleType } from "../../api.gen";

/** A declared sample as a line: "depth integer messages". */
export function sampleLine(s: SampleDecl): string {
  return [s.name, s.type, s.unit ?? ""].filter(Boolean).join(" ");
}

const sampleTypes = ["number", "integer", "string", "bool", "duration", "time", "map", "any"];

/** Samples of lines, and what is wrong with the first bad one. */
export function samplesOf(text: string): { samples: SampleDecl[]; wrong?: string } {
  const samples: SampleDecl[] = [];
  for (const line of text.split("\n")) {
    const [name, type = "number", unit, ...more] = line.trim().split(/\s+/);
    if (!name) continue;
    if (!sampleTypes.includes(type)) return { samples, wrong: `${name}: ${type} is no type; write ${sampleTypes.join(", ")}.` };
    if (more.length > 0) return { samples, wrong: `${name}: write name, type and unit, for example depth integer messages.` };
    samples.push({ name, type: type as SampleType, ...(unit ? { unit } : {}) });
  }
  return { samples };
}
