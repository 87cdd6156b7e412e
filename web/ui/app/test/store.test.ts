import { describe, expect, it } from "vitest";
import { FlagFiring, FlagMaintenance, type Fleet, type FleetRow, type Health, healths } from "../src/api.gen";
import { FleetStore, statuses } from "../src/live/store";

/** A world whose frames and clock the test moves. */
class World {
  t = 0;
  private waiting: (() => void)[] = [];
  frame = (run: () => void) => {
    this.waiting.push(run);
  };
  now = () => this.t;
  /** Let time pass and draw one frame. */
  step(ms = 16) {
    this.t += ms;
    const now = this.waiting;
    this.waiting = [];
    for (const run of now) run();
    return now.length;
  }
}

interface Sys {
  id: string;
  health: Health;
  flags?: number;
  since?: number;
  why?: string;
  groups?: string[];
  tags?: Record<string, string>;
}

function snapshot(list: Sys[], seq = 10, epoch = "e1"): Fleet {
  return {
    epoch,
    seq,
    now: 0,
    h: list.map((_, i) => i),
    id: list.map((s) => s.id),
    name: list.map((s) => s.id),
    groups: list.map((s) => s.groups ?? []),
    tags: list.map((s) => s.tags ?? {}),
    health: list.map((s) => healths.indexOf(s.health)).join(""),
    flags: list.map((s) => s.flags ?? 0),
    since: list.map((s) => s.since ?? 0),
    why: list.map((s) => ({ code: "", text: s.why ?? "" })),
    ok: list.map(() => 1),
    total: list.map(() => 1),
  };
}

const row = (h: number, health: Health, more: Partial<FleetRow> = {}): FleetRow => ({
  h,
  health,
  since: 5,
  why: { code: "", text: "" },
  ok: 1,
  total: 1,
  ...more,
});

function fresh(list: Sys[]) {
  const world = new World();
  const store = new FleetStore(world);
  store.load(snapshot(list));
  world.step(1000);
  return { world, store, ids: () => [...store.order].map((slot) => store.row(slot).id) };
}

const three: Sys[] = [
  { id: "a", health: "healthy" },
  { id: "b", health: "unhealthy", since: 1 },
  { id: "c", health: "degraded" },
];

describe("FleetStore", () => {
  it("shows the worst first, then what changed last, then by name", () => {
    const { ids } = fresh([
      { id: "ok-2", health: "healthy", since: 9 },
      { id: "ok-1", health: "healthy", since: 1 },
      { id: "unknown", health: "unknown" },
      { id: "maint", health: "unhealthy", flags: FlagMaintenance },
      { id: "bad-old", health: "unhealthy", since: 1 },
      { id: "bad-new", health: "unhealthy", since: 2 },
      { id: "stale", health: "stale" },
      { id: "slow", health: "degraded" },
    ]);
    expect(ids()).toEqual(["bad-new", "bad-old", "stale", "slow", "unknown", "maint", "ok-1", "ok-2"]);
  });

  it("counts maintenance apart from health", () => {
    const { store } = fresh([...three, { id: "m", health: "unhealthy", flags: FlagMaintenance | FlagFiring }]);
    expect(Object.fromEntries(statuses.map((s, i) => [s, store.counts[i]]))).toEqual({
      unknown: 0,
      healthy: 1,
      degraded: 1,
      unhealthy: 1,
      stale: 0,
      maintenance: 1,
    });
    expect(store.firing).toBe(1);
  });

  it("tells listeners once per frame, however many deltas came", () => {
    const { world, store } = fresh(three);
    let told = 0;
    store.subscribe(() => told++);
    for (let i = 0; i < 100; i++) store.apply([row(0, i % 2 ? "healthy" : "degraded")], 11 + i);
    expect(told).toBe(0);
    world.step();
    expect(told).toBe(1);
  });

  it("applies deltas to counts, rows and order", () => {
    const { world, store, ids } = fresh(three);
    store.apply([row(0, "unhealthy", { since: 100, why: { code: "x", text: "refused" }, flags: FlagFiring })], 11);
    world.step(1000);
    expect(ids()).toEqual(["a", "b", "c"]);
    expect(store.find("a")).toMatchObject({ status: "unhealthy", why: { text: "refused" }, flags: FlagFiring });
    expect(store.counts[3]).toBe(2);
    expect(store.firing).toBe(1);
    expect(store.seq).toBe(11);
  });

  it("passes over a delta that is older than what it knows", () => {
    const { store } = fresh(three);
    store.apply([row(0, "unhealthy")], 9);
    expect(store.find("a")?.status).toBe("healthy");
    expect(store.seq).toBe(10);
  });

  it("adds, renames and buries systems", () => {
    const { world, store, ids } = fresh(three);
    store.apply(
      [
        row(7, "unknown", { id: "new", name: "New one", tags: { team: "x" } }),
        row(1, "healthy", { gone: true }),
        row(2, "degraded", { id: "c", name: "See" }),
      ],
      11,
    );
    world.step(1000);
    expect(store.size).toBe(3);
    expect(ids()).toEqual(["c", "new", "a"]);
    expect(store.find("c")?.name).toBe("See");
    expect(store.find("b")).toBeUndefined();
    expect(store.counts[3]).toBe(0);
  });

  it("waits for a reset when it is told of a handle it never heard of", () => {
    const { store } = fresh(three);
    store.apply([row(99, "unhealthy")], 11);
    expect(store.size).toBe(3);
  });

  it("keeps the order while it is frozen, counts what would move, and sorts when asked", () => {
    const { world, store, ids } = fresh(three);
    store.freeze(true);
    store.apply([row(0, "unhealthy", { since: 100 })], 11);
    world.step(5000);
    expect(ids()).toEqual(["b", "c", "a"]);
    expect(store.moved).toBe(1);
    expect(store.find("a")?.status).toBe("unhealthy"); // the state is shown at once, only the place waits
    store.resort();
    world.step();
    expect(ids()).toEqual(["a", "b", "c"]);
    expect(store.moved).toBe(0);
  });

  it("sorts by itself once it is let go", () => {
    const { world, store, ids } = fresh(three);
    store.freeze(true);
    store.apply([row(2, "unhealthy", { since: 100 })], 11);
    world.step(1000);
    store.freeze(false);
    world.step(1000);
    expect(ids()).toEqual(["c", "b", "a"]);
  });

  it("takes a row that is gone out of a frozen order", () => {
    const { world, store, ids } = fresh(three);
    store.freeze(true);
    store.apply([row(1, "healthy", { gone: true })], 11);
    world.step();
    expect(ids()).toEqual(["c", "a"]);
  });

  it("sorts at most twice a second", () => {
    const { world, store, ids } = fresh(three);
    store.apply([row(0, "unhealthy", { since: 100 })], 11);
    world.step(600);
    expect(ids()[0]).toBe("a");
    store.apply([row(2, "unhealthy", { since: 200 })], 12);
    world.step(16);
    expect(ids()[0]).toBe("a"); // not yet
    while (ids()[0] === "a" && world.t < 3000) world.step(100);
    expect(ids()[0]).toBe("c");
    expect(world.t).toBeLessThan(2400);
  });

  it("gives the same row object until something of it changes", () => {
    const { store } = fresh(three);
    const slot = store.order[0]!;
    const before = store.row(slot);
    store.apply([row(0, "degraded")], 11);
    expect(store.row(slot)).toBe(before);
    store.applyRows([{ h: 1, ring: "ppf", p95: 12, uptime: 0.5, last: 1, next: 2 }]);
    expect(store.row(slot)).not.toBe(before);
    expect(store.row(slot).detail?.ring).toBe("ppf");
  });

  it("keeps the detail of rows over a new epoch, whose handles differ", () => {
    const { world, store } = fresh(three);
    store.applyRows([{ h: 1, ring: "ppf", p95: 12, uptime: 0.5, last: 1, next: 2 }]);
    store.load(snapshot([three[1]!, three[0]!, { id: "b2", health: "healthy" }], 3, "e2"));
    world.step(1000);
    expect(store.find("b")?.detail).toMatchObject({ ring: "ppf", h: 0 });
    expect(store.seq).toBe(3);
    expect(store.find("c")).toBeUndefined();
    expect(store.size).toBe(3);
  });

  it("counts a change that happened while it was away, so that the row can flash", () => {
    const { store } = fresh(three);
    store.load(snapshot([{ id: "a", health: "unhealthy" }, three[1]!, three[2]!], 20));
    expect(store.find("a")?.changes).toBe(1);
    expect(store.find("b")?.changes).toBe(0);
  });

  it("filters by status, tag, group, flag and text", () => {
    const { world, store, ids } = fresh([
      { id: "pay-api", health: "unhealthy", tags: { team: "pay" }, groups: ["eu"], why: "connection refused" },
      { id: "pay-db", health: "healthy", tags: { team: "pay" }, groups: ["us"], flags: FlagFiring },
      { id: "shop", health: "stale", tags: { team: "shop" }, groups: ["eu"] },
    ]);
    const found = (text: string) => {
      store.setFilter(text);
      world.step();
      return ids();
    };
    expect(found("team:pay")).toEqual(["pay-api", "pay-db"]);
    expect(found("status:unhealthy,stale")).toEqual(["pay-api", "shop"]);
    expect(found("group:eu -team:pay")).toEqual(["shop"]);
    expect(found("is:firing")).toEqual(["pay-db"]);
    expect(found("refused")).toEqual(["pay-api"]);
    expect(found("nothing like it")).toEqual([]);
    expect(found("")).toHaveLength(3);
  });

  it("ends with the same as a snapshot, whatever came in between", () => {
    let seed = 42;
    const random = (n: number) => {
      seed = (seed * 1103515245 + 12345) & 0x7fffffff;
      return seed % n;
    };
    for (let round = 0; round < 30; round++) {
      const truth = new Map<number, Sys>();
      const n = 3 + random(20);
      for (let i = 0; i < n; i++) truth.set(i, { id: `s${i}`, health: healths[random(5)]!, since: random(50) });
      const world = new World();
      const store = new FleetStore(world);
      store.load(snapshot([...truth.values()]));
      let nextHandle = n;
      for (let seq = 11; seq < 80; seq++) {
        const h = random(nextHandle + 1);
        const known = truth.get(h);
        if (known && random(8) === 0) {
          truth.delete(h);
          store.apply([row(h, "unknown", { gone: true })], seq);
        } else if (known) {
          Object.assign(known, { health: healths[random(5)]!, since: random(50) });
          store.apply([row(h, known.health, { since: known.since })], seq);
        } else {
          const made: Sys = { id: `n${nextHandle}`, health: healths[random(5)]!, since: random(50) };
          truth.set(nextHandle, made);
          store.apply([row(nextHandle, made.health, { since: made.since, id: made.id, name: made.id })], seq);
          nextHandle++;
        }
        if (random(3) === 0) world.step(random(400));
      }
      for (let i = 0; i < 20; i++) world.step(100);
      const want = new FleetStore(new World());
      want.load(snapshot([...truth.values()]));
      expect([...store.order].map((s) => store.row(s).id)).toEqual([...want.order].map((s) => want.row(s).id));
      expect([...store.counts]).toEqual([...want.counts]);
      expect(store.size).toBe(want.size);
    }
  });

  it("loads and sorts 10,000 systems quickly", () => {
    const list = Array.from({ length: 10_000 }, (_, i): Sys => ({ id: `sys-${(i * 7919) % 10_000}`, health: healths[i % 5]!, since: i }));
    const t = performance.now();
    const { store } = fresh(list);
    store.setFilter("sys-99");
    expect(store.order.length).toBe(111);
    expect(performance.now() - t).toBeLessThan(1500);
  });
});
