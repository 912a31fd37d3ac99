/** How one API says an answer: frames of a stream, a whole body, an error. One implementation per dialect. */
import type { Timing } from './scheduler-types.ts';
import type { Headers } from './wire.ts';

/** What a finished answer tells about itself. */
export interface Ending {
  readonly reason: 'stop' | 'length';
  readonly text: string;
  readonly promptTokens: number;
  readonly outputTokens: number;
  readonly timing: Timing;
}

export interface Voice {
  readonly streamHeaders: Headers;
  readonly plainHeaders: Headers;
  /** Each element is one chunk on the wire. */
  token(text: string): string[];
  ending(ending: Ending): string[];
  whole(ending: Ending): string;
  error(status: number, text: string): { readonly headers: Headers; readonly body: string };
}

export const jsonUtf8: Headers = [['Content-Type', 'application/json; charset=utf-8']];
export const jsonPlain: Headers = [['Content-Type', 'application/json']];
export const ndjson: Headers = [['Content-Type', 'application/x-ndjson']];
export const sse: Headers = [['Content-Type', 'text/event-stream']];
export const sseUncached: Headers = [...sse, ['Cache-Control', 'no-cache'], ['Connection', 'keep-alive']];
