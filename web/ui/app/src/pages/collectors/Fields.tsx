import { Field, Select, TextArea, TextField } from "../../ui";
import { type Property, placeholder, type Values } from "./schema";

/** The fields of a configuration, from its schema. */
export function Fields({
  all,
  values,
  wrong,
  onInput,
}: {
  all: Property[];
  values: Values;
  wrong: Record<string, string>;
  onInput: (name: string, value: string) => void;
}) {
  return (
    <div class="fields">
      {all.map((p) => (
        <One key={p.name} p={p} value={values[p.name] ?? ""} wrong={wrong[p.name]} onInput={(v) => onInput(p.name, v)} />
      ))}
    </div>
  );
}

function One({ p, value, wrong, onInput }: { p: Property; value: string; wrong: string | undefined; onInput: (v: string) => void }) {
  const label = p.required ? `${p.title} *` : p.title;
  const common = { label, hint: p.doc || undefined, error: wrong };
  switch (p.control) {
    case "choice":
      return (
        <Select
          {...common}
          value={value}
          options={[["", placeholder(p) ? `default: ${placeholder(p)}` : "not given"], ...p.choices.map((c) => [c, c] as const)]}
          onChange={onInput}
        />
      );
    case "bool":
      return (
        <Select
          {...common}
          value={value}
          options={[
            ["", `default: ${placeholder(p) || "no"}`],
            ["true", "yes"],
            ["false", "no"],
          ]}
          onChange={onInput}
        />
      );
    case "list":
      return (
        <TextArea
          {...common}
          rows={3}
          hint={p.doc ? `${p.doc} One a line.` : "One a line."}
          value={value}
          placeholder={placeholder(p)}
          onInput={onInput}
        />
      );
    case "json":
      return (
        <Field {...common} hint={p.doc ? `${p.doc} As JSON.` : "As JSON."}>
          {(attrs) => (
            <textarea
              class="in mono"
              rows={4}
              spellcheck={false}
              value={value}
              placeholder={placeholder(p) || "{ }"}
              onInput={(e) => onInput(e.currentTarget.value)}
              {...attrs}
            />
          )}
        </Field>
      );
    case "number":
    case "integer":
      return <TextField {...common} value={value} inputMode="decimal" placeholder={placeholder(p)} onInput={onInput} />;
    default:
      return <TextField {...common} value={value} placeholder={placeholder(p)} onInput={onInput} />;
  }
}
