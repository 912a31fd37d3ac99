/**
 * The journey of one inference request, top to bottom: receive, read, acquire a lease, relay, release. The only loop is around
 * acquire and relay, and the only place that may try another backend is `firstAnswer`.
 */
import { Type, type Static } from 'typebox';
import type { BackendClient } from '../backends/client.ts';
import type { BackendFailure } from '../backends/failure.ts';
import { GatewayError } from '../core/errors.ts';
import type { Emit } from '../core/events.ts';
import { Duration } from '../core/options.ts';
import { failureOutcome, type AttemptFailure, type Retry } from '../core/retry.ts';
import type { Lease, Scheduler } from '../core/scheduler.ts';
import type { BackendId, Clock, Job, Millis } from '../core/types.ts';
import type { Dialect, Reading, Route } from '../dialects/dialect.ts';
import { classify } from '../dialects/failures.ts';
import { openAccount, type Account } from './account.ts';
import { receiveBody, type BodyLimits } from './body.ts';
import { answerError, answerUnknownModel, asGatewayError } from './errors.ts';
import type { Exchange } from './exchange.ts';
import { ownHeaders, requestHeaders } from './headers.ts';
import { Relay, type AttemptResult, type HeldAnswer } from './relay.ts';

export const TimeoutOptions = Type.Object(
  {
    connect: Duration({ description: 'Until a backend has accepted the connection.', default: '2s' }),
    firstByte: Duration({
      description: "Until a backend's first byte. Long, because Ollama is silent while it loads a model.",
      default: '600s',
    }),
    idle: Duration({ description: 'Between two pieces of an answer.', default: '120s' }),
    total: Duration({ description: 'For one attempt, all told; 0 means no limit.', default: 0 }),
  },
  { additionalProperties: false, description: 'How long a backend may take. 0 means no limit.' },
);
export type TimeoutOptions = Static<typeof TimeoutOptions>;

export interface JourneyDependencies {
  readonly scheduler: Scheduler;
  readonly client: (id: BackendId) => BackendClient;
  readonly verdict: (id: BackendId, ok: boolean) => void;
  readonly retry: Retry;
  readonly clock: Clock;
  readonly emit: Emit;
  /** A keyed hash, so that prompts can be compared without being kept. */
  readonly hash: (text: string | Uint8Array) => string;
  readonly limits: BodyLimits;
  readonly timeouts: TimeoutOptions;
}

/** What one request carries through its journey. */
interface Traveller {
  readonly exchange: Exchange;
  readonly route: Route;
  readonly dialect: Dialect;
  readonly account: Account;
  readonly body: Buffer;
  readonly reading: Reading;
  readonly job: Job;
}

export async function journey(
  exchange: Exchange,
  route: Route,
  dialect: Dialect,
  dependencies: JourneyDependencies,
): Promise<void> {
  const { clock, emit, hash, limits } = dependencies;
  const account = openAccount(exchange, route.path, clock, emit);
  let modelText: string | null = null;
  try {
    const body = await receiveBody(exchange.request, limits, clock);
    account.bytesIn = body.length;
    account.receivedAt = clock.now();
    const reading = dialect.read(route, body, { headers: exchange.headers, hash });
    modelText = reading.modelText;
    account.stream = reading.stream;
    account.model = reading.model;
    const job = jobOf(reading, exchange, account);
    await firstAnswer({ exchange, route, dialect, account, body, reading, job }, dependencies);
  } catch (error) {
    const known = asGatewayError(error);
    if (known.code === 'internal') emit({ kind: 'bug', message: String(error), stack: (error as Error).stack });
    if (exchange.headSent) exchange.cut();
    else if (known.code === 'unknown-model') answerUnknownModel(exchange, route, modelText ?? '', account);
    else answerError(exchange, dialect, known, account);
  }
}

function jobOf(reading: Reading, exchange: Exchange, account: Account): Job {
  return {
    id: account.requestId,
    client: account.client,
    address: exchange.address,
    model: reading.model,
    task: reading.task,
    runnerOptions: reading.runnerOptions,
    promptTokens: reading.promptTokens,
    maxOutputTokens: reading.maxOutputTokens,
    session: reading.session,
    prefix: reading.prefix,
    priority: 0,
  };
}

/** Tries backends until one's answer is on its way to the client, or nothing more may be tried. */
async function firstAnswer(traveller: Traveller, dependencies: JourneyDependencies): Promise<void> {
  const { account, exchange, job } = traveller;
  const { clock, emit, retry, scheduler } = dependencies;
  const tried: BackendId[] = [];
  retry.arrived(clock.now());
  for (;;) {
    account.phase = 'queued';
    const lease = await scheduler.acquire(job, tried, exchange.left, account.queueMs);
    account.queueMs = lease.queuedMs;
    const failed = conclude(await attempt(traveller, lease, dependencies), lease, traveller, dependencies);
    if (failed === null) return;
    tried.push(lease.backend);
    const pauseMs = mayRetry(failed, tried.length, traveller, dependencies);
    if (failed.failure !== 'client-mistake') {
      const { requestId } = account;
      emit({
        kind: 'attempt-failed',
        requestId,
        backend: lease.backend,
        failure: failed.failure,
        retried: pauseMs !== null,
      });
    }
    if (pauseMs === null) {
      failed.answer();
      return;
    }
    account.failovers += 1;
    if (pauseMs > 0) await pause(pauseMs, exchange, clock);
  }
}

function attempt(traveller: Traveller, lease: Lease, dependencies: JourneyDependencies): Promise<AttemptResult> {
  const { account, body, dialect, exchange, job, reading, route } = traveller;
  const { clock, emit, timeouts, verdict } = dependencies;
  account.attempts += 1;
  account.backend = lease.backend;
  account.reason = lease.reason;
  account.warm = lease.warm;
  account.phase = 'waiting';
  account.overheadMs ??= clock.now() - account.receivedAt - account.queueMs;
  const firstByte = (ms: Millis) => {
    lease.firstByte(ms);
    verdict(lease.backend, true);
    // The first byte of a whole answer is its last token, not its first.
    if (!reading.stream) return;
    emit({
      kind: 'first-token',
      route: route.path,
      model: job.model,
      backend: lease.backend,
      ms: account.firstByteMs ?? ms,
      warm: lease.warm,
    });
  };
  const relay = new Relay({ exchange, dialect, route, reading, lease, account, clock, firstByte });
  const headers = requestHeaders(exchange.headers, account.requestId);
  const call = dependencies
    .client(lease.backend)
    .send({ method: 'POST', path: route.path, headers, body, repeatable: true, timeouts }, relay);
  relay.follow(call);
  return relay.result;
}

/** An attempt that failed before anything was sent, and what the client gets when nothing else is tried. */
interface FailedAttempt {
  readonly failure: AttemptFailure;
  readonly retryAfterMs: Millis | null;
  readonly answer: () => void;
}

/** Releases the lease with what the attempt showed; null when the client has its answer. */
function conclude(
  result: AttemptResult,
  lease: Lease,
  traveller: Traveller,
  dependencies: JourneyDependencies,
): FailedAttempt | null {
  switch (result.kind) {
    case 'over':
      if (result.outcome.kind === 'failed' && result.outcome.against === 'backend')
        dependencies.verdict(lease.backend, false);
      lease.release(result.outcome);
      return null;
    case 'stopped':
      lease.release({ kind: 'neutral', reason: 'shutting-down' });
      throw new GatewayError('shutting-down', 'the gateway is stopping', { retryAfterMs: 1000 });
    case 'failed':
      return concludeFailure(result.failure, lease, traveller, dependencies);
    case 'answered-error':
      return concludeErrorAnswer(result.answer, lease, traveller, dependencies);
  }
}

function concludeFailure(
  failure: BackendFailure,
  lease: Lease,
  traveller: Traveller,
  dependencies: JourneyDependencies,
): FailedAttempt {
  const { account, dialect, exchange } = traveller;
  const isColdTimeout = failure.code === 'backend-first-byte-timeout' && !lease.warm;
  const kind: AttemptFailure = isColdTimeout ? 'backend-cold-timeout' : failure.code;
  const outcome = failureOutcome(kind, false);
  if (outcome.kind === 'failed' && outcome.against === 'backend') dependencies.verdict(lease.backend, false);
  lease.release(outcome);
  return {
    failure: kind,
    retryAfterMs: null,
    answer() {
      const error = new GatewayError(failure.code, `backend ${lease.backend} ${failure.message}`, {
        cause: failure.cause,
        retryAfterMs: 1000,
      });
      answerError(exchange, dialect, error, account);
    },
  };
}

function concludeErrorAnswer(
  answer: HeldAnswer,
  lease: Lease,
  traveller: Traveller,
  dependencies: JourneyDependencies,
): FailedAttempt {
  const failure = classify(answer.status, answer.body.toString('utf8'), traveller.dialect.name);
  const outcome = failureOutcome(failure, false);
  if (outcome.kind === 'failed' && outcome.against === 'backend') dependencies.verdict(lease.backend, false);
  else dependencies.verdict(lease.backend, true);
  lease.release(outcome);
  return { failure, retryAfterMs: null, answer: () => relayHeld(answer, lease, traveller) };
}

/** The pause before another backend may be tried, or null when none may. */
function mayRetry(
  { failure, retryAfterMs }: FailedAttempt,
  tried: number,
  { exchange }: Traveller,
  { clock, retry }: JourneyDependencies,
): Millis | null {
  if (exchange.hasLeft) return null;
  const decision = retry.decide(
    { failure, committed: false, repeatable: true, tried, remainingMs: Infinity, retryAfterMs },
    clock.now(),
  );
  return decision.retry ? decision.delayMs : null;
}

/** Resolves early when the client leaves. */
function pause(ms: Millis, exchange: Exchange, clock: Clock): Promise<void> {
  return new Promise((resolve) => {
    const timer = clock.after(ms, resolve);
    exchange.left.addEventListener(
      'abort',
      () => {
        timer.cancel();
        resolve();
      },
      { once: true },
    );
  });
}

/** A backend's error answer, unchanged. */
function relayHeld(answer: HeldAnswer, lease: Lease, { account, exchange }: Traveller): void {
  account.status = answer.status;
  account.outcome = answer.status >= 500 ? 'backend-error' : 'client-error';
  exchange.head(answer.status, [...answer.headers, ...ownHeaders(account, lease)], answer.body.length);
  exchange.write(answer.body);
  exchange.end();
}
