/** Anthropic's Messages API as Ollama serves it. */
import { type BodyFields, fieldNames, readFields } from './body-fields.ts';
import type { Dialect, ReadContext, Reading, Route } from './dialect.ts';
import { inBandError, renderGatewayError } from './error-bodies.ts';
import { eachMember, foldedKey, kindAt, valueEnd } from './json-outline.ts';
import { createMeter } from './meter.ts';
import { PromptTrail } from './prompt-trail.ts';
import { blankReading, compatibleModel, modelOf, outputLimit } from './reading.ts';
import { sessionInUserId, sessionOf } from './session-key.ts';

const EMPTY_TEXT = 'EOF';

const routes: readonly Route[] = [
  { method: 'POST', path: '/v1/messages', kind: 'infer', endpoint: 'messages', dialect: 'anthropic' },
];

const NAMES = fieldNames({ plain: 'model tools stream max_tokens metadata', prompt: 'messages system' });

export const anthropic: Dialect = {
  name: 'anthropic',
  routes,
  read: (_route, body, context) => readFields(body, NAMES, EMPTY_TEXT, (fields) => readMessages(fields, context)),
  renderError: (error, requestId) => renderGatewayError('anthropic', error, requestId),
  renderInBandError: (error, requestId) => inBandError('anthropic', error, requestId),
  meter: (route, reading, contentType) => createMeter(route, reading, contentType),
};

function readMessages(fields: BodyFields, context: ReadContext): Reading {
  const trail = takeConversation(fields);
  const userId = userIdOf(fields);
  return {
    ...blankReading,
    ...modelOf(compatibleModel(fields)),
    stream: fields.flagAt(fields.lastPlain('stream')) ?? false,
    task: 'chat',
    promptTokens: trail.promptTokens,
    maxOutputTokens: outputLimit(fields.numberAt(fields.lastPlain('max_tokens'))),
    session: sessionOf(context, userId === null ? null : sessionInUserId(userId)),
    prefix: trail.marks(context.hash),
    ambiguous: fields.isAmbiguous,
  };
}

function takeConversation(fields: BodyFields): PromptTrail {
  const trail = new PromptTrail(fields);
  trail.takeRaw(fields.last('tools'));
  trail.take(fields.last('system'));
  trail.take(fields.last('messages'));
  return trail;
}

function userIdOf(fields: BodyFields): string | null {
  let userId: string | null = null;
  for (const metadata of fields.all('metadata')) {
    if (kindAt(fields.body, metadata.start) === 'object') {
      eachMember(fields.body, metadata.start, (key, start) => {
        const end = valueEnd(fields.body, start);
        if (foldedKey(key) === 'user_id' && kindAt(fields.body, start) === 'string') {
          userId = fields.textAt({ start, end });
        }
        return end;
      });
    }
  }
  return userId;
}
