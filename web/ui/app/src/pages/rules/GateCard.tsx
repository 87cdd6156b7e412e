// The gate: each of its fields with a small drawing of what it does.

import type { ComponentChildren } from "preact";
import { useId } from "preact/hooks";
import type { Problem } from "../../api.gen";
import { Button, Card, Field, Icon, Select, Skeleton, Switch, Tag, TextField } from "../../ui";
import { type Envs, ExprField } from "./ExprField";
import { duration, durationWords, type GateForm, gateForm, named, presets, type RefireKind, under } from "./model";

interface Props {
  gate: GateForm;
  onChange: (gate: GateForm) => void;
  envs: Envs;
  /** The gate in words, from the server; null while it is on the way, "" when it has none. */
  words: string | null;
  problems: Problem[];
  readOnly: boolean;
}

const refires: readonly (readonly [RefireKind, string])[] = [
  ["never", "Fire once, then stay quiet"],
  ["every", "Fire again on every matching change"],
  ["each", "Fire again each…"],
];

export function GateCard({ gate, onChange, envs, words, problems, readOnly }: Props) {
  const set = (fields: Partial<GateForm>) => onChange({ ...gate, ...fields });
  const at = (path: string) => under(problems, `gate.${path}`);
  const text = (label: string, field: keyof GateForm, path: string, placeholder: string, hint?: string) => (
    <Duration
      label={label}
      value={String(gate[field])}
      placeholder={placeholder}
      hint={hint}
      error={at(path)}
      readOnly={readOnly}
      onInput={(v) => set({ [field]: v })}
    />
  );
  return (
    <Card
      title={<Head tag="Gate" text="Only fire when it is worth it" />}
      actions={!readOnly && <Presets pick={(g) => onChange(gateForm(g))} />}
    >
      <div class="gt">
        <Part art={<HoldArt hold={gate.hold} />}>
          {text("Hold for", "hold", "for", "fire at once", "It must last this long before it fires.")}
        </Part>
        <Part art={<WindowArt gate={gate} />}>
          <Switch
            label="Count in a window"
            on={gate.counted}
            disabled={readOnly}
            onChange={(on) =>
              set(on ? { counted: true, count: gate.count || "3", within: gate.within || (gate.of ? "" : "10m") } : { counted: false })
            }
          />
          {gate.counted && (
            <div class="gt-pair">
              <TextField
                label="Times"
                value={gate.count}
                inputMode="numeric"
                error={at("window.count")}
                readOnly={readOnly}
                onInput={(v) => set({ count: v })}
              />
              {text("Within", "within", "window.within", gate.of ? "any time" : "10m")}
              <TextField
                label="Of the newest"
                value={gate.of}
                placeholder="any number"
                inputMode="numeric"
                hint="events, matching or not"
                error={at("window.of")}
                readOnly={readOnly}
                onInput={(v) => set({ of: v })}
              />
            </div>
          )}
          {!gate.counted && <p class="hint">Fire only when it happens several times, for example 3 times in 10 min.</p>}
        </Part>
        <Part art={<CooldownArt cooldown={gate.cooldown} />}>
          {text("Cooldown", "cooldown", "cooldown", "none", "After it is over, nothing fires for this long.")}
        </Part>
      </div>
      {gate.counted && (
        <div class="gt-more">
          <TextField
            label="Close at"
            value={gate.exit}
            placeholder="0"
            inputMode="numeric"
            hint="or fewer in the window"
            error={at("window.exit")}
            readOnly={readOnly}
            onInput={(v) => set({ exit: v })}
          />
          {text(
            "Or when quiet for",
            "quiet",
            "window.quiet",
            gate.within || (gate.of ? "never" : "as long as the window"),
            "without another one",
          )}
          <Select
            label="While it is open"
            value={gate.refire}
            options={refires}
            disabled={readOnly}
            error={at("window.refire")}
            onChange={(refire) => set({ refire })}
          />
          {gate.refire === "each" && text("Each", "each", "window.refire", "15m")}
        </div>
      )}
      <div class="gt-more">
        <Select
          label="Preset"
          hint="Its fields apply where nothing is written above."
          value={gate.preset}
          options={named}
          disabled={readOnly}
          error={at("preset")}
          onChange={(preset) => set({ preset })}
        />
      </div>
      <div class="gt-more exprs">
        <ExprField
          label="Count separately for each"
          hint="An expression that names the partition; each has a gate of its own."
          value={gate.by}
          onInput={(by) => set({ by })}
          where="by"
          as="any"
          envs={envs}
          placeholder="subject.id"
          multiline={false}
          problems={at("by")}
          readOnly={readOnly}
        />
        {gate.hold.trim() && (
          <ExprField
            label="Holds while"
            hint="Looked at again with every change of the subject."
            value={gate.while}
            onInput={(v) => set({ while: v })}
            where="while"
            envs={envs}
            placeholder={'health != "healthy"'}
            multiline={false}
            problems={at("while")}
            readOnly={readOnly}
          />
        )}
      </div>
      <p class="gt-words" aria-live="polite">
        <Icon name="info" size={15} />
        {words === null ? <Skeleton width="60%" height={13} /> : words || "The gate is not described yet: mend what is marked."}
      </p>
    </Card>
  );
}

/** The head of a part of a rule: a small tag and what it says. */
export function Head({ tag, text }: { tag: string; text: ComponentChildren }) {
  return (
    <h2 class="row rl-head">
      <Tag>{tag}</Tag>
      <span>{text}</span>
    </h2>
  );
}

function Part({ art, children }: { art: ComponentChildren; children: ComponentChildren }) {
  return (
    <div class="gt-part">
      {art}
      {children}
    </div>
  );
}

function Presets({ pick }: { pick: (gate: (typeof presets)[number]["gate"]) => void }) {
  return (
    <div class="gt-presets" role="group" aria-label="Gates to begin with">
      {presets.map((p) => (
        <Button key={p.title} small kind="ghost" onClick={() => pick(p.gate)}>
          {p.title}
        </Button>
      ))}
    </div>
  );
}

interface DurationProps {
  label: string;
  value: string;
  placeholder: string;
  hint?: string;
  error: Problem[];
  readOnly: boolean;
  onInput: (value: string) => void;
}

/** A length of time: "2 min" becomes "2m" when the field is left. */
export function Duration({ label, value, placeholder, hint, error, readOnly, onInput }: DurationProps) {
  const list = useId();
  const odd = value.trim() !== "" && !/^(\d+(\.\d+)?(ms|s|m|h|d))+$/.test(duration(value));
  return (
    <Field label={label} hint={hint} error={error.length > 0 ? error : odd ? "Write for example 30s, 5m or 1h30m." : undefined}>
      {(attrs) => (
        <>
          <input
            class="in num"
            type="text"
            list={list}
            autocomplete="off"
            value={value}
            placeholder={placeholder}
            readOnly={readOnly}
            onInput={(e) => onInput(e.currentTarget.value)}
            onBlur={() => duration(value) !== value && onInput(duration(value))}
            {...attrs}
          />
          <datalist id={list}>
            {["30s", "1m", "2m", "5m", "10m", "30m", "1h", "6h", "1d"].map((d) => (
              <option key={d} value={d}>
                {durationWords(d)}
              </option>
            ))}
          </datalist>
        </>
      )}
    </Field>
  );
}

const Base = () => <path d="M4 34.500H196" class="art-line" />;

/** A bad stretch, and the firing at the end of the hold. */
function HoldArt({ hold }: { hold: string }) {
  const on = hold.trim() !== "";
  const end = on ? 118 : 48;
  return (
    <svg class="gt-art" viewBox="0 0 200 46" aria-hidden="true">
      <Base />
      <rect x="48" y="14" width="130" height="20" rx="2" class="art-bad" />
      <rect x="8" y="24" width="38" height="10" rx="2" class="art-ok" />
      {on && <path d="M48 40v3h70v-3" class="art-bracket" />}
      {on && (
        <text x="83" y="11" class="art-text">
          {durationWords(duration(hold))}
        </text>
      )}
      <Fired x={end} />
    </svg>
  );
}

/** Ticks in a bracket: the last of them fires. */
function WindowArt({ gate }: { gate: GateForm }) {
  const need = Math.max(1, Math.min(8, Number.parseInt(gate.count, 10) || 1));
  const n = gate.counted ? need : 1;
  const from = 46;
  const gap = n > 1 ? 104 / (n - 1) : 0;
  const xs = Array.from({ length: n }, (_, i) => from + i * gap);
  return (
    <svg class="gt-art" viewBox="0 0 200 46" aria-hidden="true">
      <Base />
      {gate.counted && <path d="M14 34v-12" class="art-tick faint" />}
      {xs.map((x, i) => (
        <path key={x} d={`M${x} 34v-${gate.counted ? 8 + (i * 10) / Math.max(1, n - 1) : 12}`} class="art-tick" />
      ))}
      {gate.counted && <path d="M40 40v3h116v-3" class="art-bracket" />}
      {gate.counted && (
        <text x="98" y="11" class="art-text">
          {[
            gate.count || "?",
            gate.of && `of ${gate.of}`,
            gate.within ? `in ${durationWords(duration(gate.within))}` : gate.of ? "" : "in ?",
          ]
            .filter(Boolean)
            .join(" ")}
        </text>
      )}
      <Fired x={xs.at(-1) ?? from} />
    </svg>
  );
}

/** A firing, and the stretch in which the next would be held back. */
function CooldownArt({ cooldown }: { cooldown: string }) {
  const on = cooldown.trim() !== "";
  return (
    <svg class="gt-art" viewBox="0 0 200 46" aria-hidden="true">
      <Base />
      <rect x="20" y="14" width="34" height="20" rx="2" class="art-bad" />
      {on && <rect x="56" y="22" width="92" height="12" rx="2" class="art-cool" />}
      {on && (
        <text x="102" y="16" class="art-text">
          {durationWords(duration(cooldown))}
        </text>
      )}
      {on && <path d="M110 34v-8" class="art-tick faint" />}
      {!on && <path d="M110 34v-20h24v20" class="art-bad" />}
      <Fired x={22} />
      {!on && <Fired x={112} />}
      {on && <path d="M164 34v-20h24v20" class="art-bad" />}
      {on && <Fired x={166} />}
    </svg>
  );
}

function Fired({ x }: { x: number }) {
  return (
    <g transform={`translate(${x} 0)`} class="art-fired">
      <path d="M0 6V40" />
      <path d="M-4 3h8l-4 6z" />
    </g>
  );
}
