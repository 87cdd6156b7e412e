// What a rule did last, and where it stands now.

import { useState } from "preact/hooks";
import type { Decision, Page as Paged, RuleState } from "../../api.gen";
import { api, seg } from "../../lib/api";
import { visible } from "../../lib/format";
import { useResource } from "../../lib/resource";
import { to } from "../../lib/router";
import { useTopic } from "../../live";
import { Card, Empty, ErrorBox, Pill, Skeleton, Time } from "../../ui";
import { Explain } from "./Explain";
import { Left } from "./Left";
import { resultOf, StageList, stageNames, verdictLook, verdictNames } from "./stages";

/** The newest decision with its stages, the values of its condition, and the partitions that wait. */
export function Latest({ id, disabled }: { id: string; disabled: boolean }) {
  const newest = useResource(`rule ${id} newest`, (signal) => api.get<Paged<Decision>>(`/rules/${seg(id)}/decisions?limit=1`, { signal }));
  const states = useResource(
    `rule ${id} state`,
    async (signal) => (await api.get<{ items: RuleState[] }>(`/rules/${seg(id)}/state`, { signal })).items ?? [],
  );
  const [heard, setHeard] = useState<Decision | null>(null);
  useTopic(
    `rule:${id}`,
    (events) => {
      const decided = events.map((e) => e.decision).filter((d): d is Decision => !!d);
      const last = decided.at(-1);
      if (last) setHeard(last);
      if (events.length > 0) states.reload();
    },
    () => {
      newest.reload();
      states.reload();
    },
  );
  const decision = heard ?? newest.data?.items?.[0];
  return (
    <>
      <Card title="Last evaluation" actions={decision && <Time at={decision.decided} />}>
        {newest.error && !decision && <ErrorBox error={newest.error} doing="Loading" retry={newest.reload} />}
        {!newest.data && !newest.error && !decision && <Skeleton height={150} />}
        {newest.data && !decision && (
          <Empty title="Not yet">{disabled ? "The rule is off." : "It has looked at no change since it was created."}</Empty>
        )}
        {decision && <Evaluation d={decision} id={id} />}
      </Card>
      {decision && <Values d={decision} />}
      {(states.data ?? []).length > 0 && (
        <Card title="Now" bare>
          <ul class="lt-states">
            {(states.data ?? []).slice(0, 12).map((s) => (
              <li key={s.partition}>
                <State s={s} />
              </li>
            ))}
          </ul>
        </Card>
      )}
    </>
  );
}

/** A partition that is not at rest, with a link to the system it is about. */
function State({ s }: { s: RuleState }) {
  const subject = (s.subjects ?? [])[0];
  const system = subject && subject.kind !== "group" ? subject.id.split(":")[0] : undefined;
  return (
    <>
      {system ? (
        <a href={to.system(system)} class="truncate">
          {visible(s.partition)}
        </a>
      ) : (
        <b class="truncate">{visible(s.partition)}</b>
      )}
      <span class="dim2">{s.text}</span>
      {s.next_at && <Left until={s.next_at} />}
    </>
  );
}

function Evaluation({ d, id }: { d: Decision; id: string }) {
  return (
    <div class="col">
      <div class="row wrap">
        <Pill kind={verdictLook[d.verdict]}>{verdictNames[d.verdict]}</Pill>
        <span class="truncate">{d.subject.id}</span>
        <span class="sp" />
        <a class="link small" href={`${to.trace(id)}?open=${d.id}`}>
          Trace
        </a>
      </div>
      <StageList decision={d} />
      {d.next_at && (
        <p class="dim small">
          Could next fire at <Time at={d.next_at} /> if nothing changes.
        </p>
      )}
    </div>
  );
}

/** The explanation of the stage that decided, or of the condition. */
function Values({ d }: { d: Decision }) {
  const told = [resultOf(d, d.stage), resultOf(d, "when"), ...(d.stages ?? [])].find((s) => (s?.nodes ?? []).length > 0);
  if (!told) return null;
  return (
    <Card title="Explain" actions={<span class="dim small">{stageNames[told.stage]}</span>}>
      <Explain nodes={told.nodes ?? []} />
    </Card>
  );
}
