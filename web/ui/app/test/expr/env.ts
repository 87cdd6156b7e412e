import type { ExprEnv } from "../../src/api.gen";

/** An environment of the shape that the server describes. */
export const env: ExprEnv = {
  version: "1",
  vars: {
    to: { kind: "string", doc: "the new health" },
    from: { kind: "string" },
    healthy_checks: { kind: "int" },
    total_checks: { kind: "int" },
    health_for: { kind: "duration", unit: "ns" },
    in_maintenance: { kind: "bool" },
    caused_by: { kind: "array", elem: { kind: "string" } },
    subject: { kind: "struct", fields: { kind: { kind: "string" }, id: { kind: "string" } } },
    system: {
      kind: "struct",
      fields: {
        id: { kind: "string", example: "pay-api" },
        name: { kind: "string" },
        tags: { kind: "map", elem: { kind: "string" }, keys: ["env", "team", "tier", "odd key"] },
        groups: { kind: "array", elem: { kind: "string" } },
      },
    },
    checks: {
      kind: "array",
      elem: {
        kind: "struct",
        fields: { status: { kind: "string" }, latency: { kind: "float", unit: "ms" }, ok: { kind: "bool" } },
      },
    },
  },
  funcs: {
    any: { args: ["array: array", "predicate: func"], returns: "bool", doc: "whether one matches" },
    filter: { args: ["array: array", "predicate: func"], returns: "array" },
    find: { args: ["array: array", "predicate: func"], returns: "any" },
    len: { args: ["value: any"], returns: "int" },
    upper: { args: ["text: string"], returns: "string" },
  },
  enums: {
    to: ["unknown", "healthy", "degraded", "unhealthy", "stale"],
    from: ["unknown", "healthy", "degraded", "unhealthy", "stale"],
    "subject.kind": ["system", "assignment", "group"],
    "system.tags.env": ["prod", "staging"],
  },
};
