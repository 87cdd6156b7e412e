import { useEffect } from "preact/hooks";
import type { Instance, Node, Page as Paged } from "../../api.gen";
import { api } from "../../lib/api";
import { count, ms, percent, plural, span, visible } from "../../lib/format";
import { useResource } from "../../lib/resource";
import { at, tick } from "../../lib/time";
import { offlineReason } from "../../live";
import { Page } from "../../shell/Page";
import { Ago, Card, type Column, ErrorBox, Pill, SkeletonRows, Status, Table, Time } from "../../ui";
import { type Look, look, ranges, shards } from "./model";
import "./nodes.css";

/** How often the page asks: as often as nodes report. */
const every = 5000;

/** The processes that share the database, and what each of them does. */
export default function Nodes() {
  const nodes = useResource("nodes", async (signal) => (await api.get<Paged<Node>>("/nodes", { signal })).items ?? []);
  const instance = useResource("instance", (signal) => api.get<Instance>("/instance", { signal }));
  const { reload } = nodes;
  const again = instance.reload;
  useEffect(() => {
    const timer = setInterval(() => {
      if (document.hidden || offlineReason()) return;
      reload();
      again();
    }, every);
    return () => clearInterval(timer);
  }, [reload, again]);
  const list = nodes.data;
  return (
    <Page title="Nodes">
      <div class="row wrap">
        <h1>Nodes</h1>
        <span class="dim">the processes that share this database</span>
      </div>
      {nodes.error && <ErrorBox error={nodes.error} doing="Loading the nodes" retry={reload} />}
      {!list && !nodes.error && (
        <Card>
          <SkeletonRows rows={3} />
        </Card>
      )}
      {list && list.length <= 1 && <Alone instance={instance.data} node={list[0]} />}
      {list && list.length > 1 && <Many list={list} />}
    </Page>
  );
}

/** One process: there is nothing to share, so one line says it. */
function Alone({ instance, node }: { instance: Instance | undefined; node: Node | undefined }) {
  const e = instance?.engine;
  return (
    <Card>
      <p>
        {node ? (
          <>
            <b>{visible(node.name)}</b> is the only node: it runs every check and the rules.
          </>
        ) : (
          "This process has a database of its own and does everything."
        )}{" "}
        {instance && e && (
          <span class="dim2">
            Version {visible(instance.version)}, up for <Ago at={instance.started} />, {plural(instance.assignments, "assignment")}, p99 of
            lateness {ms(e.late_p99_ms)}.
          </span>
        )}
      </p>
      {!node && (
        <p class="dim small">
          Several can share a Postgres database: each then takes a part of the systems, and takes over what another leaves.
        </p>
      )}
    </Card>
  );
}

const words: Record<Look, [string, "healthy" | "degraded" | "unhealthy" | "unknown"]> = {
  up: ["Up", "healthy"],
  idle: ["Holds nothing", "degraded"],
  gone: ["Gone", "unhealthy"],
};

function Many({ list }: { list: Node[] }) {
  const held = shards(list);
  const leader = list.find((n) => n.rules && n.alive);
  const alive = list.filter((n) => n.alive).length;
  return (
    <>
      <Card
        bar={alive === list.length && leader && held === 256 ? "healthy" : "degraded"}
        title="Together"
        actions={
          <span class="dim small">
            {alive} of {plural(list.length, "node")} up
          </span>
        }
      >
        <div class="col">
          <p>
            {held === 256 ? (
              <>Every one of the 256 shards is held.</>
            ) : (
              <b class="t-degraded">
                {256 - held} of 256 shards are held by nobody: the systems in them are not checked until one takes them.
              </b>
            )}{" "}
            {leader ? (
              <>
                <b>{visible(leader.name)}</b> leads: it decides what rules do.
              </>
            ) : (
              <b class="t-degraded">No node leads now: rules wait, and lose nothing.</b>
            )}
          </p>
          <Shares list={list} />
        </div>
      </Card>
      <Card bare title="Each of them">
        <Table label="Nodes" rows={list} columns={columns} keyOf={(n) => n.name} />
      </Card>
    </>
  );
}

/** All shards in a row, coloured by who holds them; the table says the same in words. */
function Shares({ list }: { list: Node[] }) {
  const holder = new Map(list.flatMap((n, i) => (n.shards ?? []).map((s) => [s, i] as const)));
  return (
    <div class="nd-shares" aria-hidden="true">
      {Array.from({ length: 256 }, (_, s) => {
        const i = holder.get(s);
        return (
          <i key={s} class={i === undefined ? "none" : `n${i % 6}`} title={`shard ${s}: ${i === undefined ? "nobody" : list[i]?.name}`} />
        );
      })}
    </div>
  );
}

const columns: Column<Node>[] = [
  {
    id: "name",
    head: "Node",
    cell: (n) => (
      <span class="row nd-name">
        <Status health={words[look(n)][1]} size={15} />
        <b>{visible(n.name)}</b>
        {n.here && <Pill kind="accent">answers you</Pill>}
        {n.rules && <Pill>leads</Pill>}
      </span>
    ),
  },
  { id: "state", head: "State", cell: (n) => <State n={n} /> },
  {
    id: "shards",
    head: "Shards",
    cell: (n) => (
      <span class="num" title={ranges(n.shards ?? []) || "none"}>
        {count((n.shards ?? []).length)} <span class="dim">{percent((n.shards ?? []).length / 256).replace(".00", "")}</span>
      </span>
    ),
  },
  { id: "tasks", head: "Assignments", end: true, cell: (n) => count(n.report.tasks) },
  { id: "late", head: "Late, p99", end: true, cell: (n) => ms(n.report.late_p99_ms) },
  {
    id: "waits",
    head: "Not stored",
    end: true,
    cell: (n) => (
      <span class={n.report.dropped > 0 ? "t-unhealthy" : undefined}>
        {count(n.report.unstored)}
        {n.report.dropped > 0 && `, ${count(n.report.dropped)} dropped`}
      </span>
    ),
  },
  {
    id: "clock",
    head: "Clock",
    end: true,
    cell: (n) => (
      <span title="How far its clock is from that of the database">
        {Math.abs(n.report.clock_ms) < 1 ? "right" : `${ms(Math.abs(n.report.clock_ms))} ${n.report.clock_ms > 0 ? "behind" : "ahead"}`}
      </span>
    ),
  },
  { id: "version", head: "Version", cell: (n) => <span class="mono">{visible(n.report.version || "–")}</span> },
  { id: "started", head: "Started", cell: (n) => <Time at={n.started} seconds={false} /> },
];

/** Whether it is heard of, and until when it is trusted. */
function State({ n }: { n: Node }) {
  const [name, kind] = words[look(n)];
  const left = at(n.expires) - tick.value;
  return (
    <span>
      <span class={`t-${kind}`}>{name}</span>{" "}
      <span class="dim small">
        {n.alive ? `its lease is good for ${span(Math.max(0, left))}` : `not heard of for ${span(Math.max(0, -left))}`}
      </span>
    </span>
  );
}
