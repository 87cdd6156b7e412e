import { Kind, Value } from "./json";

/** Why a call gave no answer. */
export class Problem {
  /**
   * code is denied, invalid, quota, too_large, timeout, dns, connect, tls,
   * redirects, protocol, not_found or storage, and empty when the target
   * answered wrongly.
   */
  constructor(public code: string, public message: string) {}

  /** The target has nothing to do with it: the grant, a quota or the host has. */
  get ours(): bool {
    return ["denied", "invalid", "quota", "too_large", "not_found", "storage"].includes(this.code);
  }

  toString(): string { return this.code == "" ? this.message : this.message + " (" + this.code + ")"; }
}

/** What a run answers. */
export class Answer {
  protected document: Value = Value.object();

  static pass(summary: string = ""): Answer { return Answer.make("pass", summary, ""); }

  /** Only a warning does not hold. */
  static warn(summary: string): Answer { return Answer.make("warn", summary, summary); }

  /** The target answered wrongly or was not reached. */
  static fail(summary: string): Answer { return Answer.make("fail", summary, summary); }

  /** We could not ask: it never moves health. */
  static error(reason: string): Answer { return Answer.make("error", "", reason); }

  /** Error when we could not ask, otherwise fail. */
  static unreached(p: Problem): Answer {
    return p.ours ? Answer.error(p.toString()) : Answer.fail(p.toString());
  }

  /**
   * The comfortable answers: true and false, a number as the sample value, text
   * as the summary of a pass, an object as samples, a Problem as unreached.
   */
  static of<T>(v: T): Answer {
    if (isBoolean<T>()) {
      return v ? Answer.pass() : Answer.fail("it does not hold");
    } else if (isInteger<T>() || isFloat<T>()) {
      const n = Value.of<T>(v);
      return Answer.pass(n.toString()).value("value", n);
    } else if (isString<T>()) {
      return Answer.pass(changetype<string>(v));
    } else if (v instanceof Problem) {
      return Answer.unreached(v);
    } else if (v instanceof Value) {
      const out = Answer.pass();
      if (v.kind != Kind.Object) return Answer.error("the collector answered " + v.toString() + "; an object of samples is expected");
      out.document.set("samples", v);
      return out;
    } else {
      ERROR("Answer.of takes bool, numbers, string, Value and Problem");
    }
  }

  /** Of an action: another attempt may help, not earlier than after so many milliseconds. */
  static again(reason: string, afterMs: f64 = 0): Answer {
    const out = Answer.error(reason);
    if (afterMs > 0) out.document.set("retry_after_ms", afterMs);
    return out;
  }

  private static make(outcome: string, summary: string, error: string): Answer {
    const out = new Answer();
    out.document.set("outcome", outcome);
    if (summary != "") out.document.set("summary", summary);
    if (error != "") out.document.set("error", error);
    return out;
  }

  private within(field: string, name: string, v: Value): Answer {
    if (this.document.get(field).isNull) this.document.set(field, Value.object());
    this.document.get(field).set(name, v);
    return this;
  }

  /** Reports a value under a name that the manifest declares. */
  value(name: string, v: Value): Answer { return this.within("samples", name, v); }
  num(name: string, v: f64): Answer { return this.value(name, Value.of(v)); }
  text(name: string, v: string): Answer { return this.value(name, Value.of(v)); }
  flag(name: string, v: bool): Answer { return this.value(name, Value.of(v)); }

  /** What assertions see as detail; it is not stored. */
  detail(v: Value): Answer {
    this.document.set("detail", v);
    return this;
  }

  /** Of an action: gives later steps a value. */
  output(name: string, v: Value): Answer { return this.within("output", name, v); }

  toString(): string { return this.document.toString(); }
}
