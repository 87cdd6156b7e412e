// The API of scripts, made out of one function of the host. It is evaluated
// once, before the script; what it leaves is part of the state that every run
// begins with. api.go describes the same names for people.
"use strict";
(() => {
  const host = globalThis.__host;
  delete globalThis.__host;
  const { parse, stringify } = JSON;

  // A call to the host that did not answer. code is one of the codes of the
  // API: denied, timeout, connect, ...
  class HostError extends Error {
    constructor({ code, message }) {
      super(message);
      this.code = code;
    }
  }
  Object.defineProperty(HostError.prototype, "name", { value: "HostError" });

  const ask = (name, request) => {
    const answer = parse(host(name, `${stringify(request)}`));
    if (answer.error) throw new HostError(answer.error);
    return answer;
  };

  // Options are checked, so that a word that is misspelt is not ignored.
  const options = (call, given, known) => {
    if (given === undefined || given === null) return {};
    if (typeof given !== "object") throw new TypeError(`${call}: the options are ${show(given)}, not an object`);
    for (const name of Object.keys(given)) {
      if (!known.includes(name)) throw new TypeError(`${call} has no option ${name}; it has ${known.join(", ")}`);
    }
    return given;
  };
  const text = (call, what, value) => {
    if (typeof value !== "string" || value === "") throw new TypeError(`${call}: ${what} must be text, it is ${show(value)}`);
    return value;
  };
  const show = (v) => {
    if (typeof v === "string") return v === "" ? "empty" : v;
    if (v instanceof Error) return v.stack ? `${v}\n${v.stack}`.trimEnd() : `${v}`;
    if (typeof v === "function") return `function ${v.name}`;
    if (typeof v !== "object" || v === null) return String(v);
    try {
      return stringify(v, plain);
    } catch {
      return String(v);
    }
  };
  // What JSON has no word for.
  const plain = (_, v) => {
    if (typeof v === "bigint") return Number(v);
    if (v instanceof Map) return Object.fromEntries(v);
    if (v instanceof Set) return [...v];
    return v;
  };

  const bytesOf = (base64) => Uint8Array.from(atob(base64), (c) => c.charCodeAt(0));
  const base64Of = (bytes) => {
    let s = "";
    for (const b of bytes) s += String.fromCharCode(b);
    return btoa(s);
  };
  const isBytes = (v) => v instanceof Uint8Array;
  const utf8 = (s) => Uint8Array.from(unescape(encodeURIComponent(s)), (c) => c.charCodeAt(0));

  class HTTPResponse {
    #base64;
    constructor(a) {
      this.status = a.status;
      this.ok = a.status >= 200 && a.status < 300;
      this.url = a.url;
      this.headers = a.headers ?? {};
      this.body = a.body ?? "";
      this.duration = a.duration_ms;
      this.#base64 = a.body_base64;
    }
    // The body as bytes.
    bytes() {
      return this.#base64 ? bytesOf(this.#base64) : utf8(this.body);
    }
    // The body as text. It fails when it is none.
    text() {
      if (this.#base64) throw new TypeError(`the body of ${this.url} is not UTF-8; use bytes()`);
      return this.body;
    }
    json() {
      const body = this.text();
      try {
        return parse(body);
      } catch (e) {
        throw new SyntaxError(`the body of ${this.url} (status ${this.status}) is not JSON: ${e.message}; it begins with ${show(body.slice(0, 60))}`);
      }
    }
  }

  const httpOptions = ["method", "url", "headers", "query", "body", "json", "timeout", "redirect"];
  const request = async (given) => {
    const o = options("http.request", given, httpOptions);
    const q = { method: o.method ? String(o.method).toUpperCase() : "GET", url: text("http", "the URL", o.url), headers: {} };
    for (const [name, value] of Object.entries(o.headers ?? {})) {
      if (value !== undefined && value !== null) q.headers[name] = String(value);
    }
    if (o.query) {
      const pairs = [];
      for (const [name, value] of Object.entries(o.query)) {
        for (const one of Array.isArray(value) ? value : [value]) {
          if (one !== undefined && one !== null) pairs.push(`${encodeURIComponent(name)}=${encodeURIComponent(String(one))}`);
        }
      }
      const [rest, hash] = q.url.split("#", 2);
      if (pairs.length > 0) q.url = rest + (rest.includes("?") ? "&" : "?") + pairs.join("&") + (hash === undefined ? "" : `#${hash}`);
    }
    if (o.json !== undefined) {
      if (o.body !== undefined) throw new TypeError("http: json and body exclude each other");
      q.body = stringify(o.json, plain);
      if (!Object.keys(q.headers).some((h) => h.toLowerCase() === "content-type")) q.headers["Content-Type"] = "application/json";
    } else if (isBytes(o.body)) {
      q.body_base64 = base64Of(o.body);
    } else if (o.body !== undefined && o.body !== null) {
      if (typeof o.body !== "string") throw new TypeError(`http: the body is ${show(o.body)}; it must be text or bytes, or use the option json`);
      q.body = o.body;
    }
    if (o.timeout !== undefined) q.timeout_ms = milliseconds("http", o.timeout);
    if (o.redirect === false) q.no_redirect = true;
    return new HTTPResponse(ask("http", q));
  };
  const milliseconds = (call, value) => {
    if (typeof value !== "number" || !(value > 0)) throw new TypeError(`${call}: timeout is ${show(value)}; it must be a number of milliseconds above 0`);
    return Math.max(1, Math.round(value));
  };
  const without = (method) => (url, o) => request({ ...options(`http.${method}`, o, httpOptions), method, url });
  const withBody = (method) => (url, body, o) => {
    const rest = { ...options(`http.${method}`, o, httpOptions), method, url };
    if (body !== undefined && body !== null && typeof body !== "string" && !isBytes(body)) rest.json = body;
    else if (body !== undefined && body !== null) rest.body = body;
    return request(rest);
  };
  const http = {
    get: without("get"),
    head: without("head"),
    delete: without("delete"),
    post: withBody("post"),
    put: withBody("put"),
    patch: withBody("patch"),
    request,
  };

  class Connection {
    #conn;
    constructor(conn) {
      this.#conn = conn;
    }
    async send(data) {
      const q = { op: "send", conn: this.#conn };
      if (isBytes(data)) q.data_base64 = base64Of(data);
      else q.data = String(data);
      return ask("tcp", q).sent ?? 0;
    }
    async #receive(o) {
      const q = { op: "receive", conn: this.#conn };
      const given = options("receive", o, ["until", "max", "timeout"]);
      if (given.until !== undefined) q.until = String(given.until);
      if (given.max !== undefined) q.max = given.max;
      if (given.timeout !== undefined) q.timeout_ms = milliseconds("receive", given.timeout);
      return ask("tcp", q);
    }
    async receive(o) {
      const a = await this.#receive(o);
      if (a.data_base64) throw new TypeError("what was received is not UTF-8; use receiveBytes()");
      return a.data ?? "";
    }
    async receiveBytes(o) {
      const a = await this.#receive(o);
      return a.data_base64 ? bytesOf(a.data_base64) : utf8(a.data ?? "");
    }
    async close() {
      ask("tcp", { op: "close", conn: this.#conn });
    }
  }
  const tcp = {
    connect: async (address, o) => {
      const given = options("tcp.connect", o, ["tls", "timeout"]);
      const q = { op: "dial", address: text("tcp.connect", "the address", address), tls: !!given.tls };
      if (given.timeout !== undefined) q.timeout_ms = milliseconds("tcp.connect", given.timeout);
      return new Connection(ask("tcp", q).conn);
    },
  };

  const tls = {
    info: async (name, o) => {
      const given = options("tls.info", o, ["serverName", "timeout"]);
      const q = { host: text("tls.info", "the host", name) };
      if (given.serverName !== undefined) q.server_name = String(given.serverName);
      if (given.timeout !== undefined) q.timeout_ms = milliseconds("tls.info", given.timeout);
      const a = ask("tls_info", q);
      return {
        version: a.version,
        cipherSuite: a.cipher_suite,
        alpn: a.alpn,
        verified: a.verified,
        verifyError: a.verify_error,
        duration: a.duration_ms,
        certificates: (a.certificates ?? []).map((c) => {
          const notAfter = new Date(c.not_after);
          return {
            subject: c.subject,
            issuer: c.issuer,
            dnsNames: c.dns_names ?? [],
            notBefore: new Date(c.not_before),
            notAfter,
            daysLeft: (notAfter - Date.now()) / 86400000,
            serial: c.serial,
            sha256: c.sha256,
            keyType: c.key_type,
          };
        }),
      };
    },
  };

  const dns = {
    lookup: async (name, type = "A", o) => {
      const given = options("dns.lookup", o, ["timeout"]);
      const q = { name: text("dns.lookup", "the name", name), type: String(type).toUpperCase() };
      if (given.timeout !== undefined) q.timeout_ms = milliseconds("dns.lookup", given.timeout);
      return ask("dns", q).records ?? [];
    },
  };

  const kv = {
    get: async (key) => {
      const a = ask("kv_get", { key: text("kv.get", "the key", key) });
      if (!a.found) return undefined;
      try {
        return parse(a.value ?? "");
      } catch {
        return a.value; // another language wrote it
      }
    },
    set: async (key, value) => {
      const written = stringify(value, plain);
      if (written === undefined) throw new TypeError(`kv.set: ${show(value)} cannot be kept; use kv.delete to forget ${show(key)}`);
      ask("kv_set", { key: text("kv.set", "the key", key), value: written });
    },
    delete: async (key) => {
      ask("kv_set", { key: text("kv.delete", "the key", key), delete: true });
    },
  };

  const secret = (name) => ask("secret", { name: text("secret", "the name", name) }).handle;
  const reveal = (name) => ask("reveal", { name: text("reveal", "the name", name) }).value;

  const say =
    (level) =>
    (...parts) => {
      host("log", `${stringify({ level, text: parts.map(show).join(" ") })}`);
    };
  const log = { debug: say("debug"), info: say("info"), warn: say("warn"), error: say("error") };
  globalThis.console = { debug: log.debug, log: log.info, info: log.info, warn: log.warn, error: log.error, trace: log.debug };

  const sleep = async (ms) => {
    if (typeof ms !== "number" || !(ms >= 0)) throw new TypeError(`sleep: ${show(ms)} is not a number of milliseconds`);
    host("sleep", `${Math.round(ms)}`);
  };

  // Math.random: sfc32 by Chris Doty-Humphrey (PractRand), seeded by the run, so
  // that a replay draws the same numbers.
  let a = 0;
  let b = 0;
  let c = 0;
  let d = 1;
  const next = () => {
    const t = (((a + b) | 0) + d) | 0;
    d = (d + 1) | 0;
    a = b ^ (b >>> 9);
    b = (c + (c << 3)) | 0;
    c = ((c << 21) | (c >>> 11)) + t;
    c |= 0;
    return t >>> 0;
  };
  const seed = (n) => {
    a = n | 0;
    b = Math.floor(n / 4294967296) | 0;
    c = 0;
    d = 1;
    for (let i = 0; i < 12; i++) next();
  };
  Math.random = () => (next() * 2097152 + (next() >>> 11)) / 9007199254740992;
  seed(0);

  const words = ["outcome", "summary", "samples", "detail", "error"];
  // The answer of a script in the words of the contract.
  const response = (v) => {
    switch (typeof v) {
      case "undefined":
        return { outcome: "pass" };
      case "boolean":
        return v ? { outcome: "pass" } : { outcome: "fail", error: "it does not hold" };
      case "bigint":
      case "number":
        return { outcome: "pass", summary: String(v), samples: { value: Number(v) } };
      case "string":
        return { outcome: "pass", summary: v };
      case "object":
        break;
      default:
        throw new TypeError(`the script returned a ${typeof v}; return true, false, a number, text, samples, or { outcome, summary, samples }`);
    }
    if (v === null) return { outcome: "pass" };
    if (v instanceof Error) throw v;
    if (Array.isArray(v)) throw new TypeError("the script returned a list; return true, false, a number, text, samples, or { outcome, summary, samples }");
    const names = Object.keys(v);
    const whole = names.length > 0 && names.every((n) => words.includes(n));
    if (!whole && !names.includes("outcome") && !names.includes("samples")) return { outcome: "pass", samples: v };
    for (const n of names) {
      if (!words.includes(n)) throw new TypeError(`the script returned ${n} beside ${names.filter((w) => words.includes(w)).join(" and ")}; put values into samples`);
    }
    const out = { outcome: v.error === undefined ? "pass" : "fail", ...v };
    if (out.error !== undefined) out.error = show(out.error);
    return out;
  };

  // Codes with which the target has nothing to do.
  const ours = ["denied", "invalid", "quota", "too_large", "not_found", "storage"];
  const threw = (e) => {
    if (e instanceof HostError && !ours.includes(e.code)) return { outcome: "fail", summary: e.message, error: e.message };
    const what = e instanceof Error ? { name: `${e.name}`, message: `${e.message}`, stack: `${e.stack ?? ""}` } : { name: "", message: `it threw ${show(e)}`, stack: "" };
    host("threw", `${stringify(what)}`);
  };

  const context = (q) => {
    const began = Date.now();
    return {
      config: q.config,
      check: { id: q.check.id, name: q.check.name, interval: q.check.interval_seconds },
      system: q.system,
      http,
      tcp,
      tls,
      dns,
      kv,
      secret,
      reveal,
      log,
      sleep,
      now: new Date(q.now),
      timeLeft: () => Math.max(0, q.deadline_ms - (Date.now() - began)),
    };
  };

  const entries = {
    tocsin_describe() {
      const s = globalThis.__script ?? {};
      host("output", `${stringify({ manifest: s.manifest ?? null, collects: typeof s.default, exports: Object.keys(s) }, plain)}`);
    },
    tocsin_collect() {
      const q = parse(host("input", ""));
      seed(q.seed);
      const collect = globalThis.__script.default;
      (async () => {
        let answer;
        try {
          answer = `${stringify(response(await collect(context(q))), plain)}`;
        } catch (e) {
          answer = `${stringify(threw(e))}`;
        }
        host("output", answer);
      })();
    },
  };
  Object.defineProperty(globalThis, "__tocsin", { value: Object.freeze(entries) });
})();
