import { useState } from "preact/hooks";
import type { SpanSeries } from "../../api.gen";
import { api, seg } from "../../lib/api";
import { instant, span, visible } from "../../lib/format";
import { useResource } from "../../lib/resource";
import { at, now, zone } from "../../lib/time";
import { Card, Empty, ErrorBox, healthNames, Lane, type LaneSpan, laneHeight, Skeleton } from "../../ui";
import { type Range, RangeSeg } from "./index";

/** Health over time, as a strip. turn draws it again when something changed. */
export function Timeline({ id, range, turn }: { id: string; range: Range; turn: number }) {
  const series = useResource<SpanSeries>(`${id} ${range}`, (signal) => api.get(`/systems/${seg(id)}/timeline?range=${range}`, { signal }));
  const [last, setLast] = useState(turn);
  if (turn !== last) {
    setLast(turn);
    series.reload();
  }
  const [under, setUnder] = useState<LaneSpan>();
  const d = series.data;
  return (
    <Card title="State" actions={<RangeSeg range={range} />}>
      {series.error && !d ? (
        <ErrorBox error={series.error} doing="Fetch the state" retry={series.reload} />
      ) : !d ? (
        <Skeleton height={52} />
      ) : (d.spans ?? []).length === 0 ? (
        <Empty title="Nothing is known of this time" />
      ) : (
        <Strip d={d} under={under} onPick={setUnder} />
      )}
    </Card>
  );
}

function Strip({ d, under, onPick }: { d: SpanSeries; under?: LaneSpan; onPick: (s: LaneSpan | undefined) => void }) {
  const from = at(d.from);
  const to = at(d.to);
  const today = new Date(now());
  const spans: LaneSpan[] = d.spans.map((s) => ({
    from: at(s.from),
    to: at(s.to),
    fill: `f-${s.health}`,
    height: laneHeight[s.health],
    hatch: s.health === "stale" || s.health === "unknown",
    text: `${healthNames[s.health]}, ${instant(new Date(at(s.from)), today)} for ${span(at(s.to) - at(s.from))}${s.why?.text && s.health !== "healthy" ? `: ${visible(s.why.text)}` : ""}`,
  }));
  const ticks = [0, 0.25, 0.5, 0.75].map((share) => instant(new Date(from + (to - from) * share), today, false));
  return (
    <div class="strip-box">
      <Lane
        label={`Health from ${instant(new Date(from), today)} until now`}
        spans={spans}
        from={from}
        to={to}
        height={26}
        onPick={onPick}
      />
      <div class="axis" title={zone}>
        {ticks.map((t) => (
          <span key={t} class="num">
            {t}
          </span>
        ))}
        <span>now</span>
      </div>
      <div class="under dim2 truncate" aria-hidden="true">
        {under ? under.text : <span class="dim">Point at a stretch, or use the arrow keys, to see why.</span>}
      </div>
    </div>
  );
}
