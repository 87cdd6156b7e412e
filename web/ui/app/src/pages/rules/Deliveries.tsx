// Steps on their way: what became of each, what a module said, and sending
// again what was given up.

import { useState } from "preact/hooks";
import type { Delivery, DeliveryStatus, Page as Paged, StepTrace } from "../../api.gen";
import { api, can } from "../../lib/api";
import { bytes, count, logText, ns, plural, visible } from "../../lib/format";
import { useResource } from "../../lib/resource";
import { to } from "../../lib/router";
import { offlineReason, useTopic } from "../../live";
import { Ago, Button, Card, Icon, Pill, Tag, Time, toast, toastError } from "../../ui";
import { Left } from "./Left";

const looks: Record<DeliveryStatus, "healthy" | "degraded" | "unhealthy" | "unknown" | "accent"> = {
  waiting: "degraded",
  running: "accent",
  done: "healthy",
  skipped: "unknown",
  dead: "unhealthy",
  cancelled: "unknown",
};
const names: Record<DeliveryStatus, string> = {
  waiting: "waiting",
  running: "on its way",
  done: "delivered",
  skipped: "skipped",
  dead: "given up",
  cancelled: "cancelled",
};

/** What came back, from the output of a step: a webhook says its status. */
function answer(d: Delivery): string {
  const status = (d.output as { status?: unknown } | undefined)?.status;
  return typeof status === "number" ? `answered ${status}` : "";
}

/** A place as people count, from 1: 2.then.0 is "3 · then · 1". */
function placeWords(place: string): string {
  return place.replace(/\d+/g, (n) => String(Number(n) + 1)).replaceAll(".", " · ");
}

function where(d: Delivery): string {
  const given = d.step.with ?? {};
  if (d.step.action === "webhook")
    return `${typeof given.method === "string" ? given.method : "POST"} ${typeof given.url === "string" ? given.url : ""}`;
  return typeof given.message === "string" ? given.message : d.kind;
}

/** Why nothing can be sent again now. */
const barred = () => (can("editor") ? offlineReason() : "This needs the role editor");

const resend = (d: Delivery) => api.post(`/deliveries/${d.id}/resend`);

/** One delivery of a firing. */
export function Sent({ d, reload }: { d: Delivery; reload: () => void }) {
  const [busy, setBusy] = useState(false);
  const no = barred();
  const again = async () => {
    setBusy(true);
    try {
      await resend(d);
      toast("It is sent again, with the same idempotency key");
      reload();
    } catch (err) {
      toastError("Sending again", err);
    } finally {
      setBusy(false);
    }
  };
  return (
    <li>
      <div class="row wrap">
        <Tag>{placeWords(d.place)}</Tag>
        <span class="mono dl-where">{visible(where(d))}</span>
        <span class="sp" />
        <Pill kind={looks[d.status]}>{names[d.status]}</Pill>
        {d.status === "dead" && (
          <Button small icon="send" busy={busy} disabled={!!no} title={no} onClick={again}>
            Send again
          </Button>
        )}
      </div>
      <p class="dim small">
        {[plural(d.attempts, "attempt"), answer(d)].filter(Boolean).join(", ")}
        {d.status === "waiting" && (
          <>
            , next at <Time at={d.next} /> <Left until={d.next} />
          </>
        )}
      </p>
      {d.error && <p class="t-unhealthy small">{visible(d.error)}</p>}
      {d.trace && <Trace t={d.trace} />}
    </li>
  );
}

/** What the module of a step said and used in its newest attempt. */
function Trace({ t }: { t: StepTrace }) {
  const [name = "", version] = t.module.split("@");
  const logs = t.logs ?? [];
  const u = t.usage;
  return (
    <div class="dl-trace">
      <p class="small prose">
        <a class="link mono" href={`${to.collector(name)}${version ? `?v=${encodeURIComponent(version)}` : ""}`}>
          {visible(t.module)}
        </a>{" "}
        {t.summary && <span class="dim2">{visible(t.summary)}</span>}
      </p>
      {u && (
        <p class="dim small num">
          {[
            ns(u.wall_ns),
            plural(u.fuel, "instruction"),
            `${bytes(u.memory_bytes)} of memory`,
            plural(u.host_calls, "call to the host", "calls to the host"),
          ].join(", ")}
        </p>
      )}
      {logs.length > 0 && (
        <details>
          <summary>{plural(logs.length, "line")} of its log</summary>
          <div class="log" role="log" aria-label={`Log of ${t.module}`} tabIndex={0}>
            {logs.map((l, i) => (
              <div key={i}>
                <span class="dim num">+{ns(l.after_ns)} </span>
                <span class={l.level === "error" ? "t-unhealthy" : l.level === "warn" ? "t-degraded" : "dim"}>{l.level} </span>
                {logText(l.text)}
              </div>
            ))}
          </div>
        </details>
      )}
    </div>
  );
}

const shown = 20;

/** What was given up, of all rules: hidden while there is nothing. */
export function GivenUp() {
  const dead = useResource("dead deliveries", (signal) => api.get<Paged<Delivery>>("/deliveries?status=dead&limit=200", { signal }));
  const [busy, setBusy] = useState(0);
  useTopic("activity", (events) => events.some((e) => e.firing && e.firing.status !== "queued") && dead.reload(), dead.reload);
  const all = dead.data?.items ?? [];
  if (all.length === 0) return null;
  const no = barred();
  const again = async (list: Delivery[]) => {
    setBusy(list.length > 1 ? -1 : (list[0]?.id ?? 0));
    const asked = await Promise.allSettled(list.map(resend));
    const failed = asked.find((a) => a.status === "rejected");
    if (failed) toastError("Sending again", (failed as PromiseRejectedResult).reason);
    else toast(`${plural(list.length, "delivery", "deliveries")} sent again`);
    setBusy(0);
    dead.reload();
  };
  return (
    <Card
      bar="unhealthy"
      bare
      title={`${plural(all.length, "delivery was", "deliveries were")} given up`}
      actions={
        all.length > 1 && (
          <Button small icon="send" busy={busy === -1} disabled={!!no} title={no} onClick={() => again(all)}>
            Send all again
          </Button>
        )
      }
    >
      <ul class="gu">
        {all.slice(0, shown).map((d) => (
          <li key={d.id}>
            <Icon name="alert" size={15} class="t-unhealthy" />
            <div>
              <span class="mono dl-where">{visible(where(d))}</span>{" "}
              <span class="dim small prose">
                <a class="link" href={to.trace(d.rule)}>
                  {visible(d.rule)}
                </a>
                , {plural(d.attempts, "attempt")}, <Ago at={d.updated} /> ago
              </span>
              {d.error && <p class="t-unhealthy small">{visible(d.error)}</p>}
            </div>
            <Button small icon="send" busy={busy === d.id} disabled={!!no} title={no} onClick={() => again([d])}>
              Send again
            </Button>
          </li>
        ))}
      </ul>
      {all.length > shown && <p class="dim small gu-more">and {count(all.length - shown)} more</p>}
    </Card>
  );
}
