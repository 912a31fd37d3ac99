/**
 * What a policy for one client has to know of a body beyond what routing needs: what it asks for that costs more, opens a side
 * door, or could be read in two ways. Like a reading it is taken from the outline, and never throws for what Ollama would take.
 */
import type { Millis } from '../core/types.ts';
import { type BodyFields, fieldNames, readFields } from './body-fields.ts';
import type { Route } from './dialect.ts';
import { eachElement, kindAt, STOP, valueEnd } from './json-outline.ts';
import { keepAliveOf } from './keep-alive.ts';
import { BOUNDARY_PIECE, MEDIA_PIECE } from './prompt-pieces.ts';
import { loadOrUnload, outputLimit } from './reading.ts';
import { statedOptions } from './runner-options.ts';

/** Things a request may ask for that a policy may want to forbid. */
export type Feature =
  | 'load'
  | 'unload'
  /** `keep_alive` below zero: the model stays for ever. */
  | 'pin'
  /** Some option that shapes the runner, and so may reload the model. */
  | 'runner-options'
  | 'raw'
  | 'template'
  | 'system'
  | 'suffix'
  | 'context'
  | 'debug-render'
  | 'tools'
  | 'format'
  | 'images';

export interface Inspection {
  /** Names of fields that stand there twice or under another spelling. */
  readonly ambiguous: readonly string[];
  /** Every model it names, as spelled: what it runs, copies, makes, or makes from. */
  readonly models: readonly string[];
  readonly features: ReadonlySet<Feature>;
  readonly contextLength: number | null;
  readonly maxOutputTokens: number | null;
  readonly keepAliveMs: Millis | null;
  readonly images: number;
  /** Texts to embed. */
  readonly inputs: number;
}

const NAMES = fieldNames({
  plain:
    'model name source destination from options shift keep_alive raw template context tools format _debug_render_only ' +
    'max_tokens max_completion_tokens max_output_tokens stream stream_options files adapters draft_files',
  prompt: 'messages prompt system suffix instructions input',
  media: 'images',
});

/** Throws GatewayError `bad-request` as `read` does. */
export function inspect(route: Route, body: Uint8Array): Inspection {
  return readFields(body, NAMES, route.dialect === 'ollama' ? 'missing request body' : 'EOF', (fields) => {
    const options = statedOptions(fields);
    const images = count(fields, ['images', 'messages', 'input'], MEDIA_PIECE);
    const keepAliveMs = keepAliveOf(fields);
    return {
      ambiguous: fields.ambiguousNames,
      models: ['model', 'name', 'source', 'destination', 'from'].flatMap((name) => fields.text(name) ?? []),
      features: new Set(featuresOf(route, fields, { images, keepAliveMs, runner: options.runner })),
      contextLength: options.contextLength,
      maxOutputTokens: options.maxOutputTokens ?? compatibleLimit(fields),
      keepAliveMs,
      images,
      inputs: countInputs(fields),
    };
  });
}

const FEATURE_FIELDS: readonly (readonly [field: string, feature: Feature])[] = [
  ['template', 'template'],
  ['system', 'system'],
  ['instructions', 'system'],
  ['suffix', 'suffix'],
  ['context', 'context'],
  ['tools', 'tools'],
  ['format', 'format'],
];

function featuresOf(
  route: Route,
  fields: BodyFields,
  stated: { readonly images: number; readonly keepAliveMs: Millis | null; readonly runner: string },
): Feature[] {
  const features = FEATURE_FIELDS.flatMap(([field, feature]) => (isSet(fields, field) ? [feature] : []));
  if (fields.flagAt(fields.lastPlain('raw')) === true) {
    features.push('raw');
  }
  if (fields.flagAt(fields.lastPlain('_debug_render_only')) === true) {
    features.push('debug-render');
  }
  if (stated.images > 0) {
    features.push('images');
  }
  if (stated.keepAliveMs === Number.POSITIVE_INFINITY) {
    features.push('pin');
  }
  if (stated.runner !== '') {
    features.push('runner-options');
  }
  if (isEmptyPrompt(route, fields)) {
    features.push(loadOrUnload(stated.keepAliveMs));
  }
  return features;
}

/** Present, and neither null, an empty text nor an empty list. */
function isSet(fields: BodyFields, name: string): boolean {
  const value = fields.lastPlain(name);
  return value !== null && !['""', '[]', '{}'].includes(fields.body.slice(value.start, value.end));
}

/** Native only: the other APIs refuse an empty prompt. */
function isEmptyPrompt(route: Route, fields: BodyFields): boolean {
  switch (route.path) {
    case '/api/generate':
      return !isSet(fields, 'prompt');
    case '/api/chat': {
      const messages = fields.last('messages');
      return messages === null || messages.pieces?.length === 0;
    }
    default:
      return false;
  }
}

function compatibleLimit(fields: BodyFields): number | null {
  const names = ['max_completion_tokens', 'max_tokens', 'max_output_tokens'];
  return outputLimit(
    names.map((name) => fields.numberAt(fields.lastPlain(name))).find((limit) => limit !== null) ?? null,
  );
}

function count(fields: BodyFields, names: readonly string[], kind: number): number {
  let found = 0;
  for (const name of names) {
    const pieces = fields.last(name)?.pieces ?? [];
    for (let i = 0; i < pieces.length; i += 3) {
      found += pieces[i] === kind ? 1 : 0;
    }
  }
  return found;
}

/** Beyond this it is only known that there are more. */
const MAX_COUNTED = 100_000;

function countInputs(fields: BodyFields): number {
  const input = fields.last('input');
  if (input === null) {
    return 0;
  }
  if (kindAt(fields.body, input.start) === 'array') {
    let elements = 0;
    eachElement(fields.body, input.start, (start) => {
      elements++;
      return elements > MAX_COUNTED ? STOP : valueEnd(fields.body, start);
    });
    return elements;
  }
  return count(fields, ['input'], BOUNDARY_PIECE);
}
