/** OpenAI's chat and text completions as Ollama's compatibility layer writes them. */
import { goJson } from './json.ts';
import { draw } from './luck.ts';
import type { Ending, Logprob, Part, ToolCall } from './speech.ts';
import { compatError, type ErrorPlace, jsonPlain, sse, type Voice, type VoiceContext } from './voice.ts';
import type { Reply } from './wire.ts';

export function openaiErrorBody(status: number, text: string): string {
  const type = status === 400 ? 'invalid_request_error' : status === 404 ? 'not_found_error' : 'api_error';
  return goJson({ error: { message: text, type, param: null, code: null } });
}

export const openaiErrors = {
  reply: (status: number, text: string, place: ErrorPlace): Reply => compatError(openaiErrorBody(status, text), place),
};

export interface OpenaiContext extends VoiceContext {
  /** `stream_options.include_usage`. */
  readonly includeUsage: boolean;
}

const data = (value: unknown): string => `data: ${goJson(value)}\n\n`;
const done = 'data: [DONE]\n\n';
const nothing: Part = { content: '', thinking: '', toolCalls: [], logprobs: null };

export function chatCompletionVoice(context: OpenaiContext): Voice {
  const id = `chatcmpl-${draw(context.rng, 999)}`;
  const head = (object: string, model: string): Record<string, unknown> => ({
    id,
    object,
    created: context.seconds(),
    model,
    system_fingerprint: 'fp_ollama',
  });
  const chunk = (choices: readonly unknown[], usage?: unknown, model = context.model): string =>
    data({ ...head('chat.completion.chunk', model), choices, usage });
  let roleSent = false;
  let called = false;

  function delta(part: Part, finish: string | null): unknown {
    const role = roleSent || finish !== null ? undefined : 'assistant';
    roleSent = true;
    const calls = part.toolCalls.length === 0 ? undefined : part.toolCalls.map(openaiToolCall);
    const content = finish !== null ? undefined : part.content;
    return {
      index: 0,
      delta: { role, content, reasoning: part.thinking || undefined, tool_calls: calls },
      finish_reason: finish,
      logprobs: logprobsOf(part.logprobs),
    };
  }

  return {
    streamHeaders: sse,
    plainHeaders: jsonPlain,
    part(part) {
      called ||= part.toolCalls.length > 0;
      return [chunk([delta(part, null)])];
    },
    ending(ending) {
      const finish = chunk([delta(nothing, called ? 'tool_calls' : ending.reason)]);
      const usage = context.includeUsage ? chunk([], usageOf(ending)) : '';
      return [`${finish}${usage}${done}`];
    },
    whole: (ending) =>
      `${goJson({
        ...head('chat.completion', context.model),
        choices: [
          {
            index: 0,
            message: {
              role: 'assistant',
              content: ending.content,
              reasoning: ending.thinking || undefined,
              tool_calls: ending.toolCalls.length === 0 ? undefined : ending.toolCalls.map(openaiToolCall),
            },
            finish_reason: ending.toolCalls.length > 0 ? 'tool_calls' : ending.reason,
            logprobs: logprobsOf(ending.logprobs),
          },
        ],
        usage: usageOf(ending),
      })}\n`,
    error: openaiErrors.reply,
    // The layer reads the error as an answer of its own kind, finds nothing in it, and writes that.
    broken: () => [chunk([delta(nothing, null)], undefined, '')],
  };
}

export function completionVoice(context: OpenaiContext): Voice {
  const id = `cmpl-${draw(context.rng, 999)}`;
  const head = (): Record<string, unknown> => ({ id, object: 'text_completion', created: context.seconds() });
  const tail = (model: string): Record<string, unknown> => ({ model, system_fingerprint: 'fp_ollama' });
  // With include_usage every chunk has a usage, which is empty but for the last.
  const empty = context.includeUsage ? { prompt_tokens: 0, completion_tokens: 0, total_tokens: 0 } : undefined;
  const chunk = (text: string, finish: string | null, model = context.model): string =>
    data({ ...head(), choices: [{ text, index: 0, finish_reason: finish }], ...tail(model), usage: empty });

  return {
    streamHeaders: sse,
    plainHeaders: jsonPlain,
    part: (part) => [chunk(part.content, null)],
    ending(ending) {
      const usage = context.includeUsage
        ? data({ ...head(), choices: [], ...tail(context.model), usage: usageOf(ending) })
        : '';
      return [`${chunk('', ending.reason)}${usage}${done}`];
    },
    whole: (ending) =>
      `${goJson({
        ...head(),
        ...tail(context.model),
        choices: [{ text: ending.content, index: 0, finish_reason: ending.reason }],
        usage: usageOf(ending),
      })}\n`,
    error: openaiErrors.reply,
    broken: () => [chunk('', null, '')],
  };
}

function usageOf({ promptTokens, outputTokens }: Ending): unknown {
  return {
    prompt_tokens: promptTokens,
    completion_tokens: outputTokens,
    total_tokens: promptTokens + outputTokens,
  };
}

function openaiToolCall({ id, index, name, arguments: args }: ToolCall): unknown {
  return { id, index, type: 'function', function: { name, arguments: goJson(args) } };
}

function logprobsOf(logprobs: readonly Logprob[] | null): unknown {
  return logprobs === null ? undefined : { content: logprobs };
}
