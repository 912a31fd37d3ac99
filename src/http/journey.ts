/**
 * The journey of one inference request, top to bottom: receive, read, acquire a lease, relay, release. The only loop is around
 * acquire and relay, and the only place that may try another backend is `firstAnswer`.
 */
import { GatewayError, type FailureCode } from '../core/errors.ts';
import { bands } from '../core/grants.ts';
import type { Quotas, QuotaState } from '../core/quota.ts';
import { isUnsent, type Retry } from '../core/retry.ts';
import type { Lease, Scheduler } from '../core/scheduler.ts';
import { expectedSpend } from '../core/spent.ts';
import type { BackendId, Clock, Job, Millis } from '../core/types.ts';
import { quotaHeaders } from '../dialects/quota-headers.ts';
import type { Dialect, Reading, Route } from '../dialects/dialect.ts';
import { openAccount, type Account } from './account.ts';
import { attempt, type AttemptDependencies, type FailedAttempt, type Traveller } from './attempt.ts';
import { receiveBody, type BodyLimits } from './body.ts';
import { answerError, answerUnknownModel, asGatewayError, cutWithError } from './errors.ts';
import type { Exchange } from './exchange.ts';
import { readIncoming } from './incoming.ts';
import { permitRun, type IsRemote } from './permit.ts';
import type { Pressure } from './pressure.ts';
import { startPulse, type Pulse, type StreamOptions } from './streams.ts';
import type { RuleBook } from './rules.ts';
import type { Visit } from './visit.ts';

export interface JourneyDependencies extends AttemptDependencies {
  readonly scheduler: Scheduler;
  readonly retry: Retry;
  /** A keyed hash, so that prompts can be compared without being kept. */
  readonly hash: (text: string | Uint8Array) => string;
  readonly limits: BodyLimits;
  readonly pressure: Pressure;
  readonly streams: StreamOptions;
  readonly book: RuleBook;
  readonly isRemote: IsRemote;
  readonly quotas: Quotas;
  /** Answers a request that only takes a model out of memory: it needs no slot, and concerns more than one backend. */
  readonly unload: (visit: Visit, body: Buffer, reading: Reading) => Promise<void>;
}

export async function journey(
  exchange: Exchange,
  route: Route,
  dialect: Dialect,
  dependencies: JourneyDependencies,
): Promise<void> {
  const { book, clock, emit, hash, isRemote, limits, pressure, streams, wallNow } = dependencies;
  const account = openAccount(exchange, route.path, clock, emit);
  let modelText: string | null = null;
  let pulse: Pulse | null = null;
  try {
    const refusal = pressure.refusal();
    if (refusal !== null) throw refusal;
    const received = await receiveBody(exchange, limits, clock);
    account.bytesIn = received.length;
    account.receivedAt = clock.now();
    const { countTokens } = streams;
    const incoming = await readIncoming(route, dialect, received, {
      headers: exchange.headers,
      hash,
      countTokens,
      book,
      grant: exchange.client.grant,
      permit: (asked, runs) => permitRun(exchange.client, asked, runs, isRemote),
      nextTurn: () => limits.turns.next(exchange.left),
    });
    const { body, reading } = incoming;
    modelText = reading.modelText;
    account.stream = reading.stream;
    account.model = reading.model;
    if (reading.task === 'unload') {
      await dependencies.unload({ exchange, route, dialect, account, clock, parameter: null }, body, reading);
      return;
    }
    reserve({ account, exchange, reading, dialect }, dependencies);
    pulse = startPulse({ exchange, route, reading, account, clock, wallNow }, streams);
    const job = jobOf(reading, exchange, account);
    let identity: string | null = null;
    const fingerprint = () => (identity ??= hash(body));
    await firstAnswer({ exchange, route, dialect, account, ...incoming, job, pulse, fingerprint }, dependencies);
  } catch (error) {
    const known = asGatewayError(error);
    if (known.code === 'internal') emit({ kind: 'bug', message: String(error), stack: (error as Error).stack });
    if (pulse?.hasBegun === true && account.firstByteMs === null) {
      cutWithError(exchange, dialect, known, { account, separator: '' });
    } else if (exchange.headSent) exchange.cut();
    else if (known.code === 'unknown-model') answerUnknownModel(exchange, route, modelText ?? '', account);
    else answerError(exchange, dialect, known, account);
  } finally {
    pulse?.stop();
  }
}

/** What the request will probably take of what its client is granted. Throws when that is used up. */
function reserve(
  { account, dialect, exchange, reading }: Pick<Traveller, 'account' | 'dialect' | 'exchange' | 'reading'>,
  { clock, quotas, wallNow }: JourneyDependencies,
): void {
  const { client } = exchange;
  account.promptEstimate = reading.promptTokens;
  const tell = (state: QuotaState) => (account.quotaHeaders = quotaHeaders(dialect.name, state, wallNow()));
  const now = clock.now();
  try {
    account.reserved = quotas.reserve(client, expectedSpend(reading), now);
  } catch (error) {
    tell(quotas.state(client, now)!);
    throw error;
  }
  if (account.reserved !== null) tell(account.reserved.state);
}

function jobOf(reading: Reading, exchange: Exchange, account: Account): Job {
  return {
    id: account.requestId,
    client: account.client,
    address: exchange.address,
    model: reading.model,
    task: reading.task,
    streams: reading.stream,
    runnerOptions: reading.runnerOptions,
    promptTokens: reading.promptTokens,
    maxOutputTokens: reading.maxOutputTokens,
    session: reading.session,
    prefix: reading.prefix,
    priority: bands.indexOf(exchange.client.grant.priority),
    bytes: account.bytesIn,
    share: exchange.client.grant,
  };
}

/** Tries backends until one's answer is on its way to the client, or nothing more may be tried. */
async function firstAnswer(traveller: Traveller, dependencies: JourneyDependencies): Promise<void> {
  const { account } = traveller;
  const { clock, emit, retry } = dependencies;
  const tried: BackendId[] = [];
  const refusedBy = new Set<BackendId>();
  refuseQuarantined(traveller, dependencies);
  retry.arrived(clock.now());
  let lease = await acquire(traveller, tried, dependencies);
  for (;;) {
    const failed = await attempt(traveller, lease, dependencies);
    if (failed === null) return;
    // Who refuses has been sent nothing, and is down until it accepts again: that is no try. Refusing twice is one.
    if (!isUnsent(failed.failure) || refusedBy.has(lease.backend)) tried.push(lease.backend);
    else refusedBy.add(lease.backend);
    const next = await anotherLease(failed, tried, traveller, dependencies);
    const { failure } = failed;
    if (failure !== 'client-mistake') {
      const { requestId } = account;
      emit({ kind: 'attempt-failed', requestId, backend: lease.backend, failure, retried: next !== null });
    }
    if (next === null) return failed.answer();
    account.failovers += 1;
    lease = next;
  }
}

async function acquire(
  { account, exchange, job }: Traveller,
  tried: readonly BackendId[],
  { scheduler }: JourneyDependencies,
): Promise<Lease> {
  account.phase = 'queued';
  const lease = await scheduler.acquire(job, tried, exchange.left, account.queueMs);
  account.queueMs = lease.queuedMs;
  return lease;
}

/** The right to another attempt; null when there may be none, or nobody is there to make it: then the failure is the answer. */
async function anotherLease(
  failed: FailedAttempt,
  tried: readonly BackendId[],
  traveller: Traveller,
  dependencies: JourneyDependencies,
): Promise<Lease | null> {
  const pauseMs = mayRetry(failed, Math.max(1, tried.length), traveller, dependencies);
  if (pauseMs === null) return null;
  if (pauseMs > 0) await pause(pauseMs, traveller.exchange, dependencies.clock);
  try {
    return await acquire(traveller, tried, dependencies);
  } catch (error) {
    if (isAboutUs(error) || isUnsent(failed.failure)) throw error;
    return null;
  }
}

/** Whether the gateway, its operator or the client ends it, rather than that no other backend was to be had. */
function isAboutUs(error: unknown): boolean {
  return !(error instanceof GatewayError) || aboutUs.has(error.code);
}

const aboutUs: ReadonlySet<FailureCode> = new Set(['client-gone', 'shutting-down', 'cancelled']);

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
