import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";
import type { LatencySeries } from "../../api.gen";
import { ms } from "../../lib/format";

/** A chart on the page. */
export interface Chart {
  set(data: LatencySeries, limit: number | undefined): void;
  destroy(): void;
}

function columns(d: LatencySeries): uPlot.AlignedData {
  const xs = d.p50.map((_, i) => (d.from + i * d.step) / 1000);
  return [xs, d.p50, d.p95] as uPlot.AlignedData;
}

/** The look of the page now; a canvas knows no custom properties. */
function colour(el: HTMLElement, name: string): string {
  const probe = document.createElement("i");
  probe.style.color = `var(${name})`;
  el.append(probe);
  const value = getComputedStyle(probe).color;
  probe.remove();
  return value;
}

/** Draw latency into el. under is told which bucket is under the cursor. */
export function draw(el: HTMLElement, data: LatencySeries, limit: number | undefined, under: (index: number | null) => void): Chart {
  let shown = { data, limit };
  const c = {
    line: colour(el, "--line"),
    text: colour(el, "--fg-3"),
    p50: colour(el, "--accent"),
    p95: colour(el, "--degraded-f"),
    bad: colour(el, "--unhealthy-f"),
    limit: colour(el, "--unhealthy"),
  };
  const font = "11px Inter, system-ui, sans-serif";
  const top = () => {
    const most = Math.max(1, ...shown.data.p95.map((v) => v ?? 0));
    return shown.limit !== undefined && shown.limit < most * 4 ? Math.max(most, shown.limit) : most;
  };
  const plot = new uPlot(
    {
      width: Math.max(200, el.clientWidth),
      height: 200,
      legend: { show: false },
      cursor: { drag: { x: false, y: false }, points: { size: 7 }, y: false },
      padding: [8, 16, 0, 0], // the label of the last instant fits
      scales: {
        x: {
          time: true,
          range: () => [shown.data.from / 1000, (shown.data.from + shown.data.step * Math.max(1, shown.data.p50.length - 1)) / 1000],
        },
        y: { range: () => [0, top() * 1.08] },
      },
      axes: [
        {
          stroke: c.text,
          font,
          grid: { show: false },
          ticks: { show: false },
          space: 74,
          size: 26,
          values: (_u, splits, _axis, _space, incr) =>
            splits.map((s) => {
              const d = new Date(s * 1000);
              const two = (n: number) => String(n).padStart(2, "0");
              if (incr >= 86400 || (d.getHours() === 0 && d.getMinutes() === 0))
                return `${d.getDate()} ${d.toLocaleString("en", { month: "short" })}`;
              return `${two(d.getHours())}:${two(d.getMinutes())}`;
            }),
        },
        {
          stroke: c.text,
          font,
          size: 58,
          gap: 6,
          grid: { stroke: c.line, width: 1 },
          ticks: { show: false },
          space: 40,
          values: (_u, splits) => splits.map((s) => ms(s)),
        },
      ],
      series: [
        {},
        { stroke: c.p50, width: 1.6, points: { show: false }, spanGaps: false },
        { stroke: c.p95, width: 1.4, dash: [4, 3], points: { show: false }, spanGaps: false },
      ],
      hooks: {
        draw: [(u) => marks(u, shown, c)],
        setCursor: [(u) => under(u.cursor.idx ?? null)],
      },
    },
    columns(data),
    el,
  );
  const sized = new ResizeObserver(() => el.clientWidth > 0 && plot.setSize({ width: el.clientWidth, height: 200 }));
  sized.observe(el);
  return {
    set(next, lim) {
      shown = { data: next, limit: lim };
      plot.setData(columns(next));
    },
    destroy() {
      sized.disconnect();
      plot.destroy();
    },
  };
}

/** The limit as a line, and failed runs as marks at the bottom whose height is their share. */
function marks(u: uPlot, shown: { data: LatencySeries; limit: number | undefined }, c: { bad: string; limit: string }): void {
  const { ctx, bbox } = u;
  const px = devicePixelRatio || 1;
  ctx.save();
  ctx.beginPath();
  ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height);
  ctx.clip();
  ctx.fillStyle = c.bad;
  const width = Math.max(2 * px, bbox.width / Math.max(1, shown.data.fails.length) - px);
  shown.data.fails.forEach((n, i) => {
    if (!n) return;
    const x = u.valToPos((shown.data.from + i * shown.data.step) / 1000, "x", true);
    const h = (5 + 15 * Math.min(1, n / Math.max(1, shown.data.runs[i] ?? n))) * px;
    ctx.fillRect(x - width / 2, bbox.top + bbox.height - h, width, h);
  });
  if (shown.limit !== undefined) {
    const y = u.valToPos(shown.limit, "y", true);
    ctx.strokeStyle = c.limit;
    ctx.lineWidth = px;
    ctx.setLineDash([6 * px, 4 * px]);
    ctx.beginPath();
    ctx.moveTo(bbox.left, y);
    ctx.lineTo(bbox.left + bbox.width, y);
    ctx.stroke();
  }
  ctx.restore();
}
