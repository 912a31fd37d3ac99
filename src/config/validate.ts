/** Checks one layer against the schema: every problem, each said in the words of the option it is about. */
import { Ajv, type ErrorObject } from 'ajv';
import { nearest } from './nearest.ts';
import { renderPath, type Layer, type Path, type Problem } from './problem.ts';
import { expectation, shapeOf, wordsOf, type SchemaNode } from './schema-node.ts';
import { parseAddress, parseDuration, parseSize } from './units.ts';

export interface Findings {
  readonly problems: readonly Problem[];
  /** Paths whose value is unusable; nothing more need be said about them. */
  readonly spoilt: readonly Path[];
}

export type Validator = (layer: Layer) => Findings;

/** Compiled once per schema. */
export function createValidator(schema: SchemaNode): Validator {
  const ajv = new Ajv({ allErrors: true, strict: false, messages: false, logger: false, validateFormats: false });
  ajv.addKeyword({ keyword: 'unit', schemaType: 'object', validate: fitsUnit, errors: false });
  const check = ajv.compile(partial(schema));
  return (layer) => {
    if (layer.value === undefined || layer.value === null) return { problems: [], spoilt: [] };
    check(layer.value);
    const complaints = new Map<string, Complaint>();
    for (const error of check.errors ?? []) {
      const complaint = explain(schema, layer.value, error);
      // One sentence about a value, however many rules it broke: the innermost place that a person wrote wins.
      if (complaint)
        complaints.set(renderPath(complaint.path), complaints.get(renderPath(complaint.path)) ?? complaint);
    }
    return {
      problems: [...complaints.values()].map(({ path, part, message }) => ({
        origin: layer.where(path, part),
        message,
      })),
      spoilt: [...complaints.values()].flatMap(({ path, meant }) => (meant ? [path, meant] : [path])),
    };
  };
}

interface Complaint {
  readonly path: Path;
  readonly part: 'key' | 'value';
  readonly message: string;
  /** The option a misspelt one most likely stands for; that it is missing need not be said as well. */
  readonly meant?: Path;
}

interface Unit {
  readonly format: string;
  readonly minimum: number | null;
}

/**
 * The schema of a layer: nothing is required, because another layer may hold it (resolve.ts looks at the whole); an empty
 * section is none; and choices are decided by their tag, so that only the chosen member's rules complain.
 */
function partial(schema: SchemaNode): Record<string, unknown> {
  const shape = shapeOf(schema);
  switch (shape.kind) {
    case 'section':
      return section(shape.properties);
    case 'choice': {
      const members = [...shape.members].map(([name, member]) => ({
        if: { required: [shape.tag], properties: { [shape.tag]: { const: name } } },
        // oxlint-disable-next-line unicorn/no-thenable -- JSON Schema's word
        then: partial(member),
      }));
      const tag = { enum: [...shape.members.keys()] };
      return { type: ['object', 'null'], required: [shape.tag], properties: { [shape.tag]: tag }, allOf: members };
    }
    case 'list':
      return { ...rules(schema), type: ['array', 'null'], items: partial(shape.items) };
    case 'map':
      return { type: ['object', 'null'], additionalProperties: partial(shape.values) };
    case 'leaf':
      return leaf(schema);
  }
}

function section(properties: Readonly<Record<string, SchemaNode>>): Record<string, unknown> {
  const entries = Object.entries(properties).map(([key, property]) => [key, partial(property)]);
  return { type: ['object', 'null'], additionalProperties: false, properties: Object.fromEntries(entries) };
}

function leaf(schema: SchemaNode): Record<string, unknown> {
  const words = wordsOf(schema);
  if (words) return { enum: words };
  if (schema.anyOf) return { anyOf: schema.anyOf.map(partial) };
  if (schema.format === undefined || !(schema.format in UNITS)) return rules(schema);
  const minimum = schema.minimum === undefined ? null : UNITS[schema.format]!(schema.minimum);
  return { unit: { format: schema.format, minimum } };
}

const UNITS: Readonly<Record<string, (written: unknown) => number | null>> = {
  duration: parseDuration,
  size: parseSize,
  address: (written) => (parseAddress(written) ? 0 : null),
  uri: (written) => (typeof written === 'string' && isHttpUrl(written) ? 0 : null),
};

function isHttpUrl(text: string): boolean {
  return /^https?:\/\/[^\s]+$/i.test(text) && URL.canParse(text);
}

function fitsUnit(unit: Unit, written: unknown): boolean {
  const value = UNITS[unit.format]!(written);
  return value !== null && (unit.minimum === null || value >= unit.minimum);
}

function rules(schema: SchemaNode): Record<string, unknown> {
  const { description: _description, default: _default, required: _required, format: _format, ...kept } = schema;
  return kept;
}

function explain(root: SchemaNode, value: unknown, error: ErrorObject): Complaint | null {
  const path = pathOf(error.instancePath, value);
  const { params } = error;
  if (error.keyword === 'if' || error.keyword === 'anyOf')
    return error.keyword === 'anyOf' ? misfit(root, value, path) : null;
  // A member of a union complained; the union itself complains once.
  if (/\/anyOf\//.test(error.schemaPath)) return null;
  if (error.keyword === 'additionalProperties') {
    const key = String(params['additionalProperty']);
    return unknownOption(sectionAt(root, value, path), [...path, key]);
  }
  if (error.keyword === 'required') {
    const missing = String(params['missingProperty']);
    return { path, part: 'key', message: `${named(path)} needs \`${missing}\`` };
  }
  return misfit(root, value, path);
}

function misfit(root: SchemaNode, value: unknown, path: Path): Complaint {
  const schema = schemaAt(root, value, path);
  const found = valueAt(value, path);
  const words = wordsOf(schema);
  const near = words && typeof found === 'string' ? nearest(found, words.map(String)) : null;
  const hint = near === null ? '' : `; did you mean \`${near}\`?`;
  const message = `${named(isShort(root, value, path) ? path.slice(0, -1) : path)} should be ${expectation(schema)}, not ${show(schema, found)}${hint}`;
  return { path, part: 'value', message };
}

/** Whether the path is the tag of a choice that was most likely written as a plain name. */
function isShort(root: SchemaNode, value: unknown, path: Path): boolean {
  const around = path.slice(0, -1);
  const shape = shapeOf(schemaAt(root, value, around));
  return shape.kind === 'choice' && shape.hasShort && Object.keys(valueAt(value, around) ?? {}).length === 1;
}

function unknownOption(schema: SchemaNode, path: Path): Complaint {
  const key = String(path.at(-1));
  const around = path.slice(0, -1);
  const known = Object.keys(schema.properties ?? {});
  const near = nearest(key, known);
  const place = around.length === 0 ? '' : ` in \`${renderPath(around)}\``;
  const hint = near === null ? `known here: ${known.join(', ')}` : `did you mean \`${near}\`?`;
  const message = `unknown option \`${shorten(key)}\`${place}; ${hint}`;
  return { path, part: 'key', message, ...(near === null ? {} : { meant: [...around, near] }) };
}

function named(path: Path): string {
  return path.length === 0 ? 'the configuration' : `\`${renderPath(path)}\``;
}

/** The value as a person wrote it, unless it is a secret. */
function show(schema: SchemaNode, value: unknown): string {
  if (schema.format === 'secret') return 'what is given (not shown, it is a secret)';
  if (value === null || value === undefined) return 'empty';
  if (Array.isArray(value)) return 'a list';
  if (typeof value === 'object') return 'a section';
  if (typeof value !== 'string') return `\`${JSON.stringify(value)}\``;
  if (value === '') return 'an empty text';
  return `\`${shorten(value.replace(/\/\/[^/@]*@/, '//…@'))}\``;
}

function shorten(text: string): string {
  const visible = text.slice(0, 60).replace(/\p{C}/gu, '·');
  return text.length <= 60 ? visible : `${visible.slice(0, -1)}…`;
}

function schemaAt(schema: SchemaNode, value: unknown, path: Path): SchemaNode {
  const [step, ...rest] = path;
  const shape = shapeOf(schema);
  if (step === undefined) return schema;
  switch (shape.kind) {
    case 'section':
      return schemaAt(shape.properties[step] ?? {}, valueAt(value, [step]), rest);
    case 'choice': {
      if (step === shape.tag) return { enum: [...shape.members.keys()] };
      const member = shape.members.get(String(valueAt(value, [shape.tag])));
      return member ? schemaAt(member, value, path) : {};
    }
    case 'list':
      return schemaAt(shape.items, valueAt(value, [step]), rest);
    case 'map':
      return schemaAt(shape.values, valueAt(value, [step]), rest);
    case 'leaf':
      return schema;
  }
}

/** The options that may stand in the section at the path: of the chosen member, where there is a choice. */
function sectionAt(root: SchemaNode, value: unknown, path: Path): SchemaNode {
  const schema = schemaAt(root, value, path);
  const shape = shapeOf(schema);
  if (shape.kind !== 'choice') return schema;
  return shape.members.get(String(valueAt(value, [...path, shape.tag]))) ?? schema;
}

function valueAt(value: unknown, path: Path): unknown {
  return path.reduce<unknown>((inner, step) => (inner as Record<string | number, unknown> | null)?.[step], value);
}

/** A JSON pointer as a path; a step is an index where the value there is a list. */
function pathOf(pointer: string, root: unknown): Path {
  let value = root;
  return pointer
    .split('/')
    .slice(1)
    .map((step) => {
      const key = step.replaceAll('~1', '/').replaceAll('~0', '~');
      const isIndex = Array.isArray(value);
      value = valueAt(value, [key]);
      return isIndex ? Number(key) : key;
    });
}
