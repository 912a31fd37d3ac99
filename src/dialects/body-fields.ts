/** The top-level members of a JSON body, found without decoding the body, and read with the rules of Go's structs. */
import { GatewayError } from '../core/errors.ts';
import { goJsonMistake } from './go-json.ts';
import {
  BrokenOutline,
  decodeString,
  eachMember,
  foldedKey,
  HugeOutline,
  isPlainKey,
  kindAt,
  outlineText,
  refuseHuge,
  type Span,
  valueEnd,
} from './json-outline.ts';
import { collectMedia, collectPieces, type PromptPieces } from './prompt-pieces.ts';

/** One occurrence of a field in a body. */
export interface Occurrence extends Span {
  /** False when the key is another spelling of the name: another case, an odd letter. */
  readonly exact: boolean;
  /** The prompt in it, when the field is one that holds a prompt. */
  readonly pieces: PromptPieces | null;
  /** False when the prompt in it was so large that its pieces are not all there is in it. */
  readonly isWhole: boolean;
}

/** What to look for in a body: names of fields, in lower case, and of what sort they are. */
export type FieldNames = ReadonlyMap<string, 'plain' | 'prompt' | 'media'>;

/** `prompt` and `media` fields are walked in passing, so that a long prompt is gone through once. */
export function fieldNames(names: {
  readonly plain: string;
  readonly prompt?: string;
  readonly media?: string;
}): FieldNames {
  return new Map(
    (['plain', 'prompt', 'media'] as const).flatMap((sort) =>
      (names[sort] ?? '').split(' ').map((name) => [name, sort] as const),
    ),
  );
}

/** What a body of no more bytes holds is walked in time, whatever it is. */
const SMALL_BODY = 256 * 1_024;
/** Names, digests and durations are shorter, be every letter of them escaped. */
const MAX_TEXT = 16 * 1_024;

/** As much may be held on to for the sake of a name in it. */
const KEPT_BODY = 16 * 1_024;

const NONE: readonly Occurrence[] = [];

/**
 * Finds the members called one of `names` (lower case) and hands them to `build`. Throws GatewayError `bad-request` in Go's
 * words when the body is empty (`emptyText`, which differs by API) or where it is found to be no JSON. A body that is JSON but
 * no object has no members.
 */
export function readFields<T>(
  bytes: Uint8Array,
  names: FieldNames,
  emptyText: string,
  build: (fields: BodyFields) => T,
): T {
  try {
    const text = outlineText(bytes);
    if (text.length > SMALL_BODY) {
      refuseHuge(text);
    }
    return build(new BodyFields(text, names));
  } catch (error) {
    if (error instanceof HugeOutline) {
      throw new GatewayError('bad-request', error.message, { cause: error });
    }
    if (!(error instanceof BrokenOutline)) {
      throw error;
    }
    refuseMalformed(bytes, emptyText);
    return build(new BodyFields('{}', names));
  }
}

export class BodyFields {
  /** The body, one character a byte. */
  readonly body: string;
  readonly #fields = new Map<string, Occurrence[]>();
  readonly #ambiguous = new Set<string>();

  /** Throws BrokenOutline. */
  constructor(body: string, names: FieldNames) {
    this.body = body;
    eachMember(body, 0, (key, start) => {
      const name = foldedKey(key);
      const sort = names.get(name);
      const { end, pieces, isWhole } = valueOf(body, start, sort);
      mustBeLiteral(body, start, end);
      if (sort !== undefined) {
        mustBeShortString(body, start, end);
        this.#add(name, { start, end, exact: isPlainKey(key) || decodeString(key) === name, pieces, isWhole });
      }
      return end;
    });
  }

  /** Every occurrence of the field, in the order written. */
  all(name: string): readonly Occurrence[] {
    return this.#fields.get(name) ?? NONE;
  }

  /** True when some field stands there twice, or under a key that is not its name's exact spelling. */
  get isAmbiguous(): boolean {
    return this.#ambiguous.size > 0;
  }

  get ambiguousNames(): readonly string[] {
    return [...this.#ambiguous];
  }

  /** A `string`: the last one wins and null changes nothing; null when there is none. */
  text(name: string): string | null {
    const value = this.lastText(name);
    return value === null ? null : this.textAt(value);
  }

  /** Where `text` stands. */
  lastText(name: string): Occurrence | null {
    return this.all(name).findLast(({ start }) => kindAt(this.body, start) === 'string') ?? null;
  }

  /** A value that null resets (a pointer, slice or `any`): the last one; null when it is absent or null. */
  last(name: string): Occurrence | null {
    const value = this.all(name).at(-1);
    return value === undefined || kindAt(this.body, value.start) === 'null' ? null : value;
  }

  /** A value that null leaves as it was (a plain bool or number): the last one that is not null. */
  lastPlain(name: string): Occurrence | null {
    return this.all(name).findLast(({ start }) => kindAt(this.body, start) !== 'null') ?? null;
  }

  /** Throws HugeOutline for a text that is longer than any name: this is not for prompts. */
  textAt({ start, end }: Span): string {
    if (end - start > MAX_TEXT) {
      throw new HugeOutline('a name, an identifier or a duration is longer than any');
    }
    const text = decodeString(this.body.slice(start + 1, end - 1));
    // A slice holds on to what it was cut from, and a name is kept longer than a body.
    return this.body.length > KEPT_BODY ? Buffer.from(text, 'utf16le').toString('utf16le') : text;
  }

  /** The number at `span`, or null when something else stands there. */
  numberAt(span: Span | null): number | null {
    return span !== null && kindAt(this.body, span.start) === 'number'
      ? Number(this.body.slice(span.start, span.end))
      : null;
  }

  /** The boolean at `span`, or null when something else stands there. */
  flagAt(span: Span | null): boolean | null {
    return span !== null && kindAt(this.body, span.start) === 'boolean' ? this.body[span.start] === 't' : null;
  }

  #add(name: string, occurrence: Occurrence): void {
    const known = this.#fields.get(name);
    if (known !== undefined || !occurrence.exact) {
      this.#ambiguous.add(name);
    }
    if (known === undefined) {
      this.#fields.set(name, [occurrence]);
    } else {
      known.push(occurrence);
    }
  }
}

/** Where the value ends, and what prompt is in it. */
function valueOf(
  body: string,
  start: number,
  sort: 'plain' | 'prompt' | 'media' | undefined,
): Pick<Occurrence, 'end' | 'pieces' | 'isWhole'> {
  if (sort === 'prompt') {
    return collectPieces(body, start);
  }
  return sort === 'media' ? collectMedia(body, start) : { end: valueEnd(body, start), pieces: null, isWhole: true };
}

/** Of a longer body only this much is looked at for a mistake; beyond, the body is taken for one that is cut. */
const EXPLAINED_BYTES = 1_024 * 1_024;

/** Throws what Go's decoder says of the body, if it says anything. */
function refuseMalformed(bytes: Uint8Array, emptyText: string): void {
  const mistake = goJsonMistake(bytes.subarray(0, EXPLAINED_BYTES));
  if (mistake !== null) {
    throw new GatewayError('bad-request', mistake.kind === 'empty' ? emptyText : mistake.message, { cause: mistake });
  }
}

const LITERAL = /^(?:true|false|null|-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?)$/;

/** Top-level scalars are checked, so that `{"model": tiny}` is refused here with Ollama's words. */
function mustBeLiteral(body: string, start: number, end: number): void {
  const first = body.charCodeAt(start);
  const isScalar = first !== 0x22 && first !== 0x7b && first !== 0x5b;
  if (isScalar && !LITERAL.test(body.slice(start, end))) {
    throw new BrokenOutline('a word is neither a literal nor a number');
  }
}

/** Names are short; what is longer is a prompt, whose characters Ollama checks. */
const CHECKED_LENGTH = 512;
const ESCAPE = /^\\(?:["\\/bfnrt]|u[0-9A-Fa-f]{4})/;

function mustBeShortString(body: string, start: number, end: number): void {
  if (body.charCodeAt(start) !== 0x22 || end - start > CHECKED_LENGTH) {
    return;
  }
  for (let i = start + 1; i < end - 1; i++) {
    const code = body.charCodeAt(i);
    if (code < 0x20) {
      throw new BrokenOutline('a string has a control character');
    }
    if (code === 0x5c) {
      if (!ESCAPE.test(body.slice(i, Math.min(i + 6, end - 1)))) {
        throw new BrokenOutline('a string has an unknown escape');
      }
      i++;
    }
  }
}
