// What the server says of scripts and does with them.

import type { Grant, Manifest, ModuleReview, Problem, SampleDecl, TestReport } from "../../api.gen";
import { api } from "../../lib/api";
import { useResource } from "../../lib/resource";
import type { ApiNode } from "../../script/complete";

/** A script as it is sent: its source, and what it says of itself. */
export interface ScriptSource {
  name: string;
  version: string;
  source: string;
  doc?: string;
  config_schema?: unknown;
  samples?: SampleDecl[];
  wants?: Grant;
}

/** What the server thinks of a script. */
export interface ScriptCheck {
  ok: boolean;
  problems: Problem[];
  manifest?: Manifest;
}

/** What a script can use, and what a new one begins with. */
export interface ScriptHelp {
  names: ApiNode[];
  template?: string;
}

/** Whether this server runs scripts. */
export function useScripts(): boolean {
  return useResource("scripts", (signal) => scripts.help(signal)).data !== undefined;
}

export const scripts = {
  help: (signal: AbortSignal) => api.get<ScriptHelp>("/scripts/api", { signal }),
  validate: (s: ScriptSource, signal: AbortSignal) => api.post<ScriptCheck>("/scripts/validate", s, { signal }),
  test: (s: ScriptSource, request: Record<string, unknown>) => api.post<TestReport>("/scripts/test", { ...request, script: s }),
  save: (s: ScriptSource) => api.post<ModuleReview>("/scripts", s),
};
