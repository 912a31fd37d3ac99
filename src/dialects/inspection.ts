/**
 * What a policy for one client has to know of a body beyond what routing needs: what it asks for that costs more, opens a side
 * door, or could be read in two ways. Like a reading it is taken from the outline, and never throws for what Ollama would take.
 */
import type { Feature, Wishes } from '../core/limits.ts';
import type { Millis } from '../core/types.ts';
import { type BodyFields, fieldNames, readFields } from './body-fields.ts';
import type { Route } from './dialect.ts';
import { eachElement, kindAt, STOP, valueEnd } from './json-outline.ts';
import { keepAliveOf } from './keep-alive.ts';
import { BOUNDARY_PIECE, MEDIA_PIECE } from './prompt-pieces.ts';
import { loadOrUnload, outputLimit } from './reading.ts';
import { statedOptions } from './runner-options.ts';

export interface Inspection extends Wishes {
  /** Names of fields that stand there twice or under another spelling. */
  readonly ambiguous: readonly string[];
  /** Every model it names, as spelled: what it runs, copies, makes, or makes from. */
  readonly models: readonly string[];
  /** The most that any of its limits on output allows; null when none is stated. */
  readonly maxOutputTokens: number | null;
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
    const images = countImages(fields);
    const outputLimits = outputLimitsOf(route, fields, options.outputLimit);
    const keepAliveMs = keepAliveOf(fields);
    return {
      ambiguous: fields.ambiguousNames,
      models: ['model', 'name', 'source', 'destination', 'from'].flatMap((name) => fields.text(name) ?? []),
      features: new Set(featuresOf(route, fields, { images, keepAliveMs, runner: options.runner })),
      contextLength: options.contextLength,
      runnerOptions: options.names,
      outputLimits,
      maxOutputTokens: outputLimit(Math.max(0, ...[...outputLimits.values()].map((limit) => limit ?? 0))),
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
    case '/api/embeddings':
      return !isSet(fields, 'prompt');
    case '/api/embed':
      return !isSet(fields, 'input');
    case '/api/chat': {
      const messages = fields.last('messages');
      return messages === null || messages.pieces?.length === 0;
    }
    default:
      return false;
  }
}

/** Fields of the other APIs; the first is the one that every version of Ollama reads. */
const OUTPUT_FIELDS: Readonly<Record<string, readonly string[]>> = {
  '/v1/chat/completions': ['max_tokens', 'max_completion_tokens'],
  '/v1/completions': ['max_tokens'],
  '/v1/responses': ['max_output_tokens'],
  '/v1/messages': ['max_tokens'],
};

function outputLimitsOf(
  route: Route,
  fields: BodyFields,
  predicted: number | null,
): ReadonlyMap<string, number | null> {
  if (route.path === '/api/generate' || route.path === '/api/chat') {
    return new Map([['num_predict', predicted]]);
  }
  const names = OUTPUT_FIELDS[route.path] ?? [];
  return new Map(names.map((name) => [name, fields.numberAt(fields.lastPlain(name))]));
}

/** More than there can be when there was too much to count. */
function countImages(fields: BodyFields): number {
  const names = ['images', 'messages', 'input'];
  const isWhole = names.every((name) => fields.last(name)?.isWhole !== false);
  return isWhole ? count(fields, names, MEDIA_PIECE) : Number.MAX_SAFE_INTEGER;
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
