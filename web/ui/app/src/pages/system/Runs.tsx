import { useEffect, useMemo, useState } from "preact/hooks";
import type { Page, Run, SystemCheck } from "../../api.gen";
import { api, query, seg } from "../../lib/api";
import { ns, plural, visible } from "../../lib/format";
import { useResource } from "../../lib/resource";
import { route, setQuery, to } from "../../lib/router";
import {
  Button,
  Card,
  Empty,
  ErrorBox,
  Icon,
  outcomeLook,
  outcomeNames,
  Pill,
  Seg,
  SkeletonRows,
  Status,
  Time,
  toastError,
} from "../../ui";
import { RunDetail } from "../run/RunDetail";

const limit = 25;

/** The newest runs of a System, failures first of all; older ones by page; each opens. */
export function Runs({ system, checks, fresh }: { system: string; checks: SystemCheck[]; fresh: Run[] }) {
  const all = route.value.query.get("runs") === "all";
  const check = route.value.query.get("check") ?? "";
  const names = useMemo(() => new Map(checks.map((c) => [c.assignment.id, c.check || c.assignment.check])), [checks]);
  const fields = {
    system: check ? undefined : system,
    assignment: check ? `${system}:${check}` : undefined,
    outcome: all ? undefined : "fail,warn,error",
    limit,
  };
  const key = query(fields);
  const first = useResource<Page<Run>>(key, (signal) => api.get(`/runs${key}`, { signal }));
  const [older, setOlder] = useState<{ key: string; runs: Run[]; next: number }>({ key: "", runs: [], next: 0 });
  const [busy, setBusy] = useState(false);
  const [open, setOpen] = useState(0);
  useEffect(() => setOlder({ key, runs: [], next: 0 }), [key]);

  const pages = older.key === key ? older : { runs: [], next: 0 };
  const wanted = (r: Run) => (all || r.outcome !== "pass") && (!check || r.assignment === `${system}:${check}`);
  const seen = new Set<number>();
  const runs = [...fresh.filter(wanted), ...(first.data?.items ?? []), ...pages.runs]
    .filter((r) => !seen.has(r.id) && seen.add(r.id))
    .sort((a, b) => b.id - a.id);
  const next = pages.runs.length > 0 ? pages.next : (first.data?.next ?? 0);
  const more = async () => {
    setBusy(true);
    try {
      const page = await api.get<Page<Run>>(`/runs${query({ ...fields, before: next })}`);
      setOlder({ key, runs: [...pages.runs, ...(page.items ?? [])], next: page.next ?? 0 });
    } catch (err) {
      toastError("Fetch older runs", err);
    }
    setBusy(false);
  };
  return (
    <Card
      id="runs"
      title={
        <>
          <h2>Recent runs</h2>
          {check && (
            <button type="button" class="tok" onClick={() => setQuery({ check: undefined })} title="Runs of all checks">
              {check} <Icon name="x" size={12} />
            </button>
          )}
        </>
      }
      actions={
        <Seg
          label="Which runs"
          value={all ? "all" : "bad"}
          options={[
            ["bad", "Failures"],
            ["all", "All"],
          ]}
          onChange={(v) => setQuery({ runs: v === "all" ? "all" : undefined })}
        />
      }
      bare
    >
      {first.error && !first.data ? (
        <div class="b">
          <ErrorBox error={first.error} doing="Fetch the runs" retry={first.reload} />
        </div>
      ) : !first.data ? (
        <div class="b">
          <SkeletonRows rows={5} />
        </div>
      ) : runs.length === 0 ? (
        <Empty title={all ? "No run yet" : "No run has failed"}>
          {all ? "The first one appears here by itself." : "Every run that is kept has passed."}
        </Empty>
      ) : (
        <>
          <table class="tbl runs" aria-label="Runs">
            <thead>
              <tr>
                <th scope="col">Time</th>
                <th scope="col" class="c-check">
                  Check
                </th>
                <th scope="col">Result</th>
                <th scope="col" class="r c-lat">
                  Latency
                </th>
                <th scope="col">Detail</th>
              </tr>
            </thead>
            <tbody>
              {runs.map((r) => [
                <tr key={r.id} class="act" onClick={(e) => !(e.target as Element).closest("a,button") && setOpen(open === r.id ? 0 : r.id)}>
                  <td>
                    <button
                      type="button"
                      class="tw-b"
                      aria-expanded={open === r.id}
                      title={`Detail of run ${r.id}`}
                      onClick={() => setOpen(open === r.id ? 0 : r.id)}
                    >
                      <Icon name={open === r.id ? "chevronDown" : "chevronRight"} size={13} />
                      <Time at={r.ended} />
                    </button>
                  </td>
                  <td class="c-check">{visible(names.get(r.assignment) ?? r.assignment.split(":")[1] ?? r.assignment)}</td>
                  <td>
                    <Pill kind={outcomeLook(r.outcome)}>
                      <Status health={outcomeLook(r.outcome)} size={13} />
                      {outcomeNames[r.outcome]}
                    </Pill>
                  </td>
                  <td class="r num c-lat">{r.latency_ns > 0 ? ns(r.latency_ns) : "–"}</td>
                  <td class="why-c">{visible(r.why?.text || r.summary || "")}</td>
                </tr>,
                open === r.id && (
                  <tr key={`${r.id}+`}>
                    <td colSpan={5} class="run-more">
                      <Expanded id={r.id} system={system} />
                    </td>
                  </tr>
                ),
              ])}
            </tbody>
          </table>
          {next > 0 && (
            <div class="more">
              <Button small busy={busy} onClick={more}>
                Older runs
              </Button>
              <span class="dim small">{plural(runs.length, "run")} shown</span>
            </div>
          )}
        </>
      )}
    </Card>
  );
}

function Expanded({ id, system }: { id: number; system: string }) {
  const run = useResource<Run>(String(id), (signal) => api.get(`/runs/${seg(id)}`, { signal }));
  if (run.error) return <ErrorBox error={run.error} doing="Fetch the run" retry={run.reload} />;
  if (!run.data) return <SkeletonRows rows={3} />;
  return (
    <div class="col">
      <RunDetail run={run.data} />
      <a class="link small" href={to.run(system, id)}>
        Open run {id}
      </a>
    </div>
  );
}
