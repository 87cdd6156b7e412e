// What a run used of each of its limits.

import type { Limits, Usage } from "../../api.gen";
import { bytes, count, ms, ns, parseDuration } from "../../lib/format";
import { effective } from "./permissions";
import "./usage.css";

const none: Usage = {
  wall_ns: 0,
  memory_bytes: 0,
  fuel: 0,
  output_bytes: 0,
  log_bytes: 0,
  http_calls: 0,
  host_calls: 0,
};

/** What was used of each limit. */
export function Cells({ r }: { r: { usage: Usage | undefined; limits: Limits; wall_limit: string } }) {
  const limits = effective(r.limits);
  const u = r.usage ?? none;
  const wall = parseDuration(r.wall_limit);
  return (
    <div class="co-cells">
      <Cell name="Time" value={ns(u.wall_ns)} limit={ms(wall)} share={u.wall_ns / 1e6 / wall} />
      <Cell name="Instructions" value={big(u.fuel ?? 0)} limit={big(limits.fuel)} share={(u.fuel ?? 0) / limits.fuel} />
      <Cell name="Memory" value={bytes(u.memory_bytes)} limit={bytes(limits.memory_bytes)} share={u.memory_bytes / limits.memory_bytes} />
      <Cell name="Output" value={bytes(u.output_bytes)} limit={bytes(limits.output_bytes)} share={u.output_bytes / limits.output_bytes} />
      <Cell name="Log" value={bytes(u.log_bytes)} limit={bytes(limits.log_bytes)} share={u.log_bytes / limits.log_bytes} />
      <Cell name="HTTP calls" value={count(u.http_calls)} limit={count(limits.http_calls)} share={u.http_calls / limits.http_calls} />
      {(u.tcp_calls ?? 0) > 0 && (
        <Cell name="TCP" value={count(u.tcp_calls ?? 0)} limit={count(limits.tcp_calls)} share={(u.tcp_calls ?? 0) / limits.tcp_calls} />
      )}
      {(u.dns_calls ?? 0) > 0 && (
        <Cell name="DNS" value={count(u.dns_calls ?? 0)} limit={count(limits.dns_calls)} share={(u.dns_calls ?? 0) / limits.dns_calls} />
      )}
      {(u.kv_bytes ?? 0) > 0 && (
        <Cell name="Kept" value={bytes(u.kv_bytes ?? 0)} limit={bytes(limits.kv_bytes)} share={(u.kv_bytes ?? 0) / limits.kv_bytes} />
      )}
    </div>
  );
}

const compact = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });

/** A large count, briefly: "2.1M". */
export const big = (n: number) => compact.format(n);

export function Cell({ name, value, limit, share }: { name: string; value: string; limit: string; share: number }) {
  const full = Number.isFinite(share) ? Math.max(0, Math.min(1, share)) : 0;
  return (
    <div class="co-cell">
      <small>{name}</small>
      <b class="num">{value}</b>
      <span class="dim small">of {limit}</span>
      <div
        class="meter"
        role="meter"
        aria-label={`${name} against its limit`}
        aria-valuemin={0}
        aria-valuemax={100}
        aria-valuenow={Math.round(full * 100)}
      >
        <i class={full > 0.8 ? "hot" : undefined} style={{ width: `${Math.max(full * 100, share > 0 ? 1.5 : 0)}%` }} />
      </div>
    </div>
  );
}
