/**
 * How a plain text generation is gone on with on another backend: whether its request is of a kind that can be, what proves it
 * without a token being generated, and what is then asked. All of it is asked in Ollama's own API.
 */
import { fieldNames, readFields } from '../body-fields.ts';
import type { Route } from '../dialect.ts';
import { isBlank, parsed, type Json, type Told } from './transcript.ts';

export interface ResumeAsk {
  readonly path: '/api/chat' | '/api/generate';
  readonly body: Buffer;
}

/** One way to go on. */
export interface ResumeStep {
  /** Has a prompt rendered, and nothing generated; null when nothing need be proved. */
  readonly render: ResumeAsk | null;
  /** What to ask for the rest, given the prompt as rendered; null when that proves nothing. */
  readonly rest: (rendered: string) => ResumeAsk | null;
}

/** Fields under which a request asks for something that can't be gone on with, unless they are blank. */
const excluded =
  'tools functions format response_format images logprobs top_logprobs raw suffix template context ' +
  '_debug_render_only max_completion_tokens logit_bias audio modalities prediction';

const NAMES = fieldNames({ plain: `${excluded} n` });
const blanks: ReadonlySet<string> = new Set(['null', 'false', '0', '""', '[]']);

/** A first look, from the outline of the body: false for what certainly can't be resumed. */
export function mayResume(route: Route, body: Uint8Array): boolean {
  if (!(route.path in kept)) return false;
  try {
    return readFields(body, NAMES, '', (fields) => {
      if (fields.isAmbiguous) return false;
      const count = fields.numberAt(fields.lastPlain('n'));
      if (count !== null && count !== 1) return false;
      return excluded.split(' ').every((name) => {
        const value = fields.lastPlain(name);
        return value === null || blanks.has(fields.body.slice(value.start, value.end));
      });
    });
  } catch {
    return false;
  }
}

/** The ways to go on, best first; null when there is none, because of the request or because nothing is left to say. */
export function resumeSteps(route: Route, body: Uint8Array, told: Told): readonly ResumeStep[] | null {
  const request = parsed(Buffer.from(body.buffer, body.byteOffset, body.byteLength).toString('utf8'));
  if (request === null || !isExact(request)) return null;
  const known = route.path in kept ? kept[route.path as keyof typeof kept] : null;
  if (known === null || !hasOnly(request, known)) return null;
  const asked = route.dialect === 'openai' ? fromOpenAi(request) : request;
  if (asked === null) return null;
  const { messages, stream: _stream, stream_options: _options, ...others } = asked;
  const options = optionsLeft(others['options'], told.tokens);
  if (options === null) return null;
  const left = pick({ ...others, options }, known);
  if (route.path === '/api/generate') return stepsOf(left, null, told);
  const plain = plainMessages(messages);
  return plain === null ? null : stepsOf(left, plain, told);
}

/** Fields that matter to the text, by route; besides those that have to be blank. */
const common = words('model stream options keep_alive think truncate shift');
const kept = {
  '/api/chat': [...common, 'messages'],
  '/api/generate': [...common, 'prompt', 'system'],
  '/v1/chat/completions': [
    ...words('model messages stream stream_options max_tokens seed stop temperature top_p n'),
    ...words('frequency_penalty presence_penalty reasoning reasoning_effort'),
    // Ollama does not read these.
    ...words('user metadata store parallel_tool_calls tool_choice service_tier'),
  ],
} as const satisfies Readonly<Record<string, readonly string[]>>;

function words(text: string): readonly string[] {
  return text.split(' ');
}

/** A field that is not known may mean anything to a later Ollama. */
function hasOnly(request: Json, names: readonly string[]): boolean {
  return Object.entries(request).every(([name, value]) => names.includes(name) || isBlank(value));
}

function pick(request: Json, names: readonly string[]): Json {
  const native = new Set<string>([...names, ...common, 'prompt', 'system']);
  return Object.fromEntries(Object.entries(request).filter(([name]) => native.has(name)));
}

/** Whether every number survives being read and written again. */
function isExact(value: unknown): boolean {
  if (typeof value === 'number') return !Number.isInteger(value) || Number.isSafeInteger(value);
  return typeof value !== 'object' || value === null || Object.values(value).every(isExact);
}

/** The options for what is left; null when nothing is, or they can't be told. */
function optionsLeft(options: unknown, tokens: number): Json | null {
  const stated = (options ?? {}) as Json;
  if (typeof stated !== 'object') return null;
  const limit = stated['num_predict'];
  if (limit === undefined || limit === null) return stated;
  if (typeof limit !== 'number' || limit === 0) return null;
  if (limit < 0) return stated;
  return limit > tokens ? { ...stated, num_predict: limit - tokens } : null;
}

type Message = { readonly role: string; readonly content: string } & Json;

const roles: ReadonlySet<unknown> = new Set(['system', 'user', 'assistant']);

/** Messages of text alone, the last of which asks; null when they are something else. */
function plainMessages(messages: unknown): readonly Message[] | null {
  if (!Array.isArray(messages) || messages.length === 0) return null;
  const isPlain = (message: Json | null): message is Message => {
    if (typeof message !== 'object' || message === null) return false;
    const { role, content, thinking: _thinking, ...others } = message;
    return roles.has(role) && typeof content === 'string' && Object.values(others).every(isBlank);
  };
  const plain = messages as readonly (Json | null)[];
  if (!plain.every(isPlain)) return null;
  return plain.at(-1)!.role === 'assistant' ? null : plain;
}

/** As Ollama's compatibility layer translates it; null for what it would not take for text. */
function fromOpenAi(request: Json): Json | null {
  const messages = Array.isArray(request['messages']) ? (request['messages'] as readonly Json[]).map(textParts) : [];
  if (messages.some((parts) => parts === null)) return null;
  const { stop, max_tokens: limit } = request;
  const options = {
    temperature: request['temperature'] ?? 1,
    top_p: request['top_p'] ?? 1,
    ...stated({
      stop: typeof stop === 'string' ? [stop] : stop,
      num_predict: limit,
      seed: request['seed'],
      frequency_penalty: request['frequency_penalty'],
      presence_penalty: request['presence_penalty'],
    }),
  };
  const effort = (request['reasoning'] as Json | null | undefined)?.['effort'] ?? request['reasoning_effort'] ?? '';
  const think = effort === '' ? {} : { think: effort === 'none' ? false : effort };
  return { model: request['model'], messages: messages.flat(), options, ...think };
}

/** One message for each part of its content. */
function textParts(message: Json | null): readonly Json[] | null {
  if (message === null || !Array.isArray(message['content'])) return message === null ? null : [message];
  const parts = message['content'] as readonly (Json | null)[];
  if (parts.some((part) => part?.['type'] !== 'text')) return null;
  return parts.map((part) => ({ ...message, content: part!['text'] }));
}

function stated(fields: Json): Json {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== null && value !== undefined));
}

/** `messages` is null for /api/generate, whose prompt can only be gone on with as it was rendered. */
function stepsOf(request: Json, messages: readonly Message[] | null, { text }: Told): readonly ResumeStep[] {
  const path = messages === null ? '/api/generate' : '/api/chat';
  const asking = (own: Json): Json => (messages === null ? { ...request, ...own } : { ...request, messages, ...own });
  if (text === '') return [{ render: null, rest: () => ask(path, asking({ stream: true })) }];
  const raw: ResumeStep = {
    render: renderOnly(path, asking({})),
    rest: (rendered) => (opensThinking(rendered) ? null : ask('/api/generate', rawRequest(request, rendered + text))),
  };
  if (messages === null) return [raw];
  const prefilled = { messages: [...messages, { role: 'assistant', content: text }] };
  const prefill: ResumeStep = {
    render: renderOnly(path, asking(prefilled)),
    rest: (rendered) => (rendered.endsWith(text) ? ask(path, asking({ ...prefilled, stream: true })) : null),
  };
  return [prefill, raw];
}

/** Already rendered, and past the place where it would think. */
function rawRequest({ model, options, keep_alive }: Json, prompt: string): Json {
  return { model, prompt, raw: true, stream: true, think: false, options, keep_alive };
}

/** A release that does not know `_debug_render_only` would generate: one token then, which proves nothing. */
function renderOnly(path: ResumeAsk['path'], request: Json): ResumeAsk {
  const options = { ...(request['options'] as Json), num_predict: 1 };
  return ask(path, { ...request, options, stream: false, _debug_render_only: true });
}

function ask(path: ResumeAsk['path'], request: Json): ResumeAsk {
  return { path, body: Buffer.from(JSON.stringify(request), 'utf8') };
}

/** Whether the prompt ends where the model is to think first. */
function opensThinking(rendered: string): boolean {
  return /<\|?\w*(?:think|reason)\w*\|?>\s*$/i.test(rendered);
}

/** The prompt in the answer to a request that only renders; null when it has none. */
export function renderedPrompt(body: Uint8Array): string | null {
  const answer = parsed(Buffer.from(body.buffer, body.byteOffset, body.byteLength).toString('utf8'));
  const prompt = (answer?.['_debug_info'] as Json | undefined)?.['rendered_template'];
  return typeof prompt === 'string' && prompt !== '' ? prompt : null;
}
