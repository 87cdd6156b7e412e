/**
 * How well needle is found in text, in order but with gaps; 0 for not at all.
 * Whole pieces, beginnings of words and early places count for more. extra is
 * looked in when text does not hold it, for half.
 */
export function fuzzy(needle: string, text: string, extra = ""): number {
  const n = needle.toLowerCase();
  const s = score(n, text.toLowerCase());
  return s > 0 || !extra ? s : score(n, extra.toLowerCase()) / 2;
}

function score(needle: string, text: string): number {
  const at = text.indexOf(needle);
  if (at === 0) return 100 - text.length / 100;
  if (at > 0) return (boundary(text, at) ? 80 : 60) - text.length / 100;
  let from = 0;
  let points = 0;
  for (const c of needle) {
    if (c === " ") continue;
    const i = text.indexOf(c, from);
    if (i < 0) return 0;
    points += i === from && from > 0 ? 2 : boundary(text, i) ? 1.5 : 0.5;
    from = i + 1;
  }
  return Math.min(40, (points / Math.max(1, needle.length)) * 18 - text.length / 100);
}

function boundary(text: string, i: number): boolean {
  return i === 0 || /[^a-z0-9]/.test(text[i - 1]!);
}
