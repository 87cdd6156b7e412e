import type { Check } from "../../api.gen";
import { parseDuration } from "../../lib/format";

/** The smallest limit of latency in ms that the assertions name: latency < duration("900ms"). Undefined when none does. */
export function latencyLimit(check: Check | undefined): number | undefined {
  const limits = (check?.collect ?? []).flatMap((step) =>
    [...(step.assert ?? []), ...(step.warn ?? [])].flatMap((expr) => {
      const m = /^\s*latency\s*<=?\s*duration\(\s*["'`]([^"'`]+)["'`]\s*\)\s*$/.exec(expr);
      const limit = m?.[1] ? parseDuration(m[1]) : Number.NaN;
      return Number.isNaN(limit) ? [] : [limit];
    }),
  );
  return limits.length > 0 ? Math.min(...limits) : undefined;
}
