/** OpenAI's requests as Ollama's compatibility layer takes them, and what it makes of them. */
import { GoNumber, GoObject, type GoValue } from '../dialects/go-json.ts';
import { flag, float, GoBindError, integer, list, optional, plain, raw, type Read, struct, text } from './go-bind.ts';
import { base64Problem, goText } from './go-fields.ts';
import { tool, toolsOf } from './native-requests.ts';
import { type Ask, bareAsk, type Message, textMessage } from './speech.ts';

const toolCall = struct('openai.ToolCall', {
  id: text,
  index: integer,
  type: text,
  function: struct('', { name: text, arguments: text }),
});

const message = struct('openai.Message', {
  role: text,
  content: raw,
  reasoning: text,
  tool_calls: list(toolCall),
  name: text,
  tool_call_id: text,
});

const streamOptions = optional(struct('openai.StreamOptions', { include_usage: flag }));

export const chatCompletionRequest = struct('openai.ChatCompletionRequest', {
  model: text,
  messages: list(message),
  stream: flag,
  stream_options: streamOptions,
  max_tokens: optional(integer),
  seed: optional(integer),
  stop: raw,
  temperature: optional(float),
  frequency_penalty: optional(float),
  presence_penalty: optional(float),
  top_p: optional(float),
  response_format: optional(
    struct('openai.ResponseFormat', {
      type: text,
      json_schema: optional(struct('openai.JsonSchema', { schema: raw })),
    }),
  ),
  tools: list(tool),
  reasoning: optional(struct('openai.Reasoning', { effort: text })),
  reasoning_effort: optional(text),
  logprobs: optional(flag),
  top_logprobs: integer,
});

export const completionRequest = struct('openai.CompletionRequest', {
  model: text,
  prompt: text,
  frequency_penalty: float,
  max_tokens: optional(integer),
  presence_penalty: float,
  seed: optional(integer),
  stop: raw,
  stream: flag,
  stream_options: streamOptions,
  temperature: optional(float),
  top_p: float,
  suffix: text,
});

export const openaiEmbedRequest = struct('openai.EmbedRequest', {
  model: text,
  input: raw,
  dimensions: integer,
  encoding_format: text,
});

/** Throws GoBindError with Ollama's text for what the layer itself refuses. */
export function chatCompletionAsk(request: Read<typeof chatCompletionRequest>): Ask {
  const messages = request.messages ?? [];
  if (messages.length === 0) throw new GoBindError("[] is too short - 'messages'");
  const effort = request.reasoning?.effort ?? request.reasoning_effort ?? '';
  return {
    ...bareAsk,
    kind: 'chat',
    model: request.model,
    messages: messages.flatMap(messagesOf),
    stream: request.stream,
    options: {
      temperature: request.temperature ?? 1,
      top_p: request.top_p ?? 1,
      ...given({
        stop: stopOf(request.stop),
        num_predict: request.max_tokens,
        seed: request.seed,
        frequency_penalty: request.frequency_penalty,
        presence_penalty: request.presence_penalty,
      }),
    },
    format: formatOf(request.response_format),
    tools: toolsOf(request.tools),
    think: thinkOf(effort),
    logprobs: request.logprobs ?? false,
    topLogprobs: request.top_logprobs,
  };
}

export function completionAsk(request: Read<typeof completionRequest>): Ask {
  return {
    ...bareAsk,
    kind: 'generate',
    model: request.model,
    messages: request.prompt === '' ? [] : [textMessage('user', request.prompt)],
    stream: request.stream,
    options: {
      temperature: request.temperature ?? 1,
      top_p: request.top_p === 0 ? 1 : request.top_p,
      frequency_penalty: request.frequency_penalty,
      presence_penalty: request.presence_penalty,
      ...given({ stop: stopOf(request.stop), num_predict: request.max_tokens, seed: request.seed }),
    },
    suffix: request.suffix,
  };
}

function given(fields: Readonly<Record<string, unknown>>): Readonly<Record<string, unknown>> {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== null));
}

function stopOf(stop: GoValue): readonly string[] | null {
  if (typeof stop === 'string') return [stop];
  return Array.isArray(stop) ? stop.filter((each) => typeof each === 'string') : null;
}

/** `none` means not to think; throws for a level Ollama does not know. */
export function thinkOf(effort: string): string | false | null {
  if (effort === '') return null;
  if (effort === 'none') return false;
  if (['high', 'medium', 'low', 'max'].includes(effort)) return effort;
  throw new GoBindError(`invalid reasoning value: '${effort}' (must be "high", "medium", "low", "max", or "none")`);
}

function formatOf(format: Read<typeof chatCompletionRequest>['response_format']): string {
  const type = format?.type.trim().toLowerCase();
  if (type === 'json_object') return '"json"';
  return type === 'json_schema' ? goText(format?.json_schema?.schema ?? null) : '';
}

/** A message whose content has parts becomes one message a part. */
function messagesOf(given: Read<typeof message>): Message[] {
  const toolCalls = (given.tool_calls ?? []).map(({ function: { name, arguments: args } }) => ({
    name,
    arguments: argumentsOf(args),
  }));
  const whole = { ...textMessage(given.role, ''), thinking: given.reasoning, toolCalls };
  if (typeof given.content === 'string') return [{ ...whole, content: given.content }];
  if (Array.isArray(given.content)) {
    const parts = given.content.map((part) => partOf(given.role, part));
    const last = parts.at(-1);
    return last === undefined || toolCalls.length === 0 ? parts : [...parts.slice(0, -1), { ...last, toolCalls }];
  }
  if (given.tool_calls === null) throw new GoBindError(`invalid message content type: ${goTypeName(given.content)}`);
  return [whole];
}

function partOf(role: string, part: GoValue): Message {
  const invalid = new GoBindError('invalid message format');
  if (!(part instanceof GoObject)) throw invalid;
  const { type, text: words, image_url: image } = plain(part) as Record<string, unknown>;
  if (type === 'text' && typeof words === 'string') return textMessage(role, words);
  if (type !== 'image_url') throw invalid;
  const url = typeof image === 'object' && image !== null ? (image as Record<string, unknown>)['url'] : image;
  if (typeof url !== 'string') throw invalid;
  const encoded = /^data:(?:image\/(?:jpeg|jpg|png|webp))?;base64,(.*)$/su.exec(url)?.[1];
  if (encoded === undefined) throw new GoBindError('invalid image input');
  if (base64Problem(encoded) !== null) throw invalid;
  return { ...textMessage(role, ''), images: 1 };
}

function argumentsOf(json: string): unknown {
  try {
    return JSON.parse(json) as unknown;
  } catch (cause) {
    throw new GoBindError('invalid tool call arguments', { cause });
  }
}

/** As Go's %T prints what encoding/json decodes into `any`. */
function goTypeName(value: GoValue): string {
  if (value === null) return '<nil>';
  if (value instanceof GoNumber) return 'float64';
  return typeof value === 'boolean' ? 'bool' : 'map[string]interface {}';
}
