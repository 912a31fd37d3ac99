/** How one API says an answer: frames of a stream, a whole body, an error. One implementation per dialect. */
import type { Millis, Rng } from '../core/types.ts';
import type { Ending, Part, ToolCall } from './speech.ts';
import type { Headers, Reply } from './wire.ts';

/**
 * Where in Ollama an error comes from, which shows in its bytes: the layer that reads the request, the handler, or the stream
 * the handler had already opened.
 */
export type ErrorPlace = 'reading' | 'handler' | 'stream';

export interface Voice {
  /** Of a stream's head. */
  readonly streamHeaders: Headers;
  /** Of a whole answer. */
  readonly plainHeaders: Headers;
  /** What one token adds; each element is one chunk on the wire. */
  part(part: Part): string[];
  ending(ending: Ending): string[];
  whole(ending: Ending): string;
  /** An error before the head. */
  error(status: number, text: string, place: ErrorPlace): Reply;
  /** What is heard of an error once the stream has begun; the body then ends cleanly. */
  broken(text: string): string[];
}

export interface VoiceContext {
  /** As the client spelled it. */
  readonly model: string;
  /** RFC 3339, now. */
  readonly stamp: () => string;
  /** Epoch seconds, now. */
  readonly seconds: () => number;
  readonly rng: Rng;
}

export const jsonUtf8: Headers = [['Content-Type', 'application/json; charset=utf-8']];
export const jsonPlain: Headers = [['Content-Type', 'application/json']];
export const ndjson: Headers = [['Content-Type', 'application/x-ndjson']];
export const sse: Headers = [['Content-Type', 'text/event-stream']];
export const unbuffered: Headers = [
  ['Cache-Control', 'no-cache'],
  ['Connection', 'keep-alive'],
];

/** An error in a /v1 dialect; `extra` headers are those its streams have. */
export function compatError(body: string, place: ErrorPlace, extra: Headers = []): Reply {
  if (place === 'reading') return { headers: jsonUtf8, body };
  return { headers: [...jsonPlain, ...extra], body: `${body}\n`, flushed: place === 'stream' };
}

/** Whole nanoseconds; undefined for none, which Go's `omitempty` leaves out. */
export function nanoseconds(ms: Millis): number | undefined {
  return Math.round(ms * 1e6) || undefined;
}

/** As Ollama's api.ToolCall. */
export function nativeToolCall({ id, index, name, arguments: args }: ToolCall): unknown {
  return { id, function: { index, name, arguments: args } };
}
