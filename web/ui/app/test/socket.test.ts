import { beforeEach, describe, expect, it } from "vitest";
import type { Frame, Push } from "../src/api.gen";
import { decode } from "../src/live/protocol";
import { type Conn, Socket, type SocketLike } from "../src/live/socket";

class Wire implements SocketLike {
  onopen: (() => void) | null = null;
  onmessage: ((e: { data: unknown }) => void) | null = null;
  onclose: ((e: { code: number }) => void) | null = null;
  sent: Frame[] = [];
  closed = false;
  send(text: string) {
    this.sent.push(JSON.parse(text));
  }
  close() {
    this.closed = true;
  }
  say(push: Partial<Push>) {
    this.onmessage?.({ data: JSON.stringify(push) });
  }
  welcome(more: Partial<Push> = {}) {
    this.onopen?.();
    this.say({ t: "welcome", epoch: "e1", seq: 5, now: 1000, hb: 5000, ...more });
  }
  drop(code = 1006) {
    this.onclose?.({ code });
  }
}

class World {
  t = 0;
  wires: Wire[] = [];
  timers: { at: number; run: () => void }[] = [];
  states: string[] = [];
  answer: "ok" | "signedout" | "down" = "down";
  luck = 0.5;
  build = "b1";
  conn!: Conn;
  open = () => {
    const w = new Wire();
    this.wires.push(w);
    return w;
  };
  now = () => this.t;
  after = (ms: number, run: () => void) => {
    const timer = { at: this.t + ms, run };
    this.timers.push(timer);
    return () => {
      this.timers = this.timers.filter((x) => x !== timer);
    };
  };
  random = () => this.luck;
  probe = async () => this.answer;
  changed = (conn: Conn) => {
    this.conn = conn;
    if (this.states.at(-1) !== conn.state) this.states.push(conn.state);
  };
  pass(ms: number) {
    const end = this.t + ms;
    for (;;) {
      const next = this.timers.filter((x) => x.at <= end).sort((a, b) => a.at - b.at)[0];
      if (!next) break;
      this.timers = this.timers.filter((x) => x !== next);
      this.t = next.at;
      next.run();
    }
    this.t = end;
  }
  get last() {
    return this.wires.at(-1)!;
  }
}

let w: World;
let s: Socket;
beforeEach(() => {
  w = new World();
  s = new Socket(w);
});

describe("Socket", () => {
  it("says hello with all its subscriptions, and is live after the welcome", () => {
    s.sub("fleet", {}, { since: 88 });
    s.epoch = "e1";
    s.start();
    w.last.welcome();
    expect(w.last.sent[0]).toMatchObject({
      t: "hello",
      v: 1,
      build: "b1",
      epoch: "e1",
      subs: [{ t: "sub", id: 1, topic: "fleet", since: 88, epoch: "e1" }],
    });
    expect(w.conn.state).toBe("live");
  });

  it("sends nothing before hello, and what is subscribed between hello and the welcome after it", () => {
    s.start();
    s.sub("activity", {});
    expect(w.last.sent).toEqual([]);
    w.last.onopen?.();
    s.sub("fleet", {}, { since: 0 });
    w.last.say({ t: "welcome", epoch: "e1", seq: 5, now: 1000, hb: 5000 });
    expect(w.last.sent.map((f) => [f.t, f.topic, (f.subs ?? []).length])).toEqual([
      ["hello", undefined, 1],
      ["sub", "fleet", 0],
      ["hz", undefined, 0],
    ]);
  });

  it("resumes each subscription from the sequence it has seen", () => {
    const seen: number[] = [];
    s.sub("fleet", { delta: (d) => seen.push(d.seq) }, { since: 5 });
    s.start();
    w.last.welcome();
    w.last.say({ t: "d", sub: 1, seq: 42, fleet: [] });
    w.last.drop();
    expect(w.conn.state).toBe("reconnecting");
    w.pass(20_000);
    w.last.welcome({ seq: 60 });
    expect(w.last.sent[0]?.subs?.[0]).toMatchObject({ topic: "fleet", since: 42 });
    expect(seen).toEqual([42]);
    expect(w.conn.state).toBe("catchup");
    w.pass(1000);
    expect(w.conn.state).toBe("live");
  });

  it("forgets the sequence of a subscription that is reset, and tells it why", () => {
    const why: string[] = [];
    s.sub("fleet", { reset: (r) => why.push(r) }, { since: 5 });
    s.start();
    w.last.welcome();
    w.last.say({ t: "reset", sub: 1, why: "epoch", seq: 9 });
    expect(why).toEqual(["epoch"]);
    w.last.drop();
    w.pass(20_000);
    w.last.onopen?.();
    expect(w.last.sent[0]?.subs?.[0]?.since).toBeUndefined();
  });

  it("waits longer after each failure, at most 20 s, and never a fixed time", () => {
    w.luck = 1;
    s.start();
    const waits: number[] = [];
    for (let i = 0; i < 9; i++) {
      const at = w.t;
      w.last.drop();
      waits.push(w.conn.retryAt - at);
      w.pass(w.conn.retryAt - at);
    }
    expect(waits).toEqual([600, 1100, 2100, 4100, 8100, 16_100, 20_100, 20_100, 20_100]);
    w.luck = 0;
    w.last.drop();
    expect(w.conn.retryAt - w.t).toBe(100);
  });

  it("begins with short waits again after it was live", () => {
    w.luck = 1;
    s.start();
    for (let i = 0; i < 5; i++) {
      w.last.drop();
      w.pass(20_100);
    }
    w.last.welcome();
    w.last.drop();
    expect(w.conn.retryAt - w.t).toBe(600);
  });

  it("comes back when the server said it would restart", () => {
    w.luck = 0.5;
    s.start();
    w.last.welcome();
    w.last.say({ t: "bye", why: "restart", retry_ms: [500, 4000] });
    w.last.drop(1012);
    expect(w.conn.retryAt - w.t).toBe(2250);
  });

  it("is stale after 2.5 heartbeats of silence, and dead after 5", () => {
    s.start();
    w.last.welcome();
    w.pass(12_400);
    expect(w.conn.state).toBe("live");
    w.pass(200);
    expect(w.conn.state).toBe("stale");
    w.last.say({ t: "hb", now: 1, hz: 10 });
    expect(w.conn.state).toBe("live");
    const wire = w.last;
    w.pass(26_000);
    expect(wire.closed).toBe(true);
    expect(w.wires.length).toBeGreaterThan(1);
  });

  it("gives up on a server that accepts and says nothing", () => {
    s.start();
    w.last.onopen?.();
    w.pass(10_100);
    expect(w.wires[0]?.closed).toBe(true);
    expect(w.conn.state).toBe("reconnecting");
  });

  it("tries at once when asked, but not twice at once", () => {
    s.start();
    w.last.drop();
    expect(w.wires.length).toBe(1);
    s.retry();
    expect(w.wires.length).toBe(2);
    s.retry();
    expect(w.wires.length).toBe(2);
    w.last.welcome();
    s.retry();
    expect(w.wires.length).toBe(2);
  });

  it("stops when the session has ended, and does not try for ever", () => {
    s.start();
    w.last.welcome();
    w.last.drop(4401);
    expect(w.conn.state).toBe("signedout");
    w.pass(100_000);
    expect(w.wires.length).toBe(1);
  });

  it("asks over HTTP why a socket is refused: signed out", async () => {
    w.answer = "signedout";
    s.start();
    w.last.drop();
    await Promise.resolve();
    await Promise.resolve();
    expect(w.conn.state).toBe("signedout");
  });

  it("polls when the server answers but refuses sockets, and goes live when it takes one", async () => {
    w.answer = "ok";
    s.start();
    for (let i = 0; i < 3; i++) {
      w.last.drop();
      await Promise.resolve();
      await Promise.resolve();
      w.pass(20_100);
    }
    expect(w.conn.state).toBe("polling");
    s.retry();
    w.last.welcome();
    w.pass(2000);
    expect(w.conn.state).toBe("live");
  });

  it("says when the server serves another build, and never reloads by itself", () => {
    s.start();
    w.last.welcome({ build: "b2" });
    expect(w.conn.newBuild).toBe(true);
    expect(w.conn.state).toBe("live");
    w.last.drop(4426);
    expect(w.conn.state).toBe("outdated");
    w.pass(60_000);
    s.retry();
    expect(w.wires.length).toBe(1);
  });

  it("is slow when the server lowers its rate, and live again after", () => {
    s.start();
    w.last.welcome();
    w.last.say({ t: "hb", hz: 1 });
    expect(w.conn.state).toBe("slow");
    w.last.say({ t: "hb", hz: 10 });
    expect(w.conn.state).toBe("live");
  });

  it("asks for less in a hidden tab, and keeps asking after a reconnect", () => {
    s.start();
    w.last.welcome();
    s.setRate(1);
    s.setRate(0);
    expect(w.last.sent.slice(-2)).toEqual([{ t: "hz", max: 1 }, { t: "pause" }]);
    w.last.drop();
    w.pass(20_000);
    w.last.welcome();
    expect(w.last.sent.at(-1)).toEqual({ t: "pause" });
  });

  it("ends a subscription", () => {
    const got: unknown[] = [];
    s.start();
    w.last.welcome();
    const sub = s.sub("system:a", { events: (e) => got.push(...e) });
    w.last.say({ t: "e", sub: 1, seq: 6, ev: [{ config: "system:a" }] });
    sub.end();
    expect(w.last.sent.at(-1)).toEqual({ t: "unsub", id: 1 });
    w.last.say({ t: "e", sub: 1, seq: 7, ev: [{ config: "system:a" }] });
    expect(got).toHaveLength(1);
  });

  it("is not disturbed by frames it does not understand", () => {
    s.start();
    w.last.welcome();
    for (const text of ["", "{", "null", "[]", "7", '{"t":7}', '{"t":"new thing","sub":1}']) w.last.onmessage?.({ data: text });
    w.last.onmessage?.({ data: new ArrayBuffer(8) });
    expect(w.conn.state).toBe("live");
  });

  it("hears nothing from a socket it has left", () => {
    s.start();
    const old = w.last;
    old.welcome();
    old.drop();
    w.pass(20_000);
    old.say({ t: "welcome", epoch: "x" });
    old.drop(4401);
    expect(w.conn.state).toBe("reconnecting");
  });
});

describe("decode", () => {
  it("takes frames and nothing else", () => {
    expect(decode('{"t":"hb","seq":3}')).toEqual({ t: "hb", seq: 3 });
    for (const bad of ["", "x", "1", "null", "[1]", '{"a":1}']) expect(decode(bad)).toBeNull();
  });
});
