/** Every option the environment can name: the schema walked down to the values that are set as a whole. */
import type { Path } from './problem.ts';
import { shapeOf, type SchemaNode } from './schema-node.ts';

export interface Setting {
  readonly path: Path;
  /** `LLAMERO_QUEUE_TIMEOUT` for `queue.timeout`. */
  readonly env: string;
  readonly schema: SchemaNode;
}

export const ENV_PREFIX = 'LLAMERO_';

/** Sections are walked into; lists, maps and choices are one setting each. */
export function settingsOf(schema: SchemaNode, path: Path = []): Setting[] {
  const shape = shapeOf(schema);
  if (shape.kind !== 'section') return [{ path, env: envName(path), schema }];
  return Object.entries(shape.properties).flatMap(([key, property]) => settingsOf(property, [...path, key]));
}

/** `['listen', 'bodyLimit']` → `LLAMERO_LISTEN_BODY_LIMIT`. */
export function envName(path: Path): string {
  const words = path.map((step) =>
    String(step)
      .replace(/([a-z0-9])([A-Z])/g, '$1_$2')
      .toUpperCase(),
  );
  return ENV_PREFIX + words.join('_');
}
