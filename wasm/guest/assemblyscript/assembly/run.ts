import { Answer, Problem } from "./answer";
import { Level, ask, fillRandom, log, nowNs } from "./host";
import { Kind, Value } from "./json";
import { Field } from "./manifest";

/** What became of a call to the host. */
export class Result {
  constructor(public value: Value, public problem: Problem | null) {}

  get failed(): bool { return this.problem !== null; }

  /** The answer of a run whose call failed. */
  answer(): Answer { return this.problem ? Answer.unreached(this.problem!) : Answer.error("the call did not fail"); }
}

/** A request by HTTP. */
export class HttpRequest {
  document: Value = Value.object();

  constructor(url: string, method: string = "GET") { this.document.set("method", method).set("url", url); }

  header(name: string, value: string): HttpRequest {
    if (this.document.get("headers").isNull) this.document.set("headers", Value.object());
    this.document.get("headers").set(name, value);
    return this;
  }

  body(text: string): HttpRequest {
    this.document.set("body", text);
    return this;
  }

  timeoutMs(n: f64): HttpRequest {
    this.document.set("timeout_ms", n);
    return this;
  }

  noRedirect(): HttpRequest {
    this.document.set("no_redirect", true);
    return this;
  }
}

/** An answer by HTTP. */
export class HttpResponse extends Result {
  get status(): i32 { return <i32>this.value.get("status").num(); }
  get url(): string { return this.value.get("url").text(); }
  /** The body, when it is UTF-8. */
  get body(): string { return this.value.get("body").text(); }
  get durationMs(): f64 { return this.value.get("duration_ms").num(); }
  /** A header by its name in lower case. */
  header(name: string): string { return this.value.get("headers").get(name).text(); }
}

/** One call of a collector or an action. */
export class Run {
  constructor(public request: Value, private fields: Field[]) {}

  /** A field of the configuration; its default when it is not configured. */
  config(name: string): Value {
    const v = this.request.get("config").get(name);
    if (!v.isNull) return v;
    for (let i = 0; i < this.fields.length; i++) {
      if (this.fields[i].name == name) return this.fields[i].schema.get("default");
    }
    throw new Error("the manifest declares no field " + name);
  }

  text(name: string): string { return this.typed(name, Kind.Text, "text").text(); }
  num(name: string): f64 { return this.typed(name, Kind.Num, "a number").num(); }
  flag(name: string): bool { return this.typed(name, Kind.Bool, "true or false").flag(); }

  private typed(name: string, kind: Kind, what: string): Value {
    const v = this.config(name);
    if (!v.isNull && v.kind != kind) throw new Error("configuration: " + name + ": " + what + " is expected, it is " + v.toString());
    return v;
  }

  get system(): string { return this.request.get("system").get("id").text(); }
  tag(name: string): string { return this.request.get("system").get("tags").get(name).text(); }

  /** Of an action: the same in every attempt. Send it along, so that what was done is not done twice. */
  get key(): string { return this.request.get("step").get("key").text(); }
  get attempt(): i32 { return <i32>this.request.get("step").get("attempt").num(1); }

  /** The host does what name means with a document, and answers with one. */
  call(name: string, document: Value): Result {
    const read = Value.parse(ask(name, document.toString()));
    if (read.error != "") return new Result(new Value(), new Problem("invalid", name + ": answer of the host: " + read.error));
    const why = read.value.get("error");
    if (why.isNull) return new Result(read.value, null);
    return new Result(read.value, new Problem(why.get("code").text(), why.get("message").text()));
  }

  http(q: HttpRequest): HttpResponse {
    const r = this.call("http", q.document);
    return new HttpResponse(r.value, r.problem);
  }

  /** The JSON at a URL. A status other than 2xx is a problem. */
  fetchJson(url: string): Result {
    const r = this.http(new HttpRequest(url).header("Accept", "application/json"));
    if (r.failed) return r;
    if (r.status < 200 || r.status > 299) return new Result(new Value(), new Problem("", url + " answered " + r.status.toString()));
    const read = Value.parse(r.body);
    if (read.error != "") return new Result(new Value(), new Problem("", url + " answered something else than JSON: " + read.error));
    return new Result(read.value, null);
  }

  /** Connects to host:port; the value is the connection for send, receive and close. */
  dial(address: string, tls: bool = false): Result {
    const r = this.call("tcp", Value.object().set("op", "dial").set("address", address).set("tls", tls));
    return r.failed ? r : new Result(r.value.get("conn"), null);
  }

  send(conn: Value, text: string): Result { return this.call("tcp", Value.object().set("op", "send").set("conn", conn).set("data", text)); }

  /** Reads until a text, which is included, or, when that is empty, what is there; the value has data and eof. */
  receive(conn: Value, until: string = "", max: i32 = 65536): Result {
    const q = Value.object().set("op", "receive").set("conn", conn).set("max", max);
    if (until != "") q.set("until", until);
    return this.call("tcp", q);
  }

  close(conn: Value): Result { return this.call("tcp", Value.object().set("op", "close").set("conn", conn)); }

  /** Asks host or host:port for version, verified, verify_error and certificates. */
  tlsInfo(host: string): Result { return this.call("tls_info", Value.object().set("host", host)); }

  /** The list of records of a type: A, AAAA, CNAME, MX, NS, SRV or TXT. */
  dns(name: string, type: string): Result {
    const r = this.call("dns", Value.object().set("name", name).set("type", type));
    return r.failed ? r : new Result(r.value.get("records").isNull ? Value.list() : r.value.get("records"), null);
  }

  /** What was kept under a key; its value is Null when nothing was. */
  kept(key: string): Result {
    const r = this.call("kv_get", Value.object().set("key", key));
    return r.failed ? r : new Result(r.value.get("found").flag() ? Value.of(r.value.get("value").text()) : new Value(), null);
  }

  /** Keeps a value for later runs. */
  keep(key: string, value: string): Result { return this.call("kv_set", Value.object().set("key", key).set("value", value)); }
  forget(key: string): Result { return this.call("kv_set", Value.object().set("key", key).set("delete", true)); }

  /** A handle of a secret, which the host replaces in what is sent. */
  secret(name: string): Result {
    const r = this.call("secret", Value.object().set("name", name));
    return r.failed ? r : new Result(r.value.get("handle"), null);
  }

  /** The value of a secret, which needs a grant of its own. */
  reveal(name: string): Result {
    const r = this.call("reveal", Value.object().set("name", name));
    return r.failed ? r : new Result(r.value.get("value"), null);
  }

  log(level: Level, text: string): void { log(level, text); }
  info(text: string): void { log(Level.Info, text); }

  /** Milliseconds since 1970-01-01 UTC, by the clock of the run. */
  now(): f64 { return <f64>nowNs() / 1e6; }

  /** Fills bytes from the generator of the run. */
  random(to: Uint8Array): void { fillRandom(to); }
}
