/** What a body asks of an Ollama, read the slow way from its decoded tree; test/fixtures/go-json/main.go says the same in Go. */
import { goDuration } from '../../src/dialects/keep-alive.ts';
import { decodeGoJson, GoJsonError, GoNumber, GoObject, type GoValue } from '../../src/dialects/go-json.ts';

export interface Asked {
  readonly refused?: true;
  readonly models?: readonly string[];
  readonly empty?: true;
  readonly round?: readonly string[];
  readonly images?: number;
  readonly inputs?: number;
  readonly numCtx?: number;
  readonly output?: number;
  /** -1 for ever. */
  readonly keepAliveMs?: number;
  readonly runner?: readonly string[];
}

class Refused extends Error {}

export function goAsked(route: string, body: Uint8Array): Asked {
  try {
    const decoded = decodeGoJson(body).value;
    if (decoded !== null && !(decoded instanceof GoObject)) throw new Refused();
    const fields = new Fields(decoded ?? new GoObject());
    return Object.fromEntries(Object.entries(readers[route]!(fields)).filter(([, value]) => !isZero(value)));
  } catch (error) {
    if (error instanceof Refused || error instanceof GoJsonError) return { refused: true };
    throw error;
  }
}

/** What Go leaves out. A number that is stated is there, be it zero. */
function isZero(value: unknown): boolean {
  return value === undefined || value === false || (Array.isArray(value) && value.length === 0);
}

/** How Go matches a key with the name of a field. */
function isKeyOf(key: string, name: string): boolean {
  return key.replaceAll('\u017f', 's').replaceAll('\u212a', 'k').toLowerCase() === name && !/[\u0130]/.test(key);
}

/** The values of one field, in the order in which Go assigns them. */
class Fields {
  readonly #object: GoObject;

  constructor(object: GoObject) {
    this.#object = object;
  }

  all(name: string): readonly GoValue[] {
    return this.#object.entries.filter(([key]) => isKeyOf(key, name)).map(([, value]) => value);
  }

  text(name: string): string {
    let text = '';
    for (const value of this.all(name)) if (value !== null) text = typeof value === 'string' ? value : refuse();
    return text;
  }

  flag(name: string): boolean {
    let flag = false;
    for (const value of this.all(name)) if (value !== null) flag = typeof value === 'boolean' ? value : refuse();
    return flag;
  }

  flagOrNone(name: string): boolean | null {
    let flag: boolean | null = null;
    for (const value of this.all(name)) flag = value === null || typeof value === 'boolean' ? value : refuse();
    return flag;
  }

  whole(name: string): number | undefined {
    let number: number | undefined;
    for (const value of this.all(name)) number = value === null ? undefined : wholeOf(value);
    return number;
  }

  /** Maps are added to, and cleared by null; keys are exact. */
  map(name: string): ReadonlyMap<string, GoValue> {
    const map = new Map<string, GoValue>();
    for (const value of this.all(name)) {
      if (value === null) map.clear();
      else if (value instanceof GoObject) for (const [key, inner] of value.entries) map.set(key, inner);
      else refuse();
      mustFit(value);
    }
    return map;
  }

  any(name: string): GoValue | undefined {
    for (const value of this.all(name)) mustFit(value);
    return this.all(name).at(-1);
  }

  /**
   * A slice. Go decodes each element over the one that stood there before, also when the slice has been shorter since; only null
   * and an empty list begin anew.
   */
  list(name: string, element: (value: GoValue) => void): readonly GoValue[] {
    let room: GoValue[] = [];
    let length = 0;
    for (const value of this.all(name)) {
      if (value !== null && !Array.isArray(value)) refuse();
      const list = value ?? [];
      if (list.length === 0) room = [];
      for (const [i, one] of list.entries()) {
        element(one);
        room[i] = over(room[i] ?? null, one);
      }
      length = list.length;
    }
    return room.slice(0, length);
  }

  keepAlive(): number | undefined {
    let ms: number | undefined;
    for (const value of this.all('keep_alive')) ms = value === null ? undefined : durationMs(value);
    return ms;
  }
}

/** An object's members come after those of the one before; null changes nothing of it. */
function over(before: GoValue, value: GoValue): GoValue {
  if (!(before instanceof GoObject)) return value;
  if (!(value instanceof GoObject)) return value ?? before;
  const both = new GoObject();
  both.entries.push(...before.entries, ...value.entries);
  return both;
}

function refuse(): never {
  throw new Refused();
}

/** A number beyond a float is an error wherever a value of any kind is taken. */
function mustFit(value: GoValue): void {
  if (value instanceof GoNumber && !Number.isFinite(Number(value.text))) refuse();
  if (Array.isArray(value)) for (const inner of value) mustFit(inner);
  if (value instanceof GoObject) for (const [, inner] of value.entries) mustFit(inner);
}

function wholeOf(value: GoValue): number {
  if (!(value instanceof GoNumber) || !/^-?\d+$/.test(value.text)) return refuse();
  const whole = BigInt(value.text);
  return BigInt.asIntN(64, whole) === whole ? Number(whole) : refuse();
}

function durationMs(value: GoValue): number {
  mustFit(value);
  let nanoseconds: number | null = null;
  if (typeof value === 'string') nanoseconds = goDuration(value);
  else if (value instanceof GoNumber) nanoseconds = Math.trunc(Number(value.text) * 1e9);
  if (nanoseconds === null) return refuse();
  // Beyond 64 bits the processor makes the smallest of all numbers of it.
  return nanoseconds < 0 || nanoseconds >= 2 ** 63 ? -1 : nanoseconds / 1e6;
}

const readers: Readonly<Record<string, (fields: Fields) => Readonly<Record<string, unknown>>>> = {
  '/api/generate': (fields) => ({
    ...checked(fields.text('system'), fields.flagOrNone('stream')),
    models: [fields.text('model')],
    empty: fields.text('prompt') === '',
    round: [
      ...(fields.list('context', (value) => value !== null && wholeOf(value)).length > 0 ? ['context'] : []),
      ...(fields.flag('_debug_render_only') ? ['debug'] : []),
      ...(fields.flag('raw') ? ['raw'] : []),
      ...(fields.text('suffix') === '' ? [] : ['suffix']),
      ...(fields.text('template') === '' ? [] : ['template']),
    ],
    images: imagesIn(fields) || undefined,
    ...optionsOf(fields, true),
  }),
  '/api/chat': (fields) => {
    let images = 0;
    const messages = fields.list('messages', mustBeMessage);
    for (const message of messages) if (message instanceof GoObject) images += imagesIn(new Fields(message));
    fields.flagOrNone('stream');
    return {
      models: [fields.text('model')],
      empty: messages.length === 0,
      round: fields.flag('_debug_render_only') ? ['debug'] : [],
      images: images || undefined,
      ...optionsOf(fields, true),
    };
  },
  '/api/embed': (fields) => {
    const input = fields.any('input') ?? null;
    if (input !== null && typeof input !== 'string' && !Array.isArray(input)) refuse();
    const count = Array.isArray(input) ? input.length : input === null ? 0 : 1;
    return {
      models: [fields.text('model')],
      empty: count === 0 || input === '',
      inputs: count || undefined,
      ...optionsOf(fields, false),
    };
  },
  '/v1/chat/completions': (fields) => {
    const messages = fields.list('messages', (value) => {
      if (value !== null && !(value instanceof GoObject)) refuse();
      if (value instanceof GoObject) new Fields(value).text('role');
      if (value instanceof GoObject) new Fields(value).any('content');
    });
    fields.flag('stream');
    fields.whole('max_completion_tokens');
    return {
      models: [fields.text('model')],
      images: messages.reduce<number>((sum, message) => sum + picturesIn(message), 0) || undefined,
      output: fields.whole('max_tokens'),
    };
  },
  '/api/copy': (fields) => ({ models: [fields.text('source'), fields.text('destination')] }),
};

/** Fields that are read only to be found of the right kind. */
function checked(..._fields: readonly unknown[]): object {
  return {};
}

function mustBeMessage(value: GoValue): void {
  if (value === null) return;
  if (!(value instanceof GoObject)) refuse();
  const message = new Fields(value);
  message.text('role');
  message.text('content');
  imagesIn(message);
}

function imagesIn(fields: Fields): number {
  return fields.list('images', (value) => value === null || (typeof value === 'string' && isBase64(value)) || refuse())
    .length;
}

function isBase64(text: string): boolean {
  return Buffer.from(text, 'base64').toString('base64') === text;
}

function picturesIn(message: GoValue): number {
  const content = message instanceof GoObject ? new Fields(message).any('content') : null;
  if (!Array.isArray(content)) return 0;
  const isPicture = (part: GoValue) =>
    part instanceof GoObject && part.entries.findLast(([key]) => key === 'type')?.[1] === 'image_url';
  return content.filter(isPicture).length;
}

const wholeOptions = ['draft_num_predict', 'main_gpu', 'num_batch', 'num_gpu', 'num_thread'];

function optionsOf(fields: Fields, hasShift: boolean): Readonly<Record<string, unknown>> {
  const options = fields.map('options');
  const number = (name: string): number | undefined => {
    const value = options.get(name) ?? null;
    if (value === null) return undefined;
    return value instanceof GoNumber ? Math.trunc(Number(value.text)) : refuse();
  };
  const mapped = options.get('use_mmap') ?? null;
  if (mapped !== null && typeof mapped !== 'boolean') refuse();
  const shift = hasShift ? fields.flagOrNone('shift') : null;
  return {
    numCtx: number('num_ctx'),
    output: number('num_predict'),
    keepAliveMs: fields.keepAlive(),
    runner: [
      ...wholeOptions.filter((name) => number(name) !== undefined),
      ...(shift === false ? ['shift'] : []),
      ...(mapped === null ? [] : ['use_mmap']),
    ],
  };
}
