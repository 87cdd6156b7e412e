import { Answer } from "./answer";
import { Manifest } from "./manifest";
import { Run } from "./run";

export type Collect = (run: Run) => Answer;

/** What the module offers. */
export class Registry {
  manifest: Manifest | null = null;
  collect: Collect | null = null;
  act: Collect | null = null;
}

export const registry = new Registry();

/** Says what the module is and what gathers an answer. */
export function register(manifest: Manifest, collect: Collect | null = null): void {
  registry.manifest = manifest;
  registry.collect = collect;
}

/** Says what carries out a step of rules. */
export function registerAction(act: Collect): void { registry.act = act; }
