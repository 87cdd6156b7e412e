import { Value } from "./json";

/** Type of a sample, an output, a parameter or a result. */
export namespace Type {
  export const Number = "number";
  export const Integer = "integer";
  export const Text = "string";
  export const Bool = "bool";
  /** a number of seconds, or text such as "250ms" */
  export const Duration = "duration";
  /** RFC 3339 text */
  export const Time = "time";
  /** an object of texts */
  export const Map = "map";
  /** of functions only */
  export const List = "list";
  export const Any = "any";
}

/** A field of the configuration. It is required until it has a default or is optional. */
export class Field {
  schema: Value = Value.object();
  required: bool = true;

  constructor(public name: string, type: string, doc: string) {
    this.schema.set("type", type);
    if (doc != "") this.schema.set("description", doc);
  }

  static text(name: string, doc: string = ""): Field { return new Field(name, "string", doc); }
  static num(name: string, doc: string = ""): Field { return new Field(name, "number", doc); }
  static int(name: string, doc: string = ""): Field { return new Field(name, "integer", doc); }
  static flag(name: string, doc: string = ""): Field { return new Field(name, "boolean", doc); }
  static list(name: string, items: Field, doc: string = ""): Field { return new Field(name, "array", doc).say("items", items.schema); }

  byDefault<T>(v: T): Field {
    this.required = false;
    return this.say("default", Value.of<T>(v));
  }

  optional(): Field {
    this.required = false;
    return this;
  }

  min(n: f64): Field { return this.say("minimum", Value.of(n)); }
  max(n: f64): Field { return this.say("maximum", Value.of(n)); }
  format(f: string): Field { return this.say("format", Value.of(f)); }

  oneOf(words: string[]): Field {
    const list = Value.list();
    for (let i = 0; i < words.length; i++) list.push(words[i]);
    return this.say("enum", list);
  }

  /** Says anything else of JSON schema. */
  say(word: string, v: Value): Field {
    this.schema.set(word, v);
    return this;
  }
}

/** What a module says of itself. */
export class Manifest {
  fields: Field[] = [];
  actionFields: Field[] = [];
  private outputs: Value = Value.list();
  private head: Value = Value.object();
  private samples: Value = Value.list();
  private functions: Value = Value.list();
  private wants: Value = Value.object();
  private limits: Value = Value.object();

  constructor(name: string, version: string) {
    this.head.set("abi", "tocsin/1").set("name", name).set("version", version);
  }

  doc(text: string): Manifest {
    this.head.set("doc", text);
    return this;
  }

  author(name: string): Manifest {
    this.head.set("author", name);
    return this;
  }

  /** Adds a field to the configuration of the collector. */
  field(f: Field): Manifest {
    this.fields.push(f);
    return this;
  }

  /** Adds a field to the configuration of the action. */
  actionField(f: Field): Manifest {
    this.actionFields.push(f);
    return this;
  }

  /** Declares a value that a run reports. */
  sample(name: string, type: string, unit: string = "", doc: string = ""): Manifest {
    this.samples.push(declaration(name, type, unit, doc));
    return this;
  }

  /** Declares a value that an action gives to later steps. */
  output(name: string, type: string, doc: string = ""): Manifest {
    this.outputs.push(declaration(name, type, "", doc));
    return this;
  }

  /**
   * Declares a function of expressions, with names and types of its parameters
   * in turn. The module exports it too: see answerCall.
   */
  fn(name: string, params: string[], returns: string, doc: string = ""): Manifest {
    const list = Value.list();
    for (let i = 0; i + 1 < params.length; i += 2) list.push(Value.object().set("name", params[i]).set("type", params[i + 1]));
    const f = Value.object().set("name", name).set("params", list).set("returns", returns);
    if (doc != "") f.set("doc", doc);
    this.functions.push(f);
    return this;
  }

  /** Asks to reach hosts by HTTP: scheme://host:port; the host may begin with "*." or be "*", the port may be "*". */
  http(pattern: string): Manifest { return this.want("http", pattern); }
  /** Asks to connect to host:port. */
  tcp(pattern: string): Manifest { return this.want("tcp", pattern); }
  /** Asks to look up names. */
  dns(pattern: string): Manifest { return this.want("dns", pattern); }
  /** Asks to send a secret without reading it. */
  secret(name: string): Manifest { return this.want("secrets", name); }
  /** Asks to read a secret. */
  reveal(name: string): Manifest { return this.want("reveal", name); }

  /** The hosts may have loopback or private addresses. */
  privateHosts(): Manifest {
    this.wants.set("private", true);
    return this;
  }

  /** Asks to keep values of each assignment, or, together, of all of them. */
  keeps(together: bool = false): Manifest {
    this.wants.set("kv", together ? "module" : "assignment");
    return this;
  }

  /** Asks for a limit other than the default, by its name: http_calls, fuel, memory_bytes. */
  limit(name: string, n: f64): Manifest {
    this.limits.set(name, n);
    return this;
  }

  private want(what: string, pattern: string): Manifest {
    if (this.wants.get(what).isNull) this.wants.set(what, Value.list());
    this.wants.get(what).push(pattern);
    return this;
  }

  toJSON(collects: bool, acts: bool): string {
    const offers = Value.list();
    const out = this.head;
    if (collects) {
      offers.push("collector");
      out.set("config_schema", schemaOf(this.fields)).set("samples", this.samples);
    }
    if (acts) {
      offers.push("action");
      out.set("action", Value.object().set("config_schema", schemaOf(this.actionFields)).set("outputs", this.outputs));
    }
    if (this.functions.length > 0) {
      offers.push("function");
      out.set("functions", this.functions);
    }
    this.wants.set("limits", this.limits);
    return out.set("offers", offers).set("wants", this.wants).toString();
  }
}

function declaration(name: string, type: string, unit: string, doc: string): Value {
  const out = Value.object().set("name", name).set("type", type);
  if (unit != "") out.set("unit", unit);
  if (doc != "") out.set("doc", doc);
  return out;
}

function schemaOf(fields: Field[]): Value {
  const properties = Value.object();
  const required = Value.list();
  for (let i = 0; i < fields.length; i++) {
    properties.set(fields[i].name, fields[i].schema);
    if (fields[i].required) required.push(fields[i].name);
  }
  const out = Value.object().set("type", "object").set("properties", properties);
  if (required.length > 0) out.set("required", required);
  return out.set("additionalProperties", false);
}
