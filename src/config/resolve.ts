/** Layers on top of each other → one value: defaults filled in, durations and sizes as numbers, and where each came from. */
import { parseBackendSpec } from './backend-spec.ts';
import { renderPath, type Layer, type Origin, type Path, type Problem } from './problem.ts';
import { shapeOf, type SchemaNode } from './schema-node.ts';
import { parseAddress, parseDuration, parseSize } from './units.ts';
import { Filled, readWritten } from './written.ts';

/** Where each value came from, by its path as `renderPath` writes it; lists and maps have one for each of their values. */
export type Origins = ReadonlyMap<string, Origin>;

export interface Resolved {
  readonly value: unknown;
  readonly origins: Origins;
  readonly problems: readonly Problem[];
}

/** Replaces short forms (a name for a policy, a URL for a backend) and filled-in variables by what they stand for. */
export function expand(schema: SchemaNode, value: unknown): unknown {
  if (value instanceof Filled) return expand(schema, readWritten(schema, value.text));
  const shape = shapeOf(schema);
  if (typeof value === 'string') {
    if (schema.short === 'backend-spec') return parseBackendSpec(value);
    return shape.kind === 'choice' && shape.hasShort ? { [shape.tag]: value } : value;
  }
  if (shape.kind === 'list') return Array.isArray(value) ? value.map((item) => expand(shape.items, item)) : value;
  if (!isSection(value)) return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, inner]) => [key, expand(within(schema, value, key), inner)]),
  );
}

/** The schema of what stands under a key; of anything, where the key is not known. */
function within(schema: SchemaNode, value: Readonly<Record<string, unknown>>, key: string): SchemaNode {
  const shape = shapeOf(schema);
  switch (shape.kind) {
    case 'section':
      return Object.hasOwn(shape.properties, key) ? shape.properties[key]! : {};
    case 'map':
      return shape.values;
    case 'choice': {
      const chosen = shape.members.get(String(value[shape.tag]));
      return chosen && key !== shape.tag ? within(chosen, value, key) : {};
    }
    case 'list':
    case 'leaf':
      return {};
  }
}

/**
 * The highest layer first. Sections merge option by option; a list, a map or a choice is taken whole from the highest layer
 * that has one. `spoilt` paths of a layer count as written (nothing is reported missing there) but have no value.
 */
export function resolve(schema: SchemaNode, layers: readonly Candidate[]): Resolved {
  const resolver = new Resolver();
  const value = resolver.resolve(schema, layers, []);
  return { value, origins: resolver.origins, problems: resolver.problems };
}

export interface Candidate {
  readonly layer: Layer;
  readonly value: unknown;
  readonly spoilt: ReadonlySet<string>;
  /** Whether more may have been meant than could be read; then nothing is reported missing. */
  readonly isCut: boolean;
}

const DEFAULTS: Layer = { value: undefined, where: () => ({ kind: 'default' }) };

class Resolver {
  readonly origins = new Map<string, Origin>();
  readonly problems: Problem[] = [];

  resolve(schema: SchemaNode, candidates: readonly Candidate[], path: Path): unknown {
    const written = candidates.filter(({ value }) => value !== undefined && value !== null);
    const shape = shapeOf(schema);
    if (shape.kind === 'section') return this.section(schema, shape.properties, written, path);
    const [chosen] = written;
    if (chosen) return this.take(schema, chosen, path);
    if (schema.default === undefined) return undefined;
    return this.take(
      schema,
      { layer: DEFAULTS, value: expand(schema, schema.default), spoilt: new Set(), isCut: false },
      path,
    );
  }

  private section(
    schema: SchemaNode,
    properties: Readonly<Record<string, SchemaNode>>,
    written: readonly Candidate[],
    path: Path,
  ): Record<string, unknown> {
    const section: Record<string, unknown> = {};
    if (written[0]) this.origins.set(renderPath(path), written[0].layer.where(path, 'key'));
    for (const [key, property] of Object.entries(properties)) {
      const inner = [...path, key];
      const isRequired = schema.required?.includes(key) ?? false;
      const candidates = written.map((candidate) => ({ ...candidate, value: member(candidate.value, key) }));
      const isWritten = candidates.some(({ value }) => value !== undefined && value !== null);
      // An optional section nobody wrote is absent; a required one is made of its defaults.
      if (!isWritten && !isRequired && property.default === undefined) continue;
      const value = this.resolve(property, candidates, inner);
      if (value !== undefined) section[key] = value;
      else if (isRequired) this.missing(candidates, inner);
    }
    return section;
  }

  private missing(candidates: readonly Candidate[], path: Path): void {
    const at = renderPath(path);
    const isSaid = ({ spoilt, isCut }: Candidate) => isCut || [...spoilt].some((other) => isWithin(other, at));
    if (candidates.some(isSaid)) return;
    const around = path.slice(0, -1);
    const layer = candidates.at(-1)?.layer ?? DEFAULTS;
    const place = around.length === 0 ? '' : `\`${renderPath(around)}\` needs `;
    this.problems.push({
      origin: layer.where(around, 'key'),
      message: `${place}\`${path.at(-1)}\`, which has no default`,
    });
  }

  private take(schema: SchemaNode, chosen: Candidate, path: Path): unknown {
    const shape = shapeOf(schema);
    const { value } = chosen;
    const within = (inner: SchemaNode, innerValue: unknown, step: string | number): unknown =>
      this.resolve(inner, [{ ...chosen, value: innerValue }], [...path, step]);
    this.origins.set(renderPath(path), chosen.layer.where(path));
    switch (shape.kind) {
      case 'list':
        return Array.isArray(value)
          ? value.map((item, i) => (item === undefined ? item : within(shape.items, item, i)))
          : undefined;
      case 'map':
        return Object.fromEntries(
          Object.entries(value as object).map(([key, v]) => [key, within(shape.values, v, key)]),
        );
      case 'choice': {
        const chosenMember = shape.members.get(String(member(value, shape.tag)));
        return chosenMember && this.resolve(chosenMember, [chosen], path);
      }
      case 'section':
        return this.resolve(schema, [chosen], path);
      case 'leaf':
        // A default may already be what the room receives: a number of milliseconds or bytes.
        return chosen.layer === DEFAULTS && typeof value === 'number' ? value : convert(schema, value);
    }
  }
}

function isWithin(path: string, around: string): boolean {
  return path === around || path.startsWith(`${around}.`) || path.startsWith(`${around}[`);
}

/** What the room receives for what was written. */
function convert(schema: SchemaNode, written: unknown): unknown {
  switch (schema.format ?? '') {
    case 'duration':
      return parseDuration(written);
    case 'size':
      return parseSize(written);
    case 'address':
      return parseAddress(written);
    default:
      return written;
  }
}

/** The value without what validation found unusable there. */
export function prune(value: unknown, spoilt: ReadonlySet<string>, path: Path = []): unknown {
  if (spoilt.has(renderPath(path))) return undefined;
  if (Array.isArray(value)) return value.map((item, i) => prune(item, spoilt, [...path, i]));
  if (!isSection(value)) return value;
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, prune(inner, spoilt, [...path, key])]));
}

function member(value: unknown, key: string): unknown {
  return isSection(value) && Object.hasOwn(value, key) ? value[key] : undefined;
}

function isSection(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
