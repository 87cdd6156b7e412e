// Every rule: what it does, whether it is on, and what it did lately.

import { useEffect, useState } from "preact/hooks";
import type { Page as Paged, RuleItem } from "../../api.gen";
import { api, can, seg } from "../../lib/api";
import { count, plural } from "../../lib/format";
import { useResource } from "../../lib/resource";
import { navigate, route, setQuery, to } from "../../lib/router";
import { edits, offlineReason, useTopic } from "../../live";
import { Page } from "../../shell/Page";
import { Ago, Button, Diagnostics, Empty, ErrorBox, Icon, Menu, Pill, Skeleton, Switch, Tag, toast, toastError } from "../../ui";
import { DeleteRule } from "./Delete";
import { GivenUp } from "./Deliveries";
import { templates, triggerWords } from "./model";
import { verdictWords } from "./stages";

const ask = (signal: AbortSignal) => api.get<Paged<RuleItem>>("/rules", { signal });

export function List() {
  const rules = useResource("rules", ask);
  const [doomed, setDoomed] = useState<RuleItem | null>(null);
  const q = route.value.query.get("q") ?? "";

  // Somebody edited something, or a rule fired: ask again, at most once a second.
  const [stir, setStir] = useState(0);
  useTopic("activity", (events) => events.some((e) => e.firing || e.config?.startsWith("rule:")) && setStir((n) => n + 1));
  const edited = edits.value;
  // biome-ignore lint/correctness/useExhaustiveDependencies: each of them means that the list may be old
  useEffect(() => {
    if (stir + edited === 0) return;
    const id = setTimeout(rules.reload, 800);
    return () => clearTimeout(id);
  }, [stir, edited]);

  const all = rules.data?.items ?? [];
  const shown = all.filter((r) => matches(r, q)).sort(worstFirst);
  const editor = can("editor");

  const flip = async (item: RuleItem, on: boolean) => {
    const was = rules.data;
    const object = { ...item.object, disabled: !on };
    if (was) rules.set({ ...was, items: was.items.map((r) => (r.object.id === object.id ? { ...r, object } : r)) });
    try {
      await api.put(`/rules/${seg(object.id)}`, object, { version: item.version });
      toast(`${object.name || object.id} is ${on ? "on" : "off"}`);
      rules.reload();
    } catch (err) {
      if (was) rules.set(was);
      toastError(`Switching ${object.name || object.id} ${on ? "on" : "off"}`, err);
    }
  };

  return (
    <Page title="Rules">
      <div class="row wrap">
        <h1>Rules</h1>
        {all.length > 0 && <span class="dim">{summary(all)}</span>}
        <span class="sp" />
        {all.length > 4 && (
          <label class="rl-find">
            <Icon name="search" size={14} />
            <input
              type="search"
              aria-label="Filter rules"
              placeholder="Filter"
              value={q}
              onInput={(e) => setQuery({ q: e.currentTarget.value })}
            />
          </label>
        )}
        {editor && all.length > 0 && (
          <Button kind="primary" icon="plus" href="/rules/new">
            New rule
          </Button>
        )}
      </div>
      <GivenUp />
      {rules.error && <ErrorBox error={rules.error} doing="Loading the rules" retry={rules.reload} />}
      {!rules.data && !rules.error && <Waiting />}
      {rules.data && all.length === 0 && <NoRules editor={editor} />}
      {shown.length > 0 && (
        <ul class="card rl-list">
          {shown.map((item) => (
            <Row key={item.object.id} item={item} editor={editor} flip={flip} remove={() => setDoomed(item)} />
          ))}
        </ul>
      )}
      {all.length > 0 && shown.length === 0 && (
        <div class="card">
          <Empty title="No rule matches" actions={<Button onClick={() => setQuery({ q: "" })}>Clear the filter</Button>}>
            “{q}” hides {plural(all.length, "rule")}.
          </Empty>
        </div>
      )}
      {doomed && (
        <DeleteRule
          rule={doomed.object}
          version={doomed.version}
          open={doomed.open}
          onClose={() => setDoomed(null)}
          onGone={() => {
            setDoomed(null);
            rules.reload();
          }}
        />
      )}
    </Page>
  );
}

function matches(item: RuleItem, q: string): boolean {
  const needle = q.trim().toLowerCase();
  const r = item.object;
  return (
    !needle ||
    [r.id, r.name, r.when, item.gate, ...Object.entries(r.labels ?? {}).map(([k, v]) => `${k}:${v}`)].some((t) =>
      t?.toLowerCase().includes(needle),
    )
  );
}

/** Broken rules first, then what is on, then what is off; each by name. */
function worstFirst(a: RuleItem, b: RuleItem): number {
  const rank = (r: RuleItem) => ((r.problems ?? []).length > 0 ? 0 : r.object.disabled ? 2 : 1);
  return rank(a) - rank(b) || (a.object.name || a.object.id).localeCompare(b.object.name || b.object.id);
}

function summary(all: RuleItem[]): string {
  const open = all.reduce((n, r) => n + r.open, 0);
  const off = all.filter((r) => r.object.disabled).length;
  return [plural(all.length, "rule"), off > 0 && `${count(off)} off`, open > 0 && `${plural(open, "episode")} open`]
    .filter(Boolean)
    .join(", ");
}

interface RowProps {
  item: RuleItem;
  editor: boolean;
  flip: (item: RuleItem, on: boolean) => void;
  remove: () => void;
}

function Row({ item, editor, flip, remove }: RowProps) {
  const r = item.object;
  const broken = (item.problems ?? []).length > 0;
  const offline = offlineReason();
  const name = r.name || r.id;
  return (
    <li class={`rl-row${broken ? " broken" : ""}${r.disabled ? " off" : ""}`}>
      <span class="rl-switch">
        <Switch
          label={`${name} is on`}
          hideLabel
          on={!r.disabled}
          disabled={!editor || !!offline}
          title={offline}
          onChange={(on) => flip(item, on)}
        />
      </span>
      <div class="rl-what">
        <div class="row wrap rl-name">
          <a href={to.rule(r.id)}>{name}</a>
          {Object.entries(r.labels ?? {}).map(([k, v]) => (
            <Tag key={k}>
              {k}: {v}
            </Tag>
          ))}
          {broken && <Pill kind="unhealthy">Not running</Pill>}
          {r.disabled && <Pill>Off</Pill>}
        </div>
        <p class="rl-words">
          <span class="dim2">When {(r.on ?? []).map(triggerWords).join(", or ")}</span>
          {r.when && (
            <>
              {" "}
              and <code class="rl-code">{r.when}</code>
            </>
          )}
        </p>
        <p class="rl-words dim">{item.gate}</p>
        {broken && (
          <div class="rl-broken">
            <p>This rule no longer compiles, so it is set aside: it decides and sends nothing until it is mended.</p>
            <Diagnostics problems={item.problems ?? []} />
          </div>
        )}
      </div>
      <div class="rl-fact">
        <small>Open</small>
        {item.open > 0 ? <b class="t-unhealthy num">{item.open}</b> : <span class="dim">none</span>}
      </div>
      <div class="rl-fact">
        <small>Fired 24 h</small>
        <span class="num">{item.fired > 0 ? count(item.fired) : <span class="dim">0</span>}</span>
      </div>
      <div class="rl-fact rl-last">
        <small>Last decision</small>
        {item.last ? (
          <a href={to.trace(r.id)} class="row">
            <span class={item.last.verdict === "fire" ? "t-unhealthy" : ""}>{verdictWords(item.last)}</span>
            <span class="dim">
              <Ago at={item.last.decided} />
            </span>
          </a>
        ) : (
          <span class="dim">none yet</span>
        )}
      </div>
      <Menu
        kind="ghost"
        icon="more"
        label={`More about ${name}`}
        end
        items={[
          { label: editor ? "Edit" : "Show", icon: "edit", run: () => navigate(to.rule(r.id)) },
          { label: "Trace", icon: "activity", run: () => navigate(to.trace(r.id)) },
          { label: "Delete", icon: "trash", danger: true, apart: true, disabled: !editor || !!offline, run: remove },
        ]}
      />
    </li>
  );
}

function Waiting() {
  return (
    <ul class="card rl-list" aria-label="Loading">
      {[0, 1, 2, 3].map((i) => (
        <li class="rl-row" key={i}>
          <Skeleton width={28} height={16} />
          <div class="rl-what col">
            <Skeleton width="34%" height={14} />
            <Skeleton width="62%" height={12} />
          </div>
          <Skeleton width={40} height={14} />
          <Skeleton width={40} height={14} />
          <Skeleton width={110} height={14} />
        </li>
      ))}
    </ul>
  );
}

/** Nothing yet: what rules are for, and five to begin with. */
function NoRules({ editor }: { editor: boolean }) {
  return (
    <>
      <div class="card">
        <Empty title="No rules yet" art={<Icon name="zap" size={28} />}>
          A rule looks at changes of health and decides, after its gate, whether somebody should hear of it. Flapping and short dips can be
          held back without being forgotten.
        </Empty>
      </div>
      {editor ? <Templates /> : <p class="dim">Ask an editor to write the first one.</p>}
    </>
  );
}

/** The templates as cards; each opens the editor filled in. */
export function Templates() {
  return (
    <div class="rl-templates">
      {templates.map((t) => (
        <a key={t.id} class="card rl-template" href={`/rules/new?template=${t.id}`}>
          <Icon name={t.icon} size={18} />
          <b>{t.title}</b>
          <span class="dim2">{t.text}</span>
        </a>
      ))}
      <a class="card rl-template" href="/rules/new?template=blank">
        <Icon name="plus" size={18} />
        <b>Blank rule</b>
        <span class="dim2">Begin with an empty condition and no gate.</span>
      </a>
    </div>
  );
}
