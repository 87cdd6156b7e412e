// What the reports of nodes come to.

import type { Node } from "../../api.gen";

/** How a node stands: one that is up and holds nothing has just come, or is leaving. */
export type Look = "up" | "idle" | "gone";

export function look(n: Node): Look {
  if (!n.alive) return "gone";
  return (n.shards ?? []).length === 0 && !n.rules ? "idle" : "up";
}

/** How many shards somebody holds. */
export function shards(list: Node[]): number {
  return new Set(list.flatMap((n) => n.shards ?? [])).size;
}

/** Numbers as ranges: "0-3, 7". */
export function ranges(numbers: number[]): string {
  const out: [number, number][] = [];
  for (const n of [...numbers].sort((a, b) => a - b)) {
    const last = out.at(-1);
    if (last && n <= last[1] + 1) last[1] = n;
    else out.push([n, n]);
  }
  return out.map(([a, b]) => (a === b ? `${a}` : `${a}-${b}`)).join(", ");
}
