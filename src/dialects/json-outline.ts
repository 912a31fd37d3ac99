/**
 * Finds its way about a JSON body without decoding it: where members, elements and strings begin and end. A long string costs
 * one native search whatever its length, so that a prompt of megabytes is walked in microseconds.
 *
 * It is exact on every body that Go's decoder takes, and lenient otherwise: a mistake inside a nested value goes unnoticed.
 * That is safe, because Ollama refuses the whole body then and runs nothing; it is also what makes the answer Ollama's own.
 */
import { decodeStringBody, foldKey, isSpace } from './go-json.ts';

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const COMMA = 0x2c;
const COLON = 0x3a;
const OPEN_BRACE = 0x7b;
const CLOSE_BRACE = 0x7d;
const OPEN_BRACKET = 0x5b;
const CLOSE_BRACKET = 0x5d;

/** A value's place in a body: `bytes[start]` to before `bytes[end]`, without blanks around it. */
export interface Span {
  readonly start: number;
  readonly end: number;
}

/** A body that could not be walked; the strict decoder then says what is wrong with it. */
export class BrokenOutline extends Error {}

/** Below this a loop over bytes is cheaper than the call into native code. */
const SHORT_STRING = 48;

/** Calls `visit` for each member of the object at `at`; returns where the object ends. Throws BrokenOutline. */
export function eachMember(
  bytes: Uint8Array,
  at: number,
  visit: (keyStart: number, keyEnd: number, value: Span) => void,
): number {
  let i = expect(bytes, skipSpace(bytes, at), OPEN_BRACE);
  i = skipSpace(bytes, i);
  if (bytes[i] === CLOSE_BRACE) {
    return i + 1;
  }
  for (;;) {
    const keyStart = expect(bytes, i, QUOTE);
    const keyEnd = stringEnd(bytes, keyStart);
    const start = skipSpace(bytes, expect(bytes, skipSpace(bytes, keyEnd + 1), COLON));
    const end = valueEnd(bytes, start);
    visit(keyStart, keyEnd, { start, end });
    i = skipSpace(bytes, end);
    if (bytes[i] === CLOSE_BRACE) {
      return i + 1;
    }
    i = skipSpace(bytes, expect(bytes, i, COMMA));
  }
}

/** Calls `visit` for each element of the array at `at`; returns where the array ends. Throws BrokenOutline. */
export function eachElement(bytes: Uint8Array, at: number, visit: (value: Span) => void): number {
  let i = skipSpace(bytes, expect(bytes, skipSpace(bytes, at), OPEN_BRACKET));
  if (bytes[i] === CLOSE_BRACKET) {
    return i + 1;
  }
  for (;;) {
    const end = valueEnd(bytes, i);
    visit({ start: i, end });
    i = skipSpace(bytes, end);
    if (bytes[i] === CLOSE_BRACKET) {
      return i + 1;
    }
    i = skipSpace(bytes, expect(bytes, i, COMMA));
  }
}

/** Where the value that begins at `at` ends. Throws BrokenOutline. */
export function valueEnd(bytes: Uint8Array, at: number): number {
  const first = bytes[at];
  if (first === QUOTE) {
    return stringEnd(bytes, at + 1) + 1;
  }
  return first === OPEN_BRACE || first === OPEN_BRACKET ? containerEnd(bytes, at) : scalarEnd(bytes, at);
}

/** Where the closing quote of a string stands whose first byte is at `from`. Throws BrokenOutline. */
export function stringEnd(bytes: Uint8Array, from: number): number {
  let i = from;
  for (;;) {
    const near = Math.min(bytes.length, i + SHORT_STRING);
    for (; i < near; i++) {
      const byte = bytes[i];
      if (byte === QUOTE) {
        return i;
      }
      if (byte === BACKSLASH) {
        i++;
      }
    }
    const quote = bytes.indexOf(QUOTE, i);
    if (quote < 0) {
      throw new BrokenOutline('a string does not end');
    }
    let unescaped = quote;
    while (unescaped > i && bytes[unescaped - 1] === BACKSLASH) {
      unescaped--;
    }
    if ((quote - unescaped) % 2 === 0) {
      return quote;
    }
    i = quote + 1;
  }
}

export function skipSpace(bytes: Uint8Array, from: number): number {
  let i = from;
  while (isSpace(bytes[i])) {
    i++;
  }
  return i;
}

/** A key in the form under which Go compares it. */
export function keyAt(bytes: Uint8Array, start: number, end: number): string {
  return foldKey(decodeStringBody(bytes, start, end));
}

/** Whether the value is a string, an object, an array, … judged by its first byte, which is enough for what is well formed. */
export function kindOf(bytes: Uint8Array, value: Span): 'string' | 'object' | 'array' | 'boolean' | 'null' | 'number' {
  return KINDS[bytes[value.start] ?? 0] ?? 'number';
}

const KINDS: Readonly<Record<number, 'string' | 'object' | 'array' | 'boolean' | 'null'>> = {
  [QUOTE]: 'string',
  [OPEN_BRACE]: 'object',
  [OPEN_BRACKET]: 'array',
  0x74: 'boolean',
  0x66: 'boolean',
  0x6e: 'null',
};

function containerEnd(bytes: Uint8Array, at: number): number {
  let depth = 0;
  for (let i = at; i < bytes.length; i++) {
    const byte = bytes[i];
    if (byte === QUOTE) {
      i = stringEnd(bytes, i + 1);
    } else if (byte === OPEN_BRACE || byte === OPEN_BRACKET) {
      depth++;
    } else if ((byte === CLOSE_BRACE || byte === CLOSE_BRACKET) && --depth === 0) {
      return i + 1;
    }
  }
  throw new BrokenOutline('an object or array does not end');
}

function scalarEnd(bytes: Uint8Array, at: number): number {
  let i = at;
  while (isScalarByte(bytes[i])) {
    i++;
  }
  if (i === at) {
    throw new BrokenOutline('a value is missing');
  }
  return i;
}

/** Letters, digits and the signs of numbers. */
function isScalarByte(byte: number | undefined): boolean {
  if (byte === undefined) {
    return false;
  }
  const folded = byte | 0x20;
  return (
    (byte >= 0x30 && byte <= 0x39) ||
    (folded >= 0x61 && folded <= 0x7a) ||
    byte === 0x2b ||
    byte === 0x2d ||
    byte === 0x2e
  );
}

function expect(bytes: Uint8Array, at: number, byte: number): number {
  if (bytes[at] !== byte) {
    throw new BrokenOutline('a byte is out of place');
  }
  return at + 1;
}
