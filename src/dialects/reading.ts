/** What every dialect's reading starts from. */
import { canonicalModelName, isCloudModel } from '../core/model-name.ts';
import type { BodyFields } from './body-fields.ts';
import type { Reading } from './dialect.ts';
import { kindAt } from './json-outline.ts';

/** A request that needs no model and says nothing. */
export const blankReading: Reading = {
  modelText: null,
  model: null,
  stream: false,
  task: 'generate',
  runnerOptions: '',
  promptTokens: 0,
  maxOutputTokens: null,
  session: null,
  prefix: [],
  wantsUsage: false,
  keepAliveMs: null,
  others: {},
  digests: [],
  ambiguous: false,
};

/** The model as spelled and as resolved. */
export function modelOf(modelText: string | null): Pick<Reading, 'modelText' | 'model'> {
  return { modelText, model: modelText === null ? null : canonicalModelName(modelText) };
}

/** An empty prompt loads the model, or unloads it when it also asks to keep it for no time. */
export function loadOrUnload(keepAliveMs: number | null): 'load' | 'unload' {
  return keepAliveMs === 0 ? 'unload' : 'load';
}

/**
 * The model a /v1 route runs. Ollama first looks for a cloud model under the exact key `model`, and only then decodes the body
 * into a struct, which takes any spelling of the key: a body with both can mean two models, and the first look wins.
 */
export function compatibleModel(fields: BodyFields): string | null {
  const decoded = fields.text('model');
  const exact = fields.all('model').findLast((occurrence) => occurrence.exact);
  if (fields.all('model').length > 1 && exact !== undefined && kindAt(fields.body, exact.start) === 'string') {
    const text = fields.textAt(exact);
    const name = canonicalModelName(text);
    return name !== null && isCloudModel(name) ? text : decoded;
  }
  return decoded;
}

/** A limit on output as a whole number of tokens; null when there is none. */
export function outputLimit(number: number | null): number | null {
  const whole = Math.trunc(number ?? 0);
  return whole > 0 ? whole : null;
}
