/** OpenAI's API as Ollama serves it: chat, completions, embeddings, models, transcriptions. */
import { type BodyFields, fieldNames, readFields } from './body-fields.ts';
import type { Dialect, ReadContext, Reading, Route } from './dialect.ts';
import { inBandError, renderGatewayError } from './error-bodies.ts';
import { eachMember, foldedKey, kindAt, type Span, valueEnd } from './json-outline.ts';
import { createMeter } from './meter.ts';
import { multipartField } from './multipart.ts';
import { PromptTrail } from './prompt-trail.ts';
import { blankReading, compatibleModel, modelOf, outputLimit } from './reading.ts';
import { sessionOf } from './session-key.ts';

/** What Go's decoder says of an empty body; on /v1 Ollama passes it on as it is. */
const EMPTY_TEXT = 'EOF';

function route(method: Route['method'], path: string, kind: Route['kind'], endpoint: string): Route {
  return { method, path, kind, endpoint, dialect: 'openai' };
}

const routes: readonly Route[] = [
  route('POST', '/v1/chat/completions', 'infer', 'chat'),
  route('POST', '/v1/completions', 'infer', 'completions'),
  route('POST', '/v1/embeddings', 'infer', 'embeddings'),
  route('POST', '/v1/audio/transcriptions', 'infer', 'transcriptions'),
  route('GET', '/v1/models', 'local', 'models'),
  route('GET', '/v1/models/:model', 'local', 'model'),
];

const NAMES = fieldNames({
  plain: 'model tools stream stream_options max_tokens max_completion_tokens prompt_cache_key',
  prompt: 'messages prompt input',
});

export const openai: Dialect = {
  name: 'openai',
  routes,
  read(route, body, context) {
    if (route.endpoint === 'transcriptions') {
      return readTranscription(body, context);
    }
    return route.method === 'POST'
      ? readFields(body, NAMES, EMPTY_TEXT, (fields) => readInference(route, fields, context))
      : blankReading;
  },
  renderError: (error, requestId) => renderGatewayError('openai', error, requestId),
  renderInBandError: (error, requestId) => inBandError('openai', error, requestId),
  meter: (route, reading, contentType) => createMeter(route, reading, contentType),
};

function readInference(route: Route, fields: BodyFields, context: ReadContext): Reading {
  const isEmbedding = route.endpoint === 'embeddings';
  const trail = takeInput(route.endpoint, fields);
  return {
    ...blankReading,
    ...modelOf(compatibleModel(fields)),
    stream: !isEmbedding && (fields.flagAt(fields.lastPlain('stream')) ?? false),
    task: isEmbedding ? 'embed' : (TASKS[route.endpoint] ?? 'generate'),
    promptTokens: trail.promptTokens,
    maxOutputTokens: outputLimit(statedLimit(fields)),
    session: sessionOf(context, fields.text('prompt_cache_key')),
    prefix: isEmbedding ? [] : trail.marks(context.hash),
    wantsUsage: wantsUsage(fields),
    ambiguous: fields.isAmbiguous,
  };
}

const TASKS: Readonly<Record<string, Reading['task']>> = { chat: 'chat', completions: 'generate' };

function takeInput(endpoint: string, fields: BodyFields): PromptTrail {
  const trail = new PromptTrail(fields);
  switch (endpoint) {
    case 'chat':
      trail.takeRaw(fields.last('tools'));
      trail.take(fields.last('messages'));
      break;
    case 'completions':
      trail.takeLong(fields.last('prompt'));
      break;
    default:
      trail.take(fields.last('input'));
  }
  return trail;
}

function statedLimit(fields: BodyFields): number | null {
  return fields.numberAt(fields.last('max_completion_tokens')) ?? fields.numberAt(fields.last('max_tokens'));
}

/** `stream_options.include_usage`: a pointer to a struct, so that later occurrences add to earlier ones. */
function wantsUsage(fields: BodyFields): boolean {
  let wants = false;
  for (const options of fields.all('stream_options')) {
    wants = kindAt(fields.body, options.start) === 'object' ? (includeUsage(fields, options) ?? wants) : false;
  }
  return wants;
}

function includeUsage(fields: BodyFields, options: Span): boolean | null {
  let stated: boolean | null = null;
  eachMember(fields.body, options.start, (key, start) => {
    const end = valueEnd(fields.body, start);
    if (foldedKey(key) === 'include_usage') {
      stated = fields.flagAt({ start, end }) ?? stated;
    }
    return end;
  });
  return stated;
}

/** The model is a form field; Go's FormValue prefers one of the same name in the query. */
function readTranscription(body: Uint8Array, context: ReadContext): Reading {
  const fromQuery = new URLSearchParams(context.query ?? '').get('model');
  const contentType = context.headers['content-type'];
  const form = multipartField(body, typeof contentType === 'string' ? contentType : '', 'model');
  return {
    ...blankReading,
    ...modelOf(fromQuery ?? form.value),
    task: 'transcribe',
    session: sessionOf(context, null),
    ambiguous: !form.isClear || form.count + (fromQuery === null ? 0 : 1) > 1,
  };
}
