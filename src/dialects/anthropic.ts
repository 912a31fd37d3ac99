/** Anthropic's Messages API as Ollama serves it. */
import { type BodyFields, readFields } from './body-fields.ts';
import type { Dialect, ReadContext, Reading, Route } from './dialect.ts';
import { inBandError, renderGatewayError } from './error-bodies.ts';
import { eachMember, keyAt, kindOf } from './json-outline.ts';
import { createMeter } from './meter.ts';
import { PromptTrail } from './prompt-trail.ts';
import { walkMessages, walkTexts } from './prompt-walk.ts';
import { blankReading, compatibleModel, modelOf } from './reading.ts';
import { sessionInUserId, sessionOf } from './session-key.ts';

const EMPTY_TEXT = 'EOF';

const routes: readonly Route[] = [
  { method: 'POST', path: '/v1/messages', kind: 'infer', endpoint: 'messages', dialect: 'anthropic' },
];

const NAMES: ReadonlySet<string> = new Set('model messages system tools stream max_tokens metadata'.split(' '));

export const anthropic: Dialect = {
  name: 'anthropic',
  routes,
  read: (_route, body, context) => readFields(body, NAMES, EMPTY_TEXT, (fields) => readMessages(fields, context)),
  renderError: (error, requestId) => renderGatewayError('anthropic', error, requestId),
  renderInBandError: (error, requestId) => inBandError('anthropic', error, requestId),
  meter: (route, reading, contentType) => createMeter(route, reading, contentType),
};

function readMessages(fields: BodyFields, context: ReadContext): Reading {
  const trail = takePrompt(fields);
  const limit = fields.numberAt(fields.lastPlain('max_tokens'));
  const userId = userIdOf(fields);
  return {
    ...blankReading,
    ...modelOf(compatibleModel(fields)),
    stream: fields.flagAt(fields.lastPlain('stream')) ?? false,
    task: 'chat',
    promptTokens: trail.promptTokens,
    maxOutputTokens: limit !== null && limit > 0 ? Math.trunc(limit) : null,
    session: sessionOf(context, userId === null ? null : sessionInUserId(userId)),
    prefix: trail.marks(context.hash),
    ambiguous: fields.isAmbiguous,
  };
}

function takePrompt(fields: BodyFields): PromptTrail {
  const trail = new PromptTrail();
  const { body } = fields;
  const tools = fields.last('tools');
  if (tools !== null) {
    walkTexts(body, tools, trail, 0);
  }
  const system = fields.last('system');
  if (system !== null) {
    walkTexts(body, system, trail, 0);
    trail.boundary();
  }
  const messages = fields.last('messages');
  if (messages !== null && kindOf(body, messages) === 'array') {
    walkMessages(fields, messages, trail);
  }
  return trail;
}

function userIdOf(fields: BodyFields): string | null {
  let userId: string | null = null;
  for (const metadata of fields.all('metadata')) {
    if (kindOf(fields.body, metadata) === 'object') {
      eachMember(fields.body, metadata.start, (keyStart, keyEnd, value) => {
        if (keyAt(fields.body, keyStart, keyEnd) === 'user_id' && kindOf(fields.body, value) === 'string') {
          userId = fields.textAt(value);
        }
      });
    }
  }
  return userId;
}
