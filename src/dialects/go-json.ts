/**
 * JSON exactly as Go's encoding/json decodes it, because that is what Ollama does with a body (ollama-wire §1.2): keys match
 * without regard to case (with Unicode's two odd ones), the last duplicate wins, only the first value counts, nesting ends at
 * 10,000, and mistakes are told in Go's words.
 */

/** A number as it was written; `Number(text)` where precision does not matter. */
export class GoNumber {
  readonly text: string;

  constructor(text: string) {
    this.text = text;
  }
}

/** An object's members in the order written, duplicates and all. */
export class GoObject {
  readonly entries: [key: string, value: GoValue][] = [];
}

export type GoValue = null | boolean | string | GoNumber | GoValue[] | GoObject;

/** `empty`: no value at all. `cut`: it ends in the middle of one. `syntax`: a byte that cannot stand where it stands. */
export class GoJsonError extends Error {
  readonly kind: 'empty' | 'cut' | 'syntax';

  constructor(kind: 'empty' | 'cut' | 'syntax', message: string) {
    super(message);
    this.name = 'GoJsonError';
    this.kind = kind;
  }
}

const MAX_DEPTH = 10_000;

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const COMMA = 0x2c;
const COLON = 0x3a;
const OPEN_BRACE = 0x7b;
const CLOSE_BRACE = 0x7d;
const OPEN_BRACKET = 0x5b;
const CLOSE_BRACKET = 0x5d;

/**
 * The first value in `bytes`, and where it ends. Throws GoJsonError with the text of Go's Decoder: `EOF`,
 * `unexpected EOF`, or `invalid character 'x' …`.
 */
export function decodeGoJson(bytes: Uint8Array): { readonly value: GoValue; readonly end: number } {
  const reader = new Reader(bytes, true);
  const value = reader.readDocument();
  return { value, end: reader.at };
}

/** What decodeGoJson would throw, or null; keeps nothing of what it reads, whatever that is. */
export function goJsonMistake(bytes: Uint8Array): GoJsonError | null {
  try {
    new Reader(bytes, false).readDocument();
    return null;
  } catch (error) {
    if (error instanceof GoJsonError) {
      return error;
    }
    throw error;
  }
}

/** The form under which Go compares keys with names of ASCII letters: without case, `ſ` as s and the Kelvin sign as k. */
export function foldKey(key: string): string {
  let folded = key.replace(/[A-Z]+/g, (upper) => upper.toLowerCase());
  if (/[\u017F\u212A]/.test(folded)) {
    folded = folded.replaceAll('\u017F', 's').replaceAll('\u212A', 'k');
  }
  return folded;
}

/** `text` as Go's json.Marshal writes it, quotes included: also `<`, `>`, `&` and the two line separators are escaped. */
export function goJsonString(text: string): string {
  return JSON.stringify(text.toWellFormed()).replace(
    /[<>&\u2028\u2029]/g,
    (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}

/** `text` as Go's %q writes it; for ASCII and printable text. */
export function goQuoted(text: string): string {
  let quoted = '"';
  for (const char of text) {
    quoted += char === '"' ? '\\"' : escapeUnprintable(char);
  }
  return `${quoted}"`;
}

/** A byte as Go shows it in a syntax error, e.g. `'x'`, `'\x1f'`, `'"'`. */
export function goQuotedByte(byte: number): string {
  const char = String.fromCharCode(byte);
  return char === "'" ? "'\\''" : `'${escapeUnprintable(char)}'`;
}

const NAMED_ESCAPES: Readonly<Record<string, string>> = {
  '\\': '\\\\',
  '\u0007': '\\a',
  '\b': '\\b',
  '\f': '\\f',
  '\n': '\\n',
  '\r': '\\r',
  '\t': '\\t',
  '\v': '\\v',
};

function escapeUnprintable(char: string): string {
  const named = NAMED_ESCAPES[char];
  if (named !== undefined) {
    return named;
  }
  const code = char.codePointAt(0)!;
  if (code < 0x20 || code === 0x7f) {
    return `\\x${code.toString(16).padStart(2, '0')}`;
  }
  if (code < 0x7f || (/^[\p{L}\p{M}\p{N}\p{P}\p{S}]$/u.test(char) && code !== 0xad)) {
    return char;
  }
  return code > 0xffff ? `\\U${code.toString(16).padStart(8, '0')}` : `\\u${code.toString(16).padStart(4, '0')}`;
}

type Container = GoObject | GoValue[];

/** What stands for values that are not kept. */
const NO_OBJECT = Object.freeze(new GoObject());
const NO_ARRAY: GoValue[] = Object.freeze([] as GoValue[]) as GoValue[];
const NO_NUMBER = Object.freeze(new GoNumber('0'));

/** Iterative, so that the deepest nesting Go takes cannot overflow our stack. */
class Reader {
  at = 0;
  readonly #bytes: Uint8Array;
  readonly #open: Container[] = [];
  /** The keys whose values are being read, one for each open object. */
  readonly #keys: string[] = [];

  /** Whether values are kept, or only looked at. */
  readonly #keeps: boolean;

  constructor(bytes: Uint8Array, keeps: boolean) {
    this.#bytes = bytes;
    this.#keeps = keeps;
  }

  readDocument(): GoValue {
    this.#skipSpace();
    if (this.at >= this.#bytes.length) {
      throw new GoJsonError('empty', 'EOF');
    }
    let value = this.#readValueStart();
    for (;;) {
      const container = this.#open.at(-1);
      if (container === undefined) {
        return value as GoValue;
      }
      value = value === undefined ? this.#readFirstMember(container) : this.#readNextMember(container, value);
    }
  }

  /** A whole scalar; or undefined after opening a container, which is then the innermost. */
  #readValueStart(): GoValue | undefined {
    this.#skipSpace();
    const byte = this.#peek();
    if (byte === OPEN_BRACE || byte === OPEN_BRACKET) {
      if (this.#open.length >= MAX_DEPTH) {
        this.#fail('exceeded max depth');
      }
      if (this.#keeps) {
        this.#open.push(byte === OPEN_BRACE ? new GoObject() : []);
      } else {
        this.#open.push(byte === OPEN_BRACE ? NO_OBJECT : NO_ARRAY);
      }
      this.at++;
      return undefined;
    }
    return this.#readScalar(byte);
  }

  #readFirstMember(container: Container): GoValue | undefined {
    this.#skipSpace();
    const close = container instanceof GoObject ? CLOSE_BRACE : CLOSE_BRACKET;
    if (this.#peek() === close) {
      this.at++;
      return this.#open.pop()!;
    }
    return container instanceof GoObject ? this.#readMember() : this.#readValueStart();
  }

  /** Puts `value` into `container`, then reads on after a comma or closes the container. */
  #readNextMember(container: Container, value: GoValue): GoValue | undefined {
    const isObject = container instanceof GoObject;
    if (this.#keeps && isObject) {
      container.entries.push([this.#keys.pop()!, value]);
    } else if (this.#keeps && !isObject) {
      container.push(value);
    }
    this.#skipSpace();
    const byte = this.#peek();
    if (byte === (isObject ? CLOSE_BRACE : CLOSE_BRACKET)) {
      this.at++;
      return this.#open.pop()!;
    }
    if (byte !== COMMA) {
      this.#fail(isObject ? 'after object key:value pair' : 'after array element');
    }
    this.at++;
    return isObject ? this.#readMember() : this.#readValueStart();
  }

  #readMember(): GoValue | undefined {
    this.#skipSpace();
    if (this.#peek() !== QUOTE) {
      this.#fail('looking for beginning of object key string');
    }
    const key = this.#readString();
    if (this.#keeps) {
      this.#keys.push(key);
    }
    this.#skipSpace();
    if (this.#peek() !== COLON) {
      this.#fail('after object key');
    }
    this.at++;
    return this.#readValueStart();
  }

  #readScalar(byte: number): GoValue {
    switch (byte) {
      case QUOTE:
        return this.#readString();
      case 0x74:
        return this.#readLiteral('true', true);
      case 0x66:
        return this.#readLiteral('false', false);
      case 0x6e:
        return this.#readLiteral('null', null);
      default:
        return this.#readNumber(byte);
    }
  }

  #readLiteral<T>(word: string, value: T): T {
    for (let i = 1; i < word.length; i++) {
      this.at++;
      if (this.#peek() !== word.charCodeAt(i)) {
        this.#fail(`in literal ${word} (expecting '${word[i]}')`);
      }
    }
    this.at++;
    return value;
  }

  #readNumber(first: number): GoNumber {
    const start = this.at;
    if (first !== 0x2d && !isDigit(first)) {
      this.#fail('looking for beginning of value');
    }
    if (first === 0x2d) {
      this.at++;
      if (!isDigit(this.#peek())) {
        this.#fail('in numeric literal');
      }
    }
    if (this.#bytes[this.at] === 0x30) {
      this.at++;
    } else {
      this.#skipDigits();
    }
    if (this.#bytes[this.at] === 0x2e) {
      this.at++;
      this.#needDigits('after decimal point in numeric literal');
    }
    if (((this.#bytes[this.at] ?? 0) | 0x20) === 0x65) {
      this.at++;
      const sign = this.#peek();
      if (sign === 0x2b || sign === 0x2d) {
        this.at++;
      }
      this.#needDigits('in exponent of numeric literal');
    }
    return this.#keeps ? new GoNumber(latin1(this.#bytes, start, this.at)) : NO_NUMBER;
  }

  #needDigits(context: string): void {
    if (!isDigit(this.#peek())) {
      this.#fail(context);
    }
    this.#skipDigits();
  }

  #skipDigits(): void {
    while (isDigit(this.#bytes[this.at] ?? 0)) {
      this.at++;
    }
  }

  #readString(): string {
    const start = ++this.at;
    for (;;) {
      const byte = this.#peek();
      if (byte === QUOTE) {
        const end = this.at++;
        return this.#keeps ? decodeStringBody(this.#bytes, start, end) : '';
      }
      if (byte < 0x20) {
        this.#fail('in string literal');
      }
      if (byte === BACKSLASH) {
        this.at++;
        this.#checkEscape();
      }
      this.at++;
    }
  }

  /** Leaves `at` on the escape's last byte. */
  #checkEscape(): void {
    const byte = this.#peek();
    if (byte !== 0x75) {
      if (!SIMPLE_ESCAPES.has(byte)) {
        this.#fail('in string escape code');
      }
      return;
    }
    for (let digit = 0; digit < 4; digit++) {
      this.at++;
      if (!isHexDigit(this.#peek())) {
        this.#fail('in \\u hexadecimal character escape');
      }
    }
  }

  #skipSpace(): void {
    while (isSpace(this.#bytes[this.at])) {
      this.at++;
    }
  }

  /** The byte under the cursor, which must exist. */
  #peek(): number {
    const byte = this.#bytes[this.at];
    if (byte === undefined) {
      throw new GoJsonError('cut', 'unexpected EOF');
    }
    return byte;
  }

  #fail(context: string): never {
    throw new GoJsonError('syntax', `invalid character ${goQuotedByte(this.#bytes[this.at]!)} ${context}`);
  }
}

const SIMPLE_ESCAPES: ReadonlySet<number> = new Set(Buffer.from('bfnrt\\/"'));

function isDigit(byte: number): boolean {
  return byte >= 0x30 && byte <= 0x39;
}

function isHexDigit(byte: number): boolean {
  return isDigit(byte) || ((byte | 0x20) >= 0x61 && (byte | 0x20) <= 0x66);
}

function isSpace(byte: number | undefined): boolean {
  return byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09;
}

/** Bytes that are not UTF-8 and halves of surrogate pairs become U+FFFD, as in Go. */
function decodeStringBody(bytes: Uint8Array, start: number, end: number): string {
  const text = utf8(bytes, start, end);
  return text.includes('\\') ? unescapeString(text) : text;
}

/** Resolves the escapes of a well-formed string. */
export function unescapeString(text: string): string {
  return text
    .replace(/\\(?:u([0-9A-Fa-f]{4})|(.))/gs, (_escape, hex: string | undefined, char: string) =>
      hex === undefined ? (UNESCAPED[char] ?? char) : String.fromCharCode(Number.parseInt(hex, 16)),
    )
    .toWellFormed();
}

const UNESCAPED: Readonly<Record<string, string>> = { b: '\b', f: '\f', n: '\n', r: '\r', t: '\t' };

function utf8(bytes: Uint8Array, start: number, end: number): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset + start, end - start).toString('utf8');
}

function latin1(bytes: Uint8Array, start: number, end: number): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset + start, end - start).toString('latin1');
}
