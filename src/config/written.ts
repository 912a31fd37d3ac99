/** Text that stands for a value of a known sort: an environment variable, a flag, a `${VAR}` in a file. */
import { parse } from 'yaml';
import { parseBackendSpec, splitBackendSpecs } from './backend-spec.ts';
import { shapeOf, wordsOf, type SchemaNode } from './schema-node.ts';

/** A text in a file into which variables were filled; read like a variable once its option is known. */
export class Filled {
  readonly text: string;

  constructor(text: string) {
    this.text = text;
  }
}

/**
 * The value the option's schema asks for: numbers and booleans as such, lists separated by commas, anything deeper as YAML or
 * JSON in one line. What does not fit stays text, and validation says so.
 */
export function readWritten(schema: SchemaNode, text: string): unknown {
  const shape = shapeOf(schema);
  if (shape.kind === 'list' && !text.trimStart().startsWith('[')) {
    if (shape.items.short === 'backend-spec') return splitBackendSpecs(text).map(parseBackendSpec);
    if (shapeOf(shape.items).kind === 'leaf') {
      return text.split(',').flatMap((item) => (item.trim() === '' ? [] : [readWritten(shape.items, item.trim())]));
    }
  }
  return shape.kind === 'leaf' ? readLeaf(schema, text) : readFlow(text);
}

function readLeaf(schema: SchemaNode, text: string): unknown {
  const types = [schema.type ?? []].flat();
  if (types.length === 1 && types[0] === 'string') return text;
  if (wordsOf(schema)?.includes(text)) return text;
  const trimmed = text.trim();
  if (/^-?[0-9]+(?:\.[0-9]+)?$/.test(trimmed)) return Number(trimmed);
  if (trimmed === 'true' || trimmed === 'false') return trimmed === 'true';
  return text;
}

function readFlow(text: string): unknown {
  try {
    // At the level `silent` the parser would make something of half a value instead of throwing.
    return parse(text, { logLevel: 'error', maxAliasCount: 0 });
  } catch {
    return text;
  }
}
