/**
 * Finds its way about a JSON body without decoding it: where members, elements and strings begin and end. A string costs one
 * native search whatever its length, so that a prompt of megabytes is walked in microseconds.
 *
 * The body is given as Latin-1 text, in which a position is a byte's offset (`outlineText`). Searching text is several times
 * faster than searching a Buffer.
 *
 * It is exact on every body that Go's decoder takes, and lenient otherwise: a mistake inside a nested value goes unnoticed.
 * That is safe, because Ollama refuses the whole body then and runs nothing; it is also what makes the answer Ollama's own.
 */
import { foldKey, unescapeString } from './go-json.ts';

const TAB = 0x09;
const NEWLINE = 0x0a;
const RETURN = 0x0d;
const SPACE = 0x20;
const QUOTE = 0x22;
const COMMA = 0x2c;
const COLON = 0x3a;
const OPEN_BRACKET = 0x5b;
const BACKSLASH = 0x5c;
const CLOSE_BRACKET = 0x5d;
const OPEN_BRACE = 0x7b;
const CLOSE_BRACE = 0x7d;

/** A value's place in a body: from `start` to before `end`, without blanks around it. */
export interface Span {
  readonly start: number;
  readonly end: number;
}

/** A body that could not be walked; the strict decoder then says what is wrong with it. */
export class BrokenOutline extends Error {}

/** A body made to be slow to walk: an object of more members than any request has. */
export class HugeOutline extends Error {}

const MAX_MEMBERS = 10_000;

/** What a visitor returns instead of an end to have the walk given up. */
export const STOP = -1;

/** Bytes as text of one character each. */
export function outlineText(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1');
}

/**
 * Calls `visit` with each member's key, as written, and where its value begins; `visit` returns where the value ends, or STOP.
 * Returns where the object at `at` ends, or STOP. Throws BrokenOutline and HugeOutline.
 */
export function eachMember(text: string, at: number, visit: (key: string, start: number) => number): number {
  let i = skipSpace(text, expect(text, skipSpace(text, at), OPEN_BRACE));
  if (text.charCodeAt(i) === CLOSE_BRACE) {
    return i + 1;
  }
  for (let members = 0; members < MAX_MEMBERS; members++) {
    const keyStart = expect(text, i, QUOTE);
    const keyEnd = stringEnd(text, keyStart);
    const start = skipSpace(text, expect(text, skipSpace(text, keyEnd + 1), COLON));
    const end = visit(text.slice(keyStart, keyEnd), start);
    if (end === STOP) {
      return STOP;
    }
    i = skipSpace(text, end);
    if (text.charCodeAt(i) === CLOSE_BRACE) {
      return i + 1;
    }
    i = skipSpace(text, expect(text, i, COMMA));
  }
  throw new HugeOutline(`an object has more than ${MAX_MEMBERS} members`);
}

/**
 * Calls `visit` with where each element begins; it returns where the element ends, or STOP. Returns where the array at `at`
 * ends, or STOP. Throws BrokenOutline.
 */
export function eachElement(text: string, at: number, visit: (start: number) => number): number {
  let i = skipSpace(text, expect(text, skipSpace(text, at), OPEN_BRACKET));
  if (text.charCodeAt(i) === CLOSE_BRACKET) {
    return i + 1;
  }
  for (;;) {
    const end = visit(i);
    if (end === STOP) {
      return STOP;
    }
    i = skipSpace(text, end);
    if (text.charCodeAt(i) === CLOSE_BRACKET) {
      return i + 1;
    }
    i = skipSpace(text, expect(text, i, COMMA));
  }
}

/** Where the value that begins at `at` ends. Throws BrokenOutline. */
export function valueEnd(text: string, at: number): number {
  const first = text.charCodeAt(at);
  if (first === QUOTE) {
    return stringEnd(text, at + 1) + 1;
  }
  return first === OPEN_BRACE || first === OPEN_BRACKET ? containerEnd(text, at) : scalarEnd(text, at);
}

/** Where the closing quote of a string stands whose first character is at `from`. Throws BrokenOutline. */
export function stringEnd(text: string, from: number): number {
  let quote = text.indexOf('"', from);
  while (quote >= 0) {
    if (text.charCodeAt(quote - 1) !== BACKSLASH) {
      return quote;
    }
    let slashes = quote - 1;
    while (slashes > from && text.charCodeAt(slashes - 1) === BACKSLASH) {
      slashes--;
    }
    if ((quote - slashes) % 2 === 0) {
      return quote;
    }
    quote = text.indexOf('"', quote + 1);
  }
  throw new BrokenOutline('a string does not end');
}

export function skipSpace(text: string, from: number): number {
  let i = from;
  for (;;) {
    const code = text.charCodeAt(i);
    if (code > SPACE || (code !== SPACE && code !== NEWLINE && code !== RETURN && code !== TAB)) {
      return i;
    }
    i++;
  }
}

/** The string whose Latin-1 text between the quotes is `body`, as Go decodes it. */
export function decodeString(body: string): string {
  const text = /[\u0080-\u00FF]/.test(body) ? Buffer.from(body, 'latin1').toString('utf8') : body;
  return text.includes('\\') ? unescapeString(text) : text;
}

/** A key as written between its quotes, in the form under which Go compares keys. */
export function foldedKey(written: string): string {
  return isPlainKey(written) ? written : foldKey(decodeString(written));
}

/** Whether a key has only lower-case letters, digits and underscores, and so is its own folded form. */
export function isPlainKey(written: string): boolean {
  for (let i = 0; i < written.length; i++) {
    const code = written.charCodeAt(i);
    if (!((code >= 0x61 && code <= 0x7a) || code === 0x5f || (code >= 0x30 && code <= 0x39))) {
      return false;
    }
  }
  return true;
}

export type Kind = 'string' | 'object' | 'array' | 'boolean' | 'null' | 'number';

/** What stands at `start`, judged by its first character, which is enough for what is well formed. */
export function kindAt(text: string, start: number): Kind {
  return KINDS[text[start]!] ?? 'number';
}

const KINDS: Readonly<Record<string, Kind>> = {
  '"': 'string',
  '{': 'object',
  '[': 'array',
  t: 'boolean',
  f: 'boolean',
  n: 'null',
};

function containerEnd(text: string, at: number): number {
  let depth = 0;
  for (let i = at; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code === QUOTE) {
      i = stringEnd(text, i + 1);
    } else if (code === OPEN_BRACE || code === OPEN_BRACKET) {
      depth++;
    } else if ((code === CLOSE_BRACE || code === CLOSE_BRACKET) && --depth === 0) {
      return i + 1;
    }
  }
  throw new BrokenOutline('an object or array does not end');
}

function scalarEnd(text: string, at: number): number {
  let i = at;
  while (isScalarCode(text.charCodeAt(i))) {
    i++;
  }
  if (i === at) {
    throw new BrokenOutline('a value is missing');
  }
  return i;
}

/** Letters, digits and the signs of numbers. */
function isScalarCode(code: number): boolean {
  const folded = code | 0x20;
  return (
    (code >= 0x30 && code <= 0x39) ||
    (folded >= 0x61 && folded <= 0x7a) ||
    code === 0x2b ||
    code === 0x2d ||
    code === 0x2e
  );
}

function expect(text: string, at: number, code: number): number {
  if (text.charCodeAt(at) !== code) {
    throw new BrokenOutline('a character is out of place');
  }
  return at + 1;
}
