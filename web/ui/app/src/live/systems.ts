import { fleet } from "./index";

/** Suggestions of systems, for fields that name them. */
export function systemOptions(): { value: string; label: string; hint: string }[] {
  const out: { value: string; label: string; hint: string }[] = [];
  for (const slot of fleet.order.subarray(0, 5000)) {
    const { id, name } = fleet.row(slot);
    out.push({ value: id, label: name, hint: id === name ? "" : id });
  }
  return out;
}
