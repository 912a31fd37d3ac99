/** Error answers in Ollama's three shapes (ollama-wire §1.5), byte for byte where Ollama has the same error. */
import type { GatewayError } from '../core/errors.ts';
import { displayName, parseModelName } from '../core/model-name.ts';
import type { DialectName, MeterReport, Rendered, Route } from './dialect.ts';
import { goJsonString, goQuoted } from './go-json.ts';

/**
 * Who writes an error in Ollama, which shows in its bytes on /v1: the middleware that reads the request
 * (`charset=utf-8`, no newline) or the writer that translates the handler's answer (no charset, newline).
 */
type Writer = 'middleware' | 'handler';

/** A whole error answer for one of the gateway's own failures. */
export function renderGatewayError(dialect: DialectName, error: GatewayError, requestId: string): Rendered {
  const router = ROUTER_TEXTS[error.code];
  if (router !== undefined) {
    return { status: error.kind.status, headers: { 'content-type': 'text/plain' }, body: router };
  }
  const writer = error.code === 'bad-request' ? 'middleware' : 'handler';
  const rendered = renderError(dialect, error.kind.status, error.message, { requestId, writer });
  return { ...rendered, headers: { ...rendered.headers, ...ownHeaders(error) } };
}

/** What Ollama's router answers in all dialects. */
const ROUTER_TEXTS: Readonly<Partial<Record<GatewayError['code'], string>>> = {
  'not-found': '404 page not found',
  'method-not-allowed': '405 method not allowed',
};

/** Ollama's answer when it does not have the model, or when the text names none; each endpoint has its own words. */
export function unknownModelError(route: Route, modelText: string, requestId = ''): Rendered {
  const { status, text } = unknownModelText(route, modelText);
  return renderError(route.dialect, status, text, { requestId, writer: 'handler' });
}

/** An error as a whole frame of a stream that has begun. */
export function inBandError(dialect: DialectName, error: GatewayError, requestId: string, after?: MeterReport): string {
  const { status } = error.kind;
  switch (dialect) {
    case 'ollama':
      return `${nativeBody(error.message)}\n`;
    case 'openai':
      return `data: ${openaiBody(status, error.message)}\n\n`;
    case 'anthropic':
      return `event: error\ndata: ${anthropicBody(status, error.message, requestId)}\n\n`;
    case 'responses':
      return `event: response.failed\ndata: ${failedResponse(error, requestId, after?.events)}\n\n`;
  }
}

function renderError(
  dialect: DialectName,
  status: number,
  text: string,
  options: { readonly requestId: string; readonly writer: Writer },
): Rendered {
  const isMiddlewares = dialect === 'ollama' || options.writer === 'middleware';
  const contentType = isMiddlewares ? 'application/json; charset=utf-8' : 'application/json';
  const body = errorBody(dialect, status, text, options.requestId);
  return { status, headers: { 'content-type': contentType }, body: isMiddlewares ? body : `${body}\n` };
}

function errorBody(dialect: DialectName, status: number, text: string, requestId: string): string {
  switch (dialect) {
    case 'ollama':
      return nativeBody(text);
    case 'openai':
    case 'responses':
      return openaiBody(status, text);
    case 'anthropic':
      return anthropicBody(status, text, requestId);
  }
}

function nativeBody(text: string): string {
  return `{"error":${goJsonString(text)}}`;
}

function openaiBody(status: number, text: string): string {
  const type = OPENAI_TYPES[status] ?? 'api_error';
  return `{"error":{"message":${goJsonString(text)},"type":"${type}","param":null,"code":null}}`;
}

/** Ollama's two, and OpenAI's for what only the gateway says. */
const OPENAI_TYPES: Readonly<Record<number, string>> = {
  400: 'invalid_request_error',
  401: 'authentication_error',
  403: 'permission_error',
  404: 'not_found_error',
  429: 'rate_limit_error',
};

function anthropicBody(status: number, text: string, requestId: string): string {
  const type = ANTHROPIC_TYPES[status] ?? 'api_error';
  const error = `{"type":"${type}","message":${goJsonString(text)}}`;
  return `{"type":"error","error":${error},"request_id":${goJsonString(anthropicRequestId(requestId))}}`;
}

const ANTHROPIC_TYPES: Readonly<Record<number, string>> = {
  400: 'invalid_request_error',
  401: 'authentication_error',
  403: 'permission_error',
  404: 'not_found_error',
  413: 'request_too_large',
  429: 'rate_limit_error',
  503: 'overloaded_error',
  529: 'overloaded_error',
};

function anthropicRequestId(requestId: string): string {
  return requestId.startsWith('req_') ? requestId : `req_${requestId}`;
}

/** `error` on top makes OpenAI's SDKs raise; `response` is what a reader of the event expects. */
function failedResponse(error: GatewayError, requestId: string, events: MeterReport['events']): string {
  const message = goJsonString(error.message);
  const id = goJsonString(events?.responseId ?? `resp_${requestId}`);
  const response =
    `{"error":{"code":"server_error","message":${message}},"id":${id},` +
    '"object":"response","output":[],"status":"failed"}';
  return (
    `{"error":{"code":"server_error","message":${message},"param":null,"type":"api_error"},` +
    `"response":${response},"sequence_number":${(events?.lastSequence ?? -1) + 1},"type":"response.failed"}`
  );
}

function ownHeaders(error: GatewayError): Readonly<Record<string, string>> {
  const headers: Record<string, string> = {};
  if (error.code === 'unauthorized') {
    headers['www-authenticate'] = 'Bearer realm="llamero"';
  }
  if (error.retryAfterMs !== undefined) {
    headers['retry-after'] = String(Math.max(1, Math.ceil(error.retryAfterMs / 1_000)));
    headers['retry-after-ms'] = String(Math.max(1, Math.ceil(error.retryAfterMs)));
  }
  if (!error.kind.retryable && error.kind.status >= 500) {
    headers['x-should-retry'] = 'false';
  }
  return headers;
}

/** The handler of Ollama's that answers a route once its middleware has translated it. */
function handlerOf(route: Route): string {
  return HANDLERS[route.path] ?? route.endpoint;
}

const HANDLERS: Readonly<Record<string, string>> = {
  '/v1/chat/completions': 'chat',
  '/v1/completions': 'generate',
  '/v1/embeddings': 'embed',
  '/v1/responses': 'chat',
  '/v1/messages': 'chat',
  '/v1/audio/transcriptions': 'chat',
  '/v1/models/:model': 'show',
};

function unknownModelText(route: Route, modelText: string): { readonly status: number; readonly text: string } {
  const handler = handlerOf(route);
  const parts = parseModelName(modelText);
  if (parts === 'invalid') {
    return { status: 400, text: 'invalid model name' };
  }
  if (parts === 'conflicting-source') {
    return { status: 400, text: `use either :local or :cloud, not both: ${goQuoted(modelText.trim())}` };
  }
  if (parts === 'missing') {
    return MISSING_MODEL[handler] ?? { status: 400, text: 'model is required' };
  }
  switch (handler) {
    case 'embed':
    case 'embeddings':
      return { status: 404, text: `model ${goQuoted(modelText)} not found, try pulling it first` };
    case 'copy':
      return { status: 404, text: `model ${goQuoted(modelText)} not found` };
    case 'show':
      return { status: 404, text: `model '${displayName(parts)}' not found` };
    default:
      return { status: 404, text: `model '${modelText}' not found` };
  }
}

const MISSING_MODEL: Readonly<Record<string, { readonly status: number; readonly text: string }>> = {
  generate: { status: 404, text: "model '' not found" },
  embed: { status: 404, text: "model '' not found" },
  pull: { status: 400, text: 'invalid model name' },
};
