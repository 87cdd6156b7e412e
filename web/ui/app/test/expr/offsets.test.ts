import { expect, test } from "vitest";
import { byteToUtf16, utf16ToByte } from "../../src/expr/offsets";

const texts = ["", "abc", "größe == 1", "日本 > 2", "a😀b", "👩‍👩‍👧 x", "\u0000\u007f\u0080\u07ff\u0800\uffff", "x\ud83dy"];

test.each(texts)("every character of %j comes back", (text) => {
  let units = 0;
  for (const char of text) {
    const bytes = new TextEncoder().encode(text.slice(0, units)).length;
    expect(utf16ToByte(text, units)).toBe(bytes);
    expect(byteToUtf16(text, bytes)).toBe(units);
    units += char.length;
  }
  const all = new TextEncoder().encode(text).length;
  expect(byteToUtf16(text, all)).toBe(text.length);
  expect(utf16ToByte(text, text.length)).toBe(all);
});

test("an offset inside a character is its beginning", () => {
  expect(byteToUtf16("a😀b", 3)).toBe(1);
  expect(utf16ToByte("a😀b", 2)).toBe(1);
});

test("offsets out of range are the ends", () => {
  expect(byteToUtf16("größe", 99)).toBe(5);
  expect(byteToUtf16("größe", -1)).toBe(0);
  expect(utf16ToByte("größe", 99)).toBe(7);
});
