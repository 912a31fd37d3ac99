/**
 * What a log line may hold. The fields are an allow-list written out here: a body, a header, a query or a credential can't reach
 * the log, because nothing here asks for one.
 */
import type { BackendState, Event, RequestFinished } from '../core/events.ts';
import { failures } from '../core/errors.ts';
import type { BackendId, Millis } from '../core/types.ts';

export type Level = 'debug' | 'info' | 'warn' | 'error';

export interface LogLine {
  readonly level: Level;
  readonly message: string;
  readonly fields: Readonly<Record<string, string | number | boolean | null | undefined>>;
  /** Whether sampling may drop the line: it tells of a request that went well. */
  readonly ordinary: boolean;
}

export interface LineContext {
  /** From this duration on a request is slow; 0 turns that off. */
  readonly slowRequest: Millis;
  readonly isSimulated: (backend: BackendId) => boolean;
}

/** The line an event is worth; null for events that are only counted. */
export function lineOf(event: Event, context: LineContext): LogLine | null {
  const write = writers[event.kind] as Writer<Event> | null;
  return write === null ? null : write(event, context);
}

type Writer<E> = (event: E, context: LineContext) => LogLine;
type OfKind<E, Kind> = E extends { readonly kind: infer Own } ? (Kind extends Own ? E : never) : never;

/** One entry for each kind of event; the compiler asks for the missing one. */
const writers: { readonly [Kind in Event['kind']]: Writer<OfKind<Event, Kind>> | null } = {
  'request-finished': requestLine,
  'attempt-failed': ({ requestId, backend, failure, retried }, context) => {
    const fields = {
      request_id: plain(requestId),
      backend,
      ...badge(backend, context),
      failure: plain(failure),
      retried,
    };
    return line('debug', 'attempt failed', fields);
  },
  'stream-lost': ({ requestId, model, from, to, outcome, reason }, context) =>
    line(outcome === 'resumed' ? 'info' : 'debug', `lost stream ${outcome}`, {
      request_id: plain(requestId),
      ...(model === null ? {} : { model: plain(model) }),
      backend: from,
      ...badge(from, context),
      to: to ?? undefined,
      reason: reason === '' ? undefined : plain(reason),
    }),
  'backend-state': (event, context) =>
    line(calmStates.has(event.to) ? 'info' : 'warn', `backend ${event.to}`, transition(event, context)),
  'breaker-state': (event, context) =>
    line(event.to === 'open' ? 'warn' : 'info', `circuit ${event.to}`, transition(event, context)),
  'model-loaded': (event, context) => line('debug', 'model loaded', residency(event, context)),
  'model-unloaded': (event, context) => line('debug', 'model unloaded', residency(event, context)),
  'model-required': ({ model, wanted, have }) =>
    line(have < wanted ? 'warn' : 'info', have < wanted ? 'model on too few backends' : 'model on enough backends', {
      model: plain(model),
      wanted,
      have,
    }),
  'model-pull': ({ backend, model, state, reason }, context) =>
    line(state === 'failed' ? 'warn' : 'info', `pull ${state}`, {
      backend,
      ...badge(backend, context),
      model: plain(model),
      reason: reason === '' ? undefined : plain(reason),
    }),
  'digest-skew': ({ model, digests }) => {
    const short = digests.map((digest) => plain(digest).slice(0, 12)).join(' ');
    return line('warn', 'model differs between backends', { model: plain(model), digests: short });
  },
  'request-rewritten': null,
  quarantined: ({ requestId, model, failure }) =>
    line('warn', 'request quarantined: it broke one backend after the other', {
      request_id: plain(requestId),
      ...(model === null ? {} : { model: plain(model) }),
      failure: plain(failure),
    }),
  'runner-wedged': ({ backend, model, silentMs, inFlight }, context) =>
    line('warn', 'model hangs on a backend that is healthy', {
      backend,
      ...badge(backend, context),
      model: plain(model),
      silent_ms: rounded(silentMs),
      in_flight: inFlight,
    }),
  'model-standing': ({ backend, model, from, to, reason }, context) =>
    line(to === 'ejected' ? 'warn' : 'info', `model ${to} on a backend`, {
      backend,
      ...badge(backend, context),
      model: plain(model),
      from,
      to,
      reason: reason === '' ? undefined : plain(reason),
    }),
  'backend-woken': ({ backend, model, error }, context) =>
    line(error === null ? 'info' : 'warn', error === null ? 'backend woken' : 'backend could not be woken', {
      backend,
      ...badge(backend, context),
      model: model === null ? undefined : plain(model),
      reason: error === null ? undefined : plain(error),
    }),
  'config-reloaded': ({ ok, message }) => {
    const reason = plain(message, 2000);
    return ok
      ? line('info', 'configuration reloaded', { reason })
      : line('error', 'configuration not reloaded', { reason });
  },
  operated: ({ what, target, outcome, address }) =>
    line('info', 'operated', {
      what,
      target: target === null ? undefined : plain(target),
      outcome,
      client_ip: plain(address),
    }),
  bug: ({ message, stack }) => {
    const fields = { reason: plain(unquoted(message), 500), stack: framesOf(stack) };
    return line('error', 'bug', fields);
  },
  queued: null,
  dequeued: null,
  'first-token': null,
  'attempt-traced': null,
};

/**
 * What an error of the language says, without what it quotes: `Unexpected token 'x', "…" is not valid JSON` has a piece of the text
 * in it, which may be a prompt, and an assertion has the values it compared, on the lines after the first.
 */
function unquoted(message: string): string {
  return (message.split('\n', 1)[0] ?? '').replace(/"[^"]*"?|'[^']*'?|`[^`]*`?/g, '"…"');
}

/** The frames of a stack: its head is the message once more. */
function framesOf(stack: string | undefined): string | undefined {
  const frames = stack?.split('\n').filter((each) => /^\s+at /.test(each)) ?? [];
  return frames.length === 0 ? undefined : plain(frames.join(' '), 4000);
}

const calmStates: ReadonlySet<BackendState> = new Set(['up', 'waking', 'draining', 'unknown']);

function transition(
  event: OfKind<Event, 'backend-state'> | OfKind<Event, 'breaker-state'>,
  context: LineContext,
): LogLine['fields'] {
  const { backend, from, to, reason } = event;
  return { backend, ...badge(backend, context), from, to, reason: plain(reason) };
}

function residency(event: OfKind<Event, 'model-loaded'>, context: LineContext): LogLine['fields'] {
  const { backend, model, reason, ms } = event;
  return { backend, ...badge(backend, context), model: plain(model), reason: plain(reason), ms: rounded(ms) };
}

function requestLine(event: RequestFinished, context: LineContext): LogLine {
  const { backend, usage, durationMs } = event;
  const slow = context.slowRequest > 0 && durationMs >= context.slowRequest;
  const level = levelOf(event.outcome, slow);
  const fields = {
    request_id: plain(event.requestId),
    trace_id: event.traceId ?? undefined,
    client: plain(event.client),
    client_ip: plain(event.address),
    user_agent: agentFamily(event.userAgent),
    method: plain(event.method, 16),
    route: event.route,
    model: event.model === null ? undefined : plain(event.model),
    backend: backend ?? undefined,
    ...(backend === null ? {} : badge(backend, context)),
    reason: event.reason ?? undefined,
    warm: event.warm ?? undefined,
    attempts: event.attempts,
    failovers: event.failovers,
    resumed: event.resumed,
    stream: event.stream,
    status: event.status,
    outcome: event.outcome,
    disconnect_phase: event.gonePhase ?? undefined,
    slow: slow || undefined,
    queue_ms: rounded(event.queueMs),
    overhead_ms: rounded(event.overheadMs),
    first_byte_ms: rounded(event.firstByteMs),
    duration_ms: rounded(durationMs),
    load_ms: rounded(usage.loadMs),
    prompt_tokens: usage.promptTokens,
    output_tokens: usage.outputTokens,
    tokens_per_second: tokensPerSecond(usage),
    bytes_in: event.bytesIn,
    bytes_out: event.bytesOut,
  };
  return { level, message: 'request', fields, ordinary: level === 'info' && event.outcome === 'ok' };
}

/** A client's mistake and a client's leaving are everyday; what the gateway or a backend did wrong is not. */
function levelOf(outcome: string, slow: boolean): Level {
  if (outcome === 'internal') return 'error';
  const blame = Object.hasOwn(failures, outcome) ? failures[outcome as keyof typeof failures].blame : null;
  return slow || blame === 'gateway' || blame === 'backend' || (blame === null && outcome !== 'ok') ? 'warn' : 'info';
}

function line(level: Level, message: string, fields: LogLine['fields']): LogLine {
  return { level, message, fields, ordinary: false };
}

function badge(backend: BackendId, context: LineContext): { readonly simulated?: true } {
  return context.isSimulated(backend) ? { simulated: true } : {};
}

function tokensPerSecond({ outputTokens, outputMs }: RequestFinished['usage']): number | undefined {
  if (outputTokens === undefined || outputMs === undefined || outputMs <= 0) return undefined;
  return Math.round((outputTokens / outputMs) * 10_000) / 10;
}

/** Tenths of a millisecond are noise; below a hundred they are kept because the overhead is told in them. */
function rounded(ms: Millis | null | undefined): number | undefined {
  if (ms === null || ms === undefined) return undefined;
  return ms < 100 ? Math.round(ms * 100) / 100 : Math.round(ms);
}

/** `ollama-python/0.6.1 (x86_64 linux) Python/3.12` → `ollama-python/0.6.1`: the rest may hold anything. */
export function agentFamily(userAgent: string | null): string | undefined {
  return userAgent === null ? undefined : (/^[\w.+-]{1,48}(\/[\w.+-]{1,24})?/.exec(userAgent)?.[0] ?? 'other');
}

/** Text from outside: bounded, and without the control characters that could drive a terminal or forge a line. */
export function plain(text: string, limit = 128): string {
  const clean = /[\p{Cc}\p{Cf}\u2028\u2029]/u.test(text) ? text.replace(/[\p{Cc}\p{Cf}\u2028\u2029]+/gu, ' ') : text;
  return clean.length > limit ? `${clean.slice(0, limit)}…` : clean;
}
