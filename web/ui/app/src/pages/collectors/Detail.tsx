// One collector: what it says of itself, its versions, its permissions, and a
// test run.

import { useEffect } from "preact/hooks";
import type { CollectorInfo, FunctionDecl, Module, ModuleItem, ModuleVersion, Page as Paged, SampleDecl } from "../../api.gen";
import { ApiError, api, can, seg } from "../../lib/api";
import { bytes, visible } from "../../lib/format";
import { useResource } from "../../lib/resource";
import { navigate, setQuery, to } from "../../lib/router";
import { edits } from "../../live";
import { Page } from "../../shell/Page";
import { Button, Card, Empty, ErrorBox, Icon, Pill, Skeleton } from "../../ui";
import { usage } from "./List";
import { Aliases, CanaryCard, History, RollBack, Versions } from "./Release";
import { Review } from "./Review";
import { placeholder, properties } from "./schema";
import { scriptPath } from "./script";
import { TestRun } from "./TestRun";
import { DropZone, reviewPath, UploadList, useUpload } from "./Upload";

interface Found {
  module?: ModuleItem;
  info?: CollectorInfo;
}

async function find(name: string, signal: AbortSignal): Promise<Found> {
  try {
    return { module: await api.get<ModuleItem>(`/modules/${seg(name)}`, { signal }) };
  } catch (err) {
    if (!(err instanceof ApiError && err.status === 404)) throw err;
    const infos = await api.get<Paged<CollectorInfo>>("/collectors", { signal });
    const info = (infos.items ?? []).find((c) => c.name === name);
    if (!info) throw err;
    return { info };
  }
}

export function Detail({ name, version }: { name: string; version: string }) {
  const found = useResource(`collector ${name}`, (signal) => find(name, signal));
  const crumbs = [{ text: "Collectors", href: to.collectors() }];
  const edited = edits.value;
  const { reload } = found;
  // biome-ignore lint/correctness/useExhaustiveDependencies: asks again with each edit of anybody
  useEffect(() => {
    if (edited > 0) reload();
  }, [edited, reload]);
  // The server holds a canary by itself, which is no edit of anybody.
  const trying = !!found.data?.module?.canary && !found.data.module.canary.held;
  useEffect(() => {
    if (!trying) return;
    const timer = setInterval(() => !document.hidden && reload(), 3000);
    return () => clearInterval(timer);
  }, [trying, reload]);
  if (found.data?.module)
    return (
      <ModulePage
        item={found.data.module}
        version={version}
        set={(module) => found.set({ module })}
        reload={found.reload}
        crumbs={crumbs}
      />
    );
  return (
    <Page title={name} crumbs={crumbs}>
      {found.error && <ErrorBox error={found.error} doing={`Loading ${name}`} retry={found.reload} />}
      {!found.data && !found.error && <Waiting />}
      {found.data?.info && <BuiltIn info={found.data.info} />}
    </Page>
  );
}

interface ModulePageProps {
  item: ModuleItem;
  version: string;
  set: (item: ModuleItem) => void;
  reload: () => void;
  crumbs: { text: string; href?: string }[];
}

function ModulePage({ item, version, set, reload, crumbs }: ModulePageProps) {
  const versions = item.versions ?? [];
  const active = versions.find((v) => v.active);
  const shown = versions.find((v) => v.version === version) ?? versions[0];
  const upload = useUpload((review, alone) => {
    if (alone || review.manifest.name === item.name) navigate(reviewPath(review));
    reload();
  });
  if (!shown)
    return (
      <Page title={item.name} crumbs={crumbs}>
        <Empty title="No version is left" actions={<Button href={to.collectors()}>All collectors</Button>} />
      </Page>
    );
  const newest = versions[0] as ModuleVersion;
  const script = item.kind === "script";
  return (
    <Page title={item.name} crumbs={crumbs}>
      <header class="row wrap co-head">
        <Icon name={script ? "file" : "box"} size={20} />
        <div>
          <h1>{item.name}</h1>
          <p class="dim">{[script ? "Script" : "Module", `used by ${usage(item)}`].join(", ")}</p>
        </div>
        <span class="sp" />
        {active && shown !== active && <Button onClick={() => setQuery({ v: active.version })}>Show {active.version}, active</Button>}
        {newest !== shown && !newest.active && <Button onClick={() => setQuery({ v: newest.version })}>Review {newest.version}</Button>}
        <RollBack item={item} onChange={set} />
        {script && (
          <Button icon="edit" kind="primary" href={scriptPath(item.name, shown.version)}>
            Edit the script
          </Button>
        )}
        {(shown.manifest.offers ?? []).includes("collector") && can("editor") && shown.active && (
          <Button icon="plus" href={`/checks/new?use=${encodeURIComponent(item.use)}`}>
            New check
          </Button>
        )}
      </header>
      {item.error && (
        <div class="errbox" role="alert">
          <Icon name="alert" size={16} />
          <div>
            <b>A version that is in use cannot run</b>
            <div>{visible(item.error)}</div>
            <div>Its checks end with Error until another version is active, and rules can tell of it.</div>
          </div>
        </div>
      )}
      {can("editor") && !script && <DropZone upload={upload} title="Drop a .wasm file to add a version" />}
      <UploadList upload={upload} />
      <CanaryCard item={item} onChange={set} />
      <div class="co-two">
        <div class="co-col">
          <Review
            key={`${shown.digest} ${shown.version} ${shown.active} ${shown.granted}`}
            item={item}
            version={shown}
            active={active}
            onChange={set}
          />
          {can("editor") && (shown.manifest.offers ?? []).includes("collector") && (
            <TestRun key={`${shown.digest} ${shown.granted}`} module={shown} stable={item.stable} />
          )}
        </div>
        <aside class="co-col" aria-label="About it">
          <Versions item={item} shown={shown} onChange={set} reload={reload} />
          <Samples all={shown.manifest.samples ?? []} />
          <Functions all={shown.manifest.functions ?? []} />
          <About m={shown} use={item.use} values={item.values_bytes} />
          <Aliases item={item} onChange={set} />
          <History item={item} />
          <Users item={item} />
        </aside>
      </div>
    </Page>
  );
}

/** Checks and rules that use it. */
function Users({ item }: { item: ModuleItem }) {
  const checks = item.checks ?? [];
  const rules = item.rules ?? [];
  if (checks.length + rules.length === 0) return null;
  return (
    <Card title="Used by">
      <ul class="co-plain">
        {checks.map((c) => (
          <li key={`c${c}`}>
            <a class="link" href={to.check(c)}>
              {c}
            </a>{" "}
            <span class="dim">check</span>
          </li>
        ))}
        {rules.map((r) => (
          <li key={`r${r}`}>
            <a class="link" href={to.rule(r)}>
              {r}
            </a>{" "}
            <span class="dim">rule</span>
          </li>
        ))}
      </ul>
    </Card>
  );
}

/** What it offers to expressions. */
function Functions({ all }: { all: FunctionDecl[] }) {
  if (all.length === 0) return null;
  return (
    <Card title="Functions for expressions" bare>
      <ul class="co-decls">
        {all.map((f) => (
          <li key={f.name}>
            <code>
              {visible(f.name)}({(f.params ?? []).map((p) => visible(p.name)).join(", ")})
            </code>
            <span class="dim">{f.returns}</span>
            {f.doc && <p class="dim small">{visible(f.doc)}</p>}
          </li>
        ))}
      </ul>
    </Card>
  );
}

function About({ m, use, values }: { m: Module; use: string; values: number }) {
  const { manifest } = m;
  return (
    <Card title="What it says of itself">
      {manifest.doc && <p class="co-doc">{visible(manifest.doc)}</p>}
      <dl class="co-facts">
        {manifest.author && (
          <>
            <dt>Author</dt>
            <dd>{visible(manifest.author)}</dd>
          </>
        )}
        <dt>Speaks</dt>
        <dd class="mono">{visible(manifest.abi)}</dd>
        <dt>Offers</dt>
        <dd>{(manifest.offers ?? []).map(visible).join(", ") || "nothing"}</dd>
        <dt>In a check</dt>
        <dd class="mono">use: {visible(use)}</dd>
        {values > 0 && (
          <>
            <dt>Keeps</dt>
            <dd>{bytes(values)} between runs</dd>
          </>
        )}
        <dt>sha256</dt>
        <dd class="mono">{m.digest}</dd>
      </dl>
    </Card>
  );
}

function Samples({ all, title = "Samples it reports" }: { all: SampleDecl[]; title?: string }) {
  if (all.length === 0) return null;
  return (
    <Card title={title} bare>
      <ul class="co-decls">
        {all.map((s) => (
          <li key={s.name} title={s.doc}>
            <code>{visible(s.name)}</code>
            <span class="dim">{[s.kind || s.type, s.unit].filter(Boolean).join(", ")}</span>
            {s.doc && <p class="dim small">{visible(s.doc)}</p>}
          </li>
        ))}
      </ul>
    </Card>
  );
}

function BuiltIn({ info }: { info: CollectorInfo }) {
  const all = properties(info.schema);
  return (
    <>
      <header class="row wrap">
        <Icon name={info.name === "http" ? "globe" : "link"} size={20} />
        <div>
          <h1>{info.name}</h1>
          <p class="dim">{info.doc}</p>
        </div>
        <Pill>built in</Pill>
        <span class="sp" />
        {can("editor") && (
          <Button icon="plus" href={`/checks/new?use=${encodeURIComponent(info.name)}`}>
            New check
          </Button>
        )}
      </header>
      <div class="co-two">
        <Card title="Configuration" bare>
          <div class="scroll-x" role="region" aria-label="Configuration" tabIndex={0}>
            <table class="tbl" aria-label="Fields">
              <thead>
                <tr>
                  <th scope="col">Field</th>
                  <th scope="col">Takes</th>
                  <th scope="col">Default</th>
                  <th scope="col">What it is</th>
                </tr>
              </thead>
              <tbody>
                {all.map((p) => (
                  <tr key={p.name}>
                    <td class="mono">
                      {p.name}
                      {p.required && <span class="t-degraded"> *</span>}
                    </td>
                    <td class="dim">{p.control === "choice" ? p.choices.join(", ") : p.control}</td>
                    <td class="mono dim">{placeholder(p)}</td>
                    <td class="dim2">{p.doc}</td>
                  </tr>
                ))}
              </tbody>
            </table>
          </div>
          {all.length === 0 && <Empty title="It takes no configuration" />}
        </Card>
        <aside class="co-col" aria-label="What it reports">
          <Samples all={info.samples ?? []} />
          <Samples all={info.facts ?? []} title="What assertions see besides" />
        </aside>
      </div>
    </>
  );
}

function Waiting() {
  return (
    <div class="co-two" role="status" aria-label="Loading">
      <div class="co-col">
        <Card>
          <Skeleton height={140} />
        </Card>
        <Card>
          <Skeleton height={200} />
        </Card>
      </div>
      <Card>
        <Skeleton height={120} />
      </Card>
    </div>
  );
}
