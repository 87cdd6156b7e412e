// A form from a JSON schema: only the shapes that configurations have. What is
// not understood is edited as JSON, so that nothing is out of reach.

/** How a property is edited. */
export type Control = "text" | "number" | "integer" | "bool" | "choice" | "list" | "json";

/** A property of a configuration. */
export interface Property {
  name: string;
  title: string;
  doc: string;
  control: Control;
  required: boolean;
  /** Values of a choice. */
  choices: string[];
  /** What holds when nothing is given. */
  fallback: unknown;
  example: string;
  minimum?: number;
  maximum?: number;
}

/** What is typed, by name of property. */
export type Values = Record<string, string>;

type Schema = Record<string, unknown>;

const isObject = (v: unknown): v is Schema => !!v && typeof v === "object" && !Array.isArray(v);

function controlOf(s: Schema): Control {
  const type = Array.isArray(s.type) ? s.type.find((t) => t !== "null") : s.type;
  if (Array.isArray(s.enum) && s.enum.every((v) => typeof v === "string")) return "choice";
  if (type === "string") return "text";
  if (type === "number") return "number";
  if (type === "integer") return "integer";
  if (type === "boolean") return "bool";
  if (type === "array" && isObject(s.items) && s.items.type === "string") return "list";
  return "json";
}

const most = 200;

/** The properties of a schema, required ones first. A schema that describes no object has none. */
export function properties(schema: unknown): Property[] {
  if (!isObject(schema) || !isObject(schema.properties)) return [];
  const required = new Set(Array.isArray(schema.required) ? schema.required : []);
  const all = Object.entries(schema.properties)
    .slice(0, most)
    .map(([name, s]): Property => {
      const own = isObject(s) ? s : {};
      const example = Array.isArray(own.examples) ? own.examples[0] : own.example;
      return {
        name,
        title: typeof own.title === "string" ? own.title : name,
        doc: typeof own.description === "string" ? own.description : "",
        control: controlOf(own),
        required: required.has(name),
        choices: Array.isArray(own.enum) ? own.enum.map(String) : [],
        fallback: own.default,
        example: example === undefined ? "" : typeof example === "string" ? example : JSON.stringify(example),
        ...(typeof own.minimum === "number" ? { minimum: own.minimum } : {}),
        ...(typeof own.maximum === "number" ? { maximum: own.maximum } : {}),
      };
    });
  return [...all.filter((p) => p.required), ...all.filter((p) => !p.required)];
}

/** What is typed at first, from a configuration. */
export function valuesOf(all: Property[], config: Record<string, unknown>): Values {
  const out: Values = {};
  for (const p of all) {
    const v = config[p.name];
    if (v === undefined) continue;
    out[p.name] =
      p.control === "list" && Array.isArray(v)
        ? v.join("\n")
        : typeof v === "string" && p.control !== "json"
          ? v
          : JSON.stringify(v, null, 2);
  }
  return out;
}

/** One value, or why what is typed is none. */
function readValue(p: Property, text: string): { value: unknown } | { wrong: string } {
  // A hole of a check's configuration is filled in for each system.
  if (/^\s*\$\{[^}]*\}\s*$/.test(text)) return { value: text.trim() };
  switch (p.control) {
    case "text":
    case "choice":
      return { value: text };
    case "bool":
      return { value: text === "true" };
    case "list":
      return {
        value: text
          .split("\n")
          .map((l) => l.trim())
          .filter(Boolean),
      };
    case "number":
    case "integer": {
      const n = Number(text.trim());
      if (!Number.isFinite(n)) return { wrong: "Write a number." };
      if (p.control === "integer" && !Number.isInteger(n)) return { wrong: "Write a whole number." };
      if (p.minimum !== undefined && n < p.minimum) return { wrong: `At least ${p.minimum}.` };
      if (p.maximum !== undefined && n > p.maximum) return { wrong: `At most ${p.maximum}.` };
      return { value: n };
    }
    case "json":
      try {
        return { value: JSON.parse(text) };
      } catch {
        return { wrong: "This is not JSON." };
      }
  }
}

/** The configuration of what is typed, and what is wrong by name. Empty fields are left out. */
export function configOf(all: Property[], values: Values): { config: Record<string, unknown>; wrong: Record<string, string> } {
  const config: Record<string, unknown> = {};
  const wrong: Record<string, string> = {};
  for (const p of all) {
    const text = values[p.name] ?? "";
    if (text.trim() === "") {
      if (p.required && p.fallback === undefined && p.control !== "bool") wrong[p.name] = "This is needed.";
      continue;
    }
    const got = readValue(p, text);
    if ("wrong" in got) wrong[p.name] = got.wrong;
    else config[p.name] = got.value;
  }
  return { config, wrong };
}

/** What holds when a field is left empty, for its placeholder. */
export function placeholder(p: Property): string {
  if (p.fallback !== undefined) return typeof p.fallback === "string" ? p.fallback : JSON.stringify(p.fallback);
  return p.example;
}
