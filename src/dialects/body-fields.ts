/** The top-level members of a JSON body, found without decoding the body, and read with the rules of Go's structs. */
import { GatewayError } from '../core/errors.ts';
import { decodeGoJson, decodeStringBody, GoJsonError } from './go-json.ts';
import { BrokenOutline, eachMember, keyAt, kindOf, skipSpace, type Span } from './json-outline.ts';

/** One occurrence of a field in a body. */
export interface Occurrence extends Span {
  /** False when the key is another spelling of the name: another case, an odd letter. */
  readonly exact: boolean;
}

const NONE: readonly Occurrence[] = [];

/**
 * Finds the members called one of `names` (lower case) and hands them to `build`. Throws GatewayError `bad-request` in Go's
 * words when the body is empty (`emptyText`, which differs by API) or where it is found to be no JSON. A body that is JSON but
 * no object has no members.
 */
export function readFields<T>(
  bytes: Uint8Array,
  names: ReadonlySet<string>,
  emptyText: string,
  build: (fields: BodyFields) => T,
): T {
  const body = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  try {
    return build(new BodyFields(body, names));
  } catch (error) {
    if (!(error instanceof BrokenOutline)) {
      throw error;
    }
    refuseMalformed(body, emptyText);
    return build(new BodyFields(body, NO_NAMES));
  }
}

const NO_NAMES: ReadonlySet<string> = new Set();

export class BodyFields {
  readonly body: Buffer;
  readonly #fields = new Map<string, Occurrence[]>();

  /** Throws BrokenOutline. */
  constructor(body: Buffer, names: ReadonlySet<string>) {
    this.body = body;
    if (names.size > 0) {
      this.#find(names);
    }
  }

  /** Every occurrence of the field, in the order written. */
  all(name: string): readonly Occurrence[] {
    return this.#fields.get(name) ?? NONE;
  }

  has(name: string): boolean {
    return this.#fields.has(name);
  }

  /** True when some field stands there twice, or under a key that is not its name's exact spelling. */
  get isAmbiguous(): boolean {
    for (const occurrences of this.#fields.values()) {
      if (occurrences.length > 1 || !occurrences[0]!.exact) {
        return true;
      }
    }
    return false;
  }

  /** A `string`: the last one wins and null changes nothing; null when there is none. */
  text(name: string): string | null {
    const value = this.all(name).findLast((occurrence) => kindOf(this.body, occurrence) === 'string');
    return value === undefined ? null : this.textAt(value);
  }

  /** A value that null resets (a pointer, slice or `any`): the last one; null when it is absent or null. */
  last(name: string): Span | null {
    const value = this.all(name).at(-1);
    return value === undefined || kindOf(this.body, value) === 'null' ? null : value;
  }

  /** A value that null leaves as it was (a plain bool or number): the last one that is not null. */
  lastPlain(name: string): Span | null {
    return this.all(name).findLast((occurrence) => kindOf(this.body, occurrence) !== 'null') ?? null;
  }

  textAt(span: Span): string {
    return decodeStringBody(this.body, span.start + 1, span.end - 1);
  }

  /** The number at `span`, or null when something else stands there. */
  numberAt(span: Span | null): number | null {
    return span !== null && kindOf(this.body, span) === 'number'
      ? Number(this.body.toString('latin1', span.start, span.end))
      : null;
  }

  /** The boolean at `span`, or null when something else stands there. */
  flagAt(span: Span | null): boolean | null {
    return span !== null && kindOf(this.body, span) === 'boolean' ? this.body[span.start] === 0x74 : null;
  }

  #find(names: ReadonlySet<string>): void {
    const { body } = this;
    const start = skipSpace(body, 0);
    eachMember(body, start, (keyStart, keyEnd, { start, end }) => {
      mustBeLiteral(body, start, end);
      const written = plainKey(body, keyStart, keyEnd);
      const name = written ?? keyAt(body, keyStart, keyEnd);
      if (!names.has(name)) {
        return;
      }
      mustBeShortString(body, start, end);
      const exact = written !== null || decodeStringBody(body, keyStart, keyEnd) === name;
      const known = this.#fields.get(name);
      if (known === undefined) {
        this.#fields.set(name, [{ start, end, exact }]);
      } else {
        known.push({ start, end, exact });
      }
    });
  }
}

/** Throws what Go's decoder says of the body, if it says anything. */
function refuseMalformed(body: Buffer, emptyText: string): void {
  try {
    decodeGoJson(body);
  } catch (error) {
    if (error instanceof GoJsonError) {
      throw new GatewayError('bad-request', error.kind === 'empty' ? emptyText : error.message, { cause: error });
    }
    throw error;
  }
}

/** The key when it has only lower-case letters, digits and underscores, which is its own folded form; else null. */
export function plainKey(body: Buffer, start: number, end: number): string | null {
  for (let i = start; i < end; i++) {
    const byte = body[i]!;
    if (!((byte >= 0x61 && byte <= 0x7a) || byte === 0x5f || (byte >= 0x30 && byte <= 0x39))) {
      return null;
    }
  }
  return body.toString('latin1', start, end);
}

const LITERAL = /^(?:true|false|null|-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?)$/;

/** Top-level scalars are checked, so that `{"model": tiny}` is refused here with Ollama's words. */
function mustBeLiteral(body: Buffer, start: number, end: number): void {
  const byte = body[start]!;
  if (byte !== 0x22 && byte !== 0x7b && byte !== 0x5b && !LITERAL.test(body.toString('latin1', start, end))) {
    throw new BrokenOutline('a word is neither a literal nor a number');
  }
}

/** Names are short; what is longer is a prompt, whose characters Ollama checks. */
const CHECKED_STRING = 1_024;

function mustBeShortString(body: Buffer, start: number, end: number): void {
  if (body[start] !== 0x22 || end - start > CHECKED_STRING) {
    return;
  }
  for (let i = start + 1; i < end - 1; i++) {
    if (body[i]! < 0x20) {
      throw new BrokenOutline('a string has a control character');
    }
    if (body[i] === 0x5c && !ESCAPE.test(body.toString('latin1', i, Math.min(i + 6, end - 1)))) {
      throw new BrokenOutline('a string has an unknown escape');
    }
    i += body[i] === 0x5c ? 1 : 0;
  }
}

const ESCAPE = /^\\(?:["\\/bfnrt]|u[0-9A-Fa-f]{4})/;
