// Every collector: the built-in ones and uploaded modules.

import { useState } from "preact/hooks";
import type { CollectorInfo, ModuleItem, ModuleReview, Page as Paged } from "../../api.gen";
import { api, can, seg } from "../../lib/api";
import { bytes, ms, plural, visible } from "../../lib/format";
import { useResource } from "../../lib/resource";
import { navigate, to } from "../../lib/router";
import { Page } from "../../shell/Page";
import { Button, Card, Empty, ErrorBox, Icon, Pill, Skeleton, Tag, toast, toastError } from "../../ui";
import { summary } from "./permissions";
import { rate } from "./Release";
import { Sparkline } from "./Sparkline";
import { useScripts } from "./scriptApi";
import { starters } from "./starters";
import { barred, DropZone, reviewPath, UploadList, useUpload } from "./Upload";

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
  const scripts = useScripts();
  const modules = all.data?.modules ?? [];
  const builtin = (all.data?.infos ?? []).filter((c) => !c.name.includes(":"));
  return (
    <Page title="Collectors">
      <div class="row wrap">
        <h1>Collectors</h1>
        {all.data && <span class="dim">{[plural(modules.length, "module"), `${builtin.length} built in`].join(", ")}</span>}
        <span class="sp" />
        {can("editor") && scripts && (
          <Button icon="edit" href="/collectors/new-script">
            New script
          </Button>
        )}
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
      {all.data && modules.length === 0 && <NoModules scripts={scripts} />}
      {modules
        .filter((m) => m.error)
        .map((m) => (
          <div class="errbox" role="alert" key={m.name}>
            <Icon name="alert" size={16} />
            <div class="sp">
              <b>{m.name} cannot run</b>
              <div>
                {visible(m.error ?? "")} {m.checks?.length ? `${plural(m.checks.length, "check")} end with Error until then.` : ""}
              </div>
            </div>
            <Button small href={to.collector(m.name)}>
              Open
            </Button>
          </div>
        ))}
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
  const stats = shown?.stats;
  const ran = (stats?.runs ?? 0) > 0;
  return (
    <li class={`co-row co-module${m.error ? " broken" : ""}`}>
      <Icon name={m.kind === "script" ? "file" : "box"} size={16} />
      <div class="co-what">
        <div class="row wrap">
          <a href={to.collector(m.name)}>{m.name}</a>
          {active ? <Tag>{active.version}</Tag> : <Pill kind="degraded">Not active</Pill>}
          {m.kind === "script" && <Tag>script</Tag>}
          {m.canary && (
            <Pill kind={m.canary.held ? "unhealthy" : "accent"}>
              {m.canary.held
                ? `Canary ${m.canary.version} is held`
                : `Canary ${m.canary.version}${m.canary.percent ? `, ${m.canary.percent} %` : ""}`}
            </Pill>
          )}
          {active && newest && newest !== active && newest.number > active.number && newest.version !== m.canary?.version && (
            <Pill kind="accent">Update {newest.version}</Pill>
          )}
          {m.error && <Pill kind="unhealthy">Cannot run</Pill>}
        </div>
        <p class="dim2">{visible(shown?.manifest.doc || "Says nothing of itself.")}</p>
        {m.error && <p class="t-unhealthy">{visible(m.error)}</p>}
      </div>
      <dl class="co-stats">
        <div>
          <dt>Errors</dt>
          <dd class={`num${stats?.errors ? " t-unhealthy" : ""}`}>{ran && stats ? rate(stats.errors, stats.runs) : "–"}</dd>
        </div>
        <div>
          <dt>p99</dt>
          <dd class="num">{ran ? ms(stats?.wall_p99_ms) : "–"}</dd>
        </div>
        <div>
          <dt>Memory</dt>
          <dd class="num">{ran && stats ? bytes(stats.memory_p99_bytes) : "–"}</dd>
        </div>
        <div class="co-stats-line">
          <dt>Last hour</dt>
          <dd>{stats && stats.series?.length > 1 ? <Sparkline series={stats.series} /> : <span class="dim">–</span>}</dd>
        </div>
      </dl>
      <dl class="co-usage">
        <dt>Used by</dt>
        <dd>{usage(m)}</dd>
        <dt>Granted</dt>
        <dd class="truncate" title={active ? summary(active.grant) : undefined}>
          {active ? summary(active.grant) : "nothing"}
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

/** No module yet: ways to begin, each with what to run, and examples to try at once. */
function NoModules({ scripts }: { scripts: boolean }) {
  const examples = useResource("examples", (signal) => api.get<Paged<string>>("/examples", { signal }));
  const [busy, setBusy] = useState("");
  const no = barred();
  const use = async (name: string) => {
    setBusy(name);
    try {
      navigate(reviewPath(await api.post<ModuleReview>(`/examples/${seg(name)}`)));
    } catch (err) {
      toastError(`Taking ${name}`, err);
      setBusy("");
    }
  };
  return (
    <Card>
      <Empty title="No module yet" art={<Icon name="box" size={28} />}>
        A collector gathers what the built-in checks cannot: a queue's depth, a replication lag, anything that a small program can find out.
        It runs in a sandbox and reaches only what you allow.
      </Empty>
      <ul class="co-starters">
        {starters
          .filter((s) => s.command || scripts)
          .map((s) => (
            <li key={s.lang}>
              <b>{s.title}</b>
              <p class="dim2">{s.text}</p>
              {s.command ? (
                <div class="co-command">
                  <code>{s.command}</code>
                  <Button
                    small
                    kind="ghost"
                    icon="copy"
                    label={`Copy the command for ${s.title}`}
                    onClick={() => void copy(s.command ?? "")}
                  />
                </div>
              ) : (
                can("editor") && (
                  <Button small icon="edit" href="/collectors/new-script">
                    Write a script
                  </Button>
                )
              )}
            </li>
          ))}
      </ul>
      {can("editor") && (examples.data?.items ?? []).length > 0 && (
        <div class="co-examples">
          <span class="dim2">Or try one that comes with Tocsin:</span>
          {(examples.data?.items ?? []).map((name) => (
            <Button small icon="play" key={name} busy={busy === name} disabled={!!no || busy !== ""} title={no} onClick={() => use(name)}>
              {name}
            </Button>
          ))}
        </div>
      )}
      <p class="dim co-then">
        Then <code>tocsin module test</code> runs it on your machine, and <code>tocsin module push</code> or a drop on this page brings it
        here.
      </p>
    </Card>
  );
}

async function copy(text: string): Promise<void> {
  try {
    await navigator.clipboard.writeText(text);
    toast("Copied");
  } catch {
    toast("This browser does not let pages copy here: select the text instead", { kind: "error" });
  }
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
