import type { Health, Outcome } from "../api.gen";

/** What the health is called. */
export const healthNames: Record<Health, string> = {
  unknown: "Unknown",
  healthy: "Healthy",
  degraded: "Degraded",
  unhealthy: "Unhealthy",
  stale: "Stale",
};

/** What the outcome of a run is called. */
export const outcomeNames: Record<Outcome, string> = { pass: "Pass", warn: "Warn", fail: "Fail", error: "Error" };

/** The health whose look an outcome borrows. */
export function outcomeLook(o: Outcome): Health {
  return o === "pass" ? "healthy" : o === "warn" ? "degraded" : o === "fail" ? "unhealthy" : "unknown";
}

const on = { fill: "none", stroke: "var(--panel)", "stroke-width": 1.8, "stroke-linecap": "round", "stroke-linejoin": "round" } as const;

/**
 * The glyph of a health, or "maint" for maintenance. Each differs in shape, not
 * only in colour. With label it says its name to assistive technology; without,
 * the text beside it must.
 */
export function Status({ health, size = 16, label, hatch }: { health: Health | "maint"; size?: number; label?: boolean; hatch?: boolean }) {
  const name = health === "maint" ? "In maintenance" : healthNames[health];
  return (
    <svg
      class="glyph"
      width={size}
      height={size}
      viewBox="0 0 16 16"
      role={label ? "img" : undefined}
      aria-label={label ? name : undefined}
      aria-hidden={label ? undefined : "true"}
    >
      {label && <title>{name}</title>}
      {shape(health)}
      {hatch && <path d="M0 16 16 0M-4 12 12-4M4 20 20 4" stroke="var(--panel)" stroke-width="1.600" fill="none" />}
    </svg>
  );
}

function shape(health: Health | "maint") {
  switch (health) {
    case "healthy":
      return (
        <>
          <circle cx="8" cy="8" r="7" class="f-healthy" />
          <path d="m4.900 8.300 2.200 2.200 4-4.600" {...on} />
        </>
      );
    case "degraded":
      return (
        <>
          <path d="M8 1.800 15 14H1Z" class="f-degraded" stroke="var(--degraded-f)" stroke-width="1.400" stroke-linejoin="round" />
          <path d="M8 6.200v3.400M8 11.900v.01" {...on} />
        </>
      );
    case "unhealthy":
      return (
        <>
          <path d="M5.100 1h5.800L15 5.100v5.800L10.900 15H5.100L1 10.900V5.100Z" class="f-unhealthy" />
          <path d="m5.600 5.600 4.800 4.800M10.400 5.600l-4.800 4.800" {...on} />
        </>
      );
    case "stale":
      return (
        <>
          <circle cx="8" cy="8" r="7" class="f-stale" />
          <path d="M8 4.300V8l2.600 1.700" {...on} />
        </>
      );
    case "maint":
      return (
        <>
          <rect x="1.500" y="1.500" width="13" height="13" rx="3" class="f-maint" />
          <path d="M6 5.300v5.400M10 5.300v5.400" {...on} />
        </>
      );
    default:
      return (
        <>
          <circle cx="8" cy="8" r="6.300" fill="none" stroke="var(--unknown-f)" stroke-width="1.500" stroke-dasharray="2.600 1.700" />
          <path
            d="M6.300 6.600a1.800 1.800 0 1 1 2.600 1.600c-.6.3-.9.6-.9 1.100M8 11.300v.01"
            fill="none"
            stroke="var(--unknown)"
            stroke-width="1.400"
            stroke-linecap="round"
          />
        </>
      );
  }
}
