/**
 * What clients and backends of a chaos run say to each other, in the dialects' own shapes. A prompt carries a script for the
 * backend and a nonce; every piece of the answer repeats the nonce, the number of the answer and its own place in it. So whoever
 * reads an answer knows which pieces of which answers it is made of.
 */
import type { Run } from './history.ts';

export const voices = ['chat', 'generate', 'openai', 'anthropic', 'embed', 'copy'] as const;
export type Voice = (typeof voices)[number];

export const MODEL = 'chaos:latest';

/** What a backend is to do with a request. Times in milliseconds. */
export interface Script {
  readonly nonce: string;
  readonly pieces: number;
  /** Between two pieces of a stream; 0 is as fast as they are taken. */
  readonly everyMs: number;
  /** Before the answer's head. */
  readonly delayMs: number;
  /** Bytes added to each piece of content. */
  readonly padding: number;
  /** A fault, and where: `at` is the piece before which it strikes; absent `on` is every backend. */
  readonly fault?: Fault;
}

/**
 * `kill`: the backend's process dies. `cut`: the connection is reset. `torn`: half a frame, then reset. `unmarked`: a clean end
 * without the marker. `error-frame`: an error inside the stream. `silent`: nothing more comes. `status`: an error answer.
 */
export interface Fault {
  readonly kind: 'kill' | 'cut' | 'torn' | 'unmarked' | 'error-frame' | 'silent' | 'status';
  readonly at: number;
  /** For `status`. */
  readonly status?: number;
  readonly on?: readonly string[];
}

/** The path, and the JSON body, of a request. */
export function requestOf(voice: Voice, stream: boolean, script: Script): { path: string; body: string } {
  const prompt = `script ${JSON.stringify(script)}`;
  const messages = [{ role: 'user', content: prompt }];
  switch (voice) {
    case 'chat':
      return { path: '/api/chat', body: JSON.stringify({ model: MODEL, messages, stream }) };
    case 'generate':
      return { path: '/api/generate', body: JSON.stringify({ model: MODEL, prompt, stream }) };
    case 'openai':
      return { path: '/v1/chat/completions', body: JSON.stringify({ model: MODEL, messages, stream }) };
    case 'anthropic':
      return { path: '/v1/messages', body: JSON.stringify({ model: MODEL, max_tokens: 1000, messages, stream }) };
    case 'embed':
      return { path: '/api/embed', body: JSON.stringify({ model: MODEL, input: prompt }) };
    case 'copy':
      return { path: '/api/copy', body: JSON.stringify({ source: MODEL, destination: prompt }) };
    default:
      return voice satisfies never;
  }
}

export function voiceOf(path: string): Voice | null {
  const known: Readonly<Record<string, Voice>> = {
    '/api/chat': 'chat',
    '/api/generate': 'generate',
    '/v1/chat/completions': 'openai',
    '/v1/messages': 'anthropic',
    '/api/embed': 'embed',
    '/api/copy': 'copy',
  };
  return known[path] ?? null;
}

/** What a body asks for; throws when it was not made by `requestOf`. */
export function readRequest(body: string): { script: Script; stream: boolean } {
  const parsed = JSON.parse(body) as {
    readonly prompt?: string;
    readonly input?: string;
    readonly destination?: string;
    readonly messages?: readonly { readonly content: string }[];
    readonly stream?: boolean;
  };
  const prompt = parsed.prompt ?? parsed.input ?? parsed.destination ?? parsed.messages?.[0]?.content ?? '';
  return { script: JSON.parse(prompt.slice('script '.length)) as Script, stream: parsed.stream === true };
}

/** One piece of content. */
export function piece(nonce: string, serial: string, index: number, padding = 0): string {
  return `[${nonce} ${serial} ${index}]${'x'.repeat(padding)} `;
}

export function contentTypeOf(voice: Voice, stream: boolean): string {
  if (!stream) return 'application/json; charset=utf-8';
  return voice === 'chat' || voice === 'generate' ? 'application/x-ndjson' : 'text/event-stream';
}

/** A whole answer that is not streamed. */
export function wholeAnswer(voice: Voice, content: string): string {
  switch (voice) {
    case 'chat':
      return JSON.stringify({ model: MODEL, message: { role: 'assistant', content }, done: true, ...figures });
    case 'generate':
      return JSON.stringify({ model: MODEL, response: content, done: true, ...figures });
    case 'openai':
      return JSON.stringify({
        id: 'chatcmpl-1',
        object: 'chat.completion',
        choices: [{ index: 0, message: { role: 'assistant', content }, finish_reason: 'stop' }],
      });
    case 'anthropic':
      return JSON.stringify({
        id: 'msg_1',
        type: 'message',
        role: 'assistant',
        content: [{ type: 'text', text: content }],
      });
    case 'embed':
      return JSON.stringify({ model: MODEL, embeddings: [[0.5]], content });
    case 'copy':
      return '';
    default:
      return voice satisfies never;
  }
}

const figures = { done_reason: 'stop', total_duration: 1_000_000, prompt_eval_count: 1, eval_count: 1 };

/** The frames of a stream: what comes before the content, one piece of it, and the end with its marker. */
export function openingFrames(voice: Voice): string {
  if (voice !== 'anthropic') return '';
  return (
    event('message_start', { type: 'message_start', message: { id: 'msg_1', role: 'assistant', content: [] } }) +
    event('content_block_start', { type: 'content_block_start', index: 0, content_block: { type: 'text', text: '' } })
  );
}

export function contentFrame(voice: Voice, content: string): string {
  if (voice === 'chat') return line({ model: MODEL, message: { role: 'assistant', content }, done: false });
  if (voice === 'generate') return line({ model: MODEL, response: content, done: false });
  if (voice === 'openai') return `data: ${line({ id: 'chatcmpl-1', choices: [{ index: 0, delta: { content } }] })}\n`;
  const delta = { type: 'text_delta', text: content };
  return event('content_block_delta', { type: 'content_block_delta', index: 0, delta });
}

export function closingFrames(voice: Voice): string {
  if (voice === 'chat')
    return line({ model: MODEL, message: { role: 'assistant', content: '' }, done: true, ...figures });
  if (voice === 'generate') return line({ model: MODEL, response: '', done: true, ...figures });
  if (voice === 'openai') return 'data: [DONE]\n\n';
  return (
    event('content_block_stop', { type: 'content_block_stop', index: 0 }) +
    event('message_delta', { type: 'message_delta', delta: { stop_reason: 'end_turn' }, usage: { output_tokens: 1 } }) +
    event('message_stop', { type: 'message_stop' })
  );
}

/** An error inside a stream, as Ollama says it. */
export function errorFrame(voice: Voice, text: string): string {
  if (voice === 'chat' || voice === 'generate') return `${errorAnswer(voice, 500, text)}\n`;
  if (voice === 'openai') return `data: ${errorAnswer(voice, 500, text)}\n\n`;
  return `event: error\ndata: ${errorAnswer(voice, 500, text)}\n\n`;
}

/** The body of an error answer, as Ollama says it. */
export function errorAnswer(voice: Voice, status: number, text: string): string {
  const type = status === 503 ? 'overloaded_error' : 'api_error';
  if (voice === 'openai')
    return JSON.stringify({ error: { message: text, type: 'api_error', param: null, code: null } });
  if (voice === 'anthropic')
    return JSON.stringify({ type: 'error', error: { type, message: text }, request_id: 'req_1' });
  return JSON.stringify({ error: text });
}

function line(value: object): string {
  return `${JSON.stringify(value)}\n`;
}

function event(name: string, value: object): string {
  return `event: ${name}\ndata: ${JSON.stringify(value)}\n\n`;
}

type Json = Readonly<Record<string, unknown>>;

/** Reads one answer of status 200 as it comes, in parts of any size. */
export class AnswerReader {
  readonly runs: Run[] = [];
  markers = 0;
  errorFrames = 0;
  /** The first thing that was not as the dialect has it. */
  fault = '';
  errorText = '';
  readonly #voice: Voice;
  readonly #stream: boolean;
  #rest = '';
  #isTorn = false;

  constructor(voice: Voice, stream: boolean) {
    this.#voice = voice;
    this.#stream = stream;
  }

  push(text: string): void {
    this.#rest += text;
    if (!this.#stream) return;
    let from = 0;
    for (let end = this.#rest.indexOf('\n'); end !== -1; end = this.#rest.indexOf('\n', from)) {
      this.#line(this.#rest.slice(from, end));
      from = end + 1;
    }
    this.#rest = this.#rest.slice(from);
  }

  /** The answer has ended, cleanly or not. */
  end(): void {
    if (!this.#stream) this.#whole();
    else if (this.#rest !== '') this.#blame('half a line at the end');
    if (this.#isTorn && this.errorFrames === 0) this.#blame('half a frame in the middle');
  }

  #line(line: string): void {
    const isSse = this.#voice === 'openai' || this.#voice === 'anthropic';
    if (line === '' || line.startsWith('event: ')) return;
    const text = isSse && line.startsWith('data: ') ? line.slice('data: '.length) : line;
    if (text === '[DONE]') return this.#mark();
    let value: Json;
    try {
      value = JSON.parse(text) as Json;
    } catch {
      // A backend that dies in the middle of a frame leaves half of it; what comes next has to be an error frame.
      if (this.#isTorn) this.#blame('two broken frames');
      this.#isTorn = true;
      return;
    }
    if (this.markers > 0) this.#blame('a frame after the marker');
    if (isErrorFrame(value)) return this.#error(value);
    if (this.#isTorn) this.#blame('content after half a frame');
    this.#content(contentOf(this.#voice, value));
    if (value['done'] === true || value['type'] === 'message_stop') this.#mark();
  }

  #whole(): void {
    if (this.#voice === 'copy') {
      this.markers = 1;
      return;
    }
    try {
      const value = JSON.parse(this.#rest) as Json;
      this.#content(wholeContent(this.#voice, value));
      this.markers = 1;
    } catch {
      this.#blame('half a body');
    }
  }

  #mark(): void {
    this.markers += 1;
    if (this.errorFrames > 0) this.#blame('a marker after an error');
  }

  #error(value: Json): void {
    this.errorFrames += 1;
    const text = errorTextOf(this.#voice, value);
    if (text === null) this.#blame('an error frame in another dialect');
    else this.errorText = text;
  }

  #content(content: string): void {
    for (const [, nonce = '', serial = '', digits = ''] of content.matchAll(/\[([\w-]+) ([\w.-]+) (\d+)\]/g)) {
      const index = Number(digits);
      const last = this.runs.at(-1);
      if (last !== undefined && last.nonce === nonce && last.serial === serial && last.to + 1 === index) {
        this.runs[this.runs.length - 1] = { ...last, to: index };
      } else {
        this.runs.push({ nonce, serial, from: index, to: index });
      }
    }
  }

  #blame(fault: string): void {
    if (this.fault === '') this.fault = fault;
  }
}

/** The text of an error answer in the caller's dialect; null when the body is none. */
export function readErrorAnswer(voice: Voice, body: string): string | null {
  try {
    return errorTextOf(voice, JSON.parse(body) as Json);
  } catch {
    return null;
  }
}

function isErrorFrame(value: Json): boolean {
  return value['error'] !== undefined || value['type'] === 'error';
}

function errorTextOf(voice: Voice, value: Json): string | null {
  const { error } = value;
  if (voice !== 'openai' && voice !== 'anthropic') return typeof error === 'string' ? error : null;
  if (typeof error !== 'object' || error === null) return null;
  if (voice === 'anthropic' && value['type'] !== 'error') return null;
  const { message, type } = error as Json;
  return typeof message === 'string' && typeof type === 'string' ? message : null;
}

function contentOf(voice: Voice, value: Json): string {
  if (voice === 'chat') return text((value['message'] as Json | undefined)?.['content']);
  if (voice === 'generate') return text(value['response']);
  if (voice === 'anthropic') return text((value['delta'] as Json | undefined)?.['text']);
  return text((value['choices'] as readonly { readonly delta: Json }[] | undefined)?.[0]?.delta['content']);
}

function wholeContent(voice: Voice, value: Json): string {
  if (voice === 'openai')
    return text((value['choices'] as readonly { readonly message: Json }[])[0]?.message['content']);
  if (voice === 'anthropic') return text((value['content'] as readonly Json[])[0]?.['text']);
  return voice === 'embed' ? text(value['content']) : contentOf(voice, value);
}

function text(value: unknown): string {
  return typeof value === 'string' ? value : '';
}
