import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { can } from "../../lib/api";
import { count, plural } from "../../lib/format";
import { useKeys } from "../../lib/keys";
import { navigate, type PageProps, setQuery } from "../../lib/router";
import { fleet, fleetError, offlineReason, retryNow } from "../../live";
import { chosen, toggleToken } from "../../live/filter";
import { type Sort, type StatusWord, statuses, statusOrder } from "../../live/store";
import { Page } from "../../shell/Page";
import { useCommands } from "../../shell/Palette";
import { useFleet } from "../../shell/useFleet";
import { Button, Empty, ErrorBox, healthNames, Icon, Menu, Skeleton, Status } from "../../ui";
import { AddSystem } from "./AddSystem";
import { Changes } from "./Changes";
import { FilterBox } from "./FilterBox";
import { FirstRun } from "./FirstRun";
import { Grid } from "./Grid";
import { ImportDialog } from "./Import";

const sorts: [Sort, string][] = [
  ["worst", "Worst first"],
  ["name", "Name"],
  ["p95", "Slowest first"],
  ["uptime", "Lowest uptime"],
  ["last", "Latest run"],
];

/** What a status is called. */
export function statusName(s: StatusWord): string {
  return s === "maintenance" ? "Maintenance" : healthNames[s];
}

/** The list of Systems. */
export default function Fleet({ route }: PageProps) {
  useFleet();
  const q = route.query.get("q") ?? "";
  const sort = (sorts.find(([id]) => id === route.query.get("sort")) ?? sorts[0]!)[0];
  const adding = route.query.has("add");
  const importing = route.query.has("import");
  useEffect(() => fleet.setFilter(q), [q]);
  useEffect(() => fleet.setSort(sort), [sort]);
  const input = useRef<HTMLInputElement>(null);
  useKeys({ "/": () => input.current?.focus(), ".": () => fleet.resort() });
  useCommands([
    { text: "Add a system", icon: "plus", run: () => setQuery({ add: "1" }) },
    { text: "Import YAML", icon: "upload", run: () => setQuery({ import: "1" }) },
    ...(q ? [{ text: "Clear the filter", icon: "x" as const, run: () => setQuery({ q: undefined }) }] : []),
  ]);
  const blocked = offlineReason() ?? (can("editor") ? undefined : "Needs the role editor");
  const empty = fleet.loaded && fleet.size === 0;
  return (
    <Page title="Systems" flush>
      {empty ? (
        <FirstRun blocked={blocked} />
      ) : (
        <>
          <div class="fleet-h">
            <HealthBar />
            <div class="facets-row">
              <Facets q={q} />
              <span class="sp" />
              <Changes />
            </div>
            <div class="tools">
              <FilterBox value={q} inputRef={input} onChange={(text) => setQuery({ q: text })} />
              <Menu
                icon="swap"
                label="Sort"
                items={sorts.map(([id, text]) => ({
                  label: text,
                  checked: id === sort,
                  run: () => setQuery({ sort: id === "worst" ? undefined : id }),
                }))}
              >
                {sorts.find(([id]) => id === sort)?.[1]}
              </Menu>
              {fleet.moved > 0 && (
                <Button
                  kind="ghost"
                  class="moved"
                  title="The order stays while you are at the list. Press . to sort again"
                  onClick={() => fleet.resort()}
                >
                  {plural(fleet.moved, "change", "changes")} <kbd>.</kbd>
                </Button>
              )}
              <span class="sp" />
              <Menu
                kind="ghost"
                icon="more"
                label="More"
                end
                items={[{ label: "Import YAML", icon: "upload", disabled: !!blocked, run: () => setQuery({ import: "1" }) }]}
              />
              <Button kind="primary" icon="plus" disabled={!!blocked} title={blocked} onClick={() => setQuery({ add: "1" })} class="add">
                Add system
              </Button>
            </div>
          </div>
          {!fleet.loaded && fleetError.value ? (
            <div class="page">
              <ErrorBox error={fleetError.value} doing="Fetch the systems" retry={retryNow} />
            </div>
          ) : !fleet.loaded ? (
            <LoadingRows />
          ) : fleet.order.length === 0 ? (
            <Empty title="No system matches" actions={<Button onClick={() => setQuery({ q: undefined })}>Clear the filter</Button>}>
              The filter <span class="mono">{q}</span> hides {count(fleet.size)} {fleet.size === 1 ? "system" : "systems"}.
            </Empty>
          ) : (
            <Grid
              onOpen={(id) => navigate(`/systems/${encodeURIComponent(id)}`)}
              onFilter={(key, value) => setQuery({ q: toggleToken(q, key, value) })}
            />
          )}
        </>
      )}
      {adding && <AddSystem onClose={() => setQuery({ add: undefined })} />}
      {importing && <ImportDialog onClose={() => setQuery({ import: undefined })} />}
    </Page>
  );
}

function HealthBar() {
  const parts = statusOrder.map((s) => ({ s, n: fleet.counts[statuses.indexOf(s)] ?? 0 })).filter((p) => p.n > 0);
  const text = parts.map((p) => `${count(p.n)} ${statusName(p.s).toLowerCase()}`).join(", ");
  return (
    <div class={fleet.old ? "hbar old" : "hbar"} role="img" aria-label={fleet.loaded ? text : "Loading"}>
      {parts.map(({ s, n }) => (
        <i key={s} class={`b-${s}`} style={{ flexGrow: n }} title={`${count(n)} ${statusName(s).toLowerCase()}`} />
      ))}
    </div>
  );
}

function Facets({ q }: { q: string }) {
  const on = chosen(q, "status");
  const firing = chosen(q, "is").includes("firing");
  return (
    <div class="facets" role="group" aria-label="Filter by status">
      {statusOrder.map((s) => {
        const n = fleet.counts[statuses.indexOf(s)] ?? 0;
        if (n === 0 && !on.includes(s) && (s === "stale" || s === "maintenance" || s === "unknown")) return null;
        return (
          <button
            key={s}
            type="button"
            class="facet"
            aria-pressed={on.includes(s)}
            onClick={() => setQuery({ q: toggleToken(q, "status", s) })}
          >
            <Status health={s === "maintenance" ? "maint" : s} size={15} hatch={fleet.old} />
            <b class="num">{fleet.loaded ? count(n) : <Skeleton width={16} height={12} />}</b>
            {statusName(s)}
          </button>
        );
      })}
      {(fleet.firing > 0 || firing) && (
        <button type="button" class="facet" aria-pressed={firing} onClick={() => setQuery({ q: toggleToken(q, "is", "firing") })}>
          <span class="bolt">
            <Icon name="zap" size={15} />
          </span>
          <b class="num">{count(fleet.firing)}</b>
          Firing
        </button>
      )}
    </div>
  );
}

function LoadingRows() {
  const widths = useMemo(() => Array.from({ length: 14 }, (_, i) => [34 + ((i * 13) % 30), 48 + ((i * 29) % 40)] as const), []);
  const [late, setLate] = useState(false);
  useEffect(() => {
    const id = setTimeout(() => setLate(true), 4000);
    return () => clearTimeout(id);
  }, []);
  return (
    <div class="vp" role="status" aria-label="Loading the systems">
      {widths.map(([a, b], i) => (
        <div key={i} class="gr loading" style={{ top: `${i * 32}px` }}>
          <Skeleton width={16} height={16} />
          <Skeleton width={`${a}%`} />
          <Skeleton width={`${b}%`} />
          <Skeleton width={119} />
        </div>
      ))}
      {late && <p class="dim late">Still waiting for the server.</p>}
    </div>
  );
}
