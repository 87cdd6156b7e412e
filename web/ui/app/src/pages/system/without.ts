import type { Check } from "../../api.gen";

/** What becomes of a Check when a System is deleted that it lists: it goes when it watches nothing else, else only the name goes. */
export function withoutSystem(check: Check, id: string): Check | "delete" | "keep" {
  const names = check.systems.names ?? [];
  if (!names.includes(id)) return "keep";
  const rest = names.filter((n) => n !== id);
  if (rest.length === 0 && !check.systems.match) return "delete";
  const overrides = Object.fromEntries(Object.entries(check.overrides ?? {}).filter(([n]) => n !== id));
  const next: Check = { ...check, systems: { ...check.systems, names: rest.length > 0 ? rest : undefined } };
  if (check.overrides) next.overrides = Object.keys(overrides).length > 0 ? overrides : undefined;
  return next;
}
