// Every collector: the built-in ones and uploaded modules.

import type { CollectorInfo, ModuleItem, Page as Paged } from "../../api.gen";
import { api, can } from "../../lib/api";
import { plural, visible } from "../../lib/format";
import { useResource } from "../../lib/resource";
import { navigate, to } from "../../lib/router";
import { Page } from "../../shell/Page";
import { Ago, Button, Card, Empty, ErrorBox, Icon, Pill, Skeleton, Tag } from "../../ui";
import { summary } from "./permissions";
import { DropZone, reviewPath, UploadList, useUpload } from "./Upload";

interface All {
  infos: CollectorInfo[];
  modules: ModuleItem[];
}

const ask = async (signal: AbortSignal): Promise<All> => {
  const [infos, modules] = await Promise.all([
    api.get<Paged<CollectorInfo>>("/collectors", { signal }),
    api.get<Paged<ModuleItem>>("/modules", { signal }),
  ]);
  return { infos: infos.items ?? [], modules: modules.items ?? [] };
};

export function List() {
  const all = useResource("collectors", ask);
  const upload = useUpload((review, alone) => {
    if (alone) navigate(reviewPath(review));
    else all.reload();
  });
  const modules = all.data?.modules ?? [];
  const builtin = (all.data?.infos ?? []).filter((c) => !c.name.startsWith("wasm:"));
  return (
    <Page title="Collectors">
      <div class="row wrap">
        <h1>Collectors</h1>
        {all.data && <span class="dim">{[plural(modules.length, "module"), `${builtin.length} built in`].join(", ")}</span>}
      </div>
      {can("editor") && (
        <DropZone
          upload={upload}
          title={modules.length > 0 ? "Drop a .wasm file to add a collector or a version" : "Drop a .wasm file to add a collector"}
        />
      )}
      <UploadList upload={upload} />
      {all.error && <ErrorBox error={all.error} doing="Loading the collectors" retry={all.reload} />}
      {!all.data && !all.error && <Waiting />}
      {all.data && modules.length === 0 && <NoModules />}
      {modules.length > 0 && (
        <Card title="Modules" bare>
          <ul>
            {modules.map((m) => (
              <ModuleRow key={m.name} m={m} />
            ))}
          </ul>
        </Card>
      )}
      {builtin.length > 0 && (
        <Card title="Built in" bare>
          <ul>
            {builtin.map((c) => (
              <li class="co-row" key={c.name}>
                <Icon name={c.name === "http" ? "globe" : "link"} size={16} />
                <div class="co-what">
                  <a href={to.collector(c.name)}>{c.name}</a>
                  <p class="dim2">{c.doc}</p>
                </div>
                <span class="dim small">reports {plural((c.samples ?? []).length, "sample")}</span>
              </li>
            ))}
          </ul>
        </Card>
      )}
    </Page>
  );
}

function ModuleRow({ m }: { m: ModuleItem }) {
  const versions = m.versions ?? [];
  const active = versions.find((v) => v.active);
  const newest = versions[0];
  const shown = active ?? newest;
  return (
    <li class={`co-row${m.error ? " broken" : ""}`}>
      <Icon name="box" size={16} />
      <div class="co-what">
        <div class="row wrap">
          <a href={to.collector(m.name)}>{m.name}</a>
          {active ? <Tag>{active.version}</Tag> : <Pill kind="degraded">Not active</Pill>}
          {active && newest && newest.version !== active.version && <Pill kind="accent">{newest.version} waits for review</Pill>}
          {m.error && <Pill kind="unhealthy">Cannot run</Pill>}
        </div>
        <p class="dim2">{visible(shown?.manifest.doc || "Says nothing of itself.")}</p>
        {m.error && <p class="t-unhealthy">{visible(m.error)}</p>}
      </div>
      <dl class="co-usage">
        <dt>Used by</dt>
        <dd>{usage(m)}</dd>
        <dt>Permissions</dt>
        <dd>{active ? summary(active.grant) : "nothing is granted"}</dd>
        <dt>Versions</dt>
        <dd>
          {versions.length}
          {newest && (
            <>
              , newest <Ago at={newest.created} /> ago
            </>
          )}
        </dd>
      </dl>
    </li>
  );
}

/** Who uses a module: "2 checks on 41 systems". */
export function usage(m: ModuleItem): string {
  const checks = m.checks ?? [];
  return checks.length === 0 ? "no check yet" : `${plural(checks.length, "check")} on ${plural(m.systems, "system")}`;
}

const build = `package main

import "github.com/tocsin-io/tocsin/wasm/guest"

func main() {}

func init() {
\tguest.Register(guest.Collector{
\t\tName:    "hello",
\t\tVersion: "1.0.0",
\t\tCollect: func(run *guest.Run) guest.Result {
\t\t\treturn guest.Pass("hello, "+run.Request.System.Name, nil)
\t\t},
\t})
}`;

const command = "GOOS=wasip1 GOARCH=wasm go build -buildmode=c-shared -o hello.wasm .";

/** No module yet: how to make one. */
function NoModules() {
  return (
    <Card>
      <Empty title="No module yet" art={<Icon name="box" size={28} />}>
        A collector gathers what the built-in checks cannot: a queue's depth, a replication lag, anything that a small program can find out.
        It runs in a sandbox and reaches only what you allow.
      </Empty>
      <div class="co-how">
        <section>
          <h3>1. Write it, for example in Go</h3>
          <pre class="log">{build}</pre>
        </section>
        <section>
          <h3>2. Build it</h3>
          <pre class="log">{command}</pre>
          <h3>3. Drop the file here</h3>
          <p class="dim2">It is looked at in your browser, then on the server. You see what it wants to reach before it runs.</p>
          <h3>Or begin with the example</h3>
          <p class="dim2">
            <code>examples/collectors/queue-depth</code> reads a queue's depth over HTTP and comes with its source.{" "}
            <code>tocsin serve --demo</code> has it installed.
          </p>
          <div class="row">
            <Button small icon="copy" onClick={() => void navigator.clipboard?.writeText(command)}>
              Copy the command
            </Button>
          </div>
        </section>
      </div>
    </Card>
  );
}

function Waiting() {
  return (
    <Card title="Modules" bare>
      <ul role="status" aria-label="Loading">
        {[0, 1, 2].map((i) => (
          <li class="co-row" key={i}>
            <Skeleton width={16} height={16} />
            <div class="co-what col">
              <Skeleton width="30%" height={14} />
              <Skeleton width="55%" height={12} />
            </div>
            <Skeleton width={180} height={40} />
          </li>
        ))}
      </ul>
    </Card>
  );
}
