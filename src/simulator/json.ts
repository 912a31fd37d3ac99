/** JSON as Go's encoder writes it: HTML characters escaped, float32 in its shortest form, keys in the order given. */
import { goJsonString } from '../dialects/go-json.ts';

/** Numbers that Go holds as float32. */
export class Float32List {
  readonly values: readonly number[];

  constructor(values: readonly number[]) {
    this.values = values;
  }
}

/** Text that is JSON already. */
export class RawJson {
  readonly text: string;

  constructor(text: string) {
    this.text = text;
  }
}

/** Like JSON.stringify, with Go's escapes. Fields that are undefined are left out, as `omitempty` does. */
export function goJson(value: unknown): string {
  if (value === null || value === undefined) return 'null';
  if (typeof value === 'string') return goJsonString(value);
  if (typeof value === 'number' || typeof value === 'boolean' || typeof value === 'bigint') return String(value);
  if (value instanceof RawJson) return value.text;
  if (value instanceof Float32List) return `[${value.values.map(float32).join(',')}]`;
  if (Array.isArray(value)) return `[${value.map(goJson).join(',')}]`;
  const parts: string[] = [];
  for (const [key, field] of Object.entries(value)) {
    if (field !== undefined) parts.push(`${goJsonString(key)}:${goJson(field)}`);
  }
  return `{${parts.join(',')}}`;
}

/** As a Go map is written: keys sorted, at every depth. */
export function goJsonSorted(value: unknown): string {
  return goJson(sortedKeys(value));
}

function sortedKeys(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sortedKeys);
  if (value === null || typeof value !== 'object' || value instanceof RawJson) return value;
  const entries = Object.entries(value).filter(([, field]) => field !== undefined);
  return Object.fromEntries(
    entries.sort(([a], [b]) => (a < b ? -1 : 1)).map(([key, field]) => [key, sortedKeys(field)]),
  );
}

/** The shortest digits that read back as the same float32. */
export function float32(value: number): string {
  for (let digits = 6; digits < 9; digits++) {
    const short = Number(value.toPrecision(digits));
    if (Math.fround(short) === value) return String(short);
  }
  return String(Number(value.toPrecision(9)));
}
