/** What a Value is. */
export enum Kind { Null, Bool, Num, Text, List, Object }

const DEEPEST: i32 = 128;

/** A JSON value. Numbers are f64: integers are exact up to 2^53. */
export class Value {
  private number: f64 = 0;
  private string: string = "";
  private items: Value[] = [];
  private names: string[] = [];

  constructor(public kind: Kind = Kind.Null) {}

  static of<T>(v: T): Value {
    if (isBoolean<T>()) {
      const out = new Value(Kind.Bool);
      out.number = v ? 1 : 0;
      return out;
    } else if (isInteger<T>() || isFloat<T>()) {
      const out = new Value(Kind.Num);
      out.number = <f64>v;
      return out;
    } else if (isString<T>()) {
      const out = new Value(Kind.Text);
      out.string = changetype<string>(v);
      return out;
    } else if (v instanceof Value) {
      return v;
    } else {
      ERROR("Value.of takes bool, numbers, string and Value");
    }
  }

  static object(): Value { return new Value(Kind.Object); }
  static list(): Value { return new Value(Kind.List); }

  /** Reads a document; Parsed.error says what is wrong and where. */
  static parse(text: string): Parsed {
    const r = new Reader(text);
    const value = r.value();
    if (r.error == "") {
      r.space();
      if (r.at < text.length) r.refuse("the document goes on after its end");
    }
    return new Parsed(value, r.error);
  }

  /** A field of an object, a Value of kind Null when there is none. */
  get(name: string): Value {
    if (this.kind == Kind.Object) {
      const i = this.names.lastIndexOf(name);
      if (i >= 0) return this.items[i];
    }
    return new Value();
  }

  /** An item of a list, a Value of kind Null when there is none. */
  at(i: i32): Value {
    return this.kind == Kind.List && i >= 0 && i < this.items.length ? this.items[i] : new Value();
  }

  /** How many items or fields it has. */
  get length(): i32 { return this.items.length; }

  /** Names of the fields of an object. */
  keys(): string[] { return this.names; }

  set<T>(name: string, v: T): Value {
    const i = this.names.indexOf(name);
    if (i >= 0) this.items[i] = Value.of<T>(v);
    else this.add(name, Value.of<T>(v));
    return this;
  }

  push<T>(v: T): Value {
    this.items.push(Value.of<T>(v));
    return this;
  }

  /** Appends a field without looking for one of the same name. */
  add(name: string, v: Value): void {
    this.names.push(name);
    this.items.push(v);
  }

  get isNull(): bool { return this.kind == Kind.Null; }

  /** The number, or what to use when it is none. */
  num(otherwise: f64 = 0): f64 { return this.kind == Kind.Num ? this.number : otherwise; }
  text(otherwise: string = ""): string { return this.kind == Kind.Text ? this.string : otherwise; }
  flag(otherwise: bool = false): bool { return this.kind == Kind.Bool ? this.number != 0 : otherwise; }

  /** It as JSON. A number that JSON cannot hold is null. */
  toString(): string {
    const out: string[] = [];
    this.write(out);
    return out.join("");
  }

  private write(out: string[]): void {
    switch (this.kind) {
      case Kind.Null: out.push("null"); return;
      case Kind.Bool: out.push(this.number != 0 ? "true" : "false"); return;
      case Kind.Num: out.push(written(this.number)); return;
      case Kind.Text: quote(out, this.string); return;
      case Kind.List:
        out.push("[");
        for (let i = 0; i < this.items.length; i++) {
          if (i > 0) out.push(",");
          this.items[i].write(out);
        }
        out.push("]");
        return;
      default:
        out.push("{");
        for (let i = 0; i < this.items.length; i++) {
          if (i > 0) out.push(",");
          quote(out, this.names[i]);
          out.push(":");
          this.items[i].write(out);
        }
        out.push("}");
    }
  }
}

/** What became of reading a document. */
export class Parsed {
  constructor(public value: Value, public error: string) {}
}

function written(n: f64): string {
  if (!isFinite(n)) return "null";
  if (Math.trunc(n) == n && Math.abs(n) < 9007199254740992) return (<i64>n).toString();
  return n.toString();
}

function quote(out: string[], text: string): void {
  out.push("\"");
  let plain = 0;
  for (let i = 0; i < text.length; i++) {
    const c = text.charCodeAt(i);
    if (c >= 0x20 && c != 0x22 && c != 0x5c) continue;
    if (i > plain) out.push(text.substring(plain, i));
    plain = i + 1;
    if (c == 0x22) out.push("\\\"");
    else if (c == 0x5c) out.push("\\\\");
    else if (c == 0x0a) out.push("\\n");
    else if (c == 0x0d) out.push("\\r");
    else if (c == 0x09) out.push("\\t");
    else out.push("\\u00" + (c < 16 ? "0" : "") + c.toString(16));
  }
  if (plain < text.length) out.push(text.substring(plain));
  out.push("\"");
}

class Reader {
  at: i32 = 0;
  error: string = "";
  private depth: i32 = 0;

  constructor(private document: string) {}

  refuse(what: string): Value {
    if (this.error == "") this.error = "JSON, character " + (this.at + 1).toString() + ": " + what;
    return new Value();
  }

  private peek(): i32 { return this.at < this.document.length ? this.document.charCodeAt(this.at) : -1; }

  space(): void {
    for (let c = this.peek(); c == 0x20 || c == 0x0a || c == 0x0d || c == 0x09; c = this.peek()) this.at++;
  }

  value(): Value {
    this.space();
    const c = this.peek();
    if (c == 0x7b || c == 0x5b) return this.items(c == 0x7b);
    if (c == 0x22) return Value.of(this.string());
    if (c == 0x2d || (c >= 0x30 && c <= 0x39)) return this.number();
    if (this.word("null")) return new Value();
    if (this.word("true")) return Value.of(true);
    if (this.word("false")) return Value.of(false);
    return this.refuse(c < 0 ? "the document ends where a value is expected" : "a value is expected");
  }

  private word(w: string): bool {
    if (!this.document.substr(this.at, w.length).startsWith(w)) return false;
    this.at += w.length;
    return true;
  }

  private items(object: bool): Value {
    const out = new Value(object ? Kind.Object : Kind.List);
    const close = object ? 0x7d : 0x5d;
    this.at++;
    if (++this.depth > DEEPEST) return this.refuse("it nests too deep");
    this.space();
    if (this.peek() == close) {
      this.at++;
      this.depth--;
      return out;
    }
    while (true) {
      let name = "";
      this.space();
      if (object) {
        if (this.peek() != 0x22) return this.refuse("the name of a field is expected");
        name = this.string();
        if (this.error != "") return out;
        this.space();
        if (this.peek() != 0x3a) return this.refuse("a colon is expected");
        this.at++;
      }
      const item = this.value();
      if (this.error != "") return out;
      if (object) out.add(name, item);
      else out.push(item);
      this.space();
      const c = this.peek();
      if (c != close && c != 0x2c) return this.refuse("a comma or the end of the list or object is expected");
      this.at++;
      if (c == close) {
        this.depth--;
        return out;
      }
    }
  }

  private digits(): i32 {
    const from = this.at;
    while (this.peek() >= 0x30 && this.peek() <= 0x39) this.at++;
    return this.at - from;
  }

  private number(): Value {
    const from = this.at;
    if (this.peek() == 0x2d) this.at++;
    const zero = this.peek() == 0x30;
    const n = this.digits();
    if (n == 0 || (zero && n > 1)) return this.refuse("this is not a number");
    if (this.peek() == 0x2e) {
      this.at++;
      if (this.digits() == 0) return this.refuse("digits are expected after the point");
    }
    if (this.peek() == 0x65 || this.peek() == 0x45) {
      this.at++;
      if (this.peek() == 0x2b || this.peek() == 0x2d) this.at++;
      if (this.digits() == 0) return this.refuse("digits are expected in the exponent");
    }
    const value = parseFloat(this.document.substring(from, this.at));
    if (!isFinite(value)) return this.refuse("the number is too large");
    return Value.of(value);
  }

  private string(): string {
    this.at++;
    const out: string[] = [];
    while (true) {
      const from = this.at;
      let c = this.peek();
      while (c != 0x22 && c != 0x5c && c >= 0x20) {
        this.at++;
        c = this.peek();
      }
      if (this.at > from) out.push(this.document.substring(from, this.at));
      if (c < 0) {
        this.refuse("the text does not end");
        return "";
      }
      if (c < 0x20) {
        this.refuse("a control character in a text must be escaped");
        return "";
      }
      this.at++;
      if (c == 0x22) return out.join("");
      out.push(this.escape());
      if (this.error != "") return "";
    }
  }

  private escape(): string {
    const c = this.peek();
    this.at++;
    switch (c) {
      case 0x22: return "\"";
      case 0x5c: return "\\";
      case 0x2f: return "/";
      case 0x62: return "\b";
      case 0x66: return "\f";
      case 0x6e: return "\n";
      case 0x72: return "\r";
      case 0x74: return "\t";
      case 0x75: {
        // Halves of a pair come one after the other, as a string has them.
        const digits = this.document.substr(this.at, 4);
        let n = 0;
        for (let i = 0; i < 4; i++) {
          const d = i < digits.length ? digits.charCodeAt(i) : 0;
          if (d >= 0x30 && d <= 0x39) n = n * 16 + d - 0x30;
          else if (d >= 0x61 && d <= 0x66) n = n * 16 + d - 0x61 + 10;
          else if (d >= 0x41 && d <= 0x46) n = n * 16 + d - 0x41 + 10;
          else {
            this.refuse("four hexadecimal digits are expected");
            return "";
          }
        }
        this.at += 4;
        return String.fromCharCode(n);
      }
    }
    this.at--;
    this.refuse("there is no such escape");
    return "";
  }
}
