/** JSON as Go's encoder writes it: HTML characters escaped, float32 in its shortest form, keys in the order given. */

/** An embedding whose text form is written once. */
export class Embedding {
  readonly values: readonly number[];
  constructor(values: readonly number[]) {
    this.values = values;
  }
}

/** A value that JSON has no type for in JavaScript: written as it stands. */
export class Raw {
  readonly text: string;
  constructor(text: string) {
    this.text = text;
  }
}

const special = /[<>&\u2028\u2029]/gu;

/** `JSON.stringify`, with Go's escapes. `undefined` fields are left out. */
export function goJson(value: unknown): string {
  return write(value);
}

function write(value: unknown): string {
  if (value === null || value === undefined) return 'null';
  if (typeof value === 'string') return quote(value);
  if (typeof value === 'number' || typeof value === 'boolean') return String(value);
  if (typeof value === 'bigint') return value.toString();
  if (value instanceof Raw) return value.text;
  if (value instanceof Embedding) return `[${value.values.map(float32).join(',')}]`;
  if (Array.isArray(value)) return `[${value.map(write).join(',')}]`;
  const parts: string[] = [];
  for (const [key, field] of Object.entries(value))
    if (field !== undefined) parts.push(`${quote(key)}:${write(field)}`);
  return `{${parts.join(',')}}`;
}

export function quote(text: string): string {
  return JSON.stringify(text).replace(special, (c) => `\\u${c.codePointAt(0)!.toString(16).padStart(4, '0')}`);
}

/** The shortest digits that read back as the same float32. */
export function float32(value: number): string {
  for (let digits = 6; digits < 9; digits++) {
    const text = Number(value.toPrecision(digits));
    if (Math.fround(text) === value) return String(text);
  }
  return String(Number(value.toPrecision(9)));
}
