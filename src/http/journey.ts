/**
 * The journey of one inference request, top to bottom: receive, read, acquire a lease, relay, release. The only loop is around
 * acquire and relay, and the only place that may try another backend is `firstAnswer`.
 */
import { GatewayError } from '../core/errors.ts';
import type { Retry } from '../core/retry.ts';
import type { Scheduler } from '../core/scheduler.ts';
import type { BackendId, Clock, Job, Millis } from '../core/types.ts';
import type { Dialect, Reading, Route } from '../dialects/dialect.ts';
import { openAccount, type Account } from './account.ts';
import { attempt, type AttemptDependencies, type FailedAttempt, type Traveller } from './attempt.ts';
import { receiveBody, type BodyLimits } from './body.ts';
import { answerError, answerUnknownModel, asGatewayError } from './errors.ts';
import type { Exchange } from './exchange.ts';
import type { Pressure } from './pressure.ts';
import type { Visit } from './visit.ts';

export interface JourneyDependencies extends AttemptDependencies {
  readonly scheduler: Scheduler;
  readonly retry: Retry;
  /** A keyed hash, so that prompts can be compared without being kept. */
  readonly hash: (text: string | Uint8Array) => string;
  readonly limits: BodyLimits;
  readonly pressure: Pressure;
  /** Answers a request that only takes a model out of memory: it needs no slot, and concerns more than one backend. */
  readonly unload: (visit: Visit, body: Buffer, reading: Reading) => Promise<void>;
}

export async function journey(
  exchange: Exchange,
  route: Route,
  dialect: Dialect,
  dependencies: JourneyDependencies,
): Promise<void> {
  const { clock, emit, hash, limits, pressure } = dependencies;
  const account = openAccount(exchange, route.path, clock, emit);
  let modelText: string | null = null;
  try {
    const refusal = pressure.refusal();
    if (refusal !== null) throw refusal;
    const body = await receiveBody(exchange.request, limits, clock);
    account.bytesIn = body.length;
    account.receivedAt = clock.now();
    const reading = dialect.read(route, body, { headers: exchange.headers, hash });
    modelText = reading.modelText;
    account.stream = reading.stream;
    account.model = reading.model;
    if (reading.task === 'unload') {
      await dependencies.unload({ exchange, route, dialect, account, clock, parameter: null }, body, reading);
      return;
    }
    const job = jobOf(reading, exchange, account);
    let fingerprint: string | null = null;
    await firstAnswer(
      { exchange, route, dialect, account, body, reading, job, fingerprint: () => (fingerprint ??= hash(body)) },
      dependencies,
    );
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
  refuseQuarantined(traveller, dependencies);
  retry.arrived(clock.now());
  for (;;) {
    account.phase = 'queued';
    const lease = await scheduler.acquire(job, tried, exchange.left, account.queueMs);
    account.queueMs = lease.queuedMs;
    const failed = await attempt(traveller, lease, dependencies);
    if (failed === null) return;
    tried.push(lease.backend);
    const pauseMs = mayRetry(failed, tried.length, traveller, dependencies);
    const { failure } = failed;
    if (failure !== 'client-mistake') {
      const { requestId } = account;
      emit({ kind: 'attempt-failed', requestId, backend: lease.backend, failure, retried: pauseMs !== null });
    }
    if (pauseMs === null) return failed.answer();
    account.failovers += 1;
    if (pauseMs > 0) await pause(pauseMs, exchange, clock);
  }
}

/** A request that has broken several backends is not sent to another. */
function refuseQuarantined({ fingerprint }: Traveller, { clock, quarantine }: JourneyDependencies): void {
  if (quarantine.size === 0) return;
  const remaining = quarantine.remaining(fingerprint(), clock.now());
  if (remaining === null) return;
  const seconds = Math.ceil(remaining / 1000);
  throw new GatewayError(
    'quarantined',
    `this very request has broken several backends; it is refused for another ${seconds} s`,
  );
}

/** The pause before another backend may be tried, or null when none may. */
function mayRetry(
  { failure, retryAfterMs }: FailedAttempt,
  tried: number,
  { exchange, fingerprint }: Traveller,
  { clock, quarantine, retry }: JourneyDependencies,
): Millis | null {
  const now = clock.now();
  if (exchange.hasLeft || (quarantine.size > 0 && quarantine.remaining(fingerprint(), now) !== null)) return null;
  const decision = retry.decide(
    { failure, committed: false, repeatable: true, tried, remainingMs: Infinity, retryAfterMs },
    now,
  );
  return decision.retry ? decision.delayMs : null;
}

/** Resolves early when the client leaves. */
function pause(ms: Millis, exchange: Exchange, clock: Clock): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      timer.cancel();
      exchange.left.removeEventListener('abort', done);
      resolve();
    };
    const timer = clock.after(ms, done);
    exchange.left.addEventListener('abort', done);
  });
}
