import { useEffect, useRef, useState } from "preact/hooks";
import {
  FlagCaused,
  FlagFiring,
  FlagMaintenance,
  FlagSilenced,
  type Run,
  type SystemCheck,
  type SystemDetail,
  type Transition,
} from "../../api.gen";
import { api, can, seg } from "../../lib/api";
import { percent, plural, span, visible } from "../../lib/format";
import { useKeys } from "../../lib/keys";
import { useResource } from "../../lib/resource";
import { navigate, type PageProps, setQuery, to } from "../../lib/router";
import { at, tick } from "../../lib/time";
import { offlineReason, useTopic } from "../../live";
import { Page } from "../../shell/Page";
import { useCommands } from "../../shell/Palette";
import {
  Ago,
  Bars,
  Button,
  Card,
  Empty,
  ErrorBox,
  healthNames,
  Icon,
  Menu,
  Pill,
  Seg,
  Skeleton,
  SkeletonRows,
  Status,
  Tag,
  Time,
  toast,
  toastError,
} from "../../ui";
import { Demo } from "./Demo";
import { DeleteSystem, EditSystem } from "./Edit";
import { Latency } from "./Latency";
import { Runs } from "./Runs";
import "./system.css";
import { Timeline } from "./Timeline";

export const ranges = [
  ["1h", "1 h"],
  ["24h", "24 h"],
  ["7d", "7 d"],
  ["30d", "30 d"],
  ["90d", "90 d"],
  ["365d", "1 y"],
] as const;
export type Range = (typeof ranges)[number][0];

/** One System: how it is, why, since when, and what was seen. */
export default function System({ route }: PageProps) {
  const id = route.segments[1] ?? "";
  const asked = ranges.find(([r]) => r === route.query.get("range"))?.[0];
  const detail = useResource<SystemDetail>(id, (signal) => api.get(`/systems/${seg(id)}/detail`, { signal }));
  const [fresh, setFresh] = useState<Run[]>([]);
  const [turn, setTurn] = useState(0);
  const reload = useSoon(detail.reload, 400);
  // biome-ignore lint/correctness/useExhaustiveDependencies: another system has other runs
  useEffect(() => setFresh([]), [id]);
  useTopic(
    id ? `system:${id}` : null,
    (events) => {
      const runs = events.flatMap((e) => (e.run ? [e.run] : []));
      if (runs.length > 0) setFresh((was) => [...runs.toReversed(), ...was].slice(0, 300));
      if (events.some((e) => e.transition)) setTurn((n) => n + 1);
      reload();
    },
    () => {
      setTurn((n) => n + 1);
      detail.reload();
    },
  );
  const d = detail.data;
  const range = asked ?? usual(d);
  const name = d ? d.system.name || d.system.id : id;
  return (
    <Page title={name} crumbs={[{ text: "Systems", href: "/" }]}>
      {!d && detail.error ? (
        detail.error.status === 404 ? (
          <Empty title={`There is no system ${id}`} actions={<Button href="/">Go to Systems</Button>}>
            It may have been deleted or renamed.
          </Empty>
        ) : (
          <ErrorBox error={detail.error} doing="Open the system" retry={detail.reload} />
        )
      ) : d ? (
        <Shown d={d} fresh={fresh} turn={turn} range={range} reload={detail.reload} error={detail.error} />
      ) : (
        <Loading />
      )}
    </Page>
  );
}

/** The range to begin with: an hour for what is known for less than that, so that its page is not empty. */
function usual(d: SystemDetail | undefined): Range {
  const list = d?.transitions ?? [];
  const first = list.at(-1);
  return first && list.length < 50 && tick.value - at(first.at) < 3600e3 ? "1h" : "24h";
}

/** Calls run a while after the last of several calls at once, and at the latest after twice as long. */
function useSoon(run: () => void, ms: number): () => void {
  const timer = useRef<ReturnType<typeof setTimeout>>(undefined);
  const latest = useRef(run);
  latest.current = run;
  useEffect(() => () => clearTimeout(timer.current), []);
  return () => {
    if (timer.current !== undefined) return;
    timer.current = setTimeout(() => {
      timer.current = undefined;
      latest.current();
    }, ms);
  };
}

function Loading() {
  return (
    <>
      <div class="ph">
        <Skeleton width={28} height={28} />
        <div class="sp">
          <Skeleton width={220} height={20} />
        </div>
      </div>
      <Card title="Why">
        <SkeletonRows rows={4} />
      </Card>
      <div class="two">
        <div>
          <Card title="State">
            <Skeleton height={44} />
          </Card>
          <Card title="Latency">
            <Skeleton height={190} />
          </Card>
        </div>
        <div>
          <Card title="Uptime">
            <SkeletonRows rows={3} />
          </Card>
        </div>
      </div>
    </>
  );
}

function Shown({
  d,
  fresh,
  turn,
  range,
  reload,
  error,
}: {
  d: SystemDetail;
  fresh: Run[];
  turn: number;
  range: Range;
  reload: () => void;
  error: unknown;
}) {
  const [editing, setEditing] = useState<"" | "edit" | "delete">("");
  const [running, setRunning] = useState(false);
  const blocked = offlineReason() ?? (can("editor") ? undefined : "Needs the role editor");
  const checks = d.checks ?? [];
  const enabled = checks.filter((c) => c.assignment.enabled);

  const runAll = async () => {
    if (blocked || running || enabled.length === 0) return;
    setRunning(true);
    const asked = await Promise.allSettled(enabled.map((c) => api.post(`/assignments/${seg(c.assignment.id)}/run`)));
    const failed = asked.find((a) => a.status === "rejected");
    if (failed) toastError("Run now", (failed as PromiseRejectedResult).reason);
    else toast(`${plural(enabled.length, "check")} asked to run`);
    setRunning(false);
  };
  const mute = async (minutes: number) => {
    const starts = new Date();
    try {
      const silence = `mute-${d.system.id.slice(0, 80)}-${starts.getTime().toString(36)}`;
      await api.post("/silences", {
        id: silence,
        name: `Muted from the page of ${d.system.name || d.system.id}`,
        systems: { names: [d.system.id] },
        starts: starts.toISOString(),
        ends: new Date(starts.getTime() + minutes * 60e3).toISOString(),
      });
      toast(`Muted for ${span(minutes * 60e3)}`, {
        undo: { label: "Undo", run: () => void api.del(`/silences/${silence}`).then(reload, (err) => toastError("Undo", err)) },
      });
      reload();
    } catch (err) {
      toastError("Mute", err);
    }
  };
  const step = (by: number) => {
    const i = ranges.findIndex(([r]) => r === range) + by;
    if (ranges[i]) setQuery({ range: ranges[i][0] });
  };
  useKeys({
    r: () => void runAll(),
    e: () => !blocked && setEditing("edit"),
    m: () => !blocked && void mute(60),
    "[": () => step(-1),
    "]": () => step(1),
    Escape: () => navigate("/"),
  });
  useCommands([
    { text: `Run the checks of ${d.system.name || d.system.id} now`, icon: "play", hint: "r", run: () => void runAll() },
    { text: `Mute ${d.system.name || d.system.id} for an hour`, icon: "bellOff", hint: "m", run: () => void mute(60) },
    { text: `Edit ${d.system.name || d.system.id}`, icon: "edit", hint: "e", run: () => setEditing("edit") },
  ]);

  return (
    <>
      <Head
        d={d}
        blocked={blocked}
        running={running}
        can={enabled.length > 0}
        onRun={runAll}
        onMute={mute}
        onEdit={() => setEditing("edit")}
        onDelete={() => setEditing("delete")}
      />
      {error !== undefined && <ErrorBox error={error} doing="Refresh the system" retry={reload} />}
      <WhyCard d={d} checks={checks} blocked={blocked} />
      <div class="two">
        <div>
          <Timeline id={d.system.id} range={range} turn={turn} />
          <Latency checks={checks} range={range} turn={Math.floor(fresh.length / 10)} />
          <Runs system={d.system.id} checks={checks} fresh={fresh} />
        </div>
        <div class="side">
          <Demo system={d.system.id} />
          <Uptime uptime={d.uptime} />
          <Transitions list={(d.transitions ?? []).filter((t) => t.subject.kind === "system")} system={d.system.id} />
          <Rules d={d} />
          <About d={d} />
        </div>
      </div>
      {editing === "edit" && <EditSystem system={d.system} version={d.version} onClose={() => setEditing("")} onSaved={reload} />}
      {editing === "delete" && <DeleteSystem system={d.system} onClose={() => setEditing("")} />}
    </>
  );
}

function Head({
  d,
  blocked,
  running,
  can: runnable,
  onRun,
  onMute,
  onEdit,
  onDelete,
}: {
  d: SystemDetail;
  blocked?: string;
  running: boolean;
  can: boolean;
  onRun: () => void;
  onMute: (minutes: number) => void;
  onEdit: () => void;
  onDelete: () => void;
}) {
  const maint = (d.flags & FlagMaintenance) !== 0;
  return (
    <div class="ph sys-head">
      <Status health={maint ? "maint" : d.rolled.health} size={28} label />
      <div class="sp sys-name">
        <h1 class="truncate">{visible(d.system.name || d.system.id)}</h1>
        <div class="sub dim2">
          <span class={`t-${maint ? "maint" : d.rolled.health}`}>{healthNames[d.rolled.health]}</span>
          {at(d.rolled.since) > 0 && (
            <span>
              since <Time at={d.rolled.since} seconds={false} /> (<Ago at={d.rolled.since} />)
            </span>
          )}
          {maint && <Pill kind="maint">In maintenance</Pill>}
          {(d.flags & FlagSilenced) !== 0 && <Pill>Silenced</Pill>}
          {(d.flags & FlagFiring) !== 0 && (
            <Pill kind="degraded">
              <Icon name="zap" size={12} />
              Firing
            </Pill>
          )}
          {Object.entries(d.system.tags ?? {}).map(([k, v]) => (
            <a key={k} href={`/?q=${encodeURIComponent(`${k}:${v}`)}`} class="tag" title={`Systems with ${k}=${v}`}>
              {k}={visible(v)}
            </a>
          ))}
          {(d.system.groups ?? []).map((g) => (
            <a key={g} href={`/?q=${encodeURIComponent(`group:${g}`)}`} class="tag" title="Systems of this group">
              {g}
            </a>
          ))}
        </div>
      </div>
      <div class="row sys-actions">
        <Button
          icon="play"
          busy={running}
          disabled={!!blocked || !runnable}
          title={blocked ?? (runnable ? "Run its checks now (r)" : "It has no check that is on")}
          onClick={onRun}
        >
          Run now
        </Button>
        <Menu
          icon="bellOff"
          label="Mute"
          disabled={!!blocked}
          end
          items={[15, 60, 240, 1440].map((m) => ({ label: `For ${span(m * 60e3)}`, run: () => onMute(m) }))}
        >
          Mute
        </Menu>
        <Button icon="edit" disabled={!!blocked} title={blocked} onClick={onEdit}>
          Edit
        </Button>
        <Menu
          kind="ghost"
          icon="more"
          label="More"
          end
          items={[
            {
              label: "Add a check",
              icon: "plus",
              disabled: !!blocked,
              run: () => navigate(`/checks/new?system=${encodeURIComponent(d.system.id)}`),
            },
            { label: "Delete system", icon: "trash", danger: true, apart: true, disabled: !!blocked, run: onDelete },
          ]}
        />
      </div>
    </div>
  );
}

function WhyCard({ d, checks, blocked }: { d: SystemDetail; checks: SystemCheck[]; blocked?: string }) {
  const quorum = d.system.rollup?.quorum;
  return (
    <Card
      bar={d.rolled.health}
      class="why-card"
      title={<h2 class="why-h">{visible(d.headline?.text || d.rolled.why?.text || healthNames[d.rolled.health])}</h2>}
      actions={<span class="dim small hide-s">{quorum ? `unhealthy when ${quorum} checks are` : "as bad as its worst check"}</span>}
    >
      {(d.flags & FlagCaused) !== 0 && (d.rolled.caused_by ?? []).length > 0 && (
        <p class="caused">
          <Icon name="link" size={14} />
          Also unhealthy, upstream:
          {(d.rolled.caused_by ?? []).map((up) => (
            <a class="link" key={up} href={to.system(up)}>
              {up}
            </a>
          ))}
        </p>
      )}
      {checks.length === 0 ? (
        <Empty
          title="No check watches it"
          actions={
            can("editor") && (
              <Button icon="plus" href={`/checks/new?system=${encodeURIComponent(d.system.id)}`}>
                Add a check
              </Button>
            )
          }
        >
          So its health is Unknown, and stays so. Checks can also be assigned by name or by a tag with{" "}
          <span class="mono">tocsin apply</span> or Import YAML.
        </Empty>
      ) : (
        <ul class="why-l">
          {checks.map((c) => (
            <CheckLine key={c.assignment.id} c={c} blocked={blocked} />
          ))}
        </ul>
      )}
    </Card>
  );
}

function CheckLine({ c, blocked }: { c: SystemCheck; blocked?: string }) {
  const st = c.standing;
  const problem = st.problem?.text;
  const never = !st.last_run;
  const toggle = async (on: boolean) => {
    try {
      await api.post(`/assignments/${seg(c.assignment.id)}/${on ? "enable" : "disable"}`);
      toast(`${c.check} is ${on ? "on" : "off"} for this system`);
    } catch (err) {
      toastError(on ? "Enable" : "Disable", err);
    }
  };
  const off = !c.assignment.enabled;
  return (
    <li class={off ? "off" : undefined}>
      <Status health={st.health} label />
      <a class="nm truncate" href={to.check(c.assignment.check)} title={`${c.assignment.check}, every ${c.assignment.interval}`}>
        {visible(c.check || c.assignment.check)}
      </a>
      <span class="m">
        {off ? (
          <span class="dim">Off for this system</span>
        ) : never ? (
          <FirstRunIn c={c} />
        ) : (
          <>
            {st.health !== "healthy" && st.why?.text && <span>{visible(st.why.text)} </span>}
            {st.health === "healthy" && c.last && <span class="dim2">{visible(c.last.summary || "within its limits")} </span>}
            {(st.health !== "healthy" || (st.tally?.fails ?? 0) > 0) && <span class="dim">{c.progress}</span>}
          </>
        )}
        {problem && (
          <span class="problem">
            <Icon name="alert" size={13} /> Could not be asked: {visible(problem)}
          </span>
        )}
      </span>
      <Bars ring={c.ring} />
      <span class="dim small num next" title={c.next ? "until the next run" : undefined}>
        {c.next && !off ? <Countdown at={c.next} /> : ""}
      </span>
      <Menu
        kind="ghost"
        small
        icon="more"
        label={`More for ${c.check}`}
        end
        items={[
          {
            label: "Run now",
            icon: "play",
            disabled: !!blocked || off,
            run: () =>
              void api.post(`/assignments/${seg(c.assignment.id)}/run`).then(
                () => toast(`${c.check} asked to run`),
                (err) => toastError("Run now", err),
              ),
          },
          { label: "Edit the check", icon: "edit", run: () => navigate(to.check(c.assignment.check)) },
          { label: "Its runs", icon: "activity", run: () => setQuery({ check: c.assignment.check, runs: "all" }) },
          {
            label: off ? "Switch on for this system" : "Switch off for this system",
            icon: "power",
            disabled: !!blocked,
            run: () => void toggle(off),
          },
        ]}
      />
    </li>
  );
}

function FirstRunIn({ c }: { c: SystemCheck }) {
  if (!c.next) return <span class="dim">No run yet</span>;
  const wait = at(c.next) - tick.value;
  return <span class="dim">{wait > 0 ? `First run in ${span(wait)}` : "First run now"}</span>;
}

function Countdown({ at: when }: { at: string }) {
  const wait = at(when) - tick.value;
  return <>{wait > 500 ? `in ${span(wait)}` : "now"}</>;
}

function Uptime({ uptime }: { uptime: Record<string, number> }) {
  const names: [string, string][] = [
    ["1h", "1 h"],
    ["24h", "24 h"],
    ["7d", "7 d"],
    ["30d", "30 d"],
  ];
  return (
    <Card
      title="Uptime"
      actions={
        <span class="dim small" title="Share of the time in which its health was known that it was healthy or degraded">
          of the known time
        </span>
      }
    >
      <dl class="uptime">
        {names.map(([key, text]) => (
          <div key={key}>
            <dt>{text}</dt>
            <dd class="num">{percent(uptime?.[key])}</dd>
          </div>
        ))}
      </dl>
    </Card>
  );
}

function Transitions({ list, system }: { list: Transition[]; system: string }) {
  const shown = list.slice(0, 8);
  return (
    <Card
      title="Transitions"
      actions={
        <a class="link small" href={`/activity?system=${encodeURIComponent(system)}`}>
          All
        </a>
      }
    >
      {shown.length === 0 ? (
        <p class="dim">Its health has not changed yet.</p>
      ) : (
        <ol class="trans">
          {shown.map((t, i) => {
            const older = list[i + 1];
            return (
              <li key={t.seq}>
                <Time at={t.at} seconds={false} />
                <span class="ft">
                  <Status health={t.from} size={14} label />
                  <Icon name="arrowRight" size={13} />
                  <Status health={t.to} size={14} label />
                </span>
                <span class="tw" title={visible(t.why?.text ?? "")}>
                  {visible(t.why?.text ?? "")}
                  {older && <span class="dim"> after {span(at(t.at) - at(older.at))}</span>}
                  {t.cause !== "run" && <Tag>{t.cause}</Tag>}
                </span>
              </li>
            );
          })}
        </ol>
      )}
    </Card>
  );
}

function Rules({ d }: { d: SystemDetail }) {
  const rules = d.rules ?? [];
  return (
    <Card title="Rules that apply">
      {rules.length === 0 ? (
        <p class="dim">No rule has looked at it lately.</p>
      ) : (
        <ul class="rules-l">
          {rules.map((r) => (
            <li key={r.rule}>
              <Icon name="zap" size={14} class={r.open ? "t-degraded" : "dim"} />
              <a class="truncate" href={`${to.trace(r.rule)}?why=${encodeURIComponent(d.system.id)}`} title="Why it fires, or does not">
                {visible(r.name || r.rule)}
              </a>
              <span class="sp" />
              <Tag>{visible(r.state)}</Tag>
            </li>
          ))}
        </ul>
      )}
    </Card>
  );
}

function About({ d }: { d: SystemDetail }) {
  const deps = d.system.depends_on ?? [];
  if (!d.system.note && deps.length === 0) return null;
  return (
    <Card title="About">
      <div class="col">
        {d.system.note && <p class="note">{visible(d.system.note)}</p>}
        {deps.length > 0 && (
          <p>
            <span class="dim">Depends on </span>
            {deps.map((id, i) => (
              <span key={id}>
                {i > 0 && ", "}
                <a class="link" href={to.system(id)}>
                  {id}
                </a>
              </span>
            ))}
          </p>
        )}
      </div>
    </Card>
  );
}

/** The range choice, shared by the state and the charts. */
export function RangeSeg({ range }: { range: Range }) {
  return <Seg label="Range" value={range} options={ranges} onChange={(r) => setQuery({ range: r === "24h" ? undefined : r })} />;
}
