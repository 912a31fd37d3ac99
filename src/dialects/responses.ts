/** OpenAI's Responses API as Ollama serves it: stateless, typed events. */
import { type BodyFields, fieldNames, readFields } from './body-fields.ts';
import type { Dialect, ReadContext, Reading, Route } from './dialect.ts';
import { inBandError, renderGatewayError } from './error-bodies.ts';
import { createMeter } from './meter.ts';
import { PromptTrail } from './prompt-trail.ts';
import { blankReading, compatibleModel, modelOf, outputLimit } from './reading.ts';
import { sessionOf } from './session-key.ts';

const EMPTY_TEXT = 'EOF';

const routes: readonly Route[] = [
  { method: 'POST', path: '/v1/responses', kind: 'infer', endpoint: 'responses', dialect: 'responses' },
];

const NAMES = fieldNames({
  plain: 'model tools stream max_output_tokens prompt_cache_key',
  prompt: 'input instructions',
});

export const responses: Dialect = {
  name: 'responses',
  routes,
  read: (_route, body, context) => readFields(body, NAMES, EMPTY_TEXT, (fields) => readResponses(fields, context)),
  renderError: (error, requestId) => renderGatewayError('responses', error, requestId),
  renderInBandError: (error, requestId, after) => inBandError('responses', error, requestId, after),
  meter: (route, reading, contentType) => createMeter(route, reading, contentType),
};

function readResponses(fields: BodyFields, context: ReadContext): Reading {
  const trail = takeConversation(fields);
  return {
    ...blankReading,
    ...modelOf(compatibleModel(fields)),
    stream: fields.flagAt(fields.last('stream')) ?? false,
    task: 'chat',
    promptTokens: trail.promptTokens,
    maxOutputTokens: outputLimit(fields.numberAt(fields.last('max_output_tokens'))),
    session: sessionOf(context, fields.text('prompt_cache_key')),
    prefix: trail.marks(context.hash),
    ambiguous: fields.isAmbiguous,
  };
}

function takeConversation(fields: BodyFields): PromptTrail {
  const trail = new PromptTrail(fields);
  trail.takeRaw(fields.last('tools'));
  trail.take(fields.last('instructions'));
  trail.takeLong(fields.last('input'));
  return trail;
}
