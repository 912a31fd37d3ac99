/** Anthropic's messages as Ollama's compatibility layer writes them. */
import type { Rng } from '../core/types.ts';
import { goJson } from './json.ts';
import { hexDigits } from './luck.ts';
import type { Ending, Part } from './speech.ts';
import { compatError, jsonPlain, sse, unbuffered, type Voice, type VoiceContext } from './voice.ts';

const errorTypes: Readonly<Record<number, string>> = {
  400: 'invalid_request_error',
  401: 'authentication_error',
  403: 'permission_error',
  404: 'not_found_error',
  429: 'rate_limit_error',
  503: 'overloaded_error',
  529: 'overloaded_error',
};

export function anthropicErrorBody(rng: Rng, status: number, text: string): string {
  const error = { type: errorTypes[status] ?? 'api_error', message: text };
  return goJson({ type: 'error', error, request_id: `req_${hexDigits(rng, 24)}` });
}

export interface MessagesContext extends VoiceContext {
  readonly stream: boolean;
  /** Of the prompt, for `message_start`. */
  readonly estimatedTokens: number;
}

type Event = Readonly<{ type: string; [field: string]: unknown }>;

const frame = (event: Event): string => `event: ${event.type}\ndata: ${goJson(event)}\n\n`;

export function messagesVoice(context: MessagesContext): Voice {
  const id = `msg_${hexDigits(context.rng, 24)}`;
  const head = { id, type: 'message', role: 'assistant', model: context.model };
  const blocks = blockWriter();
  let begun = false;

  function begin(): Event[] {
    if (begun) return [];
    begun = true;
    const usage = { input_tokens: context.estimatedTokens, output_tokens: 0 };
    return [{ type: 'message_start', message: { ...head, content: [], usage } }];
  }

  return {
    streamHeaders: [...sse, ...unbuffered],
    plainHeaders: jsonPlain,
    part: (part) => [...begin(), ...blocks.add(part)].map(frame),
    ending: (ending) =>
      [
        ...begin(),
        ...blocks.close(),
        {
          type: 'message_delta',
          delta: { stop_reason: stopReason(ending, blocks.called()) },
          usage: { input_tokens: ending.promptTokens, output_tokens: ending.outputTokens },
        },
        { type: 'message_stop' },
      ].map(frame),
    whole: (ending) =>
      `${goJson({
        ...head,
        content: contentOf(ending),
        stop_reason: stopReason(ending, ending.toolCalls.length > 0),
        usage: { input_tokens: ending.promptTokens, output_tokens: ending.outputTokens },
      })}\n`,
    error: (status, text, place) =>
      compatError(anthropicErrorBody(context.rng, status, text), place, context.stream ? unbuffered : []),
    broken: () => [],
  };
}

function stopReason(ending: Ending, called: boolean): string {
  if (called) return 'tool_use';
  return ending.reason === 'length' ? 'max_tokens' : 'end_turn';
}

/** A nil slice when there is nothing to say. */
function contentOf({ thinking, content, toolCalls }: Ending): unknown {
  const blocks = [
    ...(thinking === '' ? [] : [{ type: 'thinking', thinking }]),
    ...(content === '' ? [] : [{ type: 'text', text: content }]),
    ...toolCalls.map((call) => ({ type: 'tool_use', id: call.id, name: call.name, input: call.arguments })),
  ];
  return blocks.length === 0 ? null : blocks;
}

interface BlockWriter {
  add(part: Part): Event[];
  /** Ends the block that is open. */
  close(): Event[];
  called(): boolean;
}

/** Content blocks, one open at a time, numbered from 0. */
function blockWriter(): BlockWriter {
  let index = 0;
  let open: 'thinking' | 'text' | null = null;
  let calls = 0;

  function close(): Event[] {
    if (open === null) return [];
    open = null;
    return [{ type: 'content_block_stop', index: index++ }];
  }

  function say(kind: 'thinking' | 'text', words: string): Event[] {
    if (words === '') return [];
    const events: Event[] = [];
    if (open !== kind) {
      events.push(...close(), { type: 'content_block_start', index, content_block: { type: kind, [kind]: '' } });
      open = kind;
    }
    events.push({ type: 'content_block_delta', index, delta: { type: `${kind}_delta`, [kind]: words } });
    return events;
  }

  return {
    add(part) {
      const events = [...say('thinking', part.thinking), ...say('text', part.content)];
      for (const call of part.toolCalls) {
        calls++;
        events.push(
          ...close(),
          {
            type: 'content_block_start',
            index,
            content_block: { type: 'tool_use', id: call.id, name: call.name, input: {} },
          },
          {
            type: 'content_block_delta',
            index,
            delta: { type: 'input_json_delta', partial_json: goJson(call.arguments) },
          },
          { type: 'content_block_stop', index: index++ },
        );
      }
      return events;
    },
    close,
    called: () => calls > 0,
  };
}
