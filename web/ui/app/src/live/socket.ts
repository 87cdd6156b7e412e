import { CloseRights, CloseSession, CloseTooOld, type Frame, type Me, type Push } from "../api.gen";
import { decode, deliver, encode, type Sink, version } from "./protocol";

/** How the connection is, as people see it. */
export type ConnState = "connecting" | "live" | "slow" | "stale" | "catchup" | "reconnecting" | "polling" | "signedout" | "outdated";

/** The connection, for the pill and the banner. Instants are in ms of this machine's clock. */
export interface Conn {
  state: ConnState;
  /** When the newest frame came; 0 for none yet. */
  heard: number;
  /** When the next attempt is made; 0 when none is planned. */
  retryAt: number;
  /** Frames a second that the server sends at. */
  hz: number;
  /** The build of the interface that the server serves differs from ours. */
  newBuild: boolean;
}

/** The part of a WebSocket that this needs. */
export interface SocketLike {
  onopen: (() => void) | null;
  onmessage: ((e: { data: unknown }) => void) | null;
  onclose: ((e: { code: number }) => void) | null;
  send(text: string): void;
  close(code?: number): void;
}

/** The world around the socket, so that tests can be it. */
export interface World {
  open(): SocketLike;
  now(): number;
  after(ms: number, run: () => void): () => void;
  random(): number;
  /** Asks over HTTP how the server is, when the socket cannot tell. */
  probe(): Promise<"ok" | "signedout" | "down">;
  changed(conn: Conn): void;
  welcomed?(push: { epoch: string; seq: number; me?: Me }): void;
  clock?(serverNow: number): void;
  build?: string;
}

interface Sub {
  id: number;
  topic: string;
  ids?: number[];
  since?: number;
  sink: Sink;
}

const firstWait = 500;
const longestWait = 20_000;

/**
 * A connection that keeps itself: it says hello, subscribes, resumes each
 * subscription from the sequence it has seen, notices silence, and comes back
 * with growing, random pauses.
 */
export class Socket {
  conn: Conn = { state: "connecting", heard: 0, retryAt: 0, hz: 10, newBuild: false };
  /** The epoch of the handles and sequences that the subscriptions hold. */
  epoch = "";
  private ws?: SocketLike;
  private subs = new Map<number, Sub>();
  private lastId = 0;
  private welcome = false;
  private greeted = false; // hello is sent: what comes after it must be told, also before the welcome
  private attempts = 0;
  private heartbeat = 5000;
  private stopWatch?: () => void;
  private stopRetry?: () => void;
  private stopSettle?: () => void;
  private rate: Frame = { t: "hz", max: 10 };
  private retryRange: [number, number] | undefined;
  private ended = false;
  private everLive = false;

  constructor(private world: World) {}

  /** Connect, and stay connected. */
  start(): void {
    this.ended = false;
    this.connect();
  }

  /** Close for good. */
  stop(): void {
    this.ended = true;
    this.stopRetry?.();
    this.stopWatch?.();
    this.stopSettle?.();
    this.ws?.close(1000);
  }

  /** Try at once: somebody clicked, the network is back, the tab is looked at. */
  retry(): void {
    if (this.welcome || this.ended || this.conn.state === "outdated") return;
    if (this.ws) return; // an attempt is under way
    this.stopRetry?.();
    this.connect();
  }

  /** Subscribe; the result changes what it asks for, or ends it. */
  sub(
    topic: string,
    sink: Sink,
    ask: { ids?: number[]; since?: number } = {},
  ): { update(ask: { ids?: number[]; since?: number }): void; end(): void } {
    const sub: Sub = { id: ++this.lastId, topic, sink, ...ask };
    this.subs.set(sub.id, sub);
    this.send(this.frameOf(sub));
    return {
      update: (next) => {
        Object.assign(sub, next);
        if (this.subs.has(sub.id)) this.send(this.frameOf(sub));
      },
      end: () => {
        if (this.subs.delete(sub.id)) this.send({ t: "unsub", id: sub.id });
      },
    };
  }

  /** Ask for at most max frames a second; 0 pauses. */
  setRate(max: number): void {
    this.rate = max > 0 ? { t: "hz", max } : { t: "pause" };
    this.send(this.rate);
  }

  /** The epoch goes with it: a server that knows another one answers with a reset instead of wrong rows. */
  private frameOf(sub: Sub): Frame {
    return { t: "sub", id: sub.id, topic: sub.topic, ids: sub.ids, since: sub.since, epoch: this.epoch || undefined };
  }

  private send(frame: Frame): void {
    if (this.greeted) this.ws?.send(encode(frame));
  }

  private set(conn: Partial<Conn>): void {
    this.conn = { ...this.conn, ...conn };
    this.world.changed(this.conn);
  }

  private connect(): void {
    this.attempts++;
    this.set({ retryAt: 0, state: this.everLive || this.attempts > 1 ? this.conn.state : "connecting" });
    let ws: SocketLike;
    try {
      ws = this.world.open();
    } catch {
      this.lost(0);
      return;
    }
    this.ws = ws;
    this.watch(10_000);
    ws.onopen = () => {
      if (ws !== this.ws) return;
      const subs = [...this.subs.values()].map((sub) => this.frameOf(sub));
      this.greeted = true;
      ws.send(encode({ t: "hello", v: version, build: this.world.build, epoch: this.epoch || undefined, subs }));
    };
    ws.onmessage = (e) => {
      if (ws !== this.ws || typeof e.data !== "string") return;
      const push = decode(e.data);
      if (push) this.take(push);
    };
    ws.onclose = (e) => {
      if (ws === this.ws) this.lost(e.code);
    };
  }

  private take(push: Push): void {
    const now = this.world.now();
    if (push.now) this.world.clock?.(push.now);
    this.watch(this.heartbeat * 2.5);
    const patch: Partial<Conn> = { heard: now };
    switch (push.t) {
      case "welcome":
        this.welcomed(push, patch);
        break;
      case "hb":
        if (push.hz) patch.hz = push.hz;
        break;
      case "bye":
        this.retryRange = push.retry_ms;
        break;
      default:
        this.forward(push);
    }
    if (this.welcome && push.t !== "welcome" && this.conn.state !== "catchup")
      patch.state = (patch.hz ?? this.conn.hz) < 2 && this.rate.max === 10 ? "slow" : "live";
    if (patch.state && patch.state !== this.conn.state) this.set(patch);
    else this.conn.heard = now; // heard alone redraws nothing: the pill looks at it on its own tick
    if (patch.hz && patch.hz !== this.conn.hz) this.set(patch);
  }

  private welcomed(push: Push, patch: Partial<Conn>): void {
    this.welcome = true;
    this.attempts = 0;
    this.retryRange = undefined;
    this.heartbeat = push.hb || 5000;
    this.watch(this.heartbeat * 2.5);
    const catchup = this.everLive;
    this.everLive = true;
    patch.retryAt = 0;
    patch.hz = push.hz ?? 10;
    patch.newBuild = !!push.build && !!this.world.build && this.world.build !== "dev" && push.build !== this.world.build;
    patch.state = catchup ? "catchup" : "live";
    if (catchup) {
      this.stopSettle?.();
      this.stopSettle = this.world.after(800, () => this.conn.state === "catchup" && this.set({ state: "live" }));
    }
    this.send(this.rate);
    this.world.welcomed?.({ epoch: push.epoch ?? "", seq: push.seq ?? 0, me: push.you });
  }

  private forward(push: Push): void {
    const sub = this.subs.get(push.sub ?? 0);
    if (!sub) return;
    if (push.t === "reset") sub.since = undefined;
    else if (push.seq) sub.since = push.seq;
    deliver(push, sub.sink);
  }

  private watch(ms: number): void {
    this.stopWatch?.();
    this.stopWatch = this.world.after(ms, () => {
      if (this.welcome && this.conn.state !== "stale") {
        this.set({ state: "stale" });
        this.watch(ms); // still silent after as long again: it is dead, without a FIN
        return;
      }
      const ws = this.ws;
      this.lost(0);
      ws?.close();
    });
  }

  private lost(code: number): void {
    const had = this.welcome;
    this.ws = undefined;
    this.welcome = false;
    this.greeted = false;
    this.stopWatch?.();
    this.stopSettle?.();
    if (this.ended) return;
    if (code === CloseSession) {
      this.set({ state: "signedout", retryAt: 0 });
      return;
    }
    if (code === CloseTooOld) {
      this.set({ state: "outdated", retryAt: 0, newBuild: true });
      return;
    }
    if (code === CloseRights) for (const sub of this.subs.values()) sub.sink.reset?.("rights");
    const cap = Math.min(longestWait, firstWait * 2 ** Math.max(0, this.attempts - 1));
    let wait = 100 + this.world.random() * cap;
    if (had && this.retryRange) wait = this.retryRange[0] + this.world.random() * (this.retryRange[1] - this.retryRange[0]);
    this.set({ state: this.conn.state === "polling" ? "polling" : "reconnecting", retryAt: this.world.now() + wait });
    this.stopRetry?.();
    this.stopRetry = this.world.after(wait, () => this.connect());
    if (!had) void this.ask();
  }

  /** A refused upgrade looks like a dead server to a browser, so ask over HTTP which it is. */
  private async ask(): Promise<void> {
    const answer = await this.world.probe();
    if (this.welcome || this.ended) return;
    if (answer === "signedout") {
      this.stopRetry?.();
      this.set({ state: "signedout", retryAt: 0 });
    } else if (answer === "ok" && this.attempts >= 3) this.set({ state: "polling" });
    else if (answer === "down" && this.conn.state === "polling") this.set({ state: "reconnecting" });
  }
}
