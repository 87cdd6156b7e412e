import { useEffect, useState } from "preact/hooks";
import { fleet } from "../live";

/** Draw the component again after each flush of the live store, at most once a frame. */
export function useFleet(): number {
  const [version, set] = useState(fleet.version);
  useEffect(() => fleet.subscribe(() => set(fleet.version)), []);
  return version;
}
