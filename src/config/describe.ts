/** The schema told to people (docs/configuration.md) and to editors (config/llamero.schema.json). */
import type { Path } from './problem.ts';
import { envName } from './settings.ts';
import { shapeOf, wordsOf, type SchemaNode } from './schema-node.ts';
import { ADDRESS_PATTERN, DURATION_PATTERN, formatDuration, formatSize, SIZE_PATTERN } from './units.ts';

export interface OptionRow {
  /** As in a file: `queue.limit`, `backends[].url`, `policy (power-of-two).choices`. */
  readonly name: string;
  readonly type: string;
  /** As written in a file; null when there is none. */
  readonly default: string | null;
  readonly isRequired: boolean;
  /** The variable that sets it; null for what is inside a list, a map or a choice. */
  readonly env: string | null;
  readonly description: string;
}

export interface OptionSection {
  readonly name: string;
  readonly description: string;
  /** What each alternative means, where one of several is chosen. */
  readonly choices: readonly { readonly name: string; readonly description: string }[];
  readonly rows: readonly OptionRow[];
}

/** One section for each key at the top of a file, in the schema's order. */
export function describeSections(schema: SchemaNode): OptionSection[] {
  return Object.entries(schema.properties ?? {}).map(([name, section]) => ({
    name,
    description: section.description ?? '',
    choices: choicesOf(section),
    rows: rowsOf({ schema: section, name, path: [name], isRequired: false }),
  }));
}

function choicesOf(schema: SchemaNode): OptionSection['choices'] {
  const shape = shapeOf(schema);
  if (shape.kind !== 'choice') return [];
  return [...shape.members].map(([name, member]) => ({ name, description: member.description ?? '' }));
}

interface Option {
  readonly schema: SchemaNode;
  readonly name: string;
  /** Null inside what the environment can only set as a whole. */
  readonly path: Path | null;
  readonly isRequired: boolean;
}

function rowsOf(option: Option): OptionRow[] {
  const { schema, name, path } = option;
  const shape = shapeOf(schema);
  if (shape.kind === 'section') return sectionRows(schema, name, path);
  const inner = { path: null, isRequired: false };
  const row = rowOf(option);
  switch (shape.kind) {
    case 'list':
      return [row, ...(isPlain(shape.items) ? [] : rowsOf({ ...inner, schema: shape.items, name: `${name}[]` }))];
    case 'map':
      return [
        row,
        ...(isPlain(shape.values) ? [] : rowsOf({ ...inner, schema: shape.values, name: `${name}.<name>` })),
      ];
    case 'choice': {
      const members = [...shape.members].flatMap(([tag, member]) => {
        const { [shape.tag]: _tag, ...properties } = member.properties ?? {};
        return sectionRows({ ...member, properties }, `${name} (${tag})`, null);
      });
      return [row, ...members];
    }
    case 'leaf':
      return [row];
  }
}

function sectionRows(schema: SchemaNode, name: string, path: Path | null): OptionRow[] {
  return Object.entries(schema.properties ?? {}).flatMap(([key, property]) =>
    rowsOf({
      schema: property,
      name: `${name}.${key}`,
      path: path && [...path, key],
      isRequired: property.default === undefined && (schema.required?.includes(key) ?? false),
    }),
  );
}

/** Whether one row says everything: there are no named options inside. */
function isPlain(schema: SchemaNode): boolean {
  const shape = shapeOf(schema);
  if (shape.kind === 'list') return isPlain(shape.items);
  return shape.kind === 'map' ? isPlain(shape.values) : shape.kind === 'leaf';
}

function rowOf({ schema, name, path, isRequired }: Option): OptionRow {
  return {
    name,
    type: typeName(schema),
    default: schema.default === undefined ? null : defaultText(schema),
    isRequired,
    env: path && envName(path),
    description: schema.description ?? '',
  };
}

function typeName(schema: SchemaNode): string {
  const words = wordsOf(schema);
  if (words) return words.map((word) => `\`${String(word)}\``).join(', ');
  const shape = shapeOf(schema);
  switch (shape.kind) {
    case 'section':
      return 'section';
    case 'choice':
      return [...shape.members.keys()].map((tag) => `\`${tag}\``).join(', ');
    case 'list':
      return `list of ${isPlain(shape.items) ? plural(typeName(shape.items)) : 'sections'}`;
    case 'map':
      return `names with ${isPlain(shape.values) ? plural(typeName(shape.values)) : 'sections'}`;
    case 'leaf':
      return leafType(schema);
  }
}

function leafType(schema: SchemaNode): string {
  if (schema.anyOf) return schema.anyOf.map(typeName).join(' or ');
  const type =
    TYPE_OF_FORMAT[schema.format ?? ''] ?? [schema.type ?? 'any'].flat().join(' or ').replace('string', 'text');
  const bounds = [
    schema.minimum === undefined || schema.minimum === 0 ? '' : `≥ ${schema.minimum}`,
    schema.exclusiveMinimum === undefined ? '' : `> ${schema.exclusiveMinimum}`,
    schema.maximum === undefined ? '' : `≤ ${schema.maximum}`,
    schema.exclusiveMaximum === undefined ? '' : `< ${schema.exclusiveMaximum}`,
  ].filter((bound) => bound !== '');
  return [type, ...bounds].join(', ');
}

const TYPE_OF_FORMAT: Readonly<Record<string, string>> = {
  duration: 'duration',
  size: 'size',
  address: 'address',
  secret: 'secret',
  uri: 'URL',
};

function plural(type: string): string {
  return type.replace(/^(integer|number|duration|size|text|secret|URL|list)\b/, '$1s');
}

/** The default as one would write it in a file. */
function writtenDefault({ default: value, format }: SchemaNode): unknown {
  if (typeof value !== 'number' || value === 0) return value;
  if (format === 'duration') return formatDuration(value);
  return format === 'size' ? formatSize(value) : value;
}

function defaultText(schema: SchemaNode): string {
  const written = writtenDefault(schema);
  if (typeof written === 'string') return written;
  return Array.isArray(written) ? `[${written.join(', ')}]` : JSON.stringify(written);
}

/** JSON Schema (draft 07) with which editors complete and check a file. Units are patterns, because editors know no others. */
export function editorSchema(schema: SchemaNode): Record<string, unknown> {
  return {
    $schema: 'http://json-schema.org/draft-07/schema#',
    title: 'Llamero',
    description: 'The configuration of Llamero, the gateway in front of several Ollamas.',
    ...forEditor(schema),
  };
}

/** `${VAR}` stands for any value. */
const VARIABLE = { type: 'string', pattern: '\\$\\{[A-Za-z_]' };

function forEditor(schema: SchemaNode): Record<string, unknown> {
  const about = {
    ...(schema.description === undefined ? {} : { description: schema.description }),
    ...(schema.default === undefined ? {} : { default: writtenDefault(schema) }),
  };
  const shape = shapeOf(schema);
  switch (shape.kind) {
    case 'section':
      return { ...about, ...sectionForEditor(schema) };
    case 'choice': {
      const short = shape.hasShort ? [{ enum: [...shape.members.keys()] }] : [];
      return { ...about, anyOf: [...short, ...[...shape.members.values()].map(forEditor), VARIABLE] };
    }
    case 'list': {
      const bounds = schema.minItems === undefined ? {} : { minItems: schema.minItems };
      return {
        ...about,
        anyOf: [{ type: 'array', items: forEditor(shape.items), ...bounds }, { type: 'null' }, VARIABLE],
      };
    }
    case 'map':
      return { ...about, type: ['object', 'null'], additionalProperties: forEditor(shape.values) };
    case 'leaf':
      return { ...about, ...leafForEditor(schema) };
  }
}

function sectionForEditor(schema: SchemaNode): Record<string, unknown> {
  const properties = Object.entries(schema.properties ?? {}).map(
    ([key, property]) => [key, forEditor(property)] as const,
  );
  const required = (schema.required ?? []).filter((key) => isNeeded(schema.properties?.[key]));
  const section = {
    additionalProperties: false,
    properties: Object.fromEntries(properties),
    ...(required.length === 0 ? {} : { required }),
  };
  if (schema.short !== undefined) return { anyOf: [{ type: 'object', ...section }, { type: 'string' }] };
  return { type: required.length === 0 ? ['object', 'null'] : 'object', ...section };
}

/** A section is made of its defaults when it is left out, unless something in it has none. */
function isNeeded(schema: SchemaNode | undefined): boolean {
  if (!schema || schema.default !== undefined) return false;
  const { properties } = schema;
  return properties === undefined || (schema.required ?? []).some((key) => isNeeded(properties[key]));
}

function leafForEditor(schema: SchemaNode): Record<string, unknown> {
  const words = wordsOf(schema);
  if (words) return { anyOf: [{ enum: words }, VARIABLE] };
  if (schema.anyOf) return { anyOf: [...schema.anyOf.map(forEditor), VARIABLE] };
  switch (schema.format ?? '') {
    case 'duration':
      return { anyOf: [{ type: 'string', pattern: DURATION_PATTERN }, { const: 0 }, VARIABLE] };
    case 'size':
      return { anyOf: [{ type: 'string', pattern: SIZE_PATTERN }, { type: 'integer', minimum: 0 }, VARIABLE] };
    case 'address':
      return { anyOf: [{ type: 'string', pattern: ADDRESS_PATTERN }, VARIABLE] };
    case 'uri':
      return { anyOf: [{ type: 'string', pattern: '^[Hh][Tt][Tt][Pp][Ss]?://' }, VARIABLE] };
    case 'secret':
      return { type: 'string' };
    default: {
      const { description: _description, default: _default, format: _format, ...rules } = schema;
      return schema.type === 'string' && schema.pattern === undefined ? rules : { anyOf: [rules, VARIABLE] };
    }
  }
}
