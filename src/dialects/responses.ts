/** OpenAI's Responses API as Ollama serves it: stateless, typed events. */
import { type BodyFields, readFields } from './body-fields.ts';
import type { Dialect, ReadContext, Reading, Route } from './dialect.ts';
import { inBandError, renderGatewayError } from './error-bodies.ts';
import { kindOf } from './json-outline.ts';
import { createMeter } from './meter.ts';
import { PromptTrail } from './prompt-trail.ts';
import { walkMessages, walkTexts } from './prompt-walk.ts';
import { blankReading, compatibleModel, modelOf } from './reading.ts';
import { sessionOf } from './session-key.ts';

const EMPTY_TEXT = 'EOF';

const routes: readonly Route[] = [
  { method: 'POST', path: '/v1/responses', kind: 'infer', endpoint: 'responses', dialect: 'responses' },
];

const NAMES: ReadonlySet<string> = new Set(
  'model input instructions tools stream max_output_tokens prompt_cache_key'.split(' '),
);

export const responses: Dialect = {
  name: 'responses',
  routes,
  read: (_route, body, context) => readFields(body, NAMES, EMPTY_TEXT, (fields) => readResponses(fields, context)),
  renderError: (error, requestId) => renderGatewayError('responses', error, requestId),
  renderInBandError: (error, requestId) => inBandError('responses', error, requestId),
  meter: (route, reading, contentType) => createMeter(route, reading, contentType),
};

function readResponses(fields: BodyFields, context: ReadContext): Reading {
  const trail = takePrompt(fields);
  const limit = fields.numberAt(fields.last('max_output_tokens'));
  return {
    ...blankReading,
    ...modelOf(compatibleModel(fields)),
    stream: fields.flagAt(fields.last('stream')) ?? false,
    task: 'chat',
    promptTokens: trail.promptTokens,
    maxOutputTokens: limit !== null && limit > 0 ? Math.trunc(limit) : null,
    session: sessionOf(context, fields.text('prompt_cache_key')),
    prefix: trail.marks(context.hash),
    ambiguous: fields.isAmbiguous,
  };
}

function takePrompt(fields: BodyFields): PromptTrail {
  const trail = new PromptTrail();
  const { body } = fields;
  const tools = fields.last('tools');
  if (tools !== null) {
    trail.text(body, tools.start, tools.end);
  }
  const instructions = fields.last('instructions');
  if (instructions !== null) {
    walkTexts(body, instructions, trail, 0);
    trail.boundary();
  }
  const input = fields.last('input');
  if (input !== null && kindOf(body, input) === 'array') {
    walkMessages(fields, input, trail);
  } else if (input !== null && kindOf(body, input) === 'string') {
    trail.longText(body, input.start + 1, input.end - 1);
  }
  return trail;
}
