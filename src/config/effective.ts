/** The configuration as it counts, as YAML that could be a file again: every value with where it came from, secrets left out. */
import { Document, isCollection, isScalar, type Node, type Pair, type YAMLMap, type YAMLSeq } from 'yaml';
import type { Address } from '../core/options.ts';
import { renderOrigin, renderPath, type Path } from './problem.ts';
import type { Origins } from './resolve.ts';
import { shapeOf, type SchemaNode } from './schema-node.ts';
import { formatAddress, formatDuration, formatSize } from './units.ts';

export const REDACTED = '[redacted]';

export function renderEffective(schema: SchemaNode, config: unknown, origins: Origins): string {
  const document = new Document(write(schema, config));
  if (document.contents) annotate(document.contents, [], origins);
  return document.toString({ lineWidth: 0, flowCollectionPadding: false });
}

/** The inverse of what resolve.ts converts, with secrets replaced: what the admin API may show. */
export function write(schema: SchemaNode, value: unknown): unknown {
  const shape = shapeOf(schema);
  if (value === undefined || value === null) return value;
  switch (shape.kind) {
    case 'section':
      return mapValues(value, (inner, key) => write(shape.properties[key] ?? {}, inner));
    case 'choice': {
      const member = shape.members.get(String((value as Record<string, unknown>)[shape.tag]));
      return member ? write(member, value) : value;
    }
    case 'list':
      return (value as readonly unknown[]).map((item) => write(shape.items, item));
    case 'map':
      return mapValues(value, (inner) => write(shape.values, inner));
    case 'leaf':
      return writeLeaf(schema.format, value);
  }
}

function writeLeaf(format: string | undefined, value: unknown): unknown {
  switch (format ?? '') {
    case 'duration': {
      const text = formatDuration(value as number);
      return text === '0' ? 0 : text;
    }
    case 'size':
      return formatSize(value as number);
    case 'address':
      return formatAddress(value as Address);
    case 'secret':
      return REDACTED;
    default:
      return value;
  }
}

function mapValues(value: unknown, change: (inner: unknown, key: string) => unknown): Record<string, unknown> {
  return Object.fromEntries(Object.entries(value as object).map(([key, inner]) => [key, change(inner, key)]));
}

/** Puts each value's origin behind it, and lists of plain values on one line. */
function annotate(node: Node, path: Path, origins: Origins): void {
  const origin = origins.get(renderPath(path));
  const isPlain = isScalar(node) || (isCollection(node) && node.items.every((item) => isScalar(item)));
  if (isPlain && path.length > 0) {
    if (isCollection(node)) node.flow = true;
    if (origin) node.comment = ` ${renderOrigin(origin)}`;
    return;
  }
  const items = (node as YAMLMap | YAMLSeq).items as readonly (Node | Pair<Node, Node>)[];
  items.forEach((item, i) => {
    if ('key' in item) {
      if (item.value) annotate(item.value, [...path, String(item.key)], origins);
    } else annotate(item, [...path, i], origins);
  });
}
