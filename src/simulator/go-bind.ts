/**
 * Reads a JSON body into a value as Go reads it into a struct: keys without regard to case, the last duplicate wins, null
 * changes nothing, unknown keys are ignored, and a wrong type is told in Go's words after everything else has been read.
 */
import { decodeGoJson, foldKey, GoNumber, GoObject, type GoValue } from '../dialects/go-json.ts';

/** A body that does not fit its struct. */
export class GoBindError extends Error {
  override readonly name = 'GoBindError';
}

/** Where in the structs a value stands. */
interface Place {
  /** The innermost struct's name; empty at the top. */
  readonly struct: string;
  /** Field names from the outermost struct, joined by dots. */
  readonly field: string;
  /** The first complaint is the one that counts. */
  readonly complain: (message: string) => void;
}

export interface Shape<T> {
  /** As Go prints it, e.g. `[]api.Message`. */
  readonly goType: string;
  /** Go's zero value, which an absent field has. */
  readonly zero: T;
  read(value: GoValue, place: Place): T;
}

/** What a shape reads. */
export type Read<S> = S extends Shape<infer T> ? T : never;

/** Throws GoJsonError or GoBindError, whose messages are Go's. */
export function bindJson<T>(bytes: Uint8Array, shape: Shape<T>): T {
  const { value } = decodeGoJson(bytes);
  let complaint: string | null = null;
  const bound = shape.read(value, {
    struct: '',
    field: '',
    complain: (message) => {
      complaint ??= message;
    },
  });
  if (complaint !== null) throw new GoBindError(complaint);
  return bound;
}

function mismatch(value: GoValue, goType: string, place: Place): void {
  const where = place.struct === '' ? 'Go value' : `Go struct field ${place.struct}.${place.field}`;
  place.complain(`json: cannot unmarshal ${kindOf(value, goType)} into ${where} of type ${goType}`);
}

function kindOf(value: GoValue, goType: string): string {
  if (typeof value === 'string') return 'string';
  if (typeof value === 'boolean') return 'bool';
  if (value instanceof GoNumber) return goType === 'int' ? `number ${value.text}` : 'number';
  return Array.isArray(value) ? 'array' : 'object';
}

function scalar<T>(goType: string, zero: T, take: (value: GoValue) => T | undefined): Shape<T> {
  return {
    goType,
    zero,
    read(value, place) {
      if (value === null) return zero;
      const taken = take(value);
      if (taken === undefined) mismatch(value, goType, place);
      return taken ?? zero;
    },
  };
}

export const text = scalar('string', '', (value) => (typeof value === 'string' ? value : undefined));
export const flag = scalar('bool', false, (value) => (typeof value === 'boolean' ? value : undefined));
export const float = scalar('float64', 0, (value) => (value instanceof GoNumber ? Number(value.text) : undefined));
export const integer = scalar('int', 0, (value) => {
  if (!(value instanceof GoNumber) || !/^-?\d+$/u.test(value.text)) return undefined;
  const number = BigInt(value.text);
  return BigInt.asIntN(64, number) === number ? Number(number) : undefined;
});

/** The value as it is, for `json.RawMessage` and `any`; null when absent. */
export const raw: Shape<GoValue> = { goType: 'interface {}', zero: null, read: (value) => value };

/** A pointer: null when absent or null. */
export function optional<T>(shape: Shape<T>): Shape<T | null> {
  return {
    goType: shape.goType,
    zero: null,
    read: (value, place) => (value === null ? null : shape.read(value, place)),
  };
}

/** A slice; null, as Go's nil, when absent or null. */
export function list<T>(item: Shape<T>): Shape<readonly T[] | null> {
  const goType = `[]${item.goType}`;
  return {
    goType,
    zero: null,
    read(value, place) {
      if (value === null) return null;
      if (Array.isArray(value)) return value.map((element) => item.read(element, place));
      mismatch(value, goType, place);
      return null;
    },
  };
}

/** A map with text keys; null when absent or null. */
export function mapOf<T>(item: Shape<T>): Shape<ReadonlyMap<string, T> | null> {
  const goType = `map[string]${item.goType}`;
  return {
    goType,
    zero: null,
    read(value, place) {
      if (value === null) return null;
      if (value instanceof GoObject)
        return new Map(value.entries.map(([key, field]) => [key, item.read(field, place)]));
      mismatch(value, goType, place);
      return null;
    },
  };
}

/** A type with an UnmarshalJSON of its own; what `take` throws is the complaint. */
export function custom<T>(goType: string, zero: T, take: (value: GoValue) => T): Shape<T> {
  return {
    goType,
    zero,
    read(value, place) {
      if (value === null) return zero;
      try {
        return take(value);
      } catch (error) {
        place.complain((error as Error).message);
        return zero;
      }
    },
  };
}

type Fields = Readonly<Record<string, Shape<unknown>>>;
type Bound<F extends Fields> = { readonly [K in keyof F]: Read<F[K]> };

/** A struct; `fields` are its JSON names. */
export function struct<F extends Fields>(goName: string, fields: F): Shape<Bound<F>> {
  const goType = goName;
  const bare = goName.slice(goName.lastIndexOf('.') + 1);
  const folded = new Map(Object.keys(fields).map((name) => [foldKey(name), name]));
  const zero = Object.fromEntries(Object.entries(fields).map(([name, shape]) => [name, shape.zero])) as Bound<F>;
  return {
    goType,
    zero,
    read(value, place) {
      if (value === null) return zero;
      if (!(value instanceof GoObject)) {
        mismatch(value, goType, place);
        return zero;
      }
      const bound: Record<string, unknown> = { ...zero };
      for (const [key, field] of value.entries) {
        const name = Object.hasOwn(fields, key) ? key : folded.get(foldKey(key));
        if (name === undefined) continue;
        const shape = fields[name]!;
        // Null leaves a plain field as it was, and resets what Go holds by pointer.
        if (field === null && shape.zero !== null) continue;
        const path = place.field === '' ? name : `${place.field}.${name}`;
        bound[name] = shape.read(field, { ...place, struct: bare, field: path });
      }
      return bound as Bound<F>;
    },
  };
}

/** As JSON.parse would give it. */
export function plain(value: GoValue): unknown {
  if (value instanceof GoNumber) return Number(value.text);
  if (Array.isArray(value)) return value.map(plain);
  if (value instanceof GoObject) return Object.fromEntries(value.entries.map(([key, field]) => [key, plain(field)]));
  return value;
}
