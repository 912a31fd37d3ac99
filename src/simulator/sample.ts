/** Made-up values that fit a JSON schema, for structured answers and the arguments of tool calls. */
import type { Rng } from '../core/types.ts';
import { draw } from './luck.ts';
import { say } from './text.ts';

type Schema = Readonly<Record<string, unknown>>;

/** How deep a schema that refers to itself is followed. */
const maxDepth = 8;

/** A value the schema allows, as far as its common keywords say. Properties that are not required are given too, to a depth. */
export function sampleOf(schema: unknown, rng: Rng): unknown {
  return sample(schema, { rng, root: isSchema(schema) ? schema : {}, depth: 0 });
}

interface Context {
  readonly rng: Rng;
  readonly root: Schema;
  readonly depth: number;
}

function sample(given: unknown, context: Context): unknown {
  const schema = resolved(given, context);
  if (schema === null || context.depth > maxDepth) return null;
  if ('const' in schema) return schema['const'];
  const choices = listOf(schema['enum']);
  if (choices.length > 0) return choices[draw(context.rng, choices.length)];
  const alternatives = [schema['anyOf'], schema['oneOf'], schema['allOf']].map(listOf).find((list) => list.length > 0);
  if (alternatives !== undefined) return sample(alternatives[0], { ...context, depth: context.depth + 1 });
  return ofType(schema, context);
}

function ofType(schema: Schema, context: Context): unknown {
  switch (typeOf(schema)) {
    case 'object':
      return objectOf(schema, context);
    case 'array':
      return arrayOf(schema, context);
    case 'integer':
      return Math.trunc(numberOf(schema, context.rng));
    case 'number':
      return numberOf(schema, context.rng);
    case 'boolean':
      return context.rng.next() < 0.5;
    case 'null':
      return null;
    default:
      return textOf(schema, context.rng);
  }
}

function typeOf(schema: Schema): unknown {
  const type = schema['type'];
  if (type !== undefined) return Array.isArray(type) ? (type as unknown[])[0] : type;
  if (isSchema(schema['properties'])) return 'object';
  return schema['items'] === undefined ? 'string' : 'array';
}

function objectOf(schema: Schema, context: Context): unknown {
  const properties = isSchema(schema['properties']) ? schema['properties'] : {};
  const required = new Set(listOf(schema['required']));
  const wanted = Object.entries(properties).filter(([name]) => context.depth < 3 || required.has(name));
  const deeper = { ...context, depth: context.depth + 1 };
  return Object.fromEntries(wanted.map(([name, property]) => [name, sample(property, deeper)]));
}

function arrayOf(schema: Schema, context: Context): unknown[] {
  const least = numeric(schema['minItems'], 0);
  const most = Math.max(least, Math.min(numeric(schema['maxItems'], 3), least + 2));
  const length = Math.max(least, Math.min(most, 1 + draw(context.rng, 2)));
  const deeper = { ...context, depth: context.depth + 1 };
  return Array.from({ length }, () => sample(schema['items'] ?? { type: 'string' }, deeper));
}

function numberOf(schema: Schema, rng: Rng): number {
  const least = numeric(schema['minimum'], numeric(schema['exclusiveMinimum'], -1) + 1);
  const most = numeric(schema['maximum'], numeric(schema['exclusiveMaximum'], least + 101) - 1);
  return least + draw(rng, Math.max(1, Math.floor(most - least) + 1));
}

function textOf(schema: Schema, rng: Rng): string {
  switch (schema['format']) {
    case 'date':
      return `2026-0${1 + draw(rng, 9)}-1${draw(rng, 10)}`;
    case 'date-time':
      return `2026-0${1 + draw(rng, 9)}-1${draw(rng, 10)}T09:30:00Z`;
    case 'email':
      return 'llama@example.com';
    case 'uri':
      return 'https://example.com/llama';
    default: {
      const words = say(rng, 4).tokens.join('');
      const padded = words.padEnd(numeric(schema['minLength'], 0), '.');
      return padded.slice(0, numeric(schema['maxLength'], padded.length));
    }
  }
}

/** Follows references within the schema. Null when there is nothing to follow. */
function resolved(given: unknown, { root }: Context): Schema | null {
  let schema = given;
  for (let step = 0; step < maxDepth; step++) {
    if (!isSchema(schema)) return schema === true ? {} : null;
    const reference = schema['$ref'];
    if (typeof reference !== 'string') return schema;
    schema = reference
      .replace(/^#\/?/u, '')
      .split('/')
      .filter((part) => part !== '')
      .reduce<unknown>((at, part) => (isSchema(at) && Object.hasOwn(at, part) ? at[part] : null), root);
  }
  return null;
}

function isSchema(value: unknown): value is Schema {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function listOf(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? (value as unknown[]) : [];
}

function numeric(value: unknown, otherwise: number): number {
  return typeof value === 'number' && Number.isFinite(value) ? value : otherwise;
}
