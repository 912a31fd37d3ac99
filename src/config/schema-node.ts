/** The part of JSON Schema that option schemas use, and how to tell its shapes apart. */
import type { TSchema } from 'typebox';

export interface SchemaNode {
  readonly type?: string | readonly string[];
  readonly description?: string;
  readonly default?: unknown;
  readonly format?: string;
  readonly properties?: Readonly<Record<string, SchemaNode>>;
  readonly required?: readonly string[];
  readonly items?: SchemaNode;
  readonly patternProperties?: Readonly<Record<string, SchemaNode>>;
  readonly additionalProperties?: boolean | SchemaNode;
  readonly anyOf?: readonly SchemaNode[];
  readonly enum?: readonly unknown[];
  readonly const?: unknown;
  readonly minimum?: number | string;
  readonly maximum?: number;
  readonly exclusiveMinimum?: number;
  readonly exclusiveMaximum?: number;
  readonly minLength?: number;
  readonly maxLength?: number;
  readonly minItems?: number;
  readonly uniqueItems?: boolean;
  readonly pattern?: string;
  /** On a backend: a plain string stands for what parseBackendSpec makes of it. */
  readonly short?: 'backend-spec';
}

/** TypeBox schemas are JSON Schema with hidden marks. */
export function schemaNode(schema: TSchema): SchemaNode {
  return schema;
}

export type Shape =
  /** A fixed set of named options. */
  | { readonly kind: 'section'; readonly properties: Readonly<Record<string, SchemaNode>> }
  /** One of several objects, told apart by the constant they hold in `tag`. */
  | {
      readonly kind: 'choice';
      readonly tag: string;
      readonly hasShort: boolean;
      readonly members: ReadonlyMap<string, SchemaNode>;
    }
  | { readonly kind: 'list'; readonly items: SchemaNode }
  /** Free names, all with values of one sort. */
  | { readonly kind: 'map'; readonly values: SchemaNode }
  | { readonly kind: 'leaf' };

export function shapeOf(schema: SchemaNode): Shape {
  if (schema.properties) return { kind: 'section', properties: schema.properties };
  if (schema.items) return { kind: 'list', items: schema.items };
  if (schema.patternProperties) return { kind: 'map', values: Object.values(schema.patternProperties)[0] ?? {} };
  if (typeof schema.additionalProperties === 'object') return { kind: 'map', values: schema.additionalProperties };
  return choiceOf(schema) ?? { kind: 'leaf' };
}

/** Every word a leaf allows, when it allows only certain ones. */
export function wordsOf(schema: SchemaNode): readonly unknown[] | null {
  if (schema.const !== undefined) return [schema.const];
  if (schema.enum) return schema.enum;
  if (!schema.anyOf) return null;
  const words = schema.anyOf.map(wordsOf);
  return words.every((list) => list !== null) ? words.flat() : null;
}

/** Objects told apart by a tag; a list of words beside them is the short form that names one. */
function choiceOf(schema: SchemaNode): Extract<Shape, { kind: 'choice' }> | null {
  const members = schema.anyOf?.filter((member) => member.properties) ?? [];
  const others = schema.anyOf?.filter((member) => !member.properties) ?? [];
  if (members.length === 0 || others.some((member) => wordsOf(member) === null)) return null;
  const tag = Object.keys(members[0]!.properties!).find((key) =>
    members.every((member) => typeof member.properties![key]?.const === 'string'),
  );
  if (tag === undefined) return null;
  const byTag = members.map((member) => [member.properties![tag]!.const as string, member] as const);
  return { kind: 'choice', tag, hasShort: others.length > 0, members: new Map(byTag) };
}

/** What to write, in words: `a duration such as \`30s\``, `one of \`a\`, \`b\``, `a whole number, at least 1`. */
export function expectation(schema: SchemaNode): string {
  const words = wordsOf(schema);
  if (words) {
    const quoted = words.map((word) => `\`${String(word)}\``);
    return quoted.length === 1 ? quoted[0]! : `one of ${quoted.join(', ')}`;
  }
  const shape = shapeOf(schema);
  switch (shape.kind) {
    case 'section':
      return 'a section of `key: value` lines';
    case 'choice':
      return `${shape.hasShort ? 'a name, or ' : ''}a section with \`${shape.tag}\``;
    case 'list':
      return `a list${schema.minItems ? ` of at least ${schema.minItems}` : ''}`;
    case 'map':
      return 'a section of `name: value` lines';
    case 'leaf':
      return leafExpectation(schema);
  }
}

const FORMATS: Readonly<Record<string, string>> = {
  duration: 'a duration with its unit, such as `250ms`, `30s`, `10m`, `1h30m` or `0`',
  size: 'a size such as `64KiB`, `256MiB`, `16GiB`',
  address: '`HOST:PORT`, such as `127.0.0.1:11435`, `[::1]:11435` or `:11435` for every interface',
  uri: 'an http:// or https:// URL',
};

function leafExpectation(schema: SchemaNode): string {
  if (schema.anyOf) return schema.anyOf.map(expectation).join(', or ');
  const format = FORMATS[schema.format ?? ''];
  const types = [schema.type ?? []].flat().map((type) => TYPES[type] ?? type);
  const bounds = [
    schema.minimum === undefined || (format && schema.minimum === 0) ? '' : `at least ${schema.minimum}`,
    schema.exclusiveMinimum === undefined ? '' : `more than ${schema.exclusiveMinimum}`,
    schema.maximum === undefined ? '' : `at most ${schema.maximum}`,
    schema.exclusiveMaximum === undefined ? '' : `less than ${schema.exclusiveMaximum}`,
    schema.minLength ? 'not empty' : '',
    schema.maxLength === undefined ? '' : `at most ${schema.maxLength} characters`,
    schema.pattern === undefined ? '' : `matching \`${schema.pattern}\``,
  ].filter((bound) => bound !== '');
  return [format ?? (types.join(' or ') || 'a value'), ...bounds].join(', ');
}

const TYPES: Readonly<Record<string, string>> = {
  integer: 'a whole number',
  number: 'a number',
  boolean: '`true` or `false`',
  string: 'a text',
  null: 'nothing',
  object: 'a section',
  array: 'a list',
};
