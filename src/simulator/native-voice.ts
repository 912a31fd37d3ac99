/** Ollama's own answers: NDJSON streams and plain objects, for chat and generate. */
import { goJsonString } from '../dialects/go-json.ts';
import { goJson } from './json.ts';
import type { Ask, Ending, Part } from './speech.ts';
import { jsonPlain, jsonUtf8, nanoseconds, nativeToolCall, ndjson, type Voice, type VoiceContext } from './voice.ts';
import type { Reply } from './wire.ts';

export function nativeError(text: string): Reply {
  return { headers: jsonUtf8, body: goJson({ error: text }) };
}

export function nativeVoice(kind: Ask['kind'], { model, stamp }: VoiceContext): Voice {
  const opening = `{"model":${goJsonString(model)},"created_at":"`;
  const object = kind === 'chat' ? chatObject : generateObject;

  /** The common case, a token of text, without a detour through objects. */
  function token(part: Part): string {
    const content = goJsonString(part.content);
    const said = kind === 'chat' ? `"message":{"role":"assistant","content":${content}}` : `"response":${content}`;
    return `${opening}${stamp()}",${said},"done":false}\n`;
  }

  const write = (part: Part, ending: Ending | null): string =>
    goJson({ model, created_at: stamp(), ...object(part, ending) });

  return {
    streamHeaders: ndjson,
    plainHeaders: jsonUtf8,
    part(part) {
      const plain = part.thinking === '' && part.toolCalls.length === 0 && part.logprobs === null;
      return [plain ? token(part) : `${write(part, null)}\n`];
    },
    ending: (ending) => [`${write({ content: '', thinking: '', toolCalls: [], logprobs: null }, ending)}\n`],
    whole: (ending) => write(ending, ending),
    error: (_status, text, place) =>
      place === 'stream'
        ? { headers: jsonPlain, body: goJson({ error: text }), flushed: true }
        : { headers: jsonUtf8, body: goJson({ error: text }) },
    broken: (text) => [`${goJson({ error: text })}\n`],
  };
}

/** The answer to a request that only loads or unloads. */
export function nativeIdle(kind: Ask['kind'], { model, stamp }: VoiceContext, reason: 'load' | 'unload'): Reply {
  const empty = kind === 'chat' ? { message: { role: 'assistant', content: '' } } : { response: '' };
  return { headers: jsonUtf8, body: goJson({ model, created_at: stamp(), ...empty, done: true, done_reason: reason }) };
}

/** The answer to a request that is only rendered. */
export function nativeRendering(kind: Ask['kind'], { model, stamp }: VoiceContext, prompt: string): Reply {
  const empty = kind === 'chat' ? { message: { role: '', content: '' } } : { response: '' };
  const shown = { _debug_info: { rendered_template: prompt } };
  return { headers: jsonUtf8, body: goJson({ model, created_at: stamp(), ...empty, done: false, ...shown }) };
}

function chatObject(part: Part, ending: Ending | null): Record<string, unknown> {
  return {
    message: {
      role: 'assistant',
      content: part.content,
      thinking: part.thinking || undefined,
      tool_calls: part.toolCalls.length === 0 ? undefined : part.toolCalls.map(nativeToolCall),
    },
    done: ending !== null,
    done_reason: ending?.reason,
    logprobs: part.logprobs ?? undefined,
    ...metrics(ending),
  };
}

function generateObject(part: Part, ending: Ending | null): Record<string, unknown> {
  return {
    response: part.content,
    thinking: part.thinking || undefined,
    done: ending !== null,
    done_reason: ending?.reason,
    context: ending?.context ?? undefined,
    ...metrics(ending),
    logprobs: part.logprobs ?? undefined,
  };
}

function metrics(ending: Ending | null): Record<string, unknown> {
  if (ending === null) return {};
  const { timing } = ending;
  return {
    total_duration: nanoseconds(timing.totalMs),
    load_duration: nanoseconds(timing.loadMs),
    prompt_eval_count: ending.promptTokens || undefined,
    prompt_eval_duration: nanoseconds(timing.promptMs),
    eval_count: ending.outputTokens || undefined,
    eval_duration: nanoseconds(timing.outputMs),
  };
}
