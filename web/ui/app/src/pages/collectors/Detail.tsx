// One collector: what it says of itself, its versions, its permissions, and a
// test run.

import { useEffect, useState } from "preact/hooks";
import type { CollectorInfo, Module, ModuleItem, Page as Paged, SampleDecl } from "../../api.gen";
import { ApiError, api, can, seg } from "../../lib/api";
import { bytes, visible } from "../../lib/format";
import { useResource } from "../../lib/resource";
import { navigate, setQuery, to } from "../../lib/router";
import { edits } from "../../live";
import { Page } from "../../shell/Page";
import { Ago, Button, Card, Confirm, Empty, ErrorBox, Icon, Menu, Pill, Skeleton, Tag, toast } from "../../ui";
import { usage } from "./List";
import { Review } from "./Review";
import { placeholder, properties } from "./schema";
import { TestRun } from "./TestRun";
import { barred, DropZone, reviewPath, UploadList, useUpload } from "./Upload";

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
  const older = shown.active ? versions.find((v) => v.created < shown.created) : undefined;
  return (
    <Page title={item.name} crumbs={crumbs}>
      <header class="row wrap">
        <Icon name="box" size={20} />
        <div>
          <h1>{item.name}</h1>
          <p class="dim">Used by {usage(item)}</p>
        </div>
        <span class="sp" />
        {active && shown !== active && <Button onClick={() => setQuery({ v: active.version })}>Show {active.version}, active</Button>}
        {older && (
          <Button icon="activity" onClick={() => setQuery({ v: older.version })}>
            Roll back to {older.version}
          </Button>
        )}
      </header>
      {item.error && (
        <div class="errbox" role="alert">
          <Icon name="alert" size={16} />
          <div>
            <b>The active version cannot run</b>
            <div>{visible(item.error)}</div>
          </div>
        </div>
      )}
      {can("editor") && <DropZone upload={upload} title="Drop a .wasm file to add a version" />}
      <UploadList upload={upload} />
      <div class="co-two">
        <div class="co-col">
          <Review key={`${shown.digest} ${shown.active}`} item={item} version={shown} active={active} onActive={set} />
          {can("editor") && <TestRun key={shown.digest} module={shown} />}
        </div>
        <aside class="co-col" aria-label="About it">
          <Versions item={item} shown={shown} reload={reload} />
          <About m={shown} />
          <Samples all={shown.manifest.samples ?? []} />
          {(item.checks ?? []).length > 0 && (
            <Card title="Checks that use it">
              <ul class="co-plain">
                {(item.checks ?? []).map((c) => (
                  <li key={c}>{c}</li>
                ))}
              </ul>
            </Card>
          )}
        </aside>
      </div>
    </Page>
  );
}

function Versions({ item, shown, reload }: { item: ModuleItem; shown: Module; reload: () => void }) {
  const [doomed, setDoomed] = useState<Module | null>(null);
  const versions = item.versions ?? [];
  const used = (item.checks ?? []).length > 0;
  const no = barred();
  return (
    <Card title="Versions" bare>
      <ul class="co-versions">
        {versions.map((v, i) => {
          const kept = v.active && (used || versions.length > 1) ? "in use" : undefined;
          return (
            <li key={v.digest} aria-current={v === shown ? "true" : undefined}>
              <a href={`${to.collector(item.name)}?v=${encodeURIComponent(v.version)}`}>
                <b>{visible(v.version)}</b>
                <span class="dim">
                  <Ago at={v.created} /> ago{v.by ? ` by ${visible(v.by)}` : ""}, {bytes(v.size_bytes)}
                </span>
              </a>
              {v.active ? <Tag>active</Tag> : i === 0 ? <Tag>new</Tag> : null}
              <Menu
                small
                kind="ghost"
                icon="more"
                label={`More about ${v.version}`}
                end
                items={[
                  {
                    label: "Download",
                    icon: "download",
                    run: () => location.assign(`/api/v1/modules/${seg(item.name)}/versions/${seg(v.version)}/file`),
                  },
                  {
                    label: "Delete",
                    icon: "trash",
                    danger: true,
                    apart: true,
                    hint: kept,
                    disabled: !!no || !!kept,
                    run: () => setDoomed(v),
                  },
                ]}
              />
            </li>
          );
        })}
      </ul>
      {doomed && <DeleteVersion item={item} v={doomed} onClose={() => setDoomed(null)} reload={reload} />}
    </Card>
  );
}

function DeleteVersion({ item, v, onClose, reload }: { item: ModuleItem; v: Module; onClose: () => void; reload: () => void }) {
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<unknown>();
  const remove = async () => {
    setBusy(true);
    try {
      await api.del(`/modules/${seg(item.name)}/versions/${seg(v.version)}`);
      toast(`${item.name} ${v.version} is deleted`);
      onClose();
      if ((item.versions ?? []).length <= 1) navigate(to.collectors());
      else {
        setQuery({ v: "" });
        reload();
      }
    } catch (err) {
      setError(err);
      setBusy(false);
    }
  };
  return (
    <Confirm title={`Delete ${item.name} ${v.version}?`} confirm={`Delete ${v.version}`} busy={busy} onConfirm={remove} onClose={onClose}>
      <p>The file is removed from the server, and it can no longer be rolled back to.</p>
      <ErrorBox error={error} doing="Deleting" />
    </Confirm>
  );
}

function About({ m }: { m: Module }) {
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
        <dd class="mono">use: wasm:{visible(m.name)}</dd>
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
