const heights: Record<string, number> = { p: 8, w: 12, f: 16, e: 8 };
const classes: Record<string, string> = { p: "f-healthy", w: "f-degraded", f: "f-unhealthy" };

/** One path per outcome: thirty bars are at most four nodes. */
export function barPaths(ring: string, slots = 30): Record<string, string> {
  const paths: Record<string, string> = {};
  const start = Math.max(0, slots - ring.length);
  for (let i = 0; i < ring.length; i++) {
    const o = ring[i]!;
    const h = heights[o] ?? 8;
    const x = (start + i) * 4;
    const bar = o === "e" ? `M${x + 0.5} ${16 - h + 0.5}h2v${h - 1}h-2z` : `M${x} ${16 - h}h3v${h}h-3z`;
    paths[o] = (paths[o] ?? "") + bar;
  }
  return paths;
}

/** In words, for those who do not see the bars. */
export function barsText(ring: string): string {
  if (!ring) return "no run yet";
  const n = (o: string) => ring.split(o).length - 1;
  const parts = [n("f") && `${n("f")} failed`, n("w") && `${n("w")} warned`, n("e") && `${n("e")} could not be asked`].filter(Boolean);
  return `last ${ring.length} runs: ${parts.length ? parts.join(", ") : "all passed"}`;
}

/** The newest outcomes as bars: height and colour both tell them apart. */
export function Bars({ ring, slots = 30 }: { ring: string; slots?: number }) {
  const paths = barPaths(ring, slots);
  const text = barsText(ring);
  return (
    <svg class="bars" width={slots * 4 - 1} height={16} viewBox={`0 0 ${slots * 4 - 1} 16`} role="img" aria-label={text}>
      {ring.length < slots && <path d={`M0 15.500h${(slots - ring.length) * 4 - 1}`} stroke="var(--line-2)" stroke-dasharray="3 1" />}
      {paths.p && <path d={paths.p} class={classes.p} />}
      {paths.w && <path d={paths.w} class={classes.w} />}
      {paths.f && <path d={paths.f} class={classes.f} />}
      {paths.e && <path d={paths.e} fill="none" stroke="var(--unknown-f)" />}
    </svg>
  );
}
