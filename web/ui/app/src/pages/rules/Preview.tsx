// What the rule, as it stands in the form, would have made of the newest
// change, with the value of every part of its condition.

import { useEffect, useState } from "preact/hooks";
import type { Backtest, Decision, Rule } from "../../api.gen";
import { ApiError, aborted, api } from "../../lib/api";
import { visible } from "../../lib/format";
import { at } from "../../lib/time";
import { Card, Icon, Pill, Skeleton, Time } from "../../ui";
import { Explain } from "./Explain";
import { StageList, stageNames, verdictLook, verdictNames } from "./stages";
import { type Happening, useHappenings } from "./subjects";

type Tried = { decision: Decision | undefined } | { wrong: string };

/** Plays the day before something that happened through the rule, a while after each edit. */
function useTried(rule: Rule, on: Happening | undefined): Tried | undefined {
  const [tried, setTried] = useState<Tried>();
  const text = JSON.stringify(rule);
  // biome-ignore lint/correctness/useExhaustiveDependencies: the text says all of the rule
  useEffect(() => {
    if (!on) return;
    const abort = new AbortController();
    const timer = setTimeout(async () => {
      // The server writes more than milliseconds: the one after is surely not before it.
      const until = new Date(at(on.at) + 1).toISOString();
      try {
        const b = await api.post<Backtest>(
          "/rules/backtest",
          { rule: { ...rule, id: rule.id || "new" }, span: "1d", until, about: on.subject },
          { signal: abort.signal },
        );
        const made = (b.rule.decisions ?? []).filter((d) => (on.run ? d.run === on.run : d.seq === on.seq));
        setTried({ decision: made.at(-1) });
      } catch (err) {
        if (aborted(err)) return;
        setTried({
          wrong:
            err instanceof ApiError && err.problems.length > 0
              ? "It is tried as soon as what is marked is mended."
              : `It cannot be tried: ${err instanceof Error ? err.message : String(err)}`,
        });
      }
    }, 600);
    return () => {
      abort.abort();
      clearTimeout(timer);
    };
  }, [text, on?.at, on?.subject.id]);
  return tried;
}

export function Preview({ rule }: { rule: Rule }) {
  const lately = useHappenings(rule).slice(0, 20);
  const [picked, setPicked] = useState("");
  const on = lately.find((h) => h.subject.id === picked) ?? lately[0];
  const tried = useTried(rule, on);
  if (!on) return null;
  const decision = tried && "decision" in tried ? tried.decision : undefined;
  return (
    <Card title="As edited" actions={<span class="dim small">on what happened last</span>}>
      <div class="col" aria-live="polite">
        <select class="in" aria-label="What it is tried on" value={on.subject.id} onChange={(e) => setPicked(e.currentTarget.value)}>
          {lately.map((h) => (
            <option key={h.subject.id} value={h.subject.id}>
              {visible(h.subject.id)}: {h.text}
            </option>
          ))}
        </select>
        {!tried ? (
          <Skeleton height={90} />
        ) : "wrong" in tried ? (
          <p class="dim2">
            <Icon name="info" size={14} /> {tried.wrong}
          </p>
        ) : decision ? (
          <Made d={decision} />
        ) : (
          <p class="dim2">
            It would pass this over: none of its triggers looks at <b>{on.text}</b> of {visible(on.subject.id)}, or its condition rules that
            subject out.
          </p>
        )}
      </div>
    </Card>
  );
}

function Made({ d }: { d: Decision }) {
  const told = (d.stages ?? []).filter((s) => (s.nodes ?? []).length > 0);
  return (
    <>
      <div class="row wrap">
        <Pill kind={verdictLook[d.verdict]}>{verdictNames[d.verdict]}</Pill>
        <span class="sp" />
        <Time at={d.at} />
      </div>
      <StageList decision={d} />
      {d.next_at && (
        <p class="dim small">
          It could have fired at <Time at={d.next_at} /> if nothing had changed.
        </p>
      )}
      {told.map((s) => (
        <section key={s.stage}>
          <h3 class="dim small">{stageNames[s.stage]}</h3>
          <Explain nodes={s.nodes ?? []} />
        </section>
      ))}
    </>
  );
}
