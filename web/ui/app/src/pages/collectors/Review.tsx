// What a version wants to reach, one row a permission, against what the active
// version may reach. Nothing runs before somebody has said yes.

import { useState } from "preact/hooks";
import type { Module, ModuleItem } from "../../api.gen";
import { api, can, seg } from "../../lib/api";
import { bytes, plural, visible } from "../../lib/format";
import { Button, Card, ErrorBox, Icon, type IconName, Pill, Status, Tag, Time, toast } from "../../ui";
import { asks, type Change, compare, effective, grantedUnder, grantOf, type Permission } from "./permissions";
import { barred } from "./Upload";

const changeNames: Record<Change, string> = {
  same: "same",
  new: "new",
  widened: "widened",
  narrowed: "narrowed",
  gone: "no longer wanted",
};
const kindIcons: Record<Permission["kind"], IconName> = { http: "globe", private: "shield", limit: "layers" };

interface Props {
  item: ModuleItem;
  version: Module;
  active: Module | undefined;
  /** After it was activated. */
  onActive: (item: ModuleItem) => void;
}

export function Review({ item, version, active, onActive }: Props) {
  const isActive = version.active;
  const base = active && !isActive ? active : undefined;
  const all = compare(version.manifest.wants, isActive ? version.grant : base?.grant);
  // What an older version was granted is remembered, so that rolling back asks nothing twice.
  const before = version.grant;
  const [allowed, setAllowed] = useState<Record<string, boolean | undefined>>(() =>
    Object.fromEntries(
      all.filter((p) => asks(p) && !isActive && before?.http?.some((h) => `http ${h}` === p.key)).map((p) => [p.key, true]),
    ),
  );
  // A pattern that the active version was held to a part of stays held to it, unless somebody widens it.
  const [only, setOnly] = useState<Record<string, string | undefined>>(() =>
    Object.fromEntries(
      all.filter((p) => p.kind === "http" && p.change === "widened").map((p) => [p.key, grantedUnder(p.title, base?.grant).join(", ")]),
    ),
  );
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<unknown>();
  const open = all.filter((p) => asks(p) && allowed[p.key] === undefined);
  const no = barred();
  const older = active && version.created < active.created;
  const set = (key: string, yes: boolean) => setAllowed((was) => ({ ...was, [key]: yes }));
  const activate = async () => {
    setBusy(true);
    setError(undefined);
    try {
      const next = await api.post<ModuleItem>(`/modules/${seg(item.name)}/versions/${seg(version.version)}/activate`, {
        grant: grantOf(version.manifest.wants, all, allowed, only),
      });
      toast(
        `${item.name} ${version.version} is active; ${item.checks?.length ? `${plural(item.checks.length, "check")} use it with their next run` : "no check uses it yet"}`,
      );
      onActive(next);
    } catch (err) {
      setError(err);
    } finally {
      setBusy(false);
    }
  };
  return (
    <Card
      bare
      title={
        <h2 class="row">
          {version.version} {isActive ? <Pill kind="healthy">active</Pill> : <Tag>not active</Tag>}
        </h2>
      }
      actions={
        <span class="mono dim co-digest" title={version.digest}>
          {bytes(version.size_bytes)} · sha256 {version.digest.slice(0, 4)}…{version.digest.slice(-4)}
        </span>
      }
    >
      <ul class="co-caps">
        {all.map((p) => (
          <Row
            key={p.key}
            p={p}
            than={base?.version}
            active={isActive}
            granted={isActive ? grantedNow(p, version) : undefined}
            only={only[p.key] ?? ""}
            narrow={(text) => setOnly((was) => ({ ...was, [p.key]: text }))}
            answer={allowed[p.key]}
            readOnly={isActive || !can("editor")}
            set={(yes) => set(p.key, yes)}
          />
        ))}
        {!(version.manifest.wants?.http ?? []).length && (
          <li class="co-cap">
            <Status health="healthy" />
            <div>
              <b>No network</b>
              <p class="dim">It asks for no host.</p>
            </div>
            <span class="dim">ok</span>
          </li>
        )}
        <li class="co-cap">
          <Status health="healthy" />
          <div>
            <b>No files, no environment, no sockets</b>
            <p class="dim">
              Its clock is the run's, its randomness is seeded. {bytes(effective(version.manifest.wants?.limits).memory_bytes)} of memory,{" "}
              {bytes(effective(version.manifest.wants?.limits).output_bytes)} of output.
            </p>
          </div>
          <span class="dim">ok</span>
        </li>
      </ul>
      <ErrorBox error={error} doing={`Activating ${version.version}`} />
      {!isActive && (
        <footer class="co-decide">
          <span class="dim2">
            {open.length > 0
              ? `${plural(open.length, "permission")} ${open.length === 1 ? "waits" : "wait"} for your decision.`
              : older
                ? `This goes back from ${active?.version}: ${effect(item)}.`
                : `${effect(item)}.`}
          </span>
          <span class="sp" />
          <Button
            kind="primary"
            busy={busy}
            disabled={!!no || open.length > 0}
            title={no ?? (open.length > 0 ? "Decide on each new permission first" : undefined)}
            onClick={activate}
          >
            {older ? `Roll back to ${version.version}` : `Activate ${version.version}`}
          </Button>
        </footer>
      )}
      {isActive && (
        <footer class="co-decide dim small">
          Uploaded <Time at={version.created} />
          {version.by ? ` by ${visible(version.by)}` : ""}.
        </footer>
      )}
    </Card>
  );
}

function effect(item: ModuleItem): string {
  const n = item.checks?.length ?? 0;
  return n === 0 ? "No check uses it yet" : `${plural(n, "check")} on ${plural(item.systems, "system")} use it with their next run`;
}

/** What the active version was granted of a permission: all, a part, or nothing. */
function grantedNow(p: Permission, version: Module): boolean | string {
  if (p.kind === "private") return !!version.grant?.private;
  if (p.kind !== "http" || (version.grant?.http ?? []).includes(p.title)) return true;
  return grantedUnder(p.title, version.grant).join(", ") || false;
}

interface RowProps {
  p: Permission;
  /** The version that it is compared with. */
  than: string | undefined;
  active: boolean;
  granted: boolean | string | undefined;
  /** Hosts that a pattern is narrowed to. */
  only: string;
  narrow: (text: string) => void;
  answer: boolean | undefined;
  readOnly: boolean;
  set: (yes: boolean) => void;
}

function Row({ p, than, active, granted, only, narrow, answer, readOnly, set }: RowProps) {
  const asked = asks(p) && !active;
  const mark = asked
    ? answer === undefined
      ? "degraded"
      : answer
        ? "healthy"
        : "unknown"
    : p.change === "gone" || granted === false
      ? "unknown"
      : "healthy";
  return (
    <li class={`co-cap${asked && answer === undefined ? " ask" : ""}`}>
      <Status health={mark} />
      <div>
        <b class="co-cap-title">
          <Icon name={kindIcons[p.kind]} size={14} />{" "}
          {p.kind === "limit" ? `Limit: ${p.title}` : p.kind === "http" ? <span class="mono">{visible(p.title)}</span> : p.title}
        </b>
        <p class="dim">{said(p, than, active, granted)}</p>
        {p.danger && asked && <p class="co-danger">{p.danger}</p>}
        {asked && answer === true && p.kind === "http" && p.title.includes("*") && !readOnly && (
          <input
            class="in mono co-only"
            aria-label={`Hosts of ${p.title} to allow`}
            placeholder="all of them; or only https://a.example.com:443, …"
            value={only}
            onInput={(e) => narrow(e.currentTarget.value)}
          />
        )}
      </div>
      {asked ? (
        readOnly ? (
          <Pill kind="degraded">{changeNames[p.change]}</Pill>
        ) : (
          <div class="seg co-answer" role="group" aria-label={`Allow ${p.title}`}>
            <button type="button" aria-pressed={answer === true} onClick={() => set(true)}>
              Allow
            </button>
            <button type="button" aria-pressed={answer === false} onClick={() => set(false)}>
              Deny
            </button>
          </div>
        )
      ) : (
        <span class="dim">
          {active ? (granted === false ? "denied" : typeof granted === "string" ? "narrowed" : "granted") : changeNames[p.change]}
        </span>
      )}
    </li>
  );
}

function said(p: Permission, than: string | undefined, active: boolean, granted: boolean | string | undefined): string {
  if (active && typeof granted === "string") return `Allowed for ${granted} only.`;
  if (active) return granted === false ? "It asks for this, and it was not allowed." : "Allowed when this version was activated.";
  const before = than ?? "the version before";
  switch (p.change) {
    case "same":
      return than ? `Same as ${than}.` : "As by default.";
    case "new":
      return than ? `New. ${than} could not do this.` : "New.";
    case "widened":
      return `Wider. ${than ? `${than} had` : "It would be"} ${p.was}.`;
    case "narrowed":
      return `Narrower. ${than ? `${than} had` : "It would be"} ${p.was}.`;
    default:
      return `${before} could; this one does not ask for it.`;
  }
}
