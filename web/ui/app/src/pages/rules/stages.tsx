// The stages between a change and an action, and what to call them.

import type { Decision, DecisionVerdict, Stage, StageResult } from "../../api.gen";
import { instant } from "../../lib/format";
import { healthNames, Icon, Status, Time } from "../../ui";
import { Explain } from "./Explain";

/** The stages that are drawn, in order. */
export const stages: readonly Stage[] = ["trigger", "when", "window", "dwell", "unless", "cooldown", "mode", "firing"];

export const stageNames: Record<Stage, string> = {
  trigger: "Trigger",
  when: "Condition",
  by: "Partition",
  window: "Window",
  dwell: "Hold",
  unless: "Unless",
  cooldown: "Cooldown",
  mode: "Mode",
  firing: "Action",
};

export const verdictNames: Record<DecisionVerdict, string> = {
  fire: "Fired",
  hold: "Waiting",
  suppress: "Held back",
  drop: "Passed over",
  recover: "Recovered",
};

/** The look of a verdict, as the health whose colours it borrows. */
export const verdictLook: Record<DecisionVerdict, "healthy" | "degraded" | "unhealthy" | "unknown" | "accent"> = {
  fire: "unhealthy",
  hold: "degraded",
  suppress: "degraded",
  drop: "unknown",
  recover: "healthy",
};

/** The stage that stopped a decision, or null when it went through. */
export function blocking(d: Decision): Stage | null {
  return d.verdict === "fire" || d.verdict === "recover" ? null : d.stage;
}

/** What a stage said in this decision: absent when it was not reached. */
export function resultOf(d: Decision, stage: Stage): StageResult | undefined {
  return (d.stages ?? []).find((s) => s.stage === stage);
}

/** The mark of a stage in a decision. What was passed over is no warning. */
export function StageMark({ result, blocked, passed }: { result: StageResult | undefined; blocked: boolean; passed?: boolean }) {
  if (!result) return <span class="st-none" aria-hidden="true" />;
  if (result.failed) return <Icon name="alert" size={14} class="t-unhealthy" />;
  if (passed && (blocked || !result.ok)) return <Icon name="x" size={14} class="dim" />;
  if (blocked || !result.ok) return <Status health="degraded" size={14} />;
  return <Status health="healthy" size={14} />;
}

/** "2 of 3" and the like: the number that a stage turns on, as briefly as a cell allows. */
export function stageNumber(result: StageResult | undefined): string {
  if (!result) return "";
  if (result.need) return `${result.n ?? 0} of ${result.need}`;
  if (result.failed) return "error";
  return "";
}

/** Every stage of a decision, with the one that stopped it filled and named. */
export function StageList({ decision }: { decision: Decision }) {
  const stop = blocking(decision);
  const after = stop ? stages.indexOf(stop) : stages.length;
  return (
    <ol class="st-list">
      {stages.map((stage, i) => {
        const result = resultOf(decision, stage);
        if (!result && i < after && stage !== "trigger") return null;
        const blocked = stage === stop;
        return (
          <li key={stage} class={blocked ? (decision.verdict === "drop" ? "blocked passed" : "blocked") : result ? undefined : "later"}>
            <StageMark result={result} blocked={blocked} passed={decision.verdict === "drop"} />
            <span class="st-name">{blocked ? blockedName(decision, stage) : stageNames[stage]}</span>
            <span class="st-text">
              {result ? <Said result={result} /> : stage === "trigger" ? <Change decision={decision} /> : "not reached"}
            </span>
          </li>
        );
      })}
    </ol>
  );
}

/** Every stage of an explanation, with the values of its condition below it; the one that stands in the way is filled. */
export function ExplainedStages({ results, blocked }: { results: StageResult[]; blocked: Stage | "" | undefined }) {
  return (
    <ol class="st-list told">
      {results.map((r, i) => {
        const stop = r.stage === blocked && !r.ok;
        return (
          <li key={`${r.stage}${i}`} class={stop ? "blocked" : undefined}>
            <StageMark result={r} blocked={!r.ok} />
            <span class="st-name">
              {stageNames[r.stage]}
              <span class="sr">{stop ? " stands in the way" : r.ok ? " is fulfilled" : " is not fulfilled"}</span>
            </span>
            <span class="st-text">
              <Said result={r} />
            </span>
            {(r.nodes ?? []).length > 0 && (
              <div class="st-values">
                <Explain nodes={r.nodes ?? []} />
              </div>
            )}
          </li>
        );
      })}
    </ol>
  );
}

/** What became of a decision, in a few words: "Waiting: window", "Fired". */
export function verdictWords(d: Decision): string {
  const stop = blocking(d);
  if (!stop) return verdictNames[d.verdict];
  if (d.verdict === "drop" && stop === "dwell") return "Released";
  return `${verdictNames[d.verdict]}: ${stageNames[stop].toLowerCase()}`;
}

function blockedName(d: Decision, stage: Stage): string {
  const name = stageNames[stage].toLowerCase();
  if (d.verdict === "drop" && stage === "dwell") return "Released";
  if (d.verdict === "drop") return `Passed over by ${name}`;
  if (d.verdict === "hold") return stage === "dwell" ? "Holding" : `Waiting in ${name}`;
  return `Blocked by ${name}`;
}

/** What a stage said, as plain text with the time in the reader's zone. */
export function saidText(result: StageResult): string {
  return result.until ? `${result.text} until ${instant(new Date(result.until), new Date(), true)}` : result.text;
}

/** What a stage said. The server leaves clock times out of its text: the page shows them in the reader's zone. */
function Said({ result }: { result: StageResult }) {
  return (
    <>
      {result.text}
      {result.until && (
        <>
          {" "}
          until <Time at={result.until} />
        </>
      )}
    </>
  );
}

/** From one health to the next. */
export function Change({ decision }: { decision: Decision }) {
  return (
    <span class="st-change" title={`${healthNames[decision.from]} to ${healthNames[decision.to]}`}>
      <Status health={decision.from} size={14} label /> <Icon name="arrowRight" size={12} /> <Status health={decision.to} size={14} label />
    </span>
  );
}
