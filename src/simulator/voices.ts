import type { Rng } from '../core/types.ts';
import { goJson } from './json.ts';
import { draw, hexDigits } from './luck.ts';
import { type Ending, jsonPlain, jsonUtf8, ndjson, sse, sseUncached, type Voice } from './voice.ts';
import type { Headers } from './wire.ts';

export interface VoiceContext {
  readonly model: string;
  /** RFC 3339 with nanoseconds, now. */
  readonly stamp: () => string;
  /** Epoch seconds. */
  readonly created: number;
  readonly rng: Rng;
  readonly includeUsage: boolean;
  readonly stream: boolean;
  readonly maxOutputTokens: number | null;
  readonly promptEstimate: number;
}

const ns = (ms: number): number => Math.max(1, Math.round(ms * 1e6));

function metrics({ timing, promptTokens, outputTokens, reason }: Ending): Record<string, unknown> {
  return {
    done: true,
    done_reason: reason,
    total_duration: ns(timing.totalMs),
    load_duration: ns(timing.loadMs),
    prompt_eval_count: promptTokens,
    prompt_eval_duration: ns(timing.promptMs),
    eval_count: outputTokens,
    eval_duration: ns(timing.outputMs),
  };
}

export function nativeError(text: string): { headers: Headers; body: string } {
  return { headers: jsonUtf8, body: goJson({ error: text }) };
}

export function chatVoice(context: VoiceContext): Voice {
  const head = (content: string): Record<string, unknown> => ({
    model: context.model,
    created_at: context.stamp(),
    message: { role: 'assistant', content },
  });
  return {
    streamHeaders: ndjson,
    plainHeaders: jsonUtf8,
    token: (text) => [`${goJson({ ...head(text), done: false })}\n`],
    ending: (ending) => [`${goJson({ ...head(''), ...metrics(ending) })}\n`],
    whole: (ending) => goJson({ ...head(ending.text), ...metrics(ending) }),
    error: (_status, text) => nativeError(text),
  };
}

export function generateVoice(context: VoiceContext): Voice {
  const head = (response: string): Record<string, unknown> => ({
    model: context.model,
    created_at: context.stamp(),
    response,
  });
  return {
    streamHeaders: ndjson,
    plainHeaders: jsonUtf8,
    token: (text) => [`${goJson({ ...head(text), done: false })}\n`],
    ending: (ending) => [`${goJson({ ...head(''), ...metrics(ending) })}\n`],
    whole: (ending) => goJson({ ...head(ending.text), ...metrics(ending) }),
    error: (_status, text) => nativeError(text),
  };
}

export function openaiError(status: number, text: string): { headers: Headers; body: string } {
  const type = status === 400 ? 'invalid_request_error' : status === 404 ? 'not_found_error' : 'api_error';
  return { headers: jsonPlain, body: `${goJson({ error: { message: text, type, param: null, code: null } })}\n` };
}

function usageOf(ending: Ending): Record<string, number> {
  return {
    prompt_tokens: ending.promptTokens,
    completion_tokens: ending.outputTokens,
    total_tokens: ending.promptTokens + ending.outputTokens,
  };
}

const data = (value: unknown): string => `data: ${goJson(value)}\n\n`;

export function openaiChatVoice(context: VoiceContext): Voice {
  const id = `chatcmpl-${draw(context.rng, 999)}`;
  const head = (object: string): Record<string, unknown> => ({
    id,
    object,
    created: context.created,
    model: context.model,
    system_fingerprint: 'fp_ollama',
  });
  const chunk = (delta: unknown, finish: string | null): string =>
    data({ ...head('chat.completion.chunk'), choices: [{ index: 0, delta, finish_reason: finish }] });
  let first = true;
  return {
    streamHeaders: sse,
    plainHeaders: jsonPlain,
    token(text) {
      const delta = first ? { role: 'assistant', content: text } : { content: text };
      first = false;
      return [chunk(delta, null)];
    },
    ending(ending) {
      const usage = context.includeUsage
        ? data({ ...head('chat.completion.chunk'), choices: [], usage: usageOf(ending) })
        : '';
      return [`${chunk({}, ending.reason)}${usage}data: [DONE]\n\n`];
    },
    whole: (ending) =>
      `${goJson({
        ...head('chat.completion'),
        choices: [{ index: 0, message: { role: 'assistant', content: ending.text }, finish_reason: ending.reason }],
        usage: usageOf(ending),
      })}\n`,
    error: openaiError,
  };
}

export function openaiCompletionVoice(context: VoiceContext): Voice {
  const id = `cmpl-${draw(context.rng, 999)}`;
  const head = { id, object: 'text_completion', created: context.created };
  const tail = { model: context.model, system_fingerprint: 'fp_ollama' };
  const choices = (text: string, finish: string | null): unknown[] => [{ text, index: 0, finish_reason: finish }];
  return {
    streamHeaders: sse,
    plainHeaders: jsonPlain,
    token: (text) => [data({ ...head, choices: choices(text, null), ...tail })],
    ending(ending) {
      const usage = context.includeUsage ? data({ ...head, choices: [], ...tail, usage: usageOf(ending) }) : '';
      return [`${data({ ...head, choices: choices('', ending.reason), ...tail })}${usage}data: [DONE]\n\n`];
    },
    whole: (ending) =>
      `${goJson({ ...head, ...tail, choices: choices(ending.text, ending.reason), usage: usageOf(ending) })}\n`,
    error: openaiError,
  };
}

export function anthropicError(rng: Rng, status: number, text: string): { headers: Headers; body: string } {
  const types: Readonly<Record<number, string>> = {
    400: 'invalid_request_error',
    401: 'authentication_error',
    403: 'permission_error',
    404: 'not_found_error',
    429: 'rate_limit_error',
    503: 'overloaded_error',
    529: 'overloaded_error',
  };
  const error = { type: types[status] ?? 'api_error', message: text };
  const body = { type: 'error', error, request_id: `req_${hexDigits(rng, 24)}` };
  return { headers: jsonPlain, body: `${goJson(body)}\n` };
}

export function messagesVoice(context: VoiceContext): Voice {
  const id = `msg_${hexDigits(context.rng, 24)}`;
  const event = (value: { type: string; [key: string]: unknown }): string =>
    `event: ${value.type}\ndata: ${goJson(value)}\n\n`;
  const stop = (ending: Ending): string => (ending.reason === 'length' ? 'max_tokens' : 'end_turn');
  const usage = (ending: Ending): unknown => ({
    input_tokens: ending.promptTokens,
    output_tokens: ending.outputTokens,
  });
  const head = { id, type: 'message', role: 'assistant', model: context.model };
  let first = true;
  return {
    streamHeaders: sseUncached,
    plainHeaders: jsonPlain,
    token(text) {
      const delta = event({ type: 'content_block_delta', index: 0, delta: { type: 'text_delta', text } });
      if (!first) return [delta];
      first = false;
      const estimate = { input_tokens: context.promptEstimate, output_tokens: 0 };
      return [
        event({ type: 'message_start', message: { ...head, content: [], usage: estimate } }),
        event({ type: 'content_block_start', index: 0, content_block: { type: 'text', text: '' } }),
        delta,
      ];
    },
    ending: (ending) => [
      event({ type: 'content_block_stop', index: 0 }),
      event({ type: 'message_delta', delta: { stop_reason: stop(ending) }, usage: usage(ending) }),
      event({ type: 'message_stop' }),
    ],
    whole: (ending) =>
      `${goJson({
        ...head,
        content: [{ type: 'text', text: ending.text }],
        stop_reason: stop(ending),
        usage: usage(ending),
      })}\n`,
    error: (status, text) => anthropicError(context.rng, status, text),
  };
}

export function responsesVoice(context: VoiceContext): Voice {
  const id = `resp_${draw(context.rng, 999_999)}`;
  const itemId = `msg_${draw(context.rng, 999_999)}`;
  const { created } = context;
  let sequence = 0;
  let first = true;
  const usage = (ending: Ending): unknown => ({
    input_tokens: ending.promptTokens,
    input_tokens_details: { cached_tokens: 0 },
    output_tokens: ending.outputTokens,
    output_tokens_details: { reasoning_tokens: 0 },
    total_tokens: ending.promptTokens + ending.outputTokens,
  });
  const part = (text: string): unknown => ({ annotations: [], logprobs: [], text, type: 'output_text' });
  const item = (text: string): unknown => ({
    content: [part(text)],
    id: itemId,
    role: 'assistant',
    status: 'completed',
    type: 'message',
  });
  const response = (ending: Ending | null): Record<string, unknown> => ({
    background: false,
    completed_at: ending === null ? null : created,
    created_at: created,
    error: null,
    frequency_penalty: 0,
    id,
    incomplete_details: null,
    instructions: null,
    max_output_tokens: context.maxOutputTokens,
    max_tool_calls: null,
    metadata: {},
    model: context.model,
    object: 'response',
    output: ending === null ? [] : [item(ending.text)],
    parallel_tool_calls: true,
    presence_penalty: 0,
    previous_response_id: null,
    prompt_cache_key: null,
    reasoning: null,
    safety_identifier: null,
    service_tier: 'default',
    status: ending === null ? 'in_progress' : 'completed',
    store: false,
    temperature: 1,
    text: { format: { type: 'text' } },
    tool_choice: 'auto',
    tools: [],
    top_logprobs: 0,
    top_p: 1,
    truncation: 'disabled',
    usage: ending === null ? null : usage(ending),
  });
  const event = (type: string, fields: Record<string, unknown>): string => {
    const all = { ...fields, sequence_number: sequence++, type };
    const ordered = Object.fromEntries(Object.entries(all).sort(([a], [b]) => (a < b ? -1 : 1)));
    return `event: ${type}\ndata: ${goJson(ordered)}\n\n`;
  };
  const where = { content_index: 0, item_id: itemId, output_index: 0 };
  return {
    streamHeaders: sseUncached,
    plainHeaders: jsonPlain,
    token(text) {
      const frames: string[] = [];
      if (first) {
        const open = { content: [], id: itemId, role: 'assistant', status: 'in_progress', type: 'message' };
        frames.push(
          event('response.created', { response: response(null) }),
          event('response.in_progress', { response: response(null) }),
          event('response.output_item.added', { item: open, output_index: 0 }),
          event('response.content_part.added', { ...where, part: part('') }),
        );
      }
      first = false;
      frames.push(event('response.output_text.delta', { ...where, delta: text, logprobs: [] }));
      return frames;
    },
    ending: (ending) => [
      event('response.output_text.done', { ...where, logprobs: [], text: ending.text }),
      event('response.content_part.done', { ...where, part: part(ending.text) }),
      event('response.output_item.done', { item: item(ending.text), output_index: 0 }),
      event('response.completed', { response: response(ending) }),
    ],
    whole: (ending) => `${goJson(response(ending))}\n`,
    error: openaiError,
  };
}
