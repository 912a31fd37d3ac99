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
/** As Go has it. */
const MAX_DEPTH = 10_000;
/** Longer than any number that says something, and than any key that is looked for, be every letter of it escaped. */
const MAX_SCALAR = 1_024;
const MAX_KEY = 256;
const TOO_LONG = ' ';
/** How much structure a body may have: a number of characters outside of strings, strings and containers counted as several. */
const MAX_STRUCTURE = 4 * 1_024 * 1_024;
const STRING_WEIGHT = 24;
const CONTAINER_WEIGHT = 12;
const ESCAPE_WEIGHT = 14;

/**
 * Throws HugeOutline for a body made to be slow to walk. What is in strings costs next to nothing to go over, and does not count;
 * so this and the walk after it cost some tens of milliseconds at most, whatever the structure is.
 */
export function refuseHuge(text: string): void {
  let weight = 0;
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    weight++;
    if (code === QUOTE) {
      weight += STRING_WEIGHT;
      let slashes: number;
      do {
        i = nextQuote(text, i + 1);
        slashes = slashesBefore(text, i);
        weight += slashes === 0 ? 0 : ESCAPE_WEIGHT + slashes;
      } while (i >= 0 && slashes % 2 === 1 && weight <= MAX_STRUCTURE);
      if (i < 0) {
        return;
      }
    } else if (code === OPEN_BRACE || code === OPEN_BRACKET) {
      weight += CONTAINER_WEIGHT;
    }
    if (weight > MAX_STRUCTURE) {
      throw new HugeOutline('the body has more members and elements than any request');
    }
  }
}

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
  let quote = nextQuote(text, from);
  while (quote >= 0) {
    if (quote === from || slashesBefore(text, quote) % 2 === 0) {
      return quote;
    }
    quote = nextQuote(text, quote + 1);
  }
  throw new BrokenOutline('a string does not end');
}

/** Where quotes are near, looking is quicker than a native search. */
const NEAR = 24;
const MAX_SLASHES = 1_024 * 1_024;

function nextQuote(text: string, from: number): number {
  const end = Math.min(from + NEAR, text.length);
  for (let i = from; i < end; i++) {
    if (text.charCodeAt(i) === QUOTE) {
      return i;
    }
  }
  return text.indexOf('"', end);
}

/** How many backslashes stand right before `at`: an odd number makes of a quote a part of its string. */
function slashesBefore(text: string, at: number): number {
  let first = at;
  while (text.charCodeAt(first - 1) === BACKSLASH) {
    first--;
    if (at - first > MAX_SLASHES) {
      throw new HugeOutline('a string has more backslashes than any request');
    }
  }
  return at - first;
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

/** A key as written between its quotes, in the form under which Go compares keys; of one too long to be looked for, none. */
export function foldedKey(written: string): string {
  if (written.length > MAX_KEY) {
    return TOO_LONG;
  }
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
      if (++depth > MAX_DEPTH) {
        throw new BrokenOutline('containers are nested deeper than Go takes them');
      }
    } else if ((code === CLOSE_BRACE || code === CLOSE_BRACKET) && --depth === 0) {
      return i + 1;
    }
  }
  throw new BrokenOutline('an object or array does not end');
}

function scalarEnd(text: string, at: number): number {
  let i = at;
  // One digit too many is enough to know: the rest is not gone over.
  while (i - at <= MAX_SCALAR && isScalarCode(text.charCodeAt(i))) {
    i++;
  }
  if (i === at) {
    throw new BrokenOutline('a value is missing');
  }
  if (i - at > MAX_SCALAR) {
    throw new HugeOutline('a number has more digits than any request');
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
