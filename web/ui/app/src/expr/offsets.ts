// The server counts bytes of UTF-8, the editor counts UTF-16 code units.

/** Bytes that the code point takes in UTF-8. A lone surrogate becomes U+FFFD on the way, which takes three. */
function width(code: number): number {
  if (code < 0x80) return 1;
  if (code < 0x800) return 2;
  return code < 0x10000 ? 3 : 4;
}

/**
 * The UTF-16 offset of a byte offset of the server. An offset inside a
 * character is moved to its beginning, one past the end to the end.
 */
export function byteToUtf16(text: string, byte: number): number {
  let bytes = 0;
  let units = 0;
  for (const char of text) {
    bytes += width(char.codePointAt(0) ?? 0);
    if (bytes > byte) return units;
    units += char.length;
  }
  return units;
}

/** The byte offset of a UTF-16 offset of the editor. */
export function utf16ToByte(text: string, unit: number): number {
  let bytes = 0;
  let units = 0;
  for (const char of text) {
    units += char.length;
    if (units > unit) return bytes;
    bytes += width(char.codePointAt(0) ?? 0);
  }
  return bytes;
}
