/** What can go wrong with a request on demand, and the book that says with which. */
import { type Static, Type } from 'typebox';
import { Check, Errors } from 'typebox/value';
import type { Rng } from '../core/types.ts';

const count = (description: string) => Type.Optional(Type.Integer({ description, minimum: 0 }));
const afterChunks = { afterChunks: count('So many chunks of the body are sent before; 0 when left out.') };

/** Which requests a fault meets. All of them, until it is cleared, when nothing is said. */
const scope = {
  method: Type.Optional(Type.String({ description: 'Only this method.' })),
  path: Type.Optional(Type.String({ description: 'Only this path, or with a `*` at its end all that begin like it.' })),
  model: Type.Optional(Type.String({ description: 'Only this model, in any spelling.' })),
  skip: count('So many requests pass unharmed first.'),
  times: count('It meets so many requests and is then forgotten.'),
  probability: Type.Optional(
    Type.Number({ description: 'It meets a request with this chance.', minimum: 0, maximum: 1 }),
  ),
};

function fault<K extends string, F extends Parameters<typeof Type.Object>[0]>(kind: K, description: string, fields: F) {
  return Type.Object({ kind: Type.Literal(kind), ...fields, ...scope }, { description, additionalProperties: false });
}

export const Fault = Type.Union([
  fault('hang-before-head', 'Never answers.', {}),
  fault('delay', 'Answers late.', { delayMs: Type.Number({ description: 'Milliseconds before the handler runs.' }) }),
  fault('status', 'Answers with an error, in the dialect of the route.', {
    status: Type.Integer({ description: 'For instance 500 or 503.', minimum: 100, maximum: 599 }),
    text: Type.Optional(Type.String({ description: 'The error text.' })),
  }),
  fault('reset', 'Resets the connection.', {
    atByte: count('Of the body; left out, before the head.'),
  }),
  fault('cut', 'Closes the connection in the middle of the body, as a killed Ollama does.', afterChunks),
  fault('truncate', 'Ends the body cleanly but too early, without its terminal marker.', afterChunks),
  fault('error-line', 'Ends with what Ollama says in-band when its runner fails.', {
    ...afterChunks,
    text: Type.Optional(Type.String({ description: 'The error text.' })),
  }),
  fault('runner-error', 'The runner fails under the request: an answer before the first token, in-band after it.', {
    afterTokens: count('So many tokens come before; 0 when left out.'),
    status: Type.Optional(
      Type.Integer({ description: 'Before the first token; 500 when left out.', minimum: 400, maximum: 599 }),
    ),
    text: Type.Optional(Type.String({ description: 'The error text.' })),
  }),
  fault('hang-mid-stream', 'Falls silent and keeps its slot.', afterChunks),
  fault('slow', 'Sends each chunk late.', { delayMs: Type.Number({ description: 'Milliseconds before each chunk.' }) }),
  fault('crash', 'The whole server dies, and comes back.', {
    ...afterChunks,
    downMs: Type.Optional(Type.Number({ description: 'Milliseconds until it listens again; 1000 when left out.' })),
  }),
  fault('content-type', 'States another content type.', { value: Type.String({ description: 'What it states.' }) }),
  fault('oversized-line', 'One token of the answer is very long.', {
    afterTokens: count('So many tokens come before; 0 when left out.'),
    bytes: Type.Optional(Type.Integer({ description: 'Its length; 9 MiB when left out.', minimum: 1 })),
  }),
  fault('merge', 'Sends several objects in one chunk.', {
    objects: Type.Optional(Type.Integer({ description: 'How many; 2 when left out.', minimum: 2 })),
  }),
  fault('split', 'Sends each object in several chunks.', {
    pieces: Type.Optional(Type.Integer({ description: 'How many; 3 when left out.', minimum: 2 })),
    gapMs: Type.Optional(Type.Number({ description: 'Milliseconds between them; 1 when left out.', minimum: 0 })),
  }),
  fault('split-utf8', 'Puts a character of four bytes into each token and breaks chunks inside it.', {
    gapMs: Type.Optional(Type.Number({ description: 'Milliseconds between the chunks; 1 when left out.', minimum: 0 })),
  }),
]);
export type Fault = Static<typeof Fault>;

/** Of a kind; undefined when none is of it. */
export function faultOf<K extends Fault['kind']>(
  faults: readonly Fault[],
  kind: K,
): Extract<Fault, { kind: K }> | undefined {
  return faults.find((each): each is Extract<Fault, { kind: K }> => each.kind === kind);
}

/** Throws a TypeError that says what is wrong with it. */
export function readFault(given: unknown): Fault {
  if (Check(Fault, given)) return given;
  const kind = (given as { kind?: unknown } | null)?.kind;
  const schema = Fault.anyOf.find((each) => each.properties.kind.const === kind);
  if (schema === undefined) {
    throw new TypeError(
      `no such kind of fault; there are ${Fault.anyOf.map((each) => each.properties.kind.const).join(', ')}`,
    );
  }
  const [problem] = Errors(schema, given);
  throw new TypeError(`${String(kind)}${problem?.instancePath ?? ''}: ${problem?.message ?? 'not well formed'}`);
}

export interface Target {
  readonly method: string;
  readonly path: string;
  /** Tells whether a spelling names the request's model. */
  readonly isModel: (name: string) => boolean;
}

export interface FaultBook {
  add(fault: Fault): void;
  clear(): void;
  list(): readonly Fault[];
  /** The faults that meet this request, each counted. */
  take(target: Target): readonly Fault[];
}

export function createFaultBook(rng: Rng): FaultBook {
  let entries: { readonly fault: Fault; skip: number; times: number }[] = [];
  return {
    add(fault) {
      entries.push({ fault, skip: fault.skip ?? 0, times: fault.times ?? Number.POSITIVE_INFINITY });
    },
    clear() {
      entries = [];
    },
    list: () => entries.map(({ fault }) => fault),
    take(target) {
      const met = entries.filter((entry) => {
        if (!isMeant(entry.fault, target)) return false;
        if (entry.skip > 0) {
          entry.skip--;
          return false;
        }
        if (rng.next() >= (entry.fault.probability ?? 1)) return false;
        entry.times--;
        return true;
      });
      entries = entries.filter(({ times }) => times > 0);
      return met.map(({ fault }) => fault);
    },
  };
}

function isMeant({ method, path, model }: Fault, target: Target): boolean {
  if (method !== undefined && method.toUpperCase() !== target.method) return false;
  if (path !== undefined && !matches(path, target.path)) return false;
  return model === undefined || target.isModel(model);
}

function matches(pattern: string, path: string): boolean {
  return pattern.endsWith('*') ? path.startsWith(pattern.slice(0, -1)) : path === pattern;
}
