// What differs between two texts, line by line.

/** A line of a comparison. */
export interface DiffLine {
  kind: "same" | "mine" | "theirs";
  text: string;
}

/** Compares two texts line by line: what only mine has, and what only theirs has. */
export function diffLines(theirs: string, mine: string): DiffLine[] {
  const a = theirs.split("\n");
  const b = mine.split("\n");
  const longest = lcs(a, b);
  const out: DiffLine[] = [];
  let i = 0;
  let j = 0;
  while (i < a.length || j < b.length) {
    if (i < a.length && j < b.length && a[i] === b[j]) {
      out.push({ kind: "same", text: a[i] as string });
      i++;
      j++;
    } else if (j >= b.length || (i < a.length && (longest[i + 1]?.[j] ?? 0) >= (longest[i]?.[j + 1] ?? 0)))
      out.push({ kind: "theirs", text: a[i++] as string });
    else out.push({ kind: "mine", text: b[j++] as string });
  }
  return out;
}

/** The lines of a comparison that matter: what differs, with `around` equal lines before and after; the rest is counted. */
export function folded(lines: DiffLine[], around = 2): (DiffLine | { kind: "gap"; text: string })[] {
  const near = (i: number) => lines.slice(Math.max(0, i - around), i + around + 1).some((l) => l.kind !== "same");
  const out: (DiffLine | { kind: "gap"; text: string })[] = [];
  let hidden = 0;
  lines.forEach((line, i) => {
    const shown = near(i);
    if (!shown) hidden++;
    if (hidden > 0 && (shown || i === lines.length - 1)) {
      out.push({ kind: "gap", text: `${hidden} equal ${hidden === 1 ? "line" : "lines"}` });
      hidden = 0;
    }
    if (shown) out.push(line);
  });
  return out;
}

/** Lengths of the longest common tails. Rules have tens of lines, scripts hundreds. */
function lcs(a: string[], b: string[]): number[][] {
  const table = Array.from({ length: a.length + 1 }, () => new Array<number>(b.length + 1).fill(0));
  for (let i = a.length - 1; i >= 0; i--)
    for (let j = b.length - 1; j >= 0; j--) {
      const row = table[i] as number[];
      row[j] = a[i] === b[j] ? (table[i + 1]?.[j + 1] ?? 0) + 1 : Math.max(table[i + 1]?.[j] ?? 0, row[j + 1] ?? 0);
    }
  return table;
}
