/** Ollama's own API: NDJSON streams, `{"error":"…"}`, and the routes that manage models. */
import { type BodyFields, type FieldNames, fieldNames, type Occurrence, readFields } from './body-fields.ts';
import type { Dialect, ReadContext, Reading, Route } from './dialect.ts';
import { inBandError, renderGatewayError } from './error-bodies.ts';
import { eachMember, kindAt, valueEnd } from './json-outline.ts';
import { keepAliveOf } from './keep-alive.ts';
import { createMeter } from './meter.ts';
import { PromptTrail } from './prompt-trail.ts';
import { blankReading, loadOrUnload, modelOf } from './reading.ts';
import { statedOptions } from './runner-options.ts';
import { sessionOf } from './session-key.ts';

const EMPTY_TEXT = 'missing request body';

function route(method: Route['method'], path: string, kind: Route['kind'], endpoint: string): Route {
  return { method, path, kind, endpoint, dialect: 'ollama' };
}

const routes: readonly Route[] = [
  route('GET', '/', 'local', 'root'),
  route('HEAD', '/', 'local', 'root'),
  route('GET', '/api/version', 'local', 'version'),
  route('HEAD', '/api/version', 'local', 'version'),
  route('GET', '/api/tags', 'local', 'tags'),
  route('HEAD', '/api/tags', 'local', 'tags'),
  route('GET', '/api/ps', 'local', 'ps'),
  route('POST', '/api/show', 'proxy', 'show'),
  route('POST', '/api/generate', 'infer', 'generate'),
  route('POST', '/api/chat', 'infer', 'chat'),
  route('POST', '/api/embed', 'infer', 'embed'),
  route('POST', '/api/embeddings', 'infer', 'embeddings'),
  route('POST', '/api/pull', 'manage', 'pull'),
  route('POST', '/api/push', 'manage', 'push'),
  route('POST', '/api/create', 'manage', 'create'),
  route('POST', '/api/copy', 'manage', 'copy'),
  route('DELETE', '/api/delete', 'manage', 'delete'),
  route('HEAD', '/api/blobs/:digest', 'manage', 'blob'),
  route('POST', '/api/blobs/:digest', 'manage', 'blob'),
  route('GET', '/api/status', 'proxy', 'status'),
  route('POST', '/api/me', 'proxy', 'me'),
  route('POST', '/api/signout', 'proxy', 'signout'),
  route('DELETE', '/api/user/keys/:key', 'proxy', 'user-key'),
  route('POST', '/api/experimental/web_search', 'proxy', 'web-search'),
  route('POST', '/api/experimental/web_fetch', 'proxy', 'web-fetch'),
  route('GET', '/api/experimental/model-recommendations', 'proxy', 'model-recommendations'),
];

type Read = (fields: BodyFields, context: ReadContext) => Reading;

/** How each endpoint with a body that concerns a model is read; the others are not looked at. */
const readers: Readonly<Record<string, { readonly names: FieldNames; readonly read: Read }>> = {
  generate: {
    names: fieldNames({
      plain: 'model context stream keep_alive options shift',
      prompt: 'prompt system template suffix',
      media: 'images',
    }),
    read: readGenerate,
  },
  chat: {
    names: fieldNames({ plain: 'model tools stream keep_alive options shift', prompt: 'messages' }),
    read: readChat,
  },
  embed: { names: fieldNames({ plain: 'model keep_alive options', prompt: 'input' }), read: readEmbed },
  embeddings: { names: fieldNames({ plain: 'model keep_alive options', prompt: 'prompt' }), read: readEmbeddings },
  show: { names: fieldNames({ plain: 'model name' }), read: readManaged },
  pull: { names: fieldNames({ plain: 'model name stream' }), read: readManaged },
  push: { names: fieldNames({ plain: 'model name stream' }), read: readManaged },
  delete: { names: fieldNames({ plain: 'model name' }), read: readManaged },
  copy: { names: fieldNames({ plain: 'source destination' }), read: readCopy },
  create: { names: fieldNames({ plain: 'model name from files adapters draft_files stream' }), read: readCreate },
};

export const ollama: Dialect = {
  name: 'ollama',
  routes,
  read(route, body, context) {
    const reader = readers[route.endpoint];
    return reader === undefined
      ? blankReading
      : readFields(body, reader.names, EMPTY_TEXT, (fields) => reader.read(fields, context));
  },
  renderError: (error, requestId) => renderGatewayError('ollama', error, requestId),
  renderInBandError: (error, requestId) => inBandError('ollama', error, requestId),
  meter: (route, reading, contentType) => createMeter(route, reading, contentType),
};

function readGenerate(fields: BodyFields, context: ReadContext): Reading {
  const trail = new PromptTrail(fields);
  trail.takeRaw(fields.last('context'));
  for (const name of ['template', 'system', 'suffix', 'images']) {
    trail.take(fields.last(name));
  }
  const prompt = fields.lastText('prompt');
  trail.takeLong(prompt);
  return { ...commonReading(fields, context, trail), task: isEmpty(fields, prompt) ? emptyTask(fields) : 'generate' };
}

function readChat(fields: BodyFields, context: ReadContext): Reading {
  const trail = new PromptTrail(fields);
  const messages = fields.last('messages');
  trail.takeRaw(fields.last('tools'));
  trail.take(messages);
  return { ...commonReading(fields, context, trail), task: isEmptyList(messages) ? emptyTask(fields) : 'chat' };
}

function readEmbed(fields: BodyFields, context: ReadContext): Reading {
  return readEmbedded(fields.last('input'), fields, context);
}

function readEmbeddings(fields: BodyFields, context: ReadContext): Reading {
  return readEmbedded(fields.lastText('prompt'), fields, context);
}

/** With nothing to embed the model is loaded. */
function readEmbedded(input: Occurrence | null, fields: BodyFields, context: ReadContext): Reading {
  const trail = new PromptTrail(fields);
  trail.take(input);
  const task = isEmpty(fields, input) ? 'load' : 'embed';
  return { ...commonReading(fields, context, trail), stream: false, prefix: [], task };
}

/** Nothing, an empty text or an empty list. */
function isEmpty(fields: BodyFields, prompt: Occurrence | null): boolean {
  return prompt === null || isEmptyList(prompt) || fields.body.startsWith('""', prompt.start);
}

function isEmptyList(list: Occurrence | null): boolean {
  return list === null || list.pieces?.length === 0;
}

function commonReading(fields: BodyFields, context: ReadContext, trail: PromptTrail): Reading {
  const options = statedOptions(fields);
  return {
    ...blankReading,
    ...modelOf(fields.text('model')),
    stream: fields.flagAt(fields.last('stream')) ?? true,
    runnerOptions: options.runner,
    promptTokens: trail.promptTokens,
    maxOutputTokens: options.maxOutputTokens,
    session: sessionOf(context, null),
    prefix: trail.marks(context.hash),
    keepAliveMs: keepAliveOf(fields),
    ambiguous: fields.isAmbiguous,
  };
}

function emptyTask(fields: BodyFields): 'load' | 'unload' {
  return loadOrUnload(keepAliveOf(fields));
}

/** `model`, or the older `name` when that is empty: the CLI and ollama-js still send `name`. */
function managedModel(fields: BodyFields): string | null {
  const model = fields.text('model');
  return model === null || model === '' ? (fields.text('name') ?? model) : model;
}

function readManaged(fields: BodyFields): Reading {
  return {
    ...blankReading,
    ...modelOf(managedModel(fields)),
    stream: fields.flagAt(fields.last('stream')) ?? true,
    ambiguous: fields.isAmbiguous,
  };
}

/** The source is the model: who has it can copy it. */
function readCopy(fields: BodyFields): Reading {
  const destination = fields.text('destination');
  const source = fields.text('source');
  return {
    ...blankReading,
    ...modelOf(source),
    others: { ...(source !== null && { source }), ...(destination !== null && { destination }) },
    ambiguous: fields.isAmbiguous,
  };
}

function readCreate(fields: BodyFields): Reading {
  const from = fields.text('from');
  const digests = new Set<string>();
  for (const name of ['files', 'adapters', 'draft_files']) {
    for (const files of fields.all(name)) {
      if (kindAt(fields.body, files.start) === 'object') {
        addDigests(fields, files.start, digests);
      }
    }
  }
  return { ...readManaged(fields), others: from === null ? {} : { from }, digests: [...digests] };
}

function addDigests(fields: BodyFields, at: number, digests: Set<string>): void {
  eachMember(fields.body, at, (_key, start) => {
    const end = valueEnd(fields.body, start);
    if (kindAt(fields.body, start) === 'string') {
      digests.add(fields.textAt({ start, end }));
    }
    return end;
  });
}
