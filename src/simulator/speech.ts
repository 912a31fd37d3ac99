/** The words between a model that speaks and a voice that puts it on the wire. */
import type { Millis } from '../core/types.ts';
import type { Timing } from './scheduler-types.ts';

export interface ToolCall {
  readonly id: string;
  readonly index: number;
  readonly name: string;
  readonly arguments: Readonly<Record<string, unknown>>;
}

export interface Logprob {
  readonly token: string;
  readonly logprob: number;
  readonly bytes: readonly number[];
  readonly top_logprobs?: readonly Omit<Logprob, 'top_logprobs'>[];
}

/** What one token adds to an answer. A token of a tool call adds nothing until the call is whole. */
export interface Part {
  readonly content: string;
  readonly thinking: string;
  readonly toolCalls: readonly ToolCall[];
  readonly logprobs: readonly Logprob[] | null;
}

export type DoneReason = 'stop' | 'length';

/** All a model will say to one request, a part a token. */
export interface Speech {
  readonly parts: readonly Part[];
  readonly reason: DoneReason;
  /** Null counts the prompt. */
  readonly promptTokens: number | null;
}

/** A whole answer, and what it tells about itself. */
export interface Ending extends Part {
  readonly reason: DoneReason;
  readonly promptTokens: number;
  readonly outputTokens: number;
  readonly timing: Pick<Timing, 'totalMs' | 'loadMs' | 'promptMs' | 'outputMs'>;
  /** Token ids, for /api/generate. */
  readonly context: readonly number[] | null;
}

export interface Tool {
  readonly name: string;
  readonly description: string;
  /** A JSON schema. */
  readonly parameters: unknown;
}

export interface Message {
  readonly role: string;
  readonly content: string;
  readonly thinking: string;
  readonly toolCalls: readonly { readonly name: string; readonly arguments: unknown }[];
  readonly images: number;
}

/** What any request for text comes down to, whichever API it came by. */
export interface Ask {
  /** The native handler that serves it. */
  readonly kind: 'chat' | 'generate';
  /** As the client spelled it. */
  readonly model: string;
  readonly messages: readonly Message[];
  readonly stream: boolean;
  readonly options: Readonly<Record<string, unknown>>;
  readonly keepAliveMs: Millis | null;
  /** JSON text of the `format`; empty when there is none. */
  readonly format: string;
  readonly tools: readonly Tool[];
  readonly think: boolean | string | null;
  /** Whether `think` is forgotten, not refused, for a model that cannot. */
  readonly relaxedThink: boolean;
  readonly suffix: string;
  readonly raw: boolean;
  /** Whether the prompt is to be shown as it is rendered, and nothing said. */
  readonly renderOnly: boolean;
  /** Whether it gives what raw mode does not take: template, system or context. */
  readonly templated: boolean;
  readonly shift: boolean | null;
  readonly logprobs: boolean;
  readonly topLogprobs: number;
}

/** Everything an Ask leaves out. */
export const bareAsk: Omit<Ask, 'kind' | 'model' | 'messages' | 'stream'> = {
  options: {},
  keepAliveMs: null,
  format: '',
  tools: [],
  think: null,
  relaxedThink: false,
  suffix: '',
  raw: false,
  renderOnly: false,
  templated: false,
  shift: null,
  logprobs: false,
  topLogprobs: 0,
};

export function textMessage(role: string, content: string): Message {
  return { role, content, thinking: '', toolCalls: [], images: 0 };
}
