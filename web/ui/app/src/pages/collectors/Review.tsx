// What a version wants to reach, one row a capability, against what was granted
// before. Nothing runs before somebody has said yes.

import { useState } from "preact/hooks";
import type { Limits, ModuleItem, ModuleVersion, ReleaseEffect } from "../../api.gen";
import { api, can, seg } from "../../lib/api";
import { bytes, count, plural, visible } from "../../lib/format";
import { Button, Card, ErrorBox, Field, Icon, type IconName, Menu, Pill, Status, Tag, Time, toast } from "../../ui";
import {
  amount,
  asks,
  begin,
  type Change,
  type Decision,
  type Decisions,
  effective,
  grantOf,
  isList,
  type Kind,
  limitNames,
  linesOf,
  mistakes,
  type Row,
  rowsOf,
} from "./permissions";
import { CanaryDialog } from "./Release";
import { barred } from "./Upload";

const changeNames: Record<Change, string> = {
  same: "same",
  new: "new",
  widened: "wider",
  narrowed: "narrower",
  gone: "no longer asked for",
};
const kindIcons: Record<Kind, IconName> = {
  http: "globe",
  tcp: "link",
  dns: "book",
  private: "shield",
  secrets: "key",
  reveal: "eye",
  kv: "file",
  limits: "layers",
};

interface Props {
  item: ModuleItem;
  version: ModuleVersion;
  active: ModuleVersion | undefined;
  /** After it was granted or activated. */
  onChange: (item: ModuleItem) => void;
}

export function Review({ item, version, active, onChange }: Props) {
  const { wants } = version.manifest;
  const isActive = version.active;
  const reviewed = !!version.granted;
  const base = (item.versions ?? []).find((v) => v.version === version.against);
  const rows = rowsOf(wants, version);
  const own = reviewed ? version.grant : undefined;
  const before = base && { grant: base.grant, wants: base.manifest.wants };
  const [decisions, setDecisions] = useState<Decisions>(() => begin(wants, rows, own, before));
  const [editing, setEditing] = useState(!reviewed);
  const [busy, setBusy] = useState(false);
  const [trying, setTrying] = useState(false);
  const [error, setError] = useState<unknown>();
  const open = rows.filter((r) => asks(r) && decisions[r.kind]?.yes === undefined);
  const wrong = mistakes(wants, decisions);
  const no = barred();
  const older = active && version.number < active.number;
  const decide = (kind: Kind, fields: Decision) => setDecisions((was) => ({ ...was, [kind]: { ...was[kind], ...fields } }));
  const unclear =
    open.length > 0 ? "Decide on each new permission first" : Object.keys(wrong).length > 0 ? "Mend what is marked first" : undefined;
  const grant = grantOf(wants, rows, decisions, base?.grant);
  const path = `/modules/${seg(item.name)}/versions/${seg(version.version)}`;
  const act = async (what: "grant" | "activate") => {
    setBusy(true);
    setError(undefined);
    try {
      if (what === "grant") {
        onChange(await api.post<ModuleItem>(`${path}/grant`, { grant }));
        toast(`What ${item.name} ${version.version} may reach is saved`);
      } else {
        const effect = await api.post<ReleaseEffect>(`${path}/activate`, { grant });
        toast(`${item.name} ${version.version} is active; ${effect.text}`);
        onChange(effect.module);
      }
      setEditing(false);
    } catch (err) {
      setError(err);
    } finally {
      setBusy(false);
    }
  };
  return (
    <Card
      bare
      id="review"
      title={
        <h2 class="row">
          {version.version} {isActive ? <Pill kind="healthy">active</Pill> : <Tag>not active</Tag>}
        </h2>
      }
      actions={
        <span class="mono dim co-digest" title={`sha256 ${version.digest}`}>
          {bytes(version.size_bytes)} · sha256 {version.digest.slice(0, 4)}…{version.digest.slice(-4)}
        </span>
      }
    >
      {version.error && (
        <div class="errbox co-inset" role="alert">
          <Icon name="alert" size={16} />
          <div>
            <b>{version.version} cannot run</b>
            <div>{visible(version.error)}</div>
          </div>
        </div>
      )}
      <ul class="co-caps">
        {rows.map((row) => (
          <Capability
            key={row.kind}
            row={row}
            than={base?.version}
            wants={wants}
            decision={decisions[row.kind] ?? {}}
            wrong={wrong[row.kind]}
            editing={editing && can("editor")}
            reviewed={reviewed && !editing}
            decide={(fields) => decide(row.kind, fields)}
          />
        ))}
        {!rows.some((r) => r.kind === "http" || r.kind === "tcp" || r.kind === "dns") && (
          <Plain title="No network" text="It asks for no host." />
        )}
        <Plain
          title="No files, no environment, no other processes"
          text={`Its clock is the run's, its randomness is seeded. ${limitText(own?.limits ?? wants?.limits)}.`}
        />
      </ul>
      <ErrorBox error={error} doing={editing ? `Granting ${version.version}` : `Activating ${version.version}`} />
      <footer class="co-decide">
        <span class="dim2">
          {editing
            ? open.length > 0
              ? `${plural(open.length, "permission")} ${open.length === 1 ? "waits" : "wait"} for your decision.`
              : `${effectOf(item)}.`
            : null}
          {!editing && reviewed && (
            <>
              Granted <Time at={version.granted} />
              {version.granted_by ? ` by ${visible(version.granted_by)}` : ""}, uploaded <Time at={version.created} />
              {version.by ? ` by ${visible(version.by)}` : ""}.
            </>
          )}
          {!editing && !reviewed && "Nobody has reviewed what it may reach; it does not run."}
        </span>
        <span class="sp" />
        {!editing && can("editor") && (
          <Button disabled={!!no} title={no} onClick={() => setEditing(true)}>
            Change the grant
          </Button>
        )}
        {editing && reviewed && (
          <Button
            onClick={() => {
              setDecisions(begin(wants, rows, own, before));
              setEditing(false);
            }}
          >
            Cancel
          </Button>
        )}
        {!isActive && can("editor") && (
          <Menu
            disabled={busy || !!no || !!unclear}
            title={no ?? unclear}
            end
            items={[
              {
                label: "Try it on a share or on systems",
                icon: "layers",
                disabled: !active,
                hint: active ? undefined : "nothing is active yet",
                run: () => setTrying(true),
              },
              { label: "Only save the grant", icon: "check", run: () => void act("grant") },
            ]}
          >
            Other ways
          </Menu>
        )}
        {isActive
          ? editing && (
              <Button kind="primary" busy={busy} disabled={!!no || !!unclear} title={no ?? unclear} onClick={() => act("grant")}>
                Save the grant
              </Button>
            )
          : can("editor") && (
              <Button kind="primary" busy={busy} disabled={!!no || !!unclear} title={no ?? unclear} onClick={() => act("activate")}>
                {older ? `Go back to ${version.version}` : `Activate ${version.version}`}
              </Button>
            )}
      </footer>
      {trying && <CanaryDialog item={item} version={version.version} grant={grant} onClose={() => setTrying(false)} onChange={onChange} />}
    </Card>
  );
}

function limitText(limits: Limits | undefined): string {
  const all = effective(limits);
  return `At most ${bytes(all.memory_bytes)} of memory, ${count(all.fuel)} instructions and ${bytes(all.output_bytes)} of output a run`;
}

function effectOf(item: ModuleItem): string {
  const n = item.checks?.length ?? 0;
  return n === 0 ? "No check uses it yet" : `${plural(n, "check")} on ${plural(item.systems, "system")} use it with their next run`;
}

function Plain({ title, text }: { title: string; text: string }) {
  return (
    <li class="co-cap">
      <Status health="healthy" />
      <div>
        <b>{title}</b>
        <p class="dim">{text}</p>
      </div>
      <span class="dim">ok</span>
    </li>
  );
}

interface CapabilityProps {
  row: Row;
  /** The version that it is compared with. */
  than: string | undefined;
  wants: ModuleVersion["manifest"]["wants"];
  decision: Decision;
  wrong: string | undefined;
  editing: boolean;
  reviewed: boolean;
  decide: (fields: Decision) => void;
}

function Capability({ row, than, wants, decision, wrong, editing, reviewed, decide }: CapabilityProps) {
  const asked = asks(row) && !reviewed;
  const { yes } = decision;
  const [narrow, setNarrow] = useState(decision.text !== undefined || decision.limits !== undefined);
  const held = reviewed && yes === false;
  const mark = asked
    ? yes === undefined
      ? "degraded"
      : yes
        ? "healthy"
        : "unknown"
    : row.change === "gone" || held
      ? "unknown"
      : "healthy";
  const wanted = isList(row.kind) ? (wants?.[row.kind] ?? []) : [];
  const only = reviewed && isList(row.kind) && decision.text !== undefined ? linesOf(decision.text) : undefined;
  const editable = editing && row.change !== "gone" && yes !== false && (asked ? yes === true : true);
  return (
    <li class={`co-cap${asked && yes === undefined ? " ask" : ""}`}>
      <Status health={mark} />
      <div>
        <b class="co-cap-title">
          <Icon name={kindIcons[row.kind]} size={14} /> {row.title}
        </b>
        {row.lines.length > 0 && (
          <ul class="co-lines">
            {row.lines.map((l) => (
              <li key={l.text} class={l.change === "gone" ? "gone" : undefined}>
                <span class={isList(row.kind) ? "mono" : undefined}>{visible(l.text)}</span>
                {l.change !== "same" && !reviewed && <Tag>{changeNames[l.change]}</Tag>}
                {l.was && !reviewed && <span class="dim small">was {visible(l.was)}</span>}
                {asked && l.danger && <p class="co-danger">{visible(l.danger)}</p>}
              </li>
            ))}
          </ul>
        )}
        {(reviewed || than || row.change !== "new") && <p class="dim">{said(row, than, reviewed, yes, only)}</p>}
        {asked && row.danger && <p class="co-danger">{row.danger}</p>}
        {editable && (isList(row.kind) || row.kind === "limits") && !narrow && (
          <button
            type="button"
            class="link co-narrow"
            onClick={() => {
              setNarrow(true);
              if (isList(row.kind)) decide({ text: decision.text ?? wanted.join("\n") });
            }}
          >
            {row.kind === "limits" ? "Grant lower limits" : "Grant only a part"}
          </button>
        )}
        {editable && narrow && isList(row.kind) && (
          <Lines
            row={row}
            value={decision.text ?? wanted.join("\n")}
            wrong={wrong}
            onInput={(text) => decide({ text })}
            all={() => {
              setNarrow(false);
              decide({ text: undefined });
            }}
          />
        )}
        {editable && narrow && row.kind === "limits" && (
          <LimitFields row={row} wants={wants} decision={decision} wrong={wrong} decide={decide} />
        )}
      </div>
      <Answer row={row} asked={asked} editing={editing} reviewed={reviewed} yes={yes} part={!!only} decide={(v) => decide({ yes: v })} />
    </li>
  );
}

interface AnswerProps {
  row: Row;
  asked: boolean;
  editing: boolean;
  reviewed: boolean;
  yes: boolean | undefined;
  part: boolean;
  decide: (yes: boolean) => void;
}

function Answer({ row, asked, editing, reviewed, yes, part, decide }: AnswerProps) {
  if (reviewed)
    return <span class="dim">{row.change === "gone" ? "not asked for" : yes === false ? "denied" : part ? "in part" : "granted"}</span>;
  if (!editing || row.change === "gone")
    return asked ? <Pill kind="degraded">{changeNames[row.change]}</Pill> : <span class="dim">{changeNames[row.change]}</span>;
  if (!asked)
    return (
      <label class="co-keep dim">
        <input
          type="checkbox"
          checked={yes !== false}
          onChange={(e) => decide(e.currentTarget.checked)}
          aria-label={`Allow ${row.title}`}
        />
        {changeNames[row.change]}
      </label>
    );
  return (
    <div class="seg co-answer" role="group" aria-label={`Allow ${row.title}`}>
      <button type="button" aria-pressed={yes === true} onClick={() => decide(true)}>
        Allow
      </button>
      <button type="button" aria-pressed={yes === false} onClick={() => decide(false)}>
        Deny
      </button>
    </div>
  );
}

function Lines({
  row,
  value,
  wrong,
  onInput,
  all,
}: {
  row: Row;
  value: string;
  wrong: string | undefined;
  onInput: (text: string) => void;
  all: () => void;
}) {
  return (
    <div class="co-only">
      <Field label={`Allow only: ${row.title}`} error={wrong} hint="One a line; each must be a part of what it asks for.">
        {(attrs) => (
          <textarea
            class="in mono"
            rows={Math.min(6, Math.max(2, value.split("\n").length))}
            spellcheck={false}
            value={value}
            onInput={(e) => onInput(e.currentTarget.value)}
            {...attrs}
          />
        )}
      </Field>
      <button type="button" class="link co-narrow" onClick={all}>
        Grant all that it asks for
      </button>
    </div>
  );
}

function LimitFields({
  row,
  wants,
  decision,
  wrong,
  decide,
}: {
  row: Row;
  wants: CapabilityProps["wants"];
  decision: Decision;
  wrong: string | undefined;
  decide: (fields: Decision) => void;
}) {
  const most = effective(wants?.limits);
  const shown = limitNames.filter(({ key }) => row.lines.some((l) => l.key === key));
  return (
    <div class="fields co-only">
      {shown.map(({ key, title, text }) => {
        const typed = decision.limits?.[key] ?? "";
        const bad = typed.trim() !== "" && !(amount(typed) > 0 && amount(typed) <= most[key]);
        return (
          <Field key={key} label={`Limit: ${title}`} error={bad ? wrong : undefined}>
            {(attrs) => (
              <input
                class="in"
                value={typed}
                placeholder={text(most[key])}
                onInput={(e) => decide({ limits: { ...decision.limits, [key]: e.currentTarget.value } })}
                {...attrs}
              />
            )}
          </Field>
        );
      })}
    </div>
  );
}

function said(row: Row, than: string | undefined, reviewed: boolean, yes: boolean | undefined, only: string[] | undefined): string {
  if (reviewed) {
    if (row.change === "gone") return `${than ?? "The version before"} could; this one does not ask for it.`;
    if (yes === false) return "It asks for this, and it was not allowed.";
    if (only) return `Allowed for ${only.map(visible).join(", ")} only.`;
    return row.kind === "secrets" ? "Allowed. The values stay on the host." : "Allowed.";
  }
  switch (row.change) {
    case "same":
      return than ? `Same as ${than}.` : "As by default.";
    case "new":
      return than ? `New. ${than} could not do this.` : "New.";
    case "widened":
      return than ? `More than ${than} was granted.` : "More than by default.";
    case "narrowed":
      return than ? `Less than ${than} was granted.` : "Less than by default.";
    default:
      return `${than ?? "The version before"} could; this one does not ask for it.`;
  }
}
