/** What a dialect is: the routes it serves, how to read its requests, how to say an error in it, how to watch its streams. */
import type { GatewayError } from '../core/errors.ts';
import type { Job, ModelName, PrefixMark, Task, Usage } from '../core/types.ts';

export type DialectName = 'ollama' | 'openai' | 'responses' | 'anthropic';

/**
 * How the gateway treats a route. `local`: answered from memory. `infer`: scheduled. `manage`: sent where the placement policy
 * says. `proxy`: passed to a backend that can answer it, without taking a slot.
 */
export type RouteKind = 'local' | 'infer' | 'manage' | 'proxy';

export interface Route {
  readonly method: 'GET' | 'HEAD' | 'POST' | 'DELETE';
  /** Template and constant upstream path, e.g. `/api/chat`; a trailing `/:name` is the only parameter form. */
  readonly path: string;
  readonly kind: RouteKind;
  /** Names the handler: `chat`, `generate`, `embed`, `tags`, `show`, … */
  readonly endpoint: string;
  readonly dialect: DialectName;
}

/** What the gateway understood of a request's body and headers. It never changes the body. */
export interface Reading {
  /** The model as the client spelled it; forwarded unchanged. */
  readonly modelText: string | null;
  readonly model: ModelName | null;
  readonly stream: boolean;
  readonly task: Task;
  readonly runnerOptions: string;
  readonly promptTokens: number;
  readonly maxOutputTokens: number | null;
  readonly session: string | null;
  readonly prefix: readonly PrefixMark[];
  /** Whether the client asked for usage in the stream (OpenAI `stream_options.include_usage`). */
  readonly wantsUsage: boolean;
  /** How long the model is to stay after the request, in ms: 0 at once, Infinity for ever; null when not stated or not readable. */
  readonly keepAliveMs: number | null;
  /** Other models a management request names, as spelled. */
  readonly others: Readonly<Partial<Record<'source' | 'destination' | 'from', string>>>;
  /** Digests of the blobs that a create refers to. */
  readonly digests: readonly string[];
  /**
   * Some field the gateway reads stands there twice or under another spelling of its key. It was read as Ollama reads it;
   * where a policy rests on it, refuse it.
   */
  readonly ambiguous: boolean;
}

export interface ReadContext {
  /** Lower-case header name → value. */
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  /** Hashes text under the process's secret key: for sessions and prefixes. */
  readonly hash: (text: string | Uint8Array) => string;
  /** The query as it will be forwarded, without `?`; only /v1/audio/transcriptions reads it. */
  readonly query?: string;
}

/** Watches one answer's body without touching it. `push` runs per chunk and must cost about a microsecond. */
export interface Meter {
  push(chunk: Uint8Array): void;
  /** After the last byte, or when the stream was cut: what is known by then. May be asked again. */
  finish(): MeterReport;
  /** Content frames until now, about one token each; 0 for an answer that is no stream of them. */
  outputSoFar(): number;
  /** What must be written before an in-band error, so that it begins a frame of its own. */
  separator(): '' | '\n' | '\n\n';
}

export interface MeterReport {
  /**
   * `complete`: its terminal marker was seen (or a non-stream body is whole). `error`: the backend said an error in-band.
   * `missing`: it ended without either, which is a failure however clean the end was.
   */
  readonly ending: 'complete' | 'error' | 'missing';
  /** The backend's in-band error text, when there was one. */
  readonly errorText: string | null;
  /** When the stream did not tell, `outputTokens` is the number of content frames, about one token each. */
  readonly usage: Usage;
  /** True when `usage` was counted here because the answer did not state it. */
  readonly estimated: boolean;
  /** Responses only: what its events have said so far, so that a further one can go on from there. */
  readonly events?: { readonly responseId: string | null; readonly lastSequence: number | null };
}

export interface Rendered {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

export interface Dialect {
  readonly name: DialectName;
  readonly routes: readonly Route[];
  /**
   * `body` is plain (see needsZstd in content-encoding.ts). Throws GatewayError('bad-request') with Ollama's own text when the
   * body is empty or is not JSON. Every other mistake is left to a backend, whose answer is Ollama's by construction: a body
   * whose model cannot be told has `model` null, and any backend refuses it.
   */
  read(route: Route, body: Uint8Array, context: ReadContext): Reading;
  /** A whole error answer, before the first byte. */
  renderError(error: GatewayError, requestId: string): Rendered;
  /**
   * Bytes that say the error inside a stream that has begun; a whole frame, with no success marker. `after` is what the meter
   * reports of the stream so far: with it a Responses event is numbered as its stream's next.
   */
  renderInBandError(error: GatewayError, requestId: string, after?: MeterReport): string;
  /** `contentType` is the backend's, so that a JSON answer to a stream request is metered as JSON. */
  meter(route: Route, reading: Reading, contentType: string): Meter;
}

/** The part of a Reading that core needs, as a Job. */
export type JobReading = Pick<
  Job,
  'model' | 'task' | 'runnerOptions' | 'promptTokens' | 'maxOutputTokens' | 'session' | 'prefix'
>;
