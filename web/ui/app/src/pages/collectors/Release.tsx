// Which version runs where: versions with how they do, canary, aliases,
// roll back, and what was done.

import { useState } from "preact/hooks";
import type { Grant, ModuleItem, ModuleStats, ModuleVersion, ReleaseChange, ReleaseEffect, Trial } from "../../api.gen";
import { ApiError, api, can, seg } from "../../lib/api";
import { bytes, count, ms, ns, plural, visible } from "../../lib/format";
import { navigate, setQuery, to } from "../../lib/router";
import { systemOptions } from "../../live/systems";
import { useFleet } from "../../shell/useFleet";
import {
  Ago,
  Button,
  Card,
  Combobox,
  Confirm,
  Dialog,
  ErrorBox,
  Icon,
  Menu,
  Pill,
  problemsAt,
  Seg,
  Select,
  Tag,
  TextField,
  Time,
  toast,
  toastError,
} from "../../ui";
import { barred } from "./Upload";

/** A share of runs for people: "0 %", "0.4 %", "12 %". */
export function rate(part: number, all: number): string {
  if (all === 0) return "–";
  const p = (100 * part) / all;
  return `${p === 0 ? "0" : p < 10 ? p.toFixed(1) : Math.round(p)} %`;
}

/** How a version does, in one line. */
export function doing(s: ModuleStats | undefined): string {
  if (!s || s.runs === 0) return "no run since start";
  return `${rate(s.errors, s.runs)} errors, p99 ${ms(s.wall_p99_ms)}, ${bytes(s.memory_p99_bytes)}`;
}

interface Of {
  item: ModuleItem;
  onChange: (item: ModuleItem) => void;
}

/** Asks for a change of the release and tells what follows. */
async function move(what: string, ask: () => Promise<ReleaseEffect>, onChange: (item: ModuleItem) => void): Promise<void> {
  const effect = await ask();
  toast(`${what}; ${effect.text}`);
  onChange(effect.module);
}

/** Goes back to the version before, with one click that says what it does. */
export function RollBack({ item, onChange }: Of) {
  const [busy, setBusy] = useState(false);
  if (!item.rollback || !can("editor")) return null;
  const no = barred();
  const runs = (item.versions ?? []).find((v) => v.active)?.assignments ?? 0;
  const go = async () => {
    setBusy(true);
    try {
      await move(
        `${item.name} is back at ${item.rollback}`,
        () => api.post<ReleaseEffect>(`/modules/${seg(item.name)}/rollback`),
        (next) => {
          setQuery({ v: next.stable });
          onChange(next);
        },
      );
    } catch (err) {
      toastError("Roll back", err);
    } finally {
      setBusy(false);
    }
  };
  return (
    <div class="co-rollback">
      <Button icon="activity" busy={busy} disabled={!!no} title={no ?? `From ${item.stable} to ${item.rollback}, at once`} onClick={go}>
        Roll back to {item.rollback}
      </Button>
      <span class="dim small">{runs === 0 ? "no assignment runs it now" : `${plural(runs, "assignment")}, next run`}</span>
    </div>
  );
}

/** A version tried beside the active one, with what it is judged by. */
export function CanaryCard({ item, onChange }: Of) {
  const [busy, setBusy] = useState("");
  const [editing, setEditing] = useState(false);
  const [error, setError] = useState<unknown>();
  const c = item.canary;
  if (!c) return null;
  const held = !!c.held;
  const no = barred() ?? (can("editor") ? undefined : "This needs the role editor");
  const act = async (what: "promote" | "abort") => {
    setBusy(what);
    setError(undefined);
    try {
      const path = `/modules/${seg(item.name)}/canary`;
      await move(
        what === "promote" ? `${item.name} ${c.version} is active everywhere` : `The canary ${c.version} is over`,
        () => (what === "promote" ? api.post<ReleaseEffect>(`${path}/promote`) : api.remove<ReleaseEffect>(path)),
        onChange,
      );
    } catch (err) {
      setError(err);
      setBusy("");
    }
  };
  return (
    <Card
      bar={held ? "unhealthy" : "degraded"}
      title={
        <h2 class="row wrap">
          Canary {visible(c.version)}
          {held ? <Pill kind="unhealthy">held</Pill> : <Pill kind="accent">{shareOf(c.percent, c.systems ?? [])}</Pill>}
        </h2>
      }
      actions={
        <>
          <Button disabled={!!no || !!busy} title={no} onClick={() => setEditing(true)}>
            {held ? "Try again" : "Change the share"}
          </Button>
          <Button
            busy={busy === "abort"}
            disabled={!!no || !!busy}
            title={no ?? `${item.stable} runs everywhere again`}
            onClick={() => act("abort")}
          >
            Abort
          </Button>
          <Button
            kind="primary"
            busy={busy === "promote"}
            disabled={!!no || !!busy}
            title={no ?? `${c.version} runs everywhere`}
            onClick={() => act("promote")}
          >
            Promote
          </Button>
        </>
      }
    >
      <div class="col">
        <p class="dim2">
          {held ? (
            <>
              Stopped <Ago at={c.held} /> ago because it did worse: {visible(c.why?.text ?? "")}. {item.stable} runs everywhere since.
            </>
          ) : (
            <>
              {plural(c.assignments, "assignment")} {c.assignments === 1 ? "runs" : "run"} it since <Time at={c.started} />
              {c.by ? `, started by ${visible(c.by)}` : ""}. It is stopped by itself when clearly more of its runs end with an error than of{" "}
              {item.stable}.
            </>
          )}
        </p>
        <div class="scroll-x" role="region" aria-label="Canary against active" tabIndex={0}>
          <table class="tbl" aria-label="Canary against active">
            <thead>
              <tr>
                <th scope="col">Version</th>
                <th scope="col" class="r">
                  Runs
                </th>
                <th scope="col" class="r">
                  Errors
                </th>
                <th scope="col" class="r">
                  Failed
                </th>
                <th scope="col" class="r">
                  p99
                </th>
              </tr>
            </thead>
            <tbody>
              <TrialRow name={`${c.version}, canary`} t={c.trial} />
              <TrialRow name={`${item.stable}, active`} t={c.against} />
            </tbody>
          </table>
        </div>
        <ErrorBox error={error} doing="Changing the canary" />
      </div>
      {editing && <CanaryDialog item={item} version={c.version} onClose={() => setEditing(false)} onChange={onChange} />}
    </Card>
  );
}

function TrialRow({ name, t }: { name: string; t: Trial }) {
  return (
    <tr>
      <th scope="row">{visible(name)}</th>
      <td class="r num">{count(t.runs)}</td>
      <td class={`r num${t.errors > 0 ? " t-unhealthy" : ""}`}>
        {count(t.errors)} ({rate(t.errors, t.runs)})
      </td>
      <td class="r num">
        {count(t.fails)} ({rate(t.fails, t.runs)})
      </td>
      <td class="r num">{t.runs > 0 ? ns(t.p99_wall_ns) : "–"}</td>
    </tr>
  );
}

function shareOf(percent: number | undefined, systems: string[]): string {
  return [percent ? `${percent} %` : "", systems.length > 0 ? plural(systems.length, "system") : ""].filter(Boolean).join(" and ");
}

/** Where a version is tried: on a share of the assignments, on named systems, or both. */
export function CanaryDialog({
  item,
  version,
  grant,
  onClose,
  onChange,
}: Of & { version: string /** What it is granted first, when it was not reviewed yet. */; grant?: Grant; onClose: () => void }) {
  const now = item.canary?.version === version ? item.canary : undefined;
  const [percent, setPercent] = useState(String(now?.percent ?? (now ? "" : 5)));
  const [systems, setSystems] = useState<string[]>(now?.systems ?? []);
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<unknown>();
  useFleet();
  const share = percent.trim() === "" ? 0 : Number(percent);
  const bad = !(Number.isInteger(share) && share >= 0 && share <= 100) ? "Write a whole number from 0 to 100." : undefined;
  const problems = error instanceof ApiError ? error.problems : [];
  const nothing = share === 0 && systems.length === 0 ? "Give a share, or name systems" : undefined;
  const go = async (e: Event) => {
    e.preventDefault();
    setBusy(true);
    setError(undefined);
    const path = `/modules/${seg(item.name)}`;
    try {
      if (grant) await api.post(`${path}/versions/${seg(version)}/grant`, { grant });
      await move(
        `${item.name} ${version} is tried on ${shareOf(share, systems)}`,
        () => api.put<ReleaseEffect>(`${path}/canary`, { version, percent: share, systems }),
        onChange,
      );
      onClose();
    } catch (err) {
      setError(err);
      setBusy(false);
    }
  };
  return (
    <Dialog title={`Try ${item.name} ${version}`} onClose={onClose}>
      <form onSubmit={go} noValidate>
        <p class="dim2">
          It runs instead of {item.stable || "the active version"} for a part of the assignments. When clearly more of its runs end with an
          error, it is stopped by itself.
        </p>
        <div class="fld">
          <span class="lb">Share of the assignments</span>
          <div>
            <Seg
              label="Share of the assignments"
              value={percent}
              options={["5", "10", "25", "50"].map((p) => [p, `${p} %`] as const)}
              onChange={setPercent}
            />
          </div>
        </div>
        <TextField
          label="Per cent"
          value={percent}
          inputMode="numeric"
          placeholder="0"
          error={bad ?? problemsAt(problems, "percent")}
          hint="A wider share keeps the assignments of a narrower one."
          onInput={setPercent}
        />
        <Combobox
          label="And on these systems"
          strict
          value=""
          placeholder="add a system"
          options={systemOptions().filter((o) => !systems.includes(o.value))}
          error={problemsAt(problems, "systems")[0]?.message}
          onChange={(id) => id && setSystems((was) => (was.includes(id) ? was : [...was, id]))}
        />
        {systems.length > 0 && (
          <ul class="row wrap" aria-label="Systems that run it">
            {systems.map((id) => (
              <li class="tag co-chip" key={id}>
                {visible(id)}
                <button type="button" aria-label={`Remove ${id}`} onClick={() => setSystems((was) => was.filter((s) => s !== id))}>
                  <Icon name="x" size={12} />
                </button>
              </li>
            ))}
          </ul>
        )}
        {error !== undefined && problems.length === 0 && <ErrorBox error={error} doing="Starting the canary" />}
        <div class="actions">
          <Button onClick={onClose}>Cancel</Button>
          <Button kind="primary" type="submit" busy={busy} disabled={!!bad || !!nothing || !!barred()} title={bad ?? nothing ?? barred()}>
            {now ? "Change the share" : "Start the canary"}
          </Button>
        </div>
      </form>
    </Dialog>
  );
}

/** All versions, newest first, with how they do and what can be done with them. */
export function Versions({ item, shown, onChange, reload }: Of & { shown: ModuleVersion; reload: () => void }) {
  const [doomed, setDoomed] = useState<ModuleVersion | null>(null);
  const [trying, setTrying] = useState<ModuleVersion | null>(null);
  const [naming, setNaming] = useState<ModuleVersion | null>(null);
  const versions = item.versions ?? [];
  const no = barred();
  return (
    <Card title="Versions" actions={<span class="dim small">{versions.length}</span>} bare>
      <ul class="co-versions">
        {versions.map((v) => (
          <li key={v.version} aria-current={v === shown ? "true" : undefined}>
            <a href={`${to.collector(item.name)}?v=${encodeURIComponent(v.version)}`} title={`sha256 ${v.digest}`}>
              <span class="row wrap">
                <b>{visible(v.version)}</b>
                <Marks item={item} v={v} />
              </span>
              <span class="dim">
                #{v.number}, <Ago at={v.created} /> ago{v.by ? ` by ${visible(v.by)}` : ""}, {bytes(v.size_bytes)}
              </span>
              <span class={v.stats?.errors ? "dim2" : "dim"}>
                {plural(v.assignments, "assignment")}; {doing(v.stats)}
              </span>
            </a>
            <Menu
              small
              kind="ghost"
              icon="more"
              label={`More about ${v.version}`}
              end
              items={[
                {
                  label: "Try on a share or on systems",
                  icon: "layers",
                  disabled: !!no || v.active || !v.granted || !item.stable,
                  hint: v.active ? "active" : v.granted ? undefined : "review it first",
                  run: () => setTrying(v),
                },
                {
                  label: "Give it an alias",
                  icon: "tag",
                  disabled: !!no || !v.granted,
                  hint: v.granted ? undefined : "review it first",
                  run: () => setNaming(v),
                },
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
                  disabled: !!no,
                  run: () => setDoomed(v),
                },
              ]}
            />
          </li>
        ))}
      </ul>
      {doomed && <DeleteVersion item={item} v={doomed} onClose={() => setDoomed(null)} reload={reload} />}
      {trying && <CanaryDialog item={item} version={trying.version} onClose={() => setTrying(null)} onChange={onChange} />}
      {naming && <AliasDialog item={item} version={naming.version} onClose={() => setNaming(null)} onChange={onChange} />}
    </Card>
  );
}

/** What a version is: active, canary, an alias, new, broken. */
function Marks({ item, v }: { item: ModuleItem; v: ModuleVersion }) {
  const canary = item.canary?.version === v.version;
  return (
    <>
      {v.active && <Pill kind="healthy">active</Pill>}
      {canary && <Pill kind={item.canary?.held ? "unhealthy" : "accent"}>{item.canary?.held ? "held" : "canary"}</Pill>}
      {v.error && <Pill kind="unhealthy">cannot run</Pill>}
      {(v.aliases ?? [])
        .filter((a) => a !== "stable")
        .map((a) => (
          <Tag key={a} title={`alias: ${item.use}@${a}`}>
            @{a}
          </Tag>
        ))}
      {!v.granted && <Tag>not reviewed</Tag>}
    </>
  );
}

function DeleteVersion({ item, v, onClose, reload }: { item: ModuleItem; v: ModuleVersion; onClose: () => void; reload: () => void }) {
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<unknown>();
  const keeps = v.keeps ?? [];
  if (keeps.length > 0)
    return (
      <Dialog title={`${item.name} ${v.version} is in use`} onClose={onClose}>
        <div class="b col">
          <p>It cannot be deleted:</p>
          <ul class="co-plain co-reasons">
            {keeps.map((k) => (
              <li key={k}>{visible(k)}</li>
            ))}
          </ul>
          <div class="actions">
            <Button kind="primary" onClick={onClose}>
              Close
            </Button>
          </div>
        </div>
      </Dialog>
    );
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

/** Words that mean a version, so that checks can follow them. */
export function Aliases({ item, onChange }: Of) {
  const all = Object.entries(item.aliases ?? {}).sort();
  const [adding, setAdding] = useState(false);
  const no = barred();
  const forget = async (alias: string) => {
    try {
      await move(
        `The alias ${alias} is gone`,
        () => api.remove<ReleaseEffect>(`/modules/${seg(item.name)}/aliases/${seg(alias)}`),
        onChange,
      );
    } catch (err) {
      toastError(`Removing ${alias}`, err);
    }
  };
  return (
    <Card
      title="Aliases"
      actions={
        can("editor") && (
          <Button small icon="plus" disabled={!!no} title={no} onClick={() => setAdding(true)}>
            Add
          </Button>
        )
      }
      bare
    >
      <ul class="co-decls">
        <li>
          <code>@stable</code>
          <span class="dim">{item.stable ? visible(item.stable) : "nothing yet"}</span>
        </li>
        {all.map(([alias, version]) => (
          <li key={alias}>
            <code>@{visible(alias)}</code>
            <span class="sp" />
            <span class="dim">{visible(version)}</span>
            {can("editor") && (
              <Button small kind="ghost" icon="x" label={`Remove the alias ${alias}`} disabled={!!no} onClick={() => forget(alias)} />
            )}
          </li>
        ))}
      </ul>
      {adding && <AliasDialog item={item} version={item.stable ?? ""} onClose={() => setAdding(false)} onChange={onChange} />}
    </Card>
  );
}

function AliasDialog({ item, version, onClose, onChange }: Of & { version: string; onClose: () => void }) {
  const [alias, setAlias] = useState("");
  const [at, setAt] = useState(version);
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<unknown>();
  const reviewed = (item.versions ?? []).filter((v) => v.granted);
  const problems = error instanceof ApiError ? error.problems : [];
  const save = async (e: Event) => {
    e.preventDefault();
    setBusy(true);
    try {
      await move(
        `@${alias} means ${at}`,
        () => api.put<ReleaseEffect>(`/modules/${seg(item.name)}/aliases/${seg(alias)}`, { version: at }),
        onChange,
      );
      onClose();
    } catch (err) {
      setError(err);
      setBusy(false);
    }
  };
  return (
    <Dialog title="An alias" onClose={onClose}>
      <form onSubmit={save} noValidate>
        <TextField
          label="Alias"
          mono
          autofocus
          value={alias}
          placeholder="beta"
          hint={`Checks that use ${item.use}@${alias || "beta"} follow it.`}
          error={problemsAt(problems, "alias")}
          onInput={(text) => setAlias(text.trim())}
        />
        <Select
          label="Means version"
          value={at}
          options={reviewed.map((v) => [v.version, v.version] as const)}
          error={problemsAt(problems, "version")}
          onChange={setAt}
        />
        {error !== undefined && problems.length === 0 && <ErrorBox error={error} doing="Saving the alias" />}
        <div class="actions">
          <Button onClick={onClose}>Cancel</Button>
          <Button kind="primary" type="submit" busy={busy} disabled={!alias || !at || !!barred()}>
            Save the alias
          </Button>
        </div>
      </form>
    </Dialog>
  );
}

function told(c: ReleaseChange): string {
  switch (c.action) {
    case "activate":
      return c.from ? `activated ${c.to} after ${c.from}` : `activated ${c.to}`;
    case "rollback":
      return `rolled back from ${c.from} to ${c.to}`;
    case "alias":
      return `made @${c.note} mean ${c.to}`;
    case "unalias":
      return `removed @${c.note}`;
    case "canary":
      return `tries ${c.to}${c.note ? ` on ${c.note}` : ""}`;
    case "hold":
      return `held ${c.to || c.from}${c.note ? `: ${c.note}` : ""}`;
    case "promote":
      return `promoted ${c.to}`;
    default:
      return `aborted ${c.from || c.to}`;
  }
}

/** What people and the canary did, newest first. */
export function History({ item }: { item: ModuleItem }) {
  const [all, setAll] = useState(false);
  const changes = item.changes ?? [];
  if (changes.length === 0) return null;
  return (
    <Card title="What was done" bare>
      <ol class="co-history">
        {changes.slice(0, all ? 50 : 6).map((c, i) => (
          <li key={i}>
            <Time at={c.at} seconds={false} />
            <span>
              <b>{c.by ? visible(c.by) : c.action === "hold" ? "Tocsin" : "Somebody"}</b> {visible(told(c))}
            </span>
          </li>
        ))}
      </ol>
      {changes.length > 6 && !all && (
        <button type="button" class="link co-all" onClick={() => setAll(true)}>
          All {changes.length}
        </button>
      )}
    </Card>
  );
}
