/** OpenAI's Responses requests as Ollama's compatibility layer takes them, and what it makes of them. */
import { GoObject, type GoValue } from '../dialects/go-json.ts';
import {
  custom,
  flag,
  float,
  GoBindError,
  integer,
  list,
  optional,
  plain,
  raw,
  type Read,
  struct,
  text,
} from './go-bind.ts';
import { goText } from './go-fields.ts';
import { thinkOf } from './openai-requests.ts';
import { type Ask, bareAsk, type Message, textMessage } from './speech.ts';

type Item = Readonly<Record<string, unknown>>;

/** The conversation a Responses request gives, as messages. */
const input = custom<readonly Message[]>('openai.ResponsesInput', [], (value) => {
  if (typeof value === 'string') return value === '' ? [] : [textMessage('user', value)];
  if (!Array.isArray(value)) {
    throw new Error(
      'input must be a string or array: json: cannot unmarshal object into Go value of type []json.RawMessage',
    );
  }
  return joined(value.map((item, index) => itemMessage(item, index)));
});

export const responsesRequest = struct('openai.ResponsesRequest', {
  model: text,
  background: flag,
  input,
  instructions: text,
  max_output_tokens: optional(integer),
  reasoning: struct('openai.ResponsesReasoning', { effort: text, generate_summary: text, summary: text }),
  temperature: optional(float),
  text: optional(
    struct('openai.ResponsesText', {
      format: optional(
        struct('openai.ResponsesTextFormat', { type: text, name: text, schema: raw, strict: optional(flag) }),
      ),
    }),
  ),
  top_p: optional(float),
  truncation: optional(text),
  tools: list(
    struct('openai.ResponsesTool', {
      type: text,
      name: text,
      description: optional(text),
      strict: optional(flag),
      parameters: raw,
    }),
  ),
  stream: optional(flag),
});

export type ResponsesRequest = Read<typeof responsesRequest>;

export function responsesAsk(request: ResponsesRequest): Ask {
  const { instructions, temperature, top_p, max_output_tokens: limit } = request;
  const format = request.text?.format ?? null;
  return {
    ...bareAsk,
    kind: 'chat',
    model: request.model,
    messages: [...(instructions === '' ? [] : [textMessage('system', instructions)]), ...request.input],
    stream: request.stream ?? false,
    options: {
      temperature: temperature ?? 1,
      ...(top_p === null ? {} : { top_p }),
      ...(limit === null ? {} : { num_predict: limit }),
    },
    format: format?.type === 'json_schema' ? goText(format.schema) : '',
    tools: (request.tools ?? []).map(({ name, description, parameters }) => ({
      name,
      description: description ?? '',
      parameters: plain(parameters),
    })),
    think: thinkOf(request.reasoning.effort),
  };
}

function itemMessage(given: GoValue, index: number): Message {
  const fail = (problem: string): never => {
    throw new GoBindError(`input[${index}]: ${problem}`);
  };
  if (!(given instanceof GoObject)) {
    return fail('json: cannot unmarshal value into Go value of type struct { Type string; Role string }');
  }
  const item = plain(given) as Item;
  const type = textOf(item['type']) || (textOf(item['role']) === '' ? '' : 'message');
  switch (type) {
    case 'message':
      return textMessage(textOf(item['role']), contentText(item['content'], fail));
    case 'function_call':
      return {
        ...textMessage('assistant', ''),
        toolCalls: [{ name: textOf(item['name']), arguments: callArguments(textOf(item['arguments'])) }],
      };
    case 'function_call_output':
      return textMessage('tool', contentText(item['output'], fail));
    case 'reasoning':
      return { ...textMessage('assistant', ''), thinking: textOf(item['encrypted_content']) };
    case '':
      return fail("input item missing required 'type' field");
    default:
      return fail(`unknown input item type: "${type}"`);
  }
}

/** Reasoning and calls belong to the assistant's message beside them. */
function joined(messages: readonly Message[]): Message[] {
  const out: Message[] = [];
  for (const message of messages) {
    const before = out.at(-1);
    const continues = before?.role === 'assistant' && message.role === 'assistant';
    if (!continues) {
      out.push(message);
      continue;
    }
    out[out.length - 1] = {
      role: 'assistant',
      content: before.content + message.content,
      thinking: before.thinking + message.thinking,
      toolCalls: [...before.toolCalls, ...message.toolCalls],
      images: before.images + message.images,
    };
  }
  return out;
}

function contentText(content: unknown, fail: (problem: string) => never): string {
  if (!Array.isArray(content)) return textOf(content);
  return (content as Item[])
    .map((part, place) => {
      const type = textOf(part['type']);
      if (type === 'input_text' || type === 'output_text') return textOf(part['text']);
      return type === 'input_image' || type === 'input_file'
        ? ''
        : fail(`content[${place}]: unknown content type: ${type}`);
    })
    .join('');
}

function callArguments(json: string): unknown {
  if (json === '') return {};
  try {
    return JSON.parse(json) as unknown;
  } catch (cause) {
    throw new GoBindError('failed to parse function call arguments: invalid JSON', { cause });
  }
}

function textOf(value: unknown): string {
  return typeof value === 'string' ? value : '';
}
