// A look at a WebAssembly file before it is uploaded: what it is, what it
// imports and exports. It compiles and runs nothing, trusts no number it reads,
// and shows only so much. The server looks again and is the authority.

/** The most bytes that a module may have. */
export const maxBytes = 20 * 1024 * 1024;

/** Most entries of a section that are read; a module with more is refused. */
const maxEntries = 20_000;
/** Most bytes of a name. */
const maxName = 4096;
/** Most sections. */
const maxSections = 1000;

export type Kind = "func" | "table" | "memory" | "global" | "tag";
const kinds: readonly Kind[] = ["func", "table", "memory", "global", "tag"];

/** An import of a module. */
export interface Import {
  module: string;
  name: string;
  kind: Kind;
}

/** A section, in the order of the file. */
export interface Section {
  id: number;
  name: string;
  size: number;
}

/** What a file is. */
export interface Inspection {
  size: number;
  sections: Section[];
  imports: Import[];
  exports: { name: string; kind: Kind }[];
  /** Declared functions, without imported ones. */
  functions: number;
  /** Pages of 64 KiB of the first memory. */
  memory: { min: number; max: number | null } | null;
  /** Names of custom sections, such as "producers". */
  customs: string[];
  /** Language and tools, as the producers section names them. */
  producers: string[];
  /** What the guest speaks. */
  abi: "tocsin" | "wasi-command" | "unknown";
  /** Why the server will refuse it, each with what to do. */
  problems: string[];
}

/** A file that is no module that can be looked at. The message says what to do. */
export class WasmError extends Error {
  override name = "WasmError";
}

const sectionNames = [
  "custom",
  "type",
  "import",
  "function",
  "table",
  "memory",
  "global",
  "export",
  "start",
  "element",
  "code",
  "data",
  "data count",
  "tag",
];

/** Imported modules that this host provides. */
const provided = new Set(["tocsin_v1", "wasi_snapshot_preview1"]);

/** Functions of tocsin_v1. */
const hostFunctions = new Set([
  "input_length",
  "input_read",
  "output_write",
  "log",
  "now",
  "random",
  "http",
  "tcp",
  "tls_info",
  "dns",
  "kv_get",
  "kv_set",
  "secret",
  "reveal",
]);

/** Reads forward through bytes and never past their end. */
class Reader {
  constructor(
    private readonly bytes: Uint8Array,
    public at: number,
    private readonly end: number,
  ) {}

  get left(): number {
    return this.end - this.at;
  }

  byte(): number {
    if (this.at >= this.end) throw new WasmError("The file ends in the middle of a section. It was cut off; build or copy it again.");
    return this.bytes[this.at++] as number;
  }

  /** An unsigned LEB128 number of at most 32 bits (64 with wide, as a float). */
  number(wide = false): number {
    let value = 0;
    for (let shift = 0; shift < (wide ? 70 : 35); shift += 7) {
      const b = this.byte();
      value += (b & 0x7f) * 2 ** shift;
      if (b < 0x80) return value;
    }
    throw new WasmError("A number in the file is too long: this is not a valid WebAssembly module.");
  }

  skip(n: number): void {
    if (n > this.left) throw new WasmError("The file ends in the middle of a section. It was cut off; build or copy it again.");
    this.at += n;
  }

  /** A part of its own, and skip it. */
  part(n: number): Reader {
    const from = this.at;
    this.skip(n);
    return new Reader(this.bytes, from, from + n);
  }

  name(): string {
    const n = this.number();
    if (n > maxName) throw new WasmError(`A name in the file has ${n} bytes; the most is ${maxName}.`);
    const from = this.at;
    this.skip(n);
    return new TextDecoder("utf-8").decode(this.bytes.subarray(from, from + n));
  }

  count(what: string): number {
    const n = this.number();
    if (n > maxEntries)
      throw new WasmError(`The module has ${n.toLocaleString("en")} ${what}; the most is ${maxEntries.toLocaleString("en")}.`);
    if (n > this.left) throw new WasmError(`The file announces ${n} ${what} and is too short to hold them.`);
    return n;
  }

  kind(): Kind {
    const kind = kinds[this.byte()];
    if (!kind) throw new WasmError("The module imports or exports something of an unknown kind.");
    return kind;
  }

  limits(): { min: number; max: number | null } {
    const flags = this.byte();
    const wide = (flags & 4) !== 0;
    const min = this.number(wide);
    return { min, max: (flags & 1) !== 0 ? this.number(wide) : null };
  }
}

function header(bytes: Uint8Array): void {
  if (bytes.length === 0) throw new WasmError("The file is empty.");
  const head = Array.from(bytes.subarray(0, 4));
  if (head.join() !== "0,97,115,109") {
    const text = new TextDecoder("utf-8").decode(bytes.subarray(0, 256)).trimStart();
    if (text.startsWith("(module")) throw new WasmError("This is WebAssembly text. Turn it into a binary first: wat2wasm collector.wat");
    if (text.startsWith("package ") || text.includes("func main"))
      throw new WasmError("This is source code. Build it first: GOOS=wasip1 GOARCH=wasm go build -buildmode=c-shared");
    if (head[0] === 0x1f && head[1] === 0x8b) throw new WasmError("This is a gzip file. Unpack it first: gunzip");
    if (text.startsWith("PK")) throw new WasmError("This is a zip archive. Unpack it and choose the .wasm file.");
    if (head[0] === 0x7f && head[1] === 0x45)
      throw new WasmError("This is a program for Linux, not a WebAssembly module. Build it with GOOS=wasip1 GOARCH=wasm.");
    throw new WasmError("This is not a WebAssembly file: it does not begin with its magic number.");
  }
  const version = Array.from(bytes.subarray(4, 8)).join();
  if (version === "13,0,1,0" || (bytes[6] === 1 && bytes[7] === 0))
    throw new WasmError(
      "This is a WebAssembly component. Tocsin runs core modules: build with the target wasm32-wasip1 (in Go GOOS=wasip1).",
    );
  if (version !== "1,0,0,0") throw new WasmError("This version of WebAssembly is unknown; version 1 is needed.");
}

function readImports(r: Reader, out: Inspection): void {
  for (let n = r.count("imports"); n > 0; n--) {
    const entry: Import = { module: r.name(), name: r.name(), kind: r.kind() };
    if (entry.kind === "func") r.number();
    else if (entry.kind === "table") {
      r.byte();
      r.limits();
    } else if (entry.kind === "memory") out.memory = r.limits();
    else if (entry.kind === "global") r.skip(2);
    else {
      r.byte();
      r.number();
    }
    out.imports.push(entry);
  }
}

function readExports(r: Reader, out: Inspection): void {
  for (let n = r.count("exports"); n > 0; n--) {
    const name = r.name();
    const kind = r.kind();
    r.number();
    out.exports.push({ name, kind });
  }
}

/** The producers section: fields of name and version pairs. Broken ones are passed over: they only inform. */
function readProducers(r: Reader): string[] {
  const found: string[] = [];
  try {
    for (let fields = Math.min(r.number(), 10); fields > 0; fields--) {
      r.name();
      for (let n = Math.min(r.number(), 50); n > 0; n--) found.push([r.name(), r.name()].filter(Boolean).join(" "));
    }
  } catch {
    return found;
  }
  return found;
}

function readSection(id: number, r: Reader, out: Inspection): void {
  if (id === 0) {
    const name = r.name();
    if (out.customs.length < 100) out.customs.push(name);
    if (name === "producers") out.producers = readProducers(r);
    (out.sections.at(-1) as Section).name = name;
  } else if (id === 2) readImports(r, out);
  else if (id === 3) out.functions = r.number();
  else if (id === 5 && r.number() > 0) out.memory = r.limits();
  else if (id === 7) readExports(r, out);
}

/** Why a module imports what is not there, as far as the name tells. */
function importHint(name: string): string {
  if (/^(gojs|go)\./.test(name)) return " It was built for a browser: build with GOOS=wasip1, not GOOS=js.";
  if (/^(wasi_unstable|wasi:|wasi_snapshot_preview2)/.test(name)) return " Build for WASI preview 1 (wasm32-wasip1).";
  if (/^(wbg|__wbindgen)/.test(name)) return " It was built with wasm-bindgen for a browser: build with the target wasm32-wasip1.";
  if (name.startsWith("tocsin_v1.")) return " It needs a newer Tocsin, or the name is misspelt.";
  if (name.startsWith("env.")) return " A symbol was left undefined when it was linked: link the library that has it.";
  return "";
}

/** A reactor describes itself, and exports something that it offers. */
function judgeReactor(out: Inspection, exported: Set<string>): void {
  if (!exported.has("tocsin_describe") && !out.customs.includes("tocsin.manifest"))
    out.problems.push("Exports no tocsin_describe and has no section tocsin.manifest: it does not say what it is.");
  const offers = exported.has("tocsin_collect") || exported.has("tocsin_act") || [...exported].some((e) => e.startsWith("tocsin_fn_"));
  if (!offers) out.problems.push("Exports no tocsin_collect, tocsin_act or tocsin_fn_NAME: it offers nothing.");
}

/** What the host would not accept, and how to mend it. */
function judge(out: Inspection): void {
  const exported = new Set(out.exports.map((e) => e.name));
  if (exported.has("tocsin_abi_v1")) out.abi = "tocsin";
  else if (exported.has("_start")) out.abi = "wasi-command";
  const missing = (i: Import) => !provided.has(i.module) || (i.module === "tocsin_v1" && !hostFunctions.has(i.name));
  const unknown = [...new Set(out.imports.filter(missing).map((i) => `${i.module}.${i.name}`))];
  for (const name of unknown.slice(0, 5)) out.problems.push(`Imports ${name}, which this host does not provide.${importHint(name)}`);
  if (unknown.length > 5) out.problems.push(`And ${unknown.length - 5} more imports that this host does not provide.`);
  if (!exported.has("memory") && out.abi !== "unknown")
    out.problems.push("Exports no memory: link it with --export-memory, or without --import-memory.");
  if (out.abi === "unknown")
    out.problems.push(
      "Exports neither tocsin_abi_v1 nor _start: it is no module for Tocsin. Use an SDK (in Go the guest package and -buildmode=c-shared), or build a program for WASI preview 1.",
    );
  if (out.abi === "wasi-command" && out.imports.some((i) => i.module === "tocsin_v1"))
    out.problems.push("Is a program (_start) and calls tocsin_v1: programs cannot call the host. In Go, build with -buildmode=c-shared.");
  if (out.abi === "tocsin") judgeReactor(out, exported);
  if (out.memory && out.memory.min > 4096)
    out.problems.push(`Asks for ${out.memory.min / 16} MiB of memory to begin with; the most is 256 MiB.`);
}

/**
 * Looks at a file. Throws a WasmError that says what to do when it is no module;
 * what the host would refuse of a module is in `problems`.
 */
export function inspect(bytes: Uint8Array): Inspection {
  header(bytes);
  if (bytes.length > maxBytes)
    throw new WasmError(`The file has ${(bytes.length / 1048576).toFixed(1)} MiB; the most is 20 MiB. In Go, build with -ldflags="-s -w".`);
  const out: Inspection = {
    size: bytes.length,
    sections: [],
    imports: [],
    exports: [],
    functions: 0,
    memory: null,
    customs: [],
    producers: [],
    abi: "unknown",
    problems: [],
  };
  const r = new Reader(bytes, 8, bytes.length);
  let order = 0;
  while (r.left > 0) {
    const id = r.byte();
    const size = r.number();
    if (id >= sectionNames.length) throw new WasmError(`Section ${id} is unknown: this is not a valid WebAssembly module.`);
    if (out.sections.length >= maxSections) throw new WasmError(`The module has more than ${maxSections} sections.`);
    if (id !== 0 && id < 12 && id <= order)
      throw new WasmError(`The section ${sectionNames[id]} stands twice or in the wrong place: this is not a valid WebAssembly module.`);
    if (id !== 0 && id < 12) order = id;
    out.sections.push({ id, name: sectionNames[id] as string, size });
    readSection(id, r.part(size), out);
  }
  if (out.sections.length === 0) throw new WasmError("The module is empty: it has no sections.");
  judge(out);
  return out;
}
