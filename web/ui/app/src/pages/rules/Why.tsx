// Why a rule does, or does not, fire for one subject now: what each stage says,
// which of them stands in the way, and when the rule could next fire.

import { useEffect, useRef } from "preact/hooks";
import type { Explanation, Rule } from "../../api.gen";
import { api, query, seg } from "../../lib/api";
import { plural, visible } from "../../lib/format";
import { useResource } from "../../lib/resource";
import { setQuery } from "../../lib/router";
import { useTopic } from "../../live";
import { Ago, Button, Card, Combobox, Diagnostics, ErrorBox, healthNames, Icon, Skeleton, Status, Time } from "../../ui";
import { Left } from "./Left";
import { times } from "./lanes";
import { ExplainedStages } from "./stages";
import { kindNames, kindOf, useHappenings, useSubjects } from "./subjects";

/** The query of the explanation of a subject: "web", "web:http" for a check of it, or a group. */
export function asking(kind: string, id: string): string {
  if (kind === "group") return query({ group: id });
  const [system, check] = id.split(":");
  return query({ system, check: kind === "assignment" ? check : undefined });
}

/** The question, and below it the answer. The subject stands in the address as why. */
export function Why({ id, rule, about }: { id: string; rule: Rule; about: string }) {
  const kind = kindOf(rule);
  const lately = useHappenings(rule);
  const options = useSubjects(rule, lately);
  const complete = kind === "assignment" ? about.includes(":") : about !== "";
  return (
    <Card class="why">
      <div class="col">
        <div class="why-ask">
          <Combobox
            label={`Why does it fire, or not, for this ${kindNames[kind].toLowerCase()}?`}
            placeholder={kind === "assignment" ? "SYSTEM:CHECK" : "Choose one"}
            value={about}
            options={options}
            strict={kind !== "assignment"}
            onChange={(why) => setQuery({ why })}
          />
          {about && (
            <Button kind="ghost" icon="x" label="Close the answer" onClick={() => setQuery({ why: "" })}>
              Close
            </Button>
          )}
        </div>
        {complete && <Answer key={about} id={id} rule={rule} kind={kind} about={about} />}
      </div>
    </Card>
  );
}

function Answer({ id, rule, kind, about }: { id: string; rule: Rule; kind: string; about: string }) {
  const found = useResource(`explain ${id} ${about}`, (signal) =>
    api.get<Explanation>(`/rules/${seg(id)}/explain${asking(kind, about)}`, { signal }),
  );
  const soon = useRef<ReturnType<typeof setTimeout>>(undefined);
  useEffect(() => () => clearTimeout(soon.current), []);
  const again = () => {
    clearTimeout(soon.current);
    soon.current = setTimeout(found.reload, 300);
  };
  useTopic(`rule:${id}`, again, again);
  useTopic(kind === "group" ? null : `system:${about.split(":")[0]}`, (events) => events.some((e) => e.transition) && again());
  const x = found.data;
  // What waits for an instant is asked for again when that has come.
  const due = x?.next_at;
  // biome-ignore lint/correctness/useExhaustiveDependencies: a new instant, a new wait
  useEffect(() => {
    const ms = due ? Date.parse(due) - Date.now() : 0;
    if (ms <= 0 || ms > 3600e3) return;
    const timer = setTimeout(found.reload, ms + 700);
    return () => clearTimeout(timer);
  }, [due]);
  if (found.error && !x) return <ErrorBox error={found.error} doing="Asking why" retry={found.reload} />;
  if (!x) return <Skeleton height={140} />;
  return <Explained x={x} condition={condition(rule, x)} />;
}

/** The answer in one sentence, in which the stage that stands in the way speaks for itself. */
function headline(x: Explanation): string {
  const stop = (x.stages ?? []).find((s) => s.stage === x.blocked && !s.ok);
  return stop && x.fired === 0 ? `It does not fire for ${x.subject.id}: ${stop.text}` : x.text;
}

/** The expression that stands in the way, when one does. */
function condition(rule: Rule, x: Explanation): string {
  return (x.blocked === "when" ? rule.when : x.blocked === "unless" ? rule.unless : "") ?? "";
}

function Explained({ x, condition }: { x: Explanation; condition: string }) {
  const list = x.decisions ?? [];
  return (
    <div class="why-x">
      <div class="why-text" aria-live="polite">
        <Status health={x.health} size={20} label />
        <div>
          <p class="why-head">{visible(headline(x))}</p>
          <dl class="dd-facts">
            {x.need && (
              <>
                <dt>It needs</dt>
                <dd>
                  {visible(x.need)}
                  {condition && (
                    <>
                      {": "}
                      <code>{visible(condition)}</code>
                    </>
                  )}
                </dd>
              </>
            )}
            <dt>Could next fire</dt>
            <dd>
              {x.next_at ? (
                <>
                  at <Time at={x.next_at} /> if nothing changes <Left until={x.next_at} />
                </>
              ) : x.blocked ? (
                "not before something changes"
              ) : (
                "with the next change that it looks at"
              )}
            </dd>
            <dt>Health</dt>
            <dd>
              {healthNames[x.health]}
              {x.since && (
                <>
                  {" "}
                  for <Ago at={x.since} />
                </>
              )}
            </dd>
            {x.episode && (
              <>
                <dt>Episode</dt>
                <dd>
                  open, {x.fired === 0 ? "has not fired" : `fired ${times(x.fired)}`} <span class="mono dim">{x.episode}</span>
                </dd>
              </>
            )}
          </dl>
        </div>
      </div>
      {(x.problems ?? []).length > 0 && <Diagnostics problems={x.problems ?? []} />}
      <section>
        <h3>
          {x.change ? (
            <>
              What each stage says of its newest change{" "}
              <span class="dim">
                {healthNames[x.change.from]} to {healthNames[x.change.to]}, <Time at={x.change.at} />
              </span>
            </>
          ) : (
            "What each stage says"
          )}
        </h3>
        <ExplainedStages results={x.stages ?? []} blocked={x.blocked} />
      </section>
      <p class="row dim small why-kept">
        <Icon name="activity" size={13} />
        {list.length === 0 ? (
          "It has decided nothing about it that is kept."
        ) : (
          <>
            {plural(list.length, "decision")} about it {list.length === 1 ? "is" : "are"} kept.
            <button type="button" class="link" onClick={() => setQuery({ system: x.subject.id, verdict: "", blocked: "" })}>
              Show only these
            </button>
          </>
        )}
      </p>
    </div>
  );
}
