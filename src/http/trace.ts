/**
 * The trace a request belongs to, while traces are recorded: which spans it has and what they are called upstream. What became of
 * them is told as events, and only for requests that have one of these; for all others nothing is made and nothing is told.
 */
import { randomBytes } from 'node:crypto';
import type { AttemptTraced, Emit } from '../core/events.ts';
import type { Lease } from '../core/scheduler.ts';
import { formatTraceparent, parseTraceparent, type SpanPlace } from '../core/trace-context.ts';
import type { Clock, Job, Millis, Outcome } from '../core/types.ts';
import type { Account } from './account.ts';
import type { AttemptResult } from './relay.ts';

export class RequestTrace {
  /** The server span. */
  readonly place: SpanPlace;
  #queuedMs: Millis = 0;

  constructor(place: SpanPlace) {
    this.place = place;
  }

  /** For what is asked of backends in the name of the request itself. */
  get traceparent(): string {
    return formatTraceparent(this.place);
  }

  /** Of all the time in the queue, what has been added since the last call. */
  waited(queuedMs: Millis): Millis {
    const added = Math.max(0, queuedMs - this.#queuedMs);
    this.#queuedMs = queuedMs;
    return added;
  }

  /** A new span below the server span. */
  below(): SpanPlace {
    return { traceId: this.place.traceId, spanId: newId(8), parentId: this.place.spanId };
  }
}

/**
 * The trace of a request with these fields, or null when it is not recorded: the caller says so in its `traceparent`, or there is
 * no caller who says anything and `luck` (0 to 1) is not below `share`.
 */
export function beginTrace(
  headers: Readonly<Record<string, string | string[] | undefined>>,
  share: number,
  luck: number,
): RequestTrace | null {
  const parent = parseTraceparent(headers['traceparent']);
  if (parent === null) {
    return luck < share ? new RequestTrace({ traceId: newId(16), spanId: newId(8), parentId: null }) : null;
  }
  if (!parent.isSampled) return null;
  return new RequestTrace({ traceId: parent.traceId, spanId: newId(8), parentId: parent.spanId });
}

type AttemptEnd = Pick<AttemptTraced, 'outcome' | 'status'>;

/** The span of one attempt. */
export class AttemptTrace {
  readonly #place: SpanPlace;
  readonly #startedAt: Millis;
  readonly #waitedMs: Millis;
  firstByteMs: Millis | null = null;

  /** `waitedMs`: in the queue, just before it. */
  constructor(trace: RequestTrace, waitedMs: Millis, startedAt: Millis) {
    this.#place = trace.below();
    this.#startedAt = startedAt;
    this.#waitedMs = waitedMs;
  }

  get traceparent(): string {
    return formatTraceparent(this.#place);
  }

  /** Tells of the attempt, which is over. */
  end(
    { outcome, status }: AttemptEnd,
    { account, job, lease }: { account: Account; job: Job; lease: Pick<Lease, 'backend' | 'reason' | 'warm'> },
    { clock, emit }: { readonly clock: Clock; readonly emit: Emit },
  ): void {
    const { backend, reason, warm } = lease;
    emit({
      kind: 'attempt-traced',
      place: this.#place,
      requestId: account.requestId,
      route: account.route,
      model: job.model,
      backend,
      reason,
      warm,
      attempt: account.attempts,
      stream: account.stream,
      status,
      outcome,
      waitedMs: this.#waitedMs,
      durationMs: clock.now() - this.#startedAt,
      firstByteMs: this.firstByteMs,
      usage: account.usage,
    });
  }
}

/** How an attempt ended, in the words of `AttemptTraced`. `status` is that of an answer that was passed on, 0 when none was. */
export function attemptEnd(result: AttemptResult, status: number): AttemptEnd {
  switch (result.kind) {
    case 'over':
      return { outcome: outcomeWord(result.outcome), status };
    case 'lost':
      return { outcome: result.loss.error.code, status };
    case 'failed':
      return { outcome: result.failure.code, status: 0 };
    case 'answered-error':
      return { outcome: String(result.answer.status), status: result.answer.status };
    case 'hung':
      return { outcome: 'runner-hung', status: 0 };
    case 'stopped':
      return { outcome: 'shutting-down', status: 0 };
    default:
      return result satisfies never;
  }
}

function outcomeWord(outcome: Outcome): string {
  if (outcome.kind === 'done') return 'ok';
  if (outcome.kind === 'failed') return outcome.failure;
  return outcome.kind === 'neutral' ? outcome.reason : outcome.kind;
}

function newId(bytes: number): string {
  const id = randomBytes(bytes).toString('hex');
  // All zero means none.
  return /[1-9a-f]/.test(id) ? id : newId(bytes);
}
