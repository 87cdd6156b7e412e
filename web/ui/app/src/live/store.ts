import {
  FlagCaused,
  FlagFiring,
  FlagMaintenance,
  FlagProblem,
  FlagSilenced,
  type Fleet,
  type FleetRow,
  healths,
  type Row,
  type Why,
} from "../api.gen";
import { type Facts, matches, parseFilter, type Token } from "./filter";

/** What a System counts and looks as: its health, or maintenance, which wins. */
export const statuses = ["unknown", "healthy", "degraded", "unhealthy", "stale", "maintenance"] as const;
export type StatusWord = (typeof statuses)[number];

/** Worst first. */
export const statusOrder: readonly StatusWord[] = ["unhealthy", "stale", "degraded", "unknown", "maintenance", "healthy"];
const rank = new Uint8Array(statuses.map((s) => statusOrder.indexOf(s)));
const maintenance = 5;

export type Sort = "worst" | "name" | "last" | "p95" | "uptime";

/** One System as a row draws it. A new object each time something of it changes. */
export interface RowView {
  h: number;
  id: string;
  name: string;
  groups: readonly string[];
  tags: Readonly<Record<string, string>>;
  status: StatusWord;
  flags: number;
  since: number;
  why: Why;
  ok: number;
  total: number;
  /** undefined until the row was told in detail */
  detail?: Row;
  /** counts up with each change of status, so that the row can show it */
  changes: number;
}

/** The world around the store, so that tests can be it. */
export interface StoreWorld {
  frame(run: () => void): void;
  now(): number;
}

const noWhy: Why = { code: "", text: "" };
const resortEvery = 500;

/**
 * All Systems in columns, fed by a snapshot and deltas. Whatever comes in
 * between two frames is told to listeners once. The order of rows stays while
 * it is frozen: nothing moves under the cursor.
 */
export class FleetStore {
  epoch = "";
  seq = 0;
  loaded = false;
  /** Shown data may be old: the connection is lost. */
  old = false;
  /** How many there are of each of [statuses]. */
  counts = new Int32Array(statuses.length);
  /** Systems for which an episode of a rule is open. */
  firing = 0;
  size = 0;
  /** Slots in the order to show, filtered. */
  order = new Int32Array(0);
  /** Shown rows whose place is no longer right, because the order is frozen. */
  moved = 0;
  /** Counts up with every flush. */
  version = 0;

  private status = new Uint8Array(0);
  private flags = new Uint8Array(0);
  private since = new Float64Array(0);
  private ok = new Uint16Array(0);
  private total = new Uint16Array(0);
  private handles = new Int32Array(0);
  private alive = new Uint8Array(0);
  private changes = new Uint32Array(0);
  private ids: string[] = [];
  private names: string[] = [];
  private groups: (readonly string[])[] = [];
  private tags: Readonly<Record<string, string>>[] = [];
  private why: Why[] = [];
  private detail: (Row | undefined)[] = [];
  private views: (RowView | undefined)[] = [];
  private byHandle = new Map<number, number>();
  private byId = new Map<string, number>();
  private used = 0;

  private listeners = new Set<() => void>();
  private pending = false;
  private orderDirty = false;
  private lastSort = Number.NEGATIVE_INFINITY;
  private frozen = false;
  private movedSlots = new Set<number>();
  private sorting: Sort = "worst";
  private text = "";
  private tokens: Token[] = [];
  private nameRank: Int32Array | undefined;

  constructor(private world: StoreWorld) {}

  /** Be told after each flush. Returns how to stop. */
  subscribe = (run: () => void): (() => void) => {
    this.listeners.add(run);
    return () => this.listeners.delete(run);
  };

  /** Put a snapshot in place of all that is known. Detail of rows is kept where ids are the same. */
  load(snapshot: Fleet): void {
    const kept = new Map<string, { detail: Row | undefined; status: number; changes: number }>();
    for (const [id, i] of this.byId) kept.set(id, { detail: this.detail[i], status: this.status[i]!, changes: this.changes[i]! });
    const again = this.loaded;
    const n = snapshot.h.length;
    this.clear(n);
    for (let i = 0; i < n; i++) {
      const slot = this.claim(snapshot.h[i]!);
      const id = snapshot.id[i] ?? "";
      this.setName(slot, id, snapshot.name[i] || id, snapshot.groups?.[i] ?? [], snapshot.tags?.[i] ?? {});
      this.flags[slot] = snapshot.flags[i] ?? 0;
      this.since[slot] = snapshot.since[i] ?? 0;
      this.why[slot] = snapshot.why[i] ?? noWhy;
      this.ok[slot] = snapshot.ok[i] ?? 0;
      this.total[slot] = snapshot.total[i] ?? 0;
      const health = snapshot.health.charCodeAt(i) - 48;
      this.status[slot] = this.statusOf(health >= 0 && health < healths.length ? health : 0, this.flags[slot]!);
      this.counts[this.status[slot]!]!++;
      if (this.flags[slot]! & FlagFiring) this.firing++;
      const was = kept.get(id);
      if (!was) continue;
      this.detail[slot] = was.detail && { ...was.detail, h: snapshot.h[i]! };
      this.changes[slot] = was.changes + (was.status === this.status[slot] ? 0 : 1);
    }
    this.size = n;
    this.epoch = snapshot.epoch;
    this.seq = snapshot.seq;
    this.loaded = true;
    if (again && this.frozen) this.orderDirty = true;
    this.sort();
    this.kick();
  }

  /** Apply a delta of the fleet, all of it before the next frame. Deltas older than what is known change nothing. */
  apply(rows: FleetRow[], seq: number): void {
    if (seq && seq < this.seq) return;
    if (seq) this.seq = seq;
    for (const row of rows) this.applyOne(row);
    if (rows.length > 0) this.kick();
  }

  /** Apply detail of rows. */
  applyRows(rows: Row[]): void {
    for (const row of rows) {
      const slot = this.byHandle.get(row.h);
      if (slot === undefined) continue;
      this.detail[slot] = row;
      this.views[slot] = undefined;
    }
    if (this.sorting === "last" || this.sorting === "p95" || this.sorting === "uptime") this.orderDirty = true;
    if (rows.length > 0) this.kick();
  }

  private applyOne(row: FleetRow): void {
    let slot = this.byHandle.get(row.h);
    if (row.gone) {
      if (slot !== undefined) this.remove(slot, row.h);
      return;
    }
    if (slot === undefined) {
      if (!row.id) return; // a row we never heard of, without its name: the reset that follows tells it
      slot = this.claim(row.h);
      this.size++;
      this.counts[0]!++;
      this.status[slot] = 0;
      this.setName(slot, row.id, row.name || row.id, row.groups ?? [], row.tags ?? {});
      this.orderDirty = true;
    } else if (row.id) {
      this.setName(slot, row.id, row.name || row.id, row.groups ?? [], row.tags ?? {});
      this.orderDirty = true;
    }
    this.setState(slot, row);
  }

  private setState(slot: number, row: FleetRow): void {
    const flags = row.flags ?? 0;
    const status = this.statusOf(Math.max(0, healths.indexOf(row.health)), flags);
    const was = this.status[slot]!;
    if ((flags & FlagFiring) !== (this.flags[slot]! & FlagFiring)) this.firing += flags & FlagFiring ? 1 : -1;
    if (status !== was) {
      this.counts[was]!--;
      this.counts[status]!++;
      this.changes[slot]!++;
    }
    if (status !== was || flags !== this.flags[slot] || row.since !== this.since[slot]) {
      this.orderDirty = true;
      if (this.frozen && status !== was) this.movedSlots.add(slot);
    }
    this.status[slot] = status;
    this.flags[slot] = flags;
    this.since[slot] = row.since;
    this.why[slot] = row.why ?? noWhy;
    this.ok[slot] = row.ok;
    this.total[slot] = row.total;
    this.views[slot] = undefined;
  }

  private statusOf(health: number, flags: number): number {
    return flags & FlagMaintenance ? maintenance : health;
  }

  private setName(slot: number, id: string, name: string, groups: readonly string[], tags: Readonly<Record<string, string>>): void {
    const was = this.ids[slot];
    if (was && was !== id) this.byId.delete(was);
    if (this.names[slot] !== name) this.nameRank = undefined;
    this.ids[slot] = id;
    this.names[slot] = name;
    this.groups[slot] = groups;
    this.tags[slot] = tags;
    this.byId.set(id, slot);
    this.views[slot] = undefined;
  }

  private claim(h: number): number {
    if (this.used === this.status.length) this.grow(Math.max(64, this.used * 2));
    const slot = this.used++;
    this.handles[slot] = h;
    this.alive[slot] = 1;
    this.byHandle.set(h, slot);
    this.nameRank = undefined;
    return slot;
  }

  private remove(slot: number, h: number): void {
    this.counts[this.status[slot]!]!--;
    if (this.flags[slot]! & FlagFiring) this.firing--;
    this.size--;
    this.alive[slot] = 0;
    this.byHandle.delete(h);
    this.byId.delete(this.ids[slot]!);
    this.movedSlots.delete(slot);
    this.order = this.order.filter((s) => s !== slot); // a row that is gone goes at once, also from a frozen order
  }

  private clear(capacity: number): void {
    this.used = 0;
    this.size = 0;
    this.firing = 0;
    this.counts.fill(0);
    this.ids = [];
    this.names = [];
    this.groups = [];
    this.tags = [];
    this.why = [];
    this.detail = [];
    this.views = [];
    this.byHandle.clear();
    this.byId.clear();
    this.movedSlots.clear();
    this.nameRank = undefined;
    this.status = new Uint8Array(0);
    this.grow(capacity);
  }

  private grow(n: number): void {
    const keep = this.status.length;
    const wider = <T extends Uint8Array | Uint16Array | Uint32Array | Int32Array | Float64Array>(fresh: T, was: T): T => {
      if (keep > 0) fresh.set(was.subarray(0, keep) as never);
      return fresh;
    };
    this.flags = wider(new Uint8Array(n), this.flags);
    this.since = wider(new Float64Array(n), this.since);
    this.ok = wider(new Uint16Array(n), this.ok);
    this.total = wider(new Uint16Array(n), this.total);
    this.handles = wider(new Int32Array(n), this.handles);
    this.alive = wider(new Uint8Array(n), this.alive);
    this.changes = wider(new Uint32Array(n), this.changes);
    this.status = wider(new Uint8Array(n), this.status);
  }

  /** The text of the filter. */
  get filter(): string {
    return this.text;
  }

  setFilter(text: string): void {
    if (text === this.text) return;
    this.text = text;
    this.tokens = parseFilter(text);
    this.sort();
    this.kick();
  }

  get sorted(): Sort {
    return this.sorting;
  }

  setSort(by: Sort): void {
    if (by === this.sorting) return;
    this.sorting = by;
    this.sort();
    this.kick();
  }

  /** Keep the order as it is while somebody points at, reads or scrolls the list. */
  freeze(on: boolean): void {
    if (on === this.frozen) return;
    this.frozen = on;
    if (!on && this.orderDirty) this.kick();
  }

  /** Sort now, also while frozen. */
  resort(): void {
    this.sort();
    this.kick();
  }

  /** Say that what is shown may be old. */
  setOld(old: boolean): void {
    if (old === this.old) return;
    this.old = old;
    this.kick();
  }

  /** Draw again. */
  touch(): void {
    this.kick();
  }

  private sort(): void {
    const slots: number[] = [];
    const all = this.tokens.length === 0;
    for (let i = 0; i < this.used; i++) if (this.alive[i] && (all || matches(this.tokens, this.facts(i)))) slots.push(i);
    const names = this.ranks();
    const status = this.status;
    const since = this.since;
    const byName = (a: number, b: number) => names[a]! - names[b]!;
    const value = (i: number): number => {
      const d = this.detail[i];
      if (!d) return Number.NEGATIVE_INFINITY;
      return this.sorting === "p95" ? d.p95 : this.sorting === "last" ? d.last : -d.uptime;
    };
    if (this.sorting === "name") slots.sort(byName);
    else if (this.sorting === "worst")
      slots.sort((a, b) => rank[status[a]!]! - rank[status[b]!]! || (status[a] === 1 ? 0 : since[b]! - since[a]!) || byName(a, b));
    else slots.sort((a, b) => value(b) - value(a) || byName(a, b));
    this.order = Int32Array.from(slots);
    this.orderDirty = false;
    this.movedSlots.clear();
    this.moved = 0;
    this.lastSort = this.world.now();
  }

  private ranks(): Int32Array {
    if (this.nameRank) return this.nameRank;
    const slots = Array.from({ length: this.used }, (_, i) => i);
    slots.sort((a, b) => (this.names[a]! < this.names[b]! ? -1 : this.names[a]! > this.names[b]! ? 1 : 0));
    const out = new Int32Array(this.used);
    slots.forEach((slot, place) => {
      out[slot] = place;
    });
    this.nameRank = out;
    return out;
  }

  private kick(): void {
    if (this.pending) return;
    this.pending = true;
    this.world.frame(() => this.flush());
  }

  private flush(): void {
    this.pending = false;
    if (this.orderDirty && !this.frozen) {
      if (this.world.now() - this.lastSort >= resortEvery) this.sort();
      else this.kick(); // soon, and then once for all that came meanwhile
    }
    this.moved = this.movedSlots.size;
    this.version++;
    for (const run of this.listeners) run();
  }

  /** The row of a slot of [FleetStore.order]. The same object as long as nothing of it changes. */
  row(slot: number): RowView {
    const known = this.views[slot];
    if (known) return known;
    const view: RowView = {
      h: this.handles[slot]!,
      id: this.ids[slot]!,
      name: this.names[slot]!,
      groups: this.groups[slot]!,
      tags: this.tags[slot]!,
      status: statuses[this.status[slot]!]!,
      flags: this.flags[slot]!,
      since: this.since[slot]!,
      why: this.why[slot]!,
      ok: this.ok[slot]!,
      total: this.total[slot]!,
      detail: this.detail[slot],
      changes: this.changes[slot]!,
    };
    this.views[slot] = view;
    return view;
  }

  /** The row of the System with this id. */
  find(id: string): RowView | undefined {
    const slot = this.byId.get(id);
    return slot === undefined ? undefined : this.row(slot);
  }

  /** Handle of a slot. */
  handle(slot: number): number {
    return this.handles[slot]!;
  }

  /** Every System, in no order. */
  *all(): Generator<RowView> {
    for (let i = 0; i < this.used; i++) if (this.alive[i]) yield this.row(i);
  }

  /** Values in use of a key of the filter, most used first: for completion. */
  valuesOf(key: string): [string, number][] {
    const seen = new Map<string, number>();
    const add = (v: string) => seen.set(v, (seen.get(v) ?? 0) + 1);
    for (let i = 0; i < this.used; i++) {
      if (!this.alive[i]) continue;
      if (key === "group") for (const g of this.groups[i]!) add(g);
      else if (key === "status") add(statuses[this.status[i]!]!);
      else if (key === "is") for (const f of flagWords(this.flags[i]!)) add(f);
      else if (this.tags[i]![key] !== undefined) add(this.tags[i]![key]!);
    }
    return [...seen].sort((a, b) => b[1] - a[1] || (a[0] < b[0] ? -1 : 1));
  }

  /** Keys of tags in use. */
  tagKeys(): string[] {
    const seen = new Set<string>();
    for (let i = 0; i < this.used; i++) if (this.alive[i]) for (const key in this.tags[i]!) seen.add(key);
    return [...seen].sort();
  }

  private facts(i: number): Facts {
    return {
      id: this.ids[i]!,
      name: this.names[i]!,
      groups: this.groups[i]!,
      tags: this.tags[i]!,
      status: statuses[this.status[i]!]!,
      flags: flagWords(this.flags[i]!),
      why: this.why[i]!.text,
    };
  }
}

const words: [number, string][] = [
  [FlagProblem, "problem"],
  [FlagMaintenance, "maintenance"],
  [FlagSilenced, "silenced"],
  [FlagFiring, "firing"],
  [FlagCaused, "caused"],
];
const none: readonly string[] = [];

/** The words of flags, as the filter knows them. */
export function flagWords(flags: number): readonly string[] {
  return flags === 0 ? none : words.filter(([bit]) => flags & bit).map(([, word]) => word);
}
