/** What is exported of a trace: events as spans. docs/tracing.md lists every span and attribute. Like a log line, nothing a client wrote. */
import { failures } from '../core/errors.ts';
import type { AttemptTraced, Event, RequestFinished } from '../core/events.ts';
import type { SpanPlace } from '../core/trace-context.ts';
import type { BackendId, Millis } from '../core/types.ts';
import { agentFamily, plain } from './log-line.ts';

export interface Span {
  readonly place: SpanPlace;
  readonly name: string;
  readonly kind: 'server' | 'client' | 'internal';
  /** Epoch milliseconds, with fractions. */
  readonly startedAt: number;
  readonly endedAt: number;
  /** Absent ones are left out. */
  readonly attributes: Readonly<Record<string, string | number | boolean | undefined>>;
  readonly failed: boolean;
}

export interface SpanContext {
  /** The wall clock at the event, which is the end of what it tells of. */
  readonly endedAt: number;
  /** Where a backend is; null when it has been removed. */
  readonly addressOf: (backend: BackendId) => { readonly host: string; readonly port: number } | null;
  /** A span id that is new in its trace. */
  readonly newId: () => string;
}

/** The spans an event completes; none for most. */
export function spansOf(event: Event, context: SpanContext): readonly Span[] {
  if (event.kind === 'attempt-traced') return attemptSpans(event, context);
  if (event.kind !== 'request-finished' || event.place === undefined) return [];
  return [requestSpan(event, event.place, context)];
}

function requestSpan(event: RequestFinished, place: SpanPlace, { endedAt }: SpanContext): Span {
  return {
    place,
    name: `${plain(event.method, 16)} ${event.route}`,
    kind: 'server',
    startedAt: endedAt - event.durationMs,
    endedAt,
    failed: isOurFault(event.outcome),
    attributes: {
      'http.request.method': plain(event.method, 16),
      'http.route': event.route,
      'http.response.status_code': event.status,
      'client.address': plain(event.address),
      'user_agent.name': agentFamily(event.userAgent),
      'error.type': event.outcome === 'ok' ? undefined : event.outcome,
      'llamero.request_id': plain(event.requestId),
      'llamero.client': plain(event.client),
      'llamero.model': event.model === null ? undefined : plain(event.model),
      'llamero.backend': event.backend ?? undefined,
      'llamero.route_reason': event.reason ?? undefined,
      'llamero.attempts': event.attempts,
      'llamero.failovers': event.failovers,
      'llamero.resumed': event.resumed,
      'llamero.stream': event.stream,
      'llamero.outcome': event.outcome,
      'llamero.disconnect_phase': event.gonePhase ?? undefined,
      'llamero.queue_ms': event.queueMs,
      'llamero.overhead_ms': event.overheadMs,
      'llamero.first_byte_ms': event.firstByteMs ?? undefined,
      'llamero.bytes_in': event.bytesIn,
      'llamero.bytes_out': event.bytesOut,
    },
  };
}

function attemptSpans(event: AttemptTraced, context: SpanContext): readonly Span[] {
  const { place, durationMs, waitedMs } = event;
  const { endedAt, newId } = context;
  const startedAt = endedAt - durationMs;
  const part = (name: string, parentId: string | null, from: number, to: number): Span => ({
    place: { traceId: place.traceId, spanId: newId(), parentId },
    name,
    kind: 'internal',
    startedAt: from,
    endedAt: to,
    attributes: { 'llamero.backend': name === 'queue' ? undefined : event.backend },
    failed: false,
  });
  const queue = waitedMs > 0 ? [part('queue', place.parentId, startedAt - waitedMs, startedAt)] : [];
  const parts = phases(event, startedAt, endedAt).map(({ name, from, to }) => part(name, place.spanId, from, to));
  return [...queue, attemptSpan(event, startedAt, context), ...parts];
}

function attemptSpan(event: AttemptTraced, startedAt: number, { addressOf, endedAt }: SpanContext): Span {
  const { backend, model, outcome, place, stream, usage } = event;
  const address = addressOf(backend);
  const operation = operationOf(event.route);
  return {
    place,
    name: model === null ? operation : `${operation} ${plain(model)}`,
    kind: 'client',
    startedAt,
    endedAt,
    failed: isOurFault(outcome),
    attributes: {
      'gen_ai.operation.name': operation,
      'gen_ai.provider.name': 'ollama',
      'gen_ai.request.model': model === null ? undefined : plain(model),
      'gen_ai.request.stream': stream,
      'gen_ai.response.time_to_first_chunk':
        stream && event.firstByteMs !== null ? event.firstByteMs / 1000 : undefined,
      'gen_ai.usage.input_tokens': usage.promptTokens,
      'gen_ai.usage.output_tokens': usage.outputTokens,
      'http.request.method': 'POST',
      'http.request.resend_count': event.attempt > 1 ? event.attempt - 1 : undefined,
      'http.response.status_code': event.status === 0 ? undefined : event.status,
      'server.address': address?.host,
      'server.port': address?.port,
      'error.type': outcome === 'ok' ? undefined : plain(outcome),
      'llamero.request_id': plain(event.requestId),
      'llamero.backend': backend,
      'llamero.route_reason': event.reason,
      'llamero.warm': event.warm,
      'llamero.attempt': event.attempt,
      'llamero.outcome': plain(outcome),
    },
  };
}

interface PhaseSpan {
  readonly name: 'load' | 'prefill' | 'stream';
  readonly from: number;
  readonly to: number;
}

/**
 * What the backend did meanwhile. It tells how long it loaded and read the prompt, and not when: reading ended where the first
 * token came, and loading where reading began.
 */
function phases({ firstByteMs, stream, usage }: AttemptTraced, startedAt: number, endedAt: number): PhaseSpan[] {
  const { loadMs, outputMs, promptMs } = usage;
  const isStreaming = stream && firstByteMs !== null;
  const firstToken = isStreaming ? startedAt + firstByteMs : outputMs === undefined ? null : endedAt - outputMs;
  if (firstToken === null) return [];
  const spans: PhaseSpan[] = [];
  const before = (to: number, ms: Millis): number => Math.max(startedAt, to - ms);
  const prefill = before(firstToken, promptMs ?? 0);
  if (loadMs !== undefined) spans.push({ name: 'load', from: before(prefill, loadMs), to: prefill });
  if (promptMs !== undefined) spans.push({ name: 'prefill', from: prefill, to: firstToken });
  if (isStreaming) spans.push({ name: 'stream', from: firstToken, to: endedAt });
  return spans;
}

/** In the words of the conventions for generative AI. */
function operationOf(route: string): string {
  if (/embed/.test(route)) return 'embeddings';
  if (route === '/api/generate' || route === '/v1/completions') return 'text_completion';
  return route.endsWith('/transcriptions') ? 'generate_content' : 'chat';
}

/** A client's mistake or departure is no error of a span: an alarm on those is about us. */
function isOurFault(outcome: string): boolean {
  if (outcome === 'ok' || outcome === 'client-gone' || /^4\d\d$/.test(outcome)) return false;
  if (outcome === 'client-error' || outcome === 'shutting-down') return false;
  const blame = Object.hasOwn(failures, outcome) ? failures[outcome as keyof typeof failures].blame : 'backend';
  return blame !== 'client';
}
