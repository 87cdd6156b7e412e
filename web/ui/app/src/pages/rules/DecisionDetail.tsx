// Everything about one decision: its stages, the values behind them, and what
// was sent.

import { useState } from "preact/hooks";
import type { Decision, Firing, FiringDetail, FiringStatus } from "../../api.gen";
import { api, can, seg } from "../../lib/api";
import { visible } from "../../lib/format";
import { useResource } from "../../lib/resource";
import { offlineReason, useTopic } from "../../live";
import { Button, Confirm, ErrorBox, Icon, Pill, Skeleton, Tag, Time, toast, toastError } from "../../ui";
import { Sent } from "./Deliveries";
import { Explain } from "./Explain";
import { Left } from "./Left";
import { StageList, stageNames } from "./stages";

export function DecisionDetail({ decision: d, sources }: { decision: Decision; sources: { when: string; unless: string } | undefined }) {
  const told = (d.stages ?? []).filter((s) => (s.nodes ?? []).length > 0);
  return (
    <div class="dd">
      <div class="dd-col">
        <h3>Stages</h3>
        <StageList decision={d} />
        {d.next_at && (
          <p class="dd-next">
            <Icon name="clock" size={14} /> Could next fire at <Time at={d.next_at} /> if nothing changes. <Left until={d.next_at} />
          </p>
        )}
        <Facts d={d} />
      </div>
      <div class="dd-col">
        {told.map((s) => (
          <section key={s.stage}>
            <h3>
              {stageNames[s.stage]} <span class="dim">with its values</span>
            </h3>
            <Explain nodes={s.nodes ?? []} />
          </section>
        ))}
        {told.length === 0 && sources && (
          <p class="dim">No expression was evaluated{sources.when ? "" : ": this rule has no condition"}.</p>
        )}
        {d.firing && <Fired id={d.firing} />}
      </div>
    </div>
  );
}

function Facts({ d }: { d: Decision }) {
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(JSON.stringify(d, null, 2));
      toast("The decision is copied as JSON");
    } catch (err) {
      toastError("Copying", err);
    }
  };
  return (
    <dl class="dd-facts">
      <dt>Happened</dt>
      <dd>
        <Time at={d.at} />
      </dd>
      <dt>Decided</dt>
      <dd>
        <Time at={d.decided} /> {d.late && <Tag>late</Tag>}
      </dd>
      <dt>Cause</dt>
      <dd>{d.seq ? `change ${d.seq} of the log` : d.run ? `run ${d.run}` : "a timer came due"}</dd>
      {d.partition && (
        <>
          <dt>Partition</dt>
          <dd class="mono">{visible(d.partition)}</dd>
        </>
      )}
      {d.episode && (
        <>
          <dt>Episode</dt>
          <dd class="mono">{d.episode}</dd>
        </>
      )}
      <dt>Gate revision</dt>
      <dd class="mono">{d.revision}</dd>
      <dt>Copy</dt>
      <dd>
        <Button small icon="copy" onClick={copy}>
          As JSON
        </Button>
      </dd>
    </dl>
  );
}

const firingLook: Record<FiringStatus, "healthy" | "degraded" | "unhealthy" | "unknown" | "accent"> = {
  queued: "unknown",
  running: "accent",
  done: "healthy",
  failed: "unhealthy",
  cancelled: "unknown",
};
/** A firing with its deliveries, followed while it is under way. */
function Fired({ id }: { id: string }) {
  const firing = useResource(`firing ${id}`, (signal) => api.get<FiringDetail>(`/firings/${seg(id)}`, { signal }));
  const [cancelling, setCancelling] = useState(false);
  useTopic("activity", (events) => events.some((e) => e.firing?.id === id) && firing.reload());
  const data = firing.data;
  if (firing.error && !data) return <ErrorBox error={firing.error} doing="Loading what was sent" retry={firing.reload} />;
  if (!data) return <Skeleton height={60} />;
  const f = data.firing;
  const live = f.status === "queued" || f.status === "running";
  const barred = can("editor") ? offlineReason() : "This needs the role editor";
  const cancel = async () => {
    setCancelling(false);
    try {
      await api.post(`/firings/${seg(id)}/cancel`);
      toast("The firing is cancelled");
    } catch (err) {
      toastError("Cancelling", err);
    }
    firing.reload();
  };
  return (
    <section>
      <div class="row wrap">
        <h3>{f.recovery ? "What was sent on recovery" : "What was sent"}</h3>
        <Pill kind={firingLook[f.status]}>{f.status}</Pill>
        <span class="sp" />
        <Button small kind="ghost" icon="refresh" label="Ask again" onClick={firing.reload} />
        {live && (
          <Button small kind="danger" disabled={!!barred} title={barred} onClick={() => setCancelling(true)}>
            Cancel
          </Button>
        )}
      </div>
      <ol class="dl">
        {(data.deliveries ?? []).map((d) => (
          <Sent key={d.id} d={d} reload={firing.reload} />
        ))}
        {(data.deliveries ?? []).length === 0 && (
          <li class="dim">{f.status === "queued" ? "Waiting for its turn." : "This rule has no step to carry out."}</li>
        )}
      </ol>
      <Env firing={f} />
      {cancelling && (
        <Confirm title="Cancel this firing?" confirm="Cancel the rest" onConfirm={cancel} onClose={() => setCancelling(false)}>
          What is on its way is not called back. Steps that have not begun are not carried out.
        </Confirm>
      )}
    </section>
  );
}

/** The facts that the texts were filled from. */
function Env({ firing }: { firing: Firing }) {
  return (
    <details class="dd-env">
      <summary>Facts it was filled from</summary>
      <pre class="log">{visible(JSON.stringify(firing.env, null, 2))}</pre>
    </details>
  );
}
