/**
 * Changes to a request's body for the policies that ask for them, with the fewest bytes touched: what is not named stays as the
 * client wrote it, blanks, order and unknown fields included. Every spelling of a key that Ollama would take is changed, so
 * that the change holds whichever of them Ollama takes.
 */
import { goJsonString } from './go-json.ts';
import {
  decodeString,
  eachMember,
  foldedKey,
  kindAt,
  outlineText,
  skipSpace,
  type Span,
  valueEnd,
} from './json-outline.ts';

export interface BodyChanges {
  /** The model instead of the one the client spelled; both under `model` and, where it stands there, under `name`. */
  readonly model?: string;
  /** Members of `options`, e.g. `{ num_ctx: 8192 }`; null takes an option's effect away (Ollama skips what is null). */
  readonly options?: Readonly<Record<string, number | boolean | null>>;
  /** `keep_alive`: seconds, or a Go duration. */
  readonly keepAlive?: number | string;
  /** Other members of the body, added where they do not stand; null takes an optional one’s effect away. */
  readonly members?: Readonly<Record<string, number | null>>;
  /** Asks for the usage chunk of an OpenAI stream. */
  readonly includeUsage?: true;
}

interface Edit extends Span {
  /** Latin-1 text of the bytes that stand there afterwards. */
  readonly text: string;
}

/** The body with the changes; the same bytes when there is nothing to change. Throws BrokenOutline when it is no JSON object. */
export function rewriteBody(bytes: Uint8Array, changes: BodyChanges): Buffer {
  const body = outlineText(bytes);
  const members = membersOf(body, 0, foldedKey);
  const edits: Edit[] = [];
  const added: string[] = [];
  const set = (name: string, json: string): void => {
    const known = members.found.get(name);
    if (known === undefined) {
      added.push(`"${name}":${json}`);
    }
    edits.push(...(known ?? []).map((span) => ({ ...span, text: json })));
  };
  const setInner = (outer: string, values: Values, fold: (key: string) => string): void => {
    const occurrences = members.found.get(outer);
    if (occurrences === undefined) {
      added.push(`"${outer}":{${membersText(Object.entries(values))}}`);
    } else {
      edits.push(...innerEdits(body, occurrences, values, fold));
    }
  };
  if (changes.model !== undefined) {
    const model = jsonText(changes.model);
    set('model', model);
    edits.push(...(members.found.get('name') ?? []).map((span) => ({ ...span, text: model })));
  }
  if (changes.keepAlive !== undefined) {
    set('keep_alive', jsonText(changes.keepAlive));
  }
  for (const [name, value] of Object.entries(changes.members ?? {})) {
    set(name, JSON.stringify(value));
  }
  if (changes.options !== undefined) {
    setInner('options', changes.options, decodeString);
  }
  if (changes.includeUsage) {
    setInner('stream_options', { include_usage: true }, foldedKey);
  }
  edits.push(...insertion(members, added.join(',')));
  return Buffer.from(applyEdits(body, edits), 'latin1');
}

type Values = Readonly<Record<string, number | boolean | null>>;

interface Members {
  readonly found: ReadonlyMap<string, readonly Span[]>;
  /** Where a further member can be written, right after the opening brace. */
  readonly insertAt: number;
  readonly isEmpty: boolean;
}

function membersOf(body: string, at: number, fold: (key: string) => string): Members {
  const found = new Map<string, Span[]>();
  const start = skipSpace(body, at);
  eachMember(body, start, (key, from) => {
    const span = { start: from, end: valueEnd(body, from) };
    const name = fold(key);
    const known = found.get(name);
    if (known === undefined) {
      found.set(name, [span]);
    } else {
      known.push(span);
    }
    return span.end;
  });
  return { found, insertAt: start + 1, isEmpty: found.size === 0 };
}

/** New members go in front of the others. */
function insertion(members: Members, text: string): Edit[] {
  const at = members.insertAt;
  return text === '' ? [] : [{ start: at, end: at, text: members.isEmpty ? text : `${text},` }];
}

/** Ollama merges the occurrences of an object in order: each is changed, and the last one says everything. */
function innerEdits(
  body: string,
  occurrences: readonly Span[],
  values: Values,
  fold: (key: string) => string,
): readonly Edit[] {
  const entries = Object.entries(values);
  return occurrences.flatMap((occurrence, index) => {
    const isLast = index === occurrences.length - 1;
    if (kindAt(body, occurrence.start) !== 'object') {
      return isLast ? [{ ...occurrence, text: `{${membersText(entries)}}` }] : [];
    }
    const inner = membersOf(body, occurrence.start, fold);
    const missing = isLast ? entries.filter(([name]) => !inner.found.has(name)) : [];
    const replaced = entries.flatMap(([name, value]) =>
      (inner.found.get(name) ?? []).map((span) => ({ ...span, text: JSON.stringify(value) })),
    );
    return [...replaced, ...insertion(inner, membersText(missing))];
  });
}

function membersText(entries: readonly (readonly [string, number | boolean | null])[]): string {
  return entries.map(([name, value]) => `"${name}":${JSON.stringify(value)}`).join(',');
}

function applyEdits(body: string, edits: readonly Edit[]): string {
  let text = '';
  let from = 0;
  for (const edit of edits.toSorted((a, b) => a.start - b.start)) {
    text += body.slice(from, edit.start) + edit.text;
    from = edit.end;
  }
  return text + body.slice(from);
}

/** JSON as Latin-1 text of its UTF-8 bytes. */
function jsonText(value: string | number): string {
  const json = typeof value === 'string' ? goJsonString(value) : JSON.stringify(value);
  return Buffer.from(json, 'utf8').toString('latin1');
}
