import { Value } from "./json";

// @ts-ignore: decorator
@external("tocsin_v1", "input_length") declare function inputLength(): i32;
// @ts-ignore: decorator
@external("tocsin_v1", "input_read") declare function inputRead(ptr: usize, n: i32): i32;
// @ts-ignore: decorator
@external("tocsin_v1", "output_write") declare function outputWrite(ptr: usize, n: i32): void;
// @ts-ignore: decorator
@external("tocsin_v1", "log") declare function logLine(level: i32, ptr: usize, n: i32): void;
// @ts-ignore: decorator
@external("tocsin_v1", "now") declare function hostNow(): i64;
// @ts-ignore: decorator
@external("tocsin_v1", "random") declare function hostRandom(ptr: usize, n: i32): void;
// @ts-ignore: decorator
@external("tocsin_v1", "http") declare function hostHttp(ptr: usize, n: i32): i32;
// @ts-ignore: decorator
@external("tocsin_v1", "tcp") declare function hostTcp(ptr: usize, n: i32): i32;
// @ts-ignore: decorator
@external("tocsin_v1", "tls_info") declare function hostTlsInfo(ptr: usize, n: i32): i32;
// @ts-ignore: decorator
@external("tocsin_v1", "dns") declare function hostDns(ptr: usize, n: i32): i32;
// @ts-ignore: decorator
@external("tocsin_v1", "kv_get") declare function hostKvGet(ptr: usize, n: i32): i32;
// @ts-ignore: decorator
@external("tocsin_v1", "kv_set") declare function hostKvSet(ptr: usize, n: i32): i32;
// @ts-ignore: decorator
@external("tocsin_v1", "secret") declare function hostSecret(ptr: usize, n: i32): i32;
// @ts-ignore: decorator
@external("tocsin_v1", "reveal") declare function hostReveal(ptr: usize, n: i32): i32;

/** Level of a line of the log. */
export enum Level { Debug, Info, Warn, Error }

export function log(level: Level, text: string): void {
  const b = String.UTF8.encode(text);
  logLine(level, changetype<usize>(b), b.byteLength);
}

/** Nanoseconds since 1970-01-01 UTC. */
export function nowNs(): i64 { return hostNow(); }

export function fillRandom(to: Uint8Array): void { hostRandom(to.dataStart, to.length); }

/** The current input. */
export function input(): string {
  const n = inputLength();
  const b = new ArrayBuffer(n);
  let at = 0;
  while (at < n) {
    const got = inputRead(changetype<usize>(b) + at, n - at);
    if (got == 0) break;
    at += got;
  }
  return String.UTF8.decodeUnsafe(changetype<usize>(b), at);
}

export function output(text: string): void {
  const b = String.UTF8.encode(text);
  outputWrite(changetype<usize>(b), b.byteLength);
}

/** Asks a function of the host, by its name, with a document. */
export function ask(name: string, document: string): string {
  const b = String.UTF8.encode(document);
  const ptr = changetype<usize>(b);
  const n = b.byteLength;
  if (name == "http") hostHttp(ptr, n);
  else if (name == "tcp") hostTcp(ptr, n);
  else if (name == "tls_info") hostTlsInfo(ptr, n);
  else if (name == "dns") hostDns(ptr, n);
  else if (name == "kv_get") hostKvGet(ptr, n);
  else if (name == "kv_set") hostKvSet(ptr, n);
  else if (name == "secret") hostSecret(ptr, n);
  else if (name == "reveal") hostReveal(ptr, n);
  else throw new Error("the host has no function " + name);
  return input();
}

/** What a thrown error ends in: a line of the log, which the error of the run shows. */
// @ts-ignore: decorator
@global
export function tocsin_abort(message: string | null = null, file: string | null = null, line: u32 = 0, column: u32 = 0): void {
  let text = "panic: " + (message ? message : "it aborted");
  if (file) text += " at " + file + ":" + line.toString();
  log(Level.Error, text);
  unreachable();
}
