import { useEffect, useRef, useState } from "preact/hooks";
import type { Check, LatencySeries, Stored, SystemCheck } from "../../api.gen";
import { api, seg } from "../../lib/api";
import { count, instant, ms, percent, plural } from "../../lib/format";
import { useResource } from "../../lib/resource";
import { theme } from "../../lib/theme";
import { now, zone } from "../../lib/time";
import { Button, Card, Empty, ErrorBox, Skeleton } from "../../ui";
import type { Chart } from "./chart";
import type { Range } from "./index";
import { latencyLimit } from "./limit";

/** How long the target took, of one check at a time: median, p95, the limit, and where runs failed. */
export function Latency({ checks, range, turn }: { checks: SystemCheck[]; range: Range; turn: number }) {
  const [picked, setPicked] = useState("");
  const [table, setTable] = useState(false);
  const chosen = checks.find((c) => c.assignment.id === picked) ?? checks[0];
  const id = chosen?.assignment.id ?? null;
  const series = useResource<LatencySeries>(id && `${id} ${range} ${turn}`, (signal) =>
    api.get(`/assignments/${seg(id!)}/latency?range=${range}`, { signal }),
  );
  const check = useResource<Stored<Check>>(chosen ? chosen.assignment.check : null, (signal) =>
    api.get(`/checks/${seg(chosen!.assignment.check)}`, { signal }),
  );
  const kept = useRef<{ id: string; range: string; data: LatencySeries }>(undefined);
  if (series.data && id) kept.current = { id, range, data: series.data };
  const data = series.data ?? (kept.current?.id === id && kept.current.range === range ? kept.current.data : undefined);
  if (!chosen) return null;
  const limit = latencyLimit(check.data?.object);
  const known = data?.p50?.some((v) => v !== null) || data?.fails?.some((n) => n > 0);
  return (
    <Card
      title={
        <>
          <h2>Latency</h2>
          {checks.length > 1 ? (
            <select class="in pick" aria-label="Check" value={chosen.assignment.id} onChange={(e) => setPicked(e.currentTarget.value)}>
              {checks.map((c) => (
                <option key={c.assignment.id} value={c.assignment.id}>
                  {c.check || c.assignment.check}
                </option>
              ))}
            </select>
          ) : (
            <span class="dim2 truncate">{chosen.check}</span>
          )}
        </>
      }
      actions={
        <Button kind="ghost" small aria-pressed={table} onClick={() => setTable(!table)}>
          {table ? "Chart" : "Table"}
        </Button>
      }
    >
      {series.error && !data ? (
        <ErrorBox error={series.error} doing="Fetch the latency" retry={series.reload} />
      ) : !data ? (
        <Skeleton height={210} />
      ) : !known ? (
        <Empty title="No run in this time" />
      ) : table ? (
        <DataTable data={data} />
      ) : (
        <ChartBox data={data} limit={limit} />
      )}
    </Card>
  );
}

function ChartBox({ data, limit }: { data: LatencySeries; limit?: number }) {
  const box = useRef<HTMLDivElement>(null);
  const chart = useRef<Chart>(undefined);
  const [error, setError] = useState<unknown>();
  const [at, setAt] = useState<number | null>(null);
  const look = theme.value;
  const latest = useRef({ data, limit });
  latest.current = { data, limit };
  // biome-ignore lint/correctness/useExhaustiveDependencies: a new look draws it anew
  useEffect(() => {
    let here = true;
    import("./chart").then(
      ({ draw }) => {
        if (here && box.current) chart.current = draw(box.current, latest.current.data, latest.current.limit, setAt);
      },
      (err) => here && setError(err),
    );
    return () => {
      here = false;
      chart.current?.destroy();
      chart.current = undefined;
    };
  }, [look]);
  useEffect(() => chart.current?.set(data, limit), [data, limit]);
  if (error) return <ErrorBox error="The chart could not be fetched. The table has the same numbers." />;
  const i = at ?? -1;
  return (
    <>
      <div class="legend num">
        <span class="dim" title={zone}>
          {i >= 0 ? instant(new Date(data.from + i * data.step), new Date(now())) : zone}
        </span>
        <span>
          <i class="k p50" /> median {ms(i >= 0 ? data.p50[i] : data.whole.p50)}
        </span>
        <span>
          <i class="k p95" /> p95 {ms(i >= 0 ? data.p95[i] : data.whole.p95)}
        </span>
        <span title="95 of 100 runs were faster than p95, 99 of 100 faster than p99.">p99 {ms(i >= 0 ? data.p99[i] : data.whole.p99)}</span>
        <span title="Share of the time that this check was healthy or degraded">up {up(i >= 0 ? data.up[i] : data.whole.up)}</span>
        {limit !== undefined && (
          <span>
            <i class="k lim" /> limit {ms(limit)}
          </span>
        )}
        <span>
          <i class="k bad" /> {i >= 0 && data.fails[i] ? `${data.fails[i]} of ${plural(data.runs[i] ?? 0, "run")} failed` : "failed"}
        </span>
      </div>
      <div class="chart" ref={box} role="img" aria-label="Latency over time. The table has the same numbers." />
    </>
  );
}

/** A share of time that may not be known. */
const up = (share: number | null | undefined) => (share === null || share === undefined ? "–" : percent(share));

function DataTable({ data }: { data: LatencySeries }) {
  const rows = data.p50
    .map((p50, i) => ({ i, p50, p95: data.p95[i], p99: data.p99[i], up: data.up[i], fails: data.fails[i] ?? 0, runs: data.runs[i] ?? 0 }))
    .filter((r) => r.runs > 0);
  const today = new Date(now());
  return (
    <div class="data-table">
      <table class="tbl" aria-label="Latency">
        <thead>
          <tr>
            <th scope="col">From</th>
            <th scope="col" class="r">
              Runs
            </th>
            <th scope="col" class="r">
              Failed
            </th>
            <th scope="col" class="r">
              Median
            </th>
            <th scope="col" class="r">
              p95
            </th>
            <th scope="col" class="r">
              p99
            </th>
            <th scope="col" class="r">
              Up
            </th>
          </tr>
        </thead>
        <tbody>
          {rows.toReversed().map((r) => (
            <tr key={r.i}>
              <td class="num">{instant(new Date(data.from + r.i * data.step), today)}</td>
              <td class="r num">{count(r.runs)}</td>
              <td class={r.fails ? "r num t-unhealthy" : "r num dim"}>{count(r.fails)}</td>
              <td class="r num">{ms(r.p50)}</td>
              <td class="r num">{ms(r.p95)}</td>
              <td class="r num">{ms(r.p99)}</td>
              <td class="r num">{up(r.up)}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
