import type { Page as PageOf, Run, Transition } from "../../api.gen";
import { api, query, seg } from "../../lib/api";
import { ns, span, visible } from "../../lib/format";
import { useResource } from "../../lib/resource";
import { type PageProps, to } from "../../lib/router";
import { at } from "../../lib/time";
import { Page } from "../../shell/Page";
import { Button, Card, Empty, ErrorBox, healthNames, outcomeLook, outcomeNames, SkeletonRows, Status, Time } from "../../ui";
import { RunDetail } from "./RunDetail";

/** One run: what it found, how, and what that changed. */
export default function RunPage({ route }: PageProps) {
  const system = route.segments[1] ?? "";
  const id = route.segments[3] ?? "";
  const run = useResource<Run>(id, (signal) => api.get(`/runs/${seg(id)}`, { signal }));
  const d = run.data;
  return (
    <Page
      title={`Run ${id}`}
      crumbs={[
        { text: "Systems", href: "/" },
        { text: system, href: to.system(system) },
      ]}
    >
      {run.error ? (
        run.error.status === 404 ? (
          <Empty title={`Run ${id} is not kept any more`} actions={<Button href={to.system(system)}>Go to {system}</Button>}>
            Runs are deleted after a while; transitions stay.
          </Empty>
        ) : (
          <ErrorBox error={run.error} doing="Open the run" retry={run.reload} />
        )
      ) : d ? (
        <Shown run={d} system={system} />
      ) : (
        <Card title="Run">
          <SkeletonRows />
        </Card>
      )}
    </Page>
  );
}

function Shown({ run, system }: { run: Run; system: string }) {
  const look = outcomeLook(run.outcome);
  const late = at(run.started) - at(run.due);
  const facts: [string, preact.ComponentChildren][] = [
    ["Check", run.assignment.split(":")[1] ?? run.assignment],
    ["Started", <Time key="s" at={run.started} />],
    [
      "Took",
      <span key="t" class="num">
        {span(at(run.ended) - at(run.started)) === "0 s"
          ? ns((at(run.ended) - at(run.started)) * 1e6)
          : span(at(run.ended) - at(run.started))}
      </span>,
    ],
    [
      "Latency of the target",
      <span key="l" class="num">
        {run.latency_ns > 0 ? ns(run.latency_ns) : "–"}
      </span>,
    ],
    [
      "Started late by",
      <span key="d" class="num">
        {run.manual ? "asked for by hand" : ns(Math.max(0, late) * 1e6)}
      </span>,
    ],
  ];
  return (
    <>
      <div class="ph">
        <Status health={look} size={28} label />
        <div class="sp">
          <h1>{outcomeNames[run.outcome]}</h1>
          <p class="dim2">{visible(run.why?.text || run.summary || "")}</p>
        </div>
      </div>
      <Card>
        <dl class="facts">
          {facts.map(([name, value]) => (
            <div key={name}>
              <dt>{name}</dt>
              <dd>{value}</dd>
            </div>
          ))}
        </dl>
      </Card>
      <Card title="What it found">
        <RunDetail run={run} />
      </Card>
      <Changed run={run} system={system} />
    </>
  );
}

/** What the run changed: the transitions that name it as their cause. */
function Changed({ run, system }: { run: Run; system: string }) {
  const near = useResource<PageOf<Transition>>(`${run.id}`, (signal) =>
    api.get(`/transitions${query({ system, since: run.ended, limit: 1000 })}`, { signal }),
  );
  const caused = (near.data?.items ?? []).filter((t) => t.run === run.id).toReversed();
  return (
    <Card title="What it changed">
      {near.error ? (
        <ErrorBox error={near.error} doing="Fetch the transitions" retry={near.reload} />
      ) : !near.data ? (
        <SkeletonRows rows={2} />
      ) : caused.length === 0 ? (
        <p class="dim">
          Nothing: health stayed as it was.{" "}
          {run.outcome === "error"
            ? "A run that could not ask never moves health."
            : "It moves when a threshold of the check's policy is met."}
        </p>
      ) : (
        <ol class="chain">
          {caused.map((t) => (
            <li key={t.seq}>
              <Status health={t.to} label />
              <span>
                <b>{visible(t.subject.id)}</b> {t.subject.kind}: {healthNames[t.from]} to {healthNames[t.to]}.{" "}
                <span class="dim2">{visible(t.why?.text ?? "")}</span>
              </span>
            </li>
          ))}
        </ol>
      )}
    </Card>
  );
}
