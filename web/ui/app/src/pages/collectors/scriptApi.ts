// What the server says of scripts and does with them.

import type { ModuleReview, ScriptCheck, ScriptHelp, ScriptSource, TestReport } from "../../api.gen";
import { api } from "../../lib/api";
import { useResource } from "../../lib/resource";

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
