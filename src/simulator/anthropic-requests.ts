/** Anthropic's messages as Ollama's compatibility layer takes them, and what it makes of them. */
import { GoObject, type GoValue } from '../dialects/go-json.ts';
import { flag, float, GoBindError, integer, list, optional, plain, raw, type Read, struct, text } from './go-bind.ts';
import { base64Problem } from './go-fields.ts';
import { goJson } from './json.ts';
import { type Ask, bareAsk, type Message, textMessage } from './speech.ts';

export const messagesRequest = struct('anthropic.MessagesRequest', {
  model: text,
  max_tokens: integer,
  messages: list(struct('anthropic.MessageParam', { role: text, content: raw })),
  system: raw,
  stream: flag,
  temperature: optional(float),
  top_p: optional(float),
  top_k: optional(integer),
  stop_sequences: list(text),
  tools: list(struct('anthropic.Tool', { type: text, name: text, description: text, input_schema: raw })),
  thinking: optional(struct('anthropic.ThinkingConfig', { type: text, budget_tokens: integer })),
  output_config: optional(struct('anthropic.OutputConfig', { effort: text })),
});

type Request = Read<typeof messagesRequest>;
type Block = Readonly<Record<string, unknown>>;

/** Throws GoBindError with Ollama's text for what the layer itself refuses. */
export function messagesAsk(request: Request): Ask {
  if (request.model === '') throw new GoBindError('model is required');
  if (request.max_tokens <= 0) throw new GoBindError('max_tokens is required and must be positive');
  const messages = request.messages ?? [];
  if (messages.length === 0) throw new GoBindError('messages is required');
  const system = systemText(request.system);
  return {
    ...bareAsk,
    kind: 'chat',
    model: request.model,
    messages: [
      ...(system === '' ? [] : [textMessage('system', system)]),
      ...messages.flatMap(({ role, content }) => messagesOf(role.toLowerCase(), blocksOf(content))),
    ],
    stream: request.stream,
    options: optionsOf(request),
    tools: (request.tools ?? []).map((tool) => ({
      name: tool.type.startsWith('web_search') ? 'web_search' : tool.name,
      description: tool.description,
      parameters: plain(tool.input_schema),
    })),
    think: thinkOf(request),
    relaxedThink: true,
  };
}

/** Ollama's guess of the prompt's tokens, which `message_start` tells before they are known. */
export function estimatedTokens(request: Request): number {
  let bytes = typeof request.system === 'string' ? Buffer.byteLength(request.system) : 0;
  if (Array.isArray(request.system)) bytes += blockBytes(blocksOf(request.system));
  for (const { role, content } of request.messages ?? []) {
    bytes += Buffer.byteLength(role) + blockBytes(blocksOf(content));
  }
  for (const tool of request.tools ?? []) {
    const schema = tool.input_schema === null ? '' : goJson(plain(tool.input_schema));
    bytes += Buffer.byteLength(tool.name + tool.description + schema);
  }
  return Math.max(1, Math.floor(bytes / 4));
}

function blockBytes(blocks: readonly Block[]): number {
  let bytes = 0;
  for (const block of blocks) {
    bytes += Buffer.byteLength(textOf(block['text']) + textOf(block['thinking']));
    if (block['type'] === 'tool_use' || block['type'] === 'tool_result') bytes += Buffer.byteLength(goJson(block));
  }
  return bytes;
}

function optionsOf(request: Request): Readonly<Record<string, unknown>> {
  const { temperature, top_p, top_k, stop_sequences: stop } = request;
  return {
    num_predict: request.max_tokens,
    ...(temperature === null ? {} : { temperature }),
    ...(top_p === null ? {} : { top_p }),
    ...(top_k === null ? {} : { top_k }),
    ...(stop === null || stop.length === 0 ? {} : { stop }),
  };
}

function thinkOf({ thinking, output_config: output }: Request): boolean | string | null {
  if (thinking?.type === 'enabled') return true;
  if (thinking?.type === 'disabled') return false;
  const effort = output?.effort.trim().toLowerCase() ?? '';
  if (effort === 'xhigh') return 'high';
  return ['high', 'medium', 'low', 'max'].includes(effort) ? effort : null;
}

function systemText(system: GoValue): string {
  if (typeof system === 'string') return system;
  return Array.isArray(system)
    ? blocksOf(system)
        .filter(({ type }) => type === 'text')
        .map((block) => textOf(block['text']))
        .join('')
    : '';
}

/** Content is text or blocks; a text is one block. */
function blocksOf(content: GoValue): Block[] {
  if (typeof content === 'string') return [{ type: 'text', text: content }];
  if (!Array.isArray(content)) return [];
  return content.filter((block) => block instanceof GoObject).map((block) => plain(block) as Block);
}

/** Tool results become messages of their own, before a user's words and after an assistant's. */
function messagesOf(role: string, blocks: readonly Block[]): Message[] {
  const results = blocks
    .filter(({ type }) => type === 'tool_result')
    .map((block) => textMessage('tool', resultText(block['content'])));
  const uses = blocks.filter(({ type }) => type === 'tool_use');
  for (const use of uses) {
    for (const field of ['id', 'name']) {
      if (textOf(use[field]) === '') throw new GoBindError(`tool_use block missing required '${field}' field`);
    }
  }
  const spoken: Message = {
    role,
    content: blocks
      .filter(({ type }) => type === 'text')
      .map((block) => textOf(block['text']))
      .join(''),
    thinking: textOf(blocks.findLast(({ type }) => type === 'thinking')?.['thinking']),
    toolCalls: uses.map((use) => ({ name: textOf(use['name']), arguments: use['input'] })),
    images: blocks.filter(({ type }) => type === 'image').map((block) => checkImage(block['source'])).length,
  };
  const says = spoken.content !== '' || spoken.thinking !== '' || uses.length > 0 || spoken.images > 0;
  const own = says ? [spoken] : [];
  return role === 'user' ? [...results, ...own] : [...own, ...results];
}

function checkImage(source: unknown): void {
  if (typeof source !== 'object' || source === null) throw new GoBindError('invalid image source');
  const { type, data } = source as { readonly type?: unknown; readonly data?: unknown };
  if (type !== 'base64') {
    throw new GoBindError(`invalid image source type: ${textOf(type)}. Only base64 images are supported.`);
  }
  const problem = base64Problem(textOf(data));
  if (problem !== null) {
    throw new GoBindError(`invalid base64 image data: illegal base64 data at input byte ${problem}`);
  }
}

function resultText(content: unknown): string {
  if (!Array.isArray(content)) return textOf(content);
  return (content as unknown[])
    .map((block) => (typeof block === 'object' && block !== null ? textOf((block as Block)['text']) : ''))
    .join('');
}

function textOf(value: unknown): string {
  return typeof value === 'string' ? value : '';
}
