/** Ollama's own requests as its structs take them. */
import type { GoValue } from '../dialects/go-json.ts';
import { flag, integer, list, mapOf, optional, plain, raw, type Read, struct, text } from './go-bind.ts';
import { goText, image, keepAlive, think } from './go-fields.ts';
import { type Ask, bareAsk, type Message, textMessage, type Tool } from './speech.ts';

const toolCall = struct('api.ToolCall', {
  id: text,
  function: struct('api.ToolCallFunction', { index: integer, name: text, arguments: raw }),
});

const message = struct('api.Message', {
  role: text,
  content: text,
  thinking: text,
  images: list(image),
  tool_calls: list(toolCall),
  tool_name: text,
  tool_call_id: text,
});

export const tool = struct('api.Tool', {
  type: text,
  function: struct('api.ToolFunction', { name: text, description: text, parameters: raw }),
});

const anyMap = mapOf(raw);

export const chatRequest = struct('api.ChatRequest', {
  model: text,
  messages: list(message),
  stream: optional(flag),
  format: raw,
  keep_alive: keepAlive,
  tools: list(tool),
  options: anyMap,
  think,
  truncate: optional(flag),
  shift: optional(flag),
  logprobs: flag,
  top_logprobs: integer,
  _debug_render_only: flag,
});

export const generateRequest = struct('api.GenerateRequest', {
  model: text,
  prompt: text,
  suffix: text,
  system: text,
  template: text,
  context: list(integer),
  stream: optional(flag),
  raw: flag,
  format: raw,
  keep_alive: keepAlive,
  images: list(image),
  options: anyMap,
  think,
  truncate: optional(flag),
  shift: optional(flag),
  logprobs: flag,
  top_logprobs: integer,
  _debug_render_only: flag,
});

export const embedRequest = struct('api.EmbedRequest', {
  model: text,
  input: raw,
  keep_alive: keepAlive,
  truncate: optional(flag),
  dimensions: integer,
  options: anyMap,
});

export const embeddingsRequest = struct('api.EmbeddingRequest', {
  model: text,
  prompt: text,
  keep_alive: keepAlive,
  options: anyMap,
});

export const showRequest = struct('api.ShowRequest', {
  model: text,
  name: text,
  system: text,
  verbose: flag,
  options: anyMap,
});

export const transferRequest = (goName: 'api.PullRequest' | 'api.PushRequest') =>
  struct(goName, { model: text, name: text, insecure: flag, stream: optional(flag) });

export const deleteRequest = struct('api.DeleteRequest', { model: text, name: text });

export const copyRequest = struct('api.CopyRequest', { source: text, destination: text });

export const createRequest = struct('api.CreateRequest', {
  model: text,
  name: text,
  stream: optional(flag),
  quantize: text,
  from: text,
  files: mapOf(text),
  adapters: mapOf(text),
  template: text,
  license: raw,
  system: text,
  parameters: anyMap,
  messages: list(message),
});

export function chatAsk(request: Read<typeof chatRequest>): Ask {
  return {
    ...bareAsk,
    kind: 'chat',
    model: request.model,
    messages: (request.messages ?? []).map(messageOf),
    stream: request.stream ?? true,
    options: optionsOf(request.options),
    keepAliveMs: request.keep_alive,
    format: goText(request.format),
    tools: toolsOf(request.tools),
    think: request.think,
    shift: request.shift,
    renderOnly: request._debug_render_only,
    logprobs: request.logprobs,
    topLogprobs: request.top_logprobs,
  };
}

/** An empty prompt asks for no message at all: it loads or unloads. */
export function generateAsk(request: Read<typeof generateRequest>): Ask {
  const system = request.system === '' ? [] : [textMessage('system', request.system)];
  const images = request.images?.length ?? 0;
  const prompt = { ...textMessage('user', request.prompt), images };
  return {
    ...bareAsk,
    kind: 'generate',
    model: request.model,
    messages: request.prompt === '' ? [] : [...system, prompt],
    stream: request.stream ?? true,
    options: optionsOf(request.options),
    keepAliveMs: request.keep_alive,
    format: goText(request.format),
    think: request.think,
    suffix: request.suffix,
    raw: request.raw,
    templated: request.template !== '' || request.system !== '' || (request.context?.length ?? 0) > 0,
    shift: request.shift,
    renderOnly: request._debug_render_only,
    logprobs: request.logprobs,
    topLogprobs: request.top_logprobs,
  };
}

export function messageOf(given: Read<typeof message>): Message {
  return {
    role: given.role,
    content: given.content,
    thinking: given.thinking,
    toolCalls: (given.tool_calls ?? []).map(({ function: { name, arguments: args } }) => ({
      name,
      arguments: plain(args),
    })),
    images: given.images?.length ?? 0,
  };
}

export function toolsOf(tools: readonly Read<typeof tool>[] | null): Tool[] {
  return (tools ?? []).map(({ function: { name, description, parameters } }) => ({
    name,
    description,
    parameters: plain(parameters),
  }));
}

export function optionsOf(options: ReadonlyMap<string, GoValue> | null): Readonly<Record<string, unknown>> {
  return Object.fromEntries([...(options ?? [])].map(([name, value]) => [name, plain(value)]));
}
