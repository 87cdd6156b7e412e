import { signal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import type { Fleet, Event as WireEvent } from "../api.gen";
import { ApiError, api, me, signedOut, url } from "../lib/api";
import { boot } from "../lib/boot";
import { syncClock } from "../lib/time";
import { subprotocol } from "./protocol";
import { type Conn, Socket, type SocketLike } from "./socket";
import { FleetStore } from "./store";

/** Every System, live. */
export const fleet = new FleetStore({ frame: (run) => requestAnimationFrame(run), now: () => performance.now() });

/** How the connection is. */
export const conn = signal<Conn>({ state: "connecting", heard: 0, retryAt: 0, hz: 10, newBuild: false });

/** Why the fleet could not be fetched, until it could. */
export const fleetError = signal<unknown>(undefined);

/** When the newest state was seen, in ms of this machine's clock. */
export const heard = () => socket.conn.heard;

/** Changes to the set of rules, checks and systems: bumped with every edit anybody makes. */
export const edits = signal(0);

let etag = "";

const socket = new Socket({
  open: () =>
    new WebSocket(
      `${location.protocol === "https:" ? "wss" : "ws"}://${location.host}${url("").replace(/v1$/, "live")}`,
      subprotocol,
    ) as unknown as SocketLike,
  now: () => Date.now(),
  after: (ms, run) => {
    const id = setTimeout(run, ms);
    return () => clearTimeout(id);
  },
  random: Math.random,
  build: boot.build,
  async probe() {
    try {
      await fetchFleet();
      return "ok";
    } catch (err) {
      return err instanceof ApiError && err.status === 401 ? "signedout" : "down";
    }
  },
  changed: (next) => {
    conn.value = next;
    if (next.state === "signedout") signedOut.value = true;
    fleet.setOld(next.state === "stale" || next.state === "reconnecting");
    poll(next.state === "polling");
  },
  welcomed: (w) => {
    if (w.me) me.value = w.me;
    if (fleet.loaded && w.epoch && w.epoch !== fleet.epoch) void refetch();
  },
  clock: syncClock,
});

let fleetSub: ReturnType<Socket["sub"]> | undefined;
let rowsSub: ReturnType<Socket["sub"]> | undefined;
let rowsKey = "";
let fetching: Promise<void> | undefined;

/** Ask for the whole fleet; an answer that is unchanged costs nothing. */
async function fetchFleet(): Promise<void> {
  const headers: Record<string, string> = etag ? { "If-None-Match": etag } : {};
  let res: Response;
  try {
    res = await fetch(url("/fleet"), { headers, credentials: "same-origin", cache: "no-store" });
  } catch {
    throw new ApiError(0, "Cannot reach the server", "The server does not answer.");
  }
  if (res.status === 304) return;
  if (res.status === 401) signedOut.value = true;
  if (!res.ok) throw new ApiError(res.status, `The server answered ${res.status}`, await res.text().catch(() => ""));
  const snapshot = (await res.json()) as Fleet;
  etag = res.headers.get("ETag") ?? "";
  syncClock(snapshot.now);
  fleet.load(snapshot);
  fleetError.value = undefined;
  socket.epoch = snapshot.epoch;
}

/** Fetch the fleet anew and go on from there; several calls share one request. */
function refetch(): Promise<void> {
  fetching ??= fetchFleet()
    .then(() => {
      const since = fleet.seq;
      if (fleetSub) fleetSub.update({ since });
      else
        fleetSub = socket.sub(
          "fleet",
          {
            delta: (d) => fleet.apply(d.fleet, d.seq),
            reset: () => {
              etag = "";
              void refetch();
            },
          },
          { since },
        );
      rowsKey = ""; // the page names its rows anew after the flush that load causes
    })
    .catch((err) => {
      fleetError.value = err;
      if (!(err instanceof ApiError && err.status === 401)) setTimeout(() => void refetch(), 2000);
    })
    .finally(() => {
      fetching = undefined;
    });
  return fetching;
}

let polling: ReturnType<typeof setInterval> | undefined;
function poll(on: boolean): void {
  if (on && !polling) polling = setInterval(() => void fetchFleet().catch(() => {}), 15_000);
  if (!on && polling) {
    clearInterval(polling);
    polling = undefined;
  }
}

/** Name the rows that are on the screen: only they are told in detail. */
export function watchRows(handles: number[]): void {
  const key = handles.join();
  if (key === rowsKey || !fleet.loaded) return;
  rowsKey = key;
  if (handles.length === 0) {
    rowsSub?.end();
    rowsSub = undefined;
  } else if (rowsSub) rowsSub.update({ ids: handles, since: undefined });
  else
    rowsSub = socket.sub(
      "rows",
      // A reset of rows comes with one of the fleet, after which the page names them anew.
      { delta: (d) => fleet.applyRows(d.rows) },
      { ids: handles },
    );
}

/** Try to connect now. */
export function retryNow(): void {
  socket.retry();
  if (!fleet.loaded) void refetch();
}

/** Connect, follow the fleet, and send less to a tab that nobody looks at. */
export function startLive(): void {
  socket.start();
  void refetch();
  socket.sub("activity", {
    events: (events) => {
      if (events.some((e) => e.config)) edits.value++;
      for (const hear of activity) hear(events);
    },
  });
  addEventListener("online", () => socket.retry());
  let hidden: ReturnType<typeof setTimeout> | undefined;
  document.addEventListener("visibilitychange", () => {
    clearTimeout(hidden);
    if (document.hidden) {
      socket.setRate(1);
      hidden = setTimeout(() => socket.setRate(0), 5 * 60_000);
    } else {
      socket.setRate(10);
      socket.retry();
      fleet.touch();
    }
  });
}

const activity = new Set<(events: WireEvent[]) => void>();

/**
 * Hear the events of a topic while the component is on the page: activity,
 * system:ID or rule:ID. reset is called when events were lost; fetch anew then.
 * A topic of null hears nothing.
 */
export function useTopic(topic: string | null, hear: (events: WireEvent[]) => void, reset?: () => void): void {
  const latest = useRef({ hear, reset });
  latest.current = { hear, reset };
  useEffect(() => {
    if (!topic) return;
    if (topic === "activity") {
      const one = (events: WireEvent[]) => latest.current.hear(events);
      activity.add(one);
      return () => {
        activity.delete(one);
      };
    }
    const sub = socket.sub(topic, { events: (events) => latest.current.hear(events), reset: () => latest.current.reset?.() });
    return () => sub.end();
  }, [topic]);
}

/** Reports whether the server can be asked to do things now; when not, why. */
export function offlineReason(): string | undefined {
  const state = conn.value.state;
  return state === "reconnecting" ? "Not connected to the server" : undefined;
}

declare global {
  interface Window {
    /** For tests in a browser: what the page has been told. */
    tocsin?: { fleet: FleetStore; conn: () => Conn; api: typeof api };
  }
}

if (typeof window !== "undefined") window.tocsin = { fleet, conn: () => socket.conn, api };
