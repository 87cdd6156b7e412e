// The filter of the list of systems: tokens such as status:unhealthy,stale,
// team:payments (a tag), group:eu-1, is:firing, -tier:3, "two words", and plain
// text that must be in the name, the id or the reason.

/** What a row is matched by. */
export interface Facts {
  id: string;
  name: string;
  groups: readonly string[];
  tags: Readonly<Record<string, string>>;
  /** status word: unknown, healthy, degraded, unhealthy, stale or maintenance */
  status: string;
  /** words of the flags: problem, maintenance, silenced, firing, caused */
  flags: readonly string[];
  why: string;
}

/** One part of a filter. */
export interface Token {
  /** empty for plain text */
  key: string;
  /** any of these */
  values: string[];
  not: boolean;
  /** as written */
  source: string;
}

const part = /(-?)(?:([\p{L}\p{N}_.-]+):)?(?:"([^"]*)"?|([^\s"]+))/gu;

/** Splits a filter into its tokens. Anything is a filter; nothing is an error. */
export function parseFilter(text: string): Token[] {
  const out: Token[] = [];
  for (const m of text.matchAll(part)) {
    const quoted = m[3] !== undefined;
    const raw = m[3] ?? m[4] ?? "";
    const key = (m[2] ?? "").toLowerCase();
    if (!raw && !key) continue;
    if (!quoted && !key && /^[\p{L}\p{N}_.-]+:$/u.test(raw)) continue; // a key whose value is still to be written
    const values = key && !quoted ? raw.split(",").filter(Boolean) : [raw];
    if (values.length === 0) continue;
    out.push({ key, values: values.map((v) => v.toLowerCase()), not: m[1] === "-", source: m[0] });
  }
  return out;
}

/** Text of tokens, as [parseFilter] reads it. */
export function formatFilter(tokens: Token[]): string {
  return tokens
    .map((t) => {
      const value = t.values.join(",");
      const text = /\s/.test(value) ? `"${value}"` : value;
      return `${t.not ? "-" : ""}${t.key ? `${t.key}:` : ""}${text}`;
    })
    .join(" ");
}

function one(t: Token, value: string, f: Facts): boolean {
  switch (t.key) {
    case "":
      return f.name.toLowerCase().includes(value) || f.id.toLowerCase().includes(value) || f.why.toLowerCase().includes(value);
    case "status":
      return f.status === value || (value === "down" && f.status === "unhealthy") || (value === "ok" && f.status === "healthy");
    case "is":
      return f.flags.includes(value);
    case "group":
      return f.groups.some((g) => g.toLowerCase() === value);
    case "id":
      return f.id.toLowerCase() === value;
    case "name":
      return f.name.toLowerCase().includes(value);
    case "why":
      return f.why.toLowerCase().includes(value);
    default: {
      const tag = f.tags[t.key] ?? Object.entries(f.tags).find(([k]) => k.toLowerCase() === t.key)?.[1];
      return tag !== undefined && tag.toLowerCase() === value;
    }
  }
}

/** Reports whether a row passes every token. */
export function matches(tokens: Token[], f: Facts): boolean {
  return tokens.every((t) => t.values.some((v) => one(t, v, f)) !== t.not);
}

/** The filter with value of key put in or taken out; with an empty rest the token goes. */
export function toggleToken(text: string, key: string, value: string): string {
  const tokens = parseFilter(text);
  const at = tokens.find((t) => t.key === key && !t.not);
  if (!at) tokens.unshift({ key, values: [value], not: false, source: "" });
  else if (at.values.includes(value)) at.values = at.values.filter((v) => v !== value);
  else at.values.push(value);
  return formatFilter(tokens.filter((t) => t.values.length > 0));
}

/** The values that the filter names for key. */
export function chosen(text: string, key: string): string[] {
  return parseFilter(text)
    .filter((t) => t.key === key && !t.not)
    .flatMap((t) => t.values);
}
