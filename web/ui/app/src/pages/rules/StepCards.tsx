// The steps that a rule takes: what is sent where, in which order.

import { useState } from "preact/hooks";
import type { Problem } from "../../api.gen";
import { Button, Icon, type IconName, Menu, Seg, Select, Tag, TextField } from "../../ui";
import { type Envs, ExprField } from "./ExprField";
import { Duration } from "./GateCard";
import { under } from "./model";
import { type Header, newStep, notJSON, type StepForm, stepWords } from "./steps";

interface Props {
  steps: StepForm[];
  onChange: (steps: StepForm[]) => void;
  /** "do" or "recover": where the server's problems point. */
  path: string;
  envs: Envs;
  problems: Problem[];
  readOnly: boolean;
  /** Shown while there is no step. */
  empty: string;
}

const icons: Record<string, IconName> = { webhook: "send", log: "file" };

export function StepCards({ steps, onChange, path, envs, problems, readOnly, empty }: Props) {
  const put = (i: number, step: StepForm) => onChange(steps.map((s, k) => (k === i ? step : s)));
  const move = (i: number, by: number) => {
    const next = [...steps];
    const [step] = next.splice(i, 1);
    if (step) next.splice(i + by, 0, step);
    onChange(next);
  };
  return (
    <div class="sp-list">
      {steps.length === 0 && <p class="dim">{empty}</p>}
      {steps.map((step, i) => (
        <StepCard
          key={step.key}
          step={step}
          place={i}
          last={i === steps.length - 1}
          path={`${path}[${i}]`}
          envs={envs}
          problems={problems}
          readOnly={readOnly}
          onChange={(s) => put(i, s)}
          onMove={(by) => move(i, by)}
          onRemove={() => onChange(steps.filter((_, k) => k !== i))}
        />
      ))}
      {!readOnly && (
        <Menu
          icon="plus"
          small
          items={[
            { label: "Call a webhook", icon: "send", run: () => onChange([...steps, newStep("webhook")]) },
            { label: "Write to the log", icon: "file", run: () => onChange([...steps, newStep("log")]) },
          ]}
        >
          Add a step
        </Menu>
      )}
    </div>
  );
}

interface CardProps {
  step: StepForm;
  place: number;
  last: boolean;
  path: string;
  envs: Envs;
  problems: Problem[];
  readOnly: boolean;
  onChange: (step: StepForm) => void;
  onMove: (by: number) => void;
  onRemove: () => void;
}

function StepCard({ step, place, last, path, envs, problems, readOnly, onChange, onMove, onRemove }: CardProps) {
  const [more, setMore] = useState(step.if !== "" || step.timeout !== "" || step.max !== "" || step.backoff !== "" || step.carryOn);
  const at = (field: string) => under(problems, `${path}.${field}`);
  const own = problems.filter((p) => p.path === path || p.path === `${path}.action`);
  const set = (fields: Partial<StepForm>) => onChange({ ...step, ...fields });
  return (
    <section class={`sp-card${under(problems, path).length > 0 ? " bad" : ""}`} aria-label={`Step ${place + 1}`}>
      <header>
        <Tag>{place + 1}</Tag>
        <Icon name={icons[step.action] ?? "zap"} size={15} />
        <b class="truncate">{stepWords(step)}</b>
        <span class="sp" />
        {!readOnly && (
          <>
            <Button
              small
              kind="ghost"
              icon="chevronUp"
              label={`Move step ${place + 1} up`}
              disabled={place === 0}
              onClick={() => onMove(-1)}
            />
            <Button small kind="ghost" icon="chevronDown" label={`Move step ${place + 1} down`} disabled={last} onClick={() => onMove(1)} />
            <Button small kind="ghost" icon="trash" label={`Remove step ${place + 1}`} onClick={onRemove} />
          </>
        )}
      </header>
      <div class="sp-body">
        {own.map((p) => (
          <p class="err" key={p.message}>
            <Icon name="alert" size={14} /> {p.message}
            {p.fix ? `; ${p.fix}` : ""}
          </p>
        ))}
        {step.raw !== null ? (
          <Raw step={step} set={set} problems={at("with")} readOnly={readOnly} />
        ) : step.action === "log" ? (
          <LogFields step={step} set={set} at={at} envs={envs} readOnly={readOnly} />
        ) : (
          <WebhookFields step={step} set={set} at={at} envs={envs} readOnly={readOnly} />
        )}
        {!step.whole && (
          <button type="button" class="sp-more" aria-expanded={more} onClick={() => setMore(!more)}>
            <Icon name={more ? "chevronDown" : "chevronRight"} size={14} /> Condition, retries and name
          </button>
        )}
        {more && !step.whole && <More step={step} set={set} at={at} envs={envs} readOnly={readOnly} />}
      </div>
    </section>
  );
}

interface FieldsProps {
  step: StepForm;
  set: (fields: Partial<StepForm>) => void;
  at: (field: string) => Problem[];
  envs: Envs;
  readOnly: boolean;
}

function More({ step, set, at, envs, readOnly }: FieldsProps) {
  return (
    <>
      <ExprField
        label="Only if"
        value={step.if}
        onInput={(v) => set({ if: v })}
        where="step"
        envs={envs}
        placeholder={'for example system.tags.tier == "1"'}
        multiline={false}
        problems={at("if")}
        readOnly={readOnly}
      />
      <div class="sp-grid">
        <Duration
          label="Timeout of an attempt"
          value={step.timeout}
          placeholder="10s"
          error={at("timeout")}
          readOnly={readOnly}
          onInput={(v) => set({ timeout: v })}
        />
        <TextField
          label="Attempts"
          value={step.max}
          placeholder="8"
          inputMode="numeric"
          error={at("retry.max")}
          readOnly={readOnly}
          onInput={(v) => set({ max: v })}
        />
        <Duration
          label="Wait before the second"
          value={step.backoff}
          placeholder="1s"
          error={at("retry.backoff")}
          readOnly={readOnly}
          onInput={(v) => set({ backoff: v })}
        />
        <TextField
          label="Name of its output"
          value={step.id}
          placeholder="steps.NAME"
          mono
          error={at("id")}
          readOnly={readOnly}
          onInput={(v) => set({ id: v })}
        />
      </div>
      <label class="row">
        <input type="checkbox" checked={step.carryOn} disabled={readOnly} onChange={(e) => set({ carryOn: e.currentTarget.checked })} /> Go
        on with the next step when this one fails
      </label>
    </>
  );
}

const methods = ["POST", "PUT", "PATCH", "GET", "DELETE"].map((m) => [m, m] as const);

function WebhookFields({ step, set, at, envs, readOnly }: FieldsProps) {
  // In JSON a quote inside a hole is escaped, which the language would not read.
  const escaped = step.json && /\$\{[^}]*\\/.test(step.body);
  const bad = step.json && step.body.trim() ? notJSON(step.body) : null;
  const below = bad ? [{ code: "json", message: `This is not JSON: ${bad}` }] : at("with.body").map(inside);
  return (
    <>
      <div class="sp-url">
        <Select
          label="Method"
          value={step.method || "POST"}
          options={methods}
          disabled={readOnly}
          error={at("with.method")}
          onChange={(method) => set({ method: method === "POST" ? "" : method })}
        />
        <ExprField
          label="Address"
          value={step.url}
          onInput={(url) => set({ url })}
          where="step"
          as="text"
          mode="text"
          envs={envs}
          placeholder="https://hooks.example.com/…"
          multiline={false}
          problems={at("with.url")}
          readOnly={readOnly}
        />
      </div>
      <Headers step={step} set={set} at={at} envs={envs} readOnly={readOnly} />
      <div class="row">
        <span class="lb">Body</span>
        <span class="sp" />
        {!readOnly && (
          <Seg
            label="The body is"
            value={step.json ? "json" : "text"}
            options={[
              ["json", "JSON"],
              ["text", "Text"],
            ]}
            onChange={(kind) => set({ json: kind === "json" })}
          />
        )}
      </div>
      <ExprField
        label="Body"
        quiet
        value={step.body}
        onInput={(body) => set({ body })}
        where="step"
        as="text"
        mode="text"
        envs={envs}
        placeholder="nothing is sent"
        problems={below}
        unchecked={escaped || bad !== null}
        readOnly={readOnly}
      />
    </>
  );
}

/** A problem inside a JSON body: its place is that of the inner text, so its path says where. */
function inside(p: Problem): Problem {
  const part = /\.with\.body\.?(.+)$/.exec(p.path ?? "")?.[1];
  return part ? { ...p, message: `${part}: ${p.message}`, from: undefined, to: undefined } : p;
}

function Headers({ step, set, at, envs, readOnly }: FieldsProps) {
  const put = (i: number, fields: Partial<Header>) => set({ headers: step.headers.map((h, k) => (k === i ? { ...h, ...fields } : h)) });
  return (
    <div class="sp-headers">
      {step.headers.map((h, i) => (
        <div class="sp-header" key={i}>
          <input
            class="in mono"
            aria-label={`Name of header ${i + 1}`}
            placeholder="Authorization"
            value={h.name}
            readOnly={readOnly}
            onInput={(e) => put(i, { name: e.currentTarget.value })}
          />
          {h.secret ? (
            <input
              class="in mono"
              aria-label={`Secret of header ${h.name || i + 1}`}
              placeholder="name of a secret"
              value={h.value}
              readOnly={readOnly}
              onInput={(e) => put(i, { value: e.currentTarget.value })}
            />
          ) : (
            <ExprField
              label={`Value of header ${h.name || i + 1}`}
              quiet
              value={h.value}
              onInput={(value) => put(i, { value })}
              where="step"
              as="text"
              mode="text"
              envs={envs}
              multiline={false}
              problems={at(`with.headers.${h.name}`)}
              readOnly={readOnly}
            />
          )}
          {!readOnly && (
            <>
              <Button
                small
                kind="ghost"
                icon="key"
                label={h.secret ? "Write the value as text" : "Take the value from a secret"}
                aria-pressed={h.secret}
                onClick={() => put(i, { secret: !h.secret })}
              />
              <Button
                small
                kind="ghost"
                icon="x"
                label={`Remove header ${h.name || i + 1}`}
                onClick={() => set({ headers: step.headers.filter((_, k) => k !== i) })}
              />
            </>
          )}
        </div>
      ))}
      {at("with.headers").length > 0 && step.headers.length === 0 && <p class="err">{at("with.headers")[0]?.message}</p>}
      {!readOnly && (
        <button type="button" class="sp-more" onClick={() => set({ headers: [...step.headers, { name: "", value: "", secret: false }] })}>
          <Icon name="plus" size={14} /> Add a header
        </button>
      )}
    </div>
  );
}

const levels = ["info", "warn", "error", "debug"].map((l) => [l, l] as const);

function LogFields({ step, set, at, envs, readOnly }: FieldsProps) {
  return (
    <div class="sp-url">
      <Select
        label="Level"
        value={step.level || "info"}
        options={levels}
        disabled={readOnly}
        error={at("with.level")}
        onChange={(level) => set({ level: level === "info" ? "" : level })}
      />
      <ExprField
        label="Line"
        value={step.message}
        onInput={(message) => set({ message })}
        where="step"
        as="text"
        mode="text"
        envs={envs}
        multiline={false}
        problems={at("with.message")}
        readOnly={readOnly}
      />
    </div>
  );
}

/** What the form has no fields for, as it is. */
function Raw({
  step,
  set,
  problems,
  readOnly,
}: {
  step: StepForm;
  set: (fields: Partial<StepForm>) => void;
  problems: Problem[];
  readOnly: boolean;
}) {
  const bad = notJSON(step.raw ?? "");
  return (
    <label class="fld">
      <span class="lb">{step.whole ? "The step, as JSON" : `${step.action} with, as JSON`}</span>
      <textarea
        class="in mono rl-plain"
        rows={6}
        value={step.raw ?? ""}
        readOnly={readOnly}
        spellcheck={false}
        aria-invalid={bad !== null}
        onInput={(e) => set({ raw: e.currentTarget.value })}
      />
      {[...(bad ? [{ message: `This is not JSON: ${bad}` }] : []), ...problems].map((p) => (
        <span class="err" key={p.message}>
          {p.message}
        </span>
      ))}
    </label>
  );
}
