import { describe, expect, test } from "vitest";
import { inspect, WasmError } from "../src/lib/wasm-inspect";

const text = (s: string) => [...new TextEncoder().encode(s)];

function leb(n: number): number[] {
  const out: number[] = [];
  let rest = n;
  do {
    const low = rest % 128;
    rest = Math.floor(rest / 128);
    out.push(rest > 0 ? low + 128 : low);
  } while (rest > 0);
  return out;
}

const name = (s: string) => [...leb(text(s).length), ...text(s)];
const list = (items: number[][]) => [...leb(items.length), ...items.flat()];
const section = (id: number, body: number[]) => [id, ...leb(body.length), ...body];
const magic = [0, 0x61, 0x73, 0x6d, 1, 0, 0, 0];
const wasm = (...sections: number[][]) => new Uint8Array([...magic, ...sections.flat()]);

const types = section(1, list([[0x60, 0, 1, 0x7f]]));
const imported = (module: string, fn: string) => [...name(module), ...name(fn), 0, 0];
const exported = (fn: string, index: number) => [...name(fn), 0, ...leb(index)];
const collector = ["tocsin_abi_v1", "tocsin_describe", "tocsin_collect", "_initialize"];

const good = () =>
  wasm(
    types,
    section(2, list([imported("tocsin_v1", "log"), imported("wasi_snapshot_preview1", "fd_write")])),
    section(3, list([[0], [0], [0], [0]])),
    section(5, list([[1, ...leb(40), ...leb(256)]])),
    section(7, list([...collector.map((c, i) => exported(c, i + 2)), [...name("memory"), 2, 0]])),
    section(10, list([])),
    section(0, [...name("producers"), ...list([[...name("language"), ...list([[...name("Go"), ...name("go1.26")]])]])]),
  );

/** The quickest of five: a busy machine must not fail a test of what is done. */
function quickest(run: () => void): number {
  let best = Number.POSITIVE_INFINITY;
  for (let i = 0; i < 5; i++) {
    const started = performance.now();
    run();
    best = Math.min(best, performance.now() - started);
  }
  return best;
}

const refusal = (bytes: Uint8Array) => {
  try {
    inspect(bytes);
  } catch (err) {
    if (err instanceof WasmError) return err.message;
    throw err;
  }
  return "";
};

test("a collector", () => {
  const seen = inspect(good());
  expect(seen.problems).toEqual([]);
  expect(seen.abi).toBe("tocsin");
  expect(seen.imports.map((i) => `${i.module}.${i.name}`)).toEqual(["tocsin_v1.log", "wasi_snapshot_preview1.fd_write"]);
  expect(seen.exports.map((e) => e.name)).toEqual([...collector, "memory"]);
  expect(seen.memory).toEqual({ min: 40, max: 256 });
  expect(seen.functions).toBe(4);
  expect(seen.producers).toEqual(["Go go1.26"]);
  expect(seen.sections.map((s) => s.name)).toEqual(["type", "import", "function", "memory", "export", "code", "producers"]);
});

describe("names the fix", () => {
  test.each([
    ["empty", new Uint8Array(), /is empty/],
    ["text", new Uint8Array(text("  (module (func))")), /wat2wasm/],
    ["source", new Uint8Array(text("package main\n")), /GOOS=wasip1/],
    ["gzip", new Uint8Array([0x1f, 0x8b, 8, 0]), /gunzip/],
    ["zip", new Uint8Array(text("PK\u0003\u0004")), /zip/],
    ["elf", new Uint8Array([0x7f, 0x45, 0x4c, 0x46]), /program for Linux/],
    ["random", new Uint8Array([1, 2, 3, 4, 5]), /magic number/],
    ["component", new Uint8Array([0, 0x61, 0x73, 0x6d, 13, 0, 1, 0]), /wasm32-wasip1/],
    ["version", new Uint8Array([0, 0x61, 0x73, 0x6d, 2, 0, 0, 0]), /version 1 is needed/],
    ["header only", new Uint8Array(magic), /no sections/],
    ["unknown section", wasm([77, 0]), /Section 77/],
    ["twice", wasm(types, types), /stands twice/],
  ])("%s", (_, bytes, want) => expect(refusal(bytes)).toMatch(want));

  test("imports", () => {
    const seen = inspect(wasm(types, section(2, list([imported("env", "foo"), imported("gojs", "runtime.wasmExit")]))));
    expect(seen.problems[0]).toMatch(/^Imports env\.foo, which this host does not provide\. .*link/);
    expect(seen.problems[1]).toMatch(/GOOS=js/);
    expect(seen.problems[2]).toMatch(/tocsin_abi_v1/);
  });
  test("a command needs memory", () =>
    expect(inspect(wasm(types, section(7, list([exported("_start", 0)])))).problems).toEqual([
      "Exports no memory: link it with --export-memory, or without --import-memory.",
    ]));
  test("a command is a module", () => {
    const seen = inspect(wasm(types, section(5, list([[0, 1]])), section(7, list([exported("_start", 0), [...name("memory"), 2, 0]]))));
    expect([seen.abi, seen.problems]).toEqual(["wasi-command", []]);
  });
  test("half a collector", () =>
    expect(inspect(wasm(types, section(7, list([exported("tocsin_abi_v1", 0)])))).problems).toEqual([
      "Exports no memory: link it with --export-memory, or without --import-memory.",
      "Exports no tocsin_describe and has no section tocsin.manifest: it does not say what it is.",
      "Exports no tocsin_collect, tocsin_act or tocsin_fn_NAME: it offers nothing.",
    ]));
  test("a host function that is not there", () =>
    expect(inspect(wasm(types, section(2, list([imported("tocsin_v1", "htpp"), imported("tocsin_v1", "tls_info")])))).problems[0]).toMatch(
      /^Imports tocsin_v1\.htpp, .*misspelt/,
    ));
  test("memory", () => expect(inspect(wasm(section(5, list([[0, ...leb(65536)]])))).problems.join()).toMatch(/4096 MiB/));
});

describe("hostile", () => {
  test("every truncation is refused or seen, never a crash", () => {
    const whole = good();
    for (let n = 0; n < whole.length; n++) {
      const message = refusal(whole.slice(0, n));
      if (n < 9) expect(message).not.toBe("");
    }
  });
  test("300,000 exports are refused at once", () => {
    const many = wasm(section(7, [...leb(300_000), ...new Array(900_000).fill(0)]));
    expect(refusal(many)).toMatch(/300,000 exports; the most is 20,000/);
    expect(quickest(() => refusal(many))).toBeLessThan(50);
  });
  test("a count larger than the section", () => expect(refusal(wasm(section(2, leb(5000))))).toMatch(/too short/));
  test("a section larger than the file", () =>
    expect(refusal(new Uint8Array([...magic, 1, 0xff, 0xff, 0xff, 0xff, 0x0f]))).toMatch(/cut off/));
  test("a number without end", () =>
    expect(refusal(new Uint8Array([...magic, 1, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80]))).toMatch(/too long/));
  test("a name of megabytes", () => expect(refusal(wasm(section(0, [...leb(5_000_000)])))).toMatch(/most is 4096/));
  test("more sections than there can be", () =>
    expect(refusal(wasm(...Array.from({ length: 1001 }, () => section(0, name("x")))))).toMatch(/1000 sections/));
  test("21 MiB", () => {
    const big = new Uint8Array(21 * 1024 * 1024);
    big.set(magic);
    expect(refusal(big)).toMatch(/most is 20 MiB/);
  });
  test("20 MiB are looked at in 50 ms", () => {
    const size = 19 * 1024 * 1024;
    const big = new Uint8Array(size);
    const head = good();
    big.set(head);
    big.set([11, ...leb(size - head.length - 5)], head.length);
    expect(quickest(() => refusal(big))).toBeLessThan(50);
  });
  test("10,000 mutations end soon and throw nothing else", () => {
    const whole = good();
    let seed = 7;
    const random = () => {
      seed = (seed * 1103515245 + 12345) % 2147483648;
      return seed;
    };
    for (let i = 0; i < 10_000; i++) {
      const bad = whole.slice();
      for (let k = random() % 4; k >= 0; k--) bad[random() % bad.length] = random() % 256;
      const started = performance.now();
      refusal(bad);
      // Slow once may be the machine; slow again is the file.
      if (performance.now() - started > 50) expect(quickest(() => refusal(bad))).toBeLessThan(50);
    }
  });
});
