/** One attempt at one backend: asks, relays, releases the lease with what it showed, and says whether there is more to try. */
import type { BackendClient } from '../backends/client.ts';
import type { BackendFailure } from '../backends/failure.ts';
import { GatewayError } from '../core/errors.ts';
import type { Emit } from '../core/events.ts';
import type { Quarantine } from '../core/quarantine.ts';
import { failureOutcome, isLethal, type AttemptFailure } from '../core/retry.ts';
import type { Lease } from '../core/scheduler.ts';
import type { BackendId, Clock, Job, Millis } from '../core/types.ts';
import type { Dialect, Reading, Route } from '../dialects/dialect.ts';
import { classify, errorTextOf } from '../dialects/failures.ts';
import { createUsageStripper } from '../dialects/usage-stripper.ts';
import type { Account } from './account.ts';
import { answerError, cutWithError } from './errors.ts';
import type { Exchange } from './exchange.ts';
import { ownHeaders, requestHeaders, retryAfterMs, traceIdOf } from './headers.ts';
import { Relay, type AttemptResult, type HeldAnswer } from './relay.ts';
import type { Resumer } from './resume.ts';
import type { Pulse } from './streams.ts';
import type { TimeoutsFor } from './timeouts.ts';
import { AttemptTrace, attemptEnd } from './trace.ts';

/** What one request carries through its journey. */
export interface Traveller {
  readonly exchange: Exchange;
  readonly route: Route;
  readonly dialect: Dialect;
  readonly account: Account;
  /** As it is sent on. */
  readonly body: Buffer;
  readonly reading: Reading;
  /** The usage in the answer is for us and not for the client. */
  readonly asksForUsage: boolean;
  /** The body came compressed and is sent on plain. */
  readonly isUnpacked: boolean;
  readonly job: Job;
  /** The sign of life its client gets while it waits; null when it gets none. */
  readonly pulse: Pulse | null;
  /** The request's identity for the quarantine; made when it is first asked for. */
  readonly fingerprint: () => string;
}

export interface AttemptDependencies {
  readonly client: (id: BackendId) => BackendClient;
  readonly verdict: (id: BackendId, ok: boolean) => void;
  readonly quarantine: Quarantine;
  readonly clock: Clock;
  readonly emit: Emit;
  readonly timeouts: TimeoutsFor;
  /** Goes on with lost streams; null when that is turned off. */
  readonly resumer: Resumer | null;
  /** Epoch milliseconds, to read dates in `Retry-After`. */
  readonly wallNow: () => number;
}

/** An attempt that failed before anything was sent, and what the client gets when nothing else is tried. */
export interface FailedAttempt {
  readonly failure: AttemptFailure;
  readonly retryAfterMs: Millis | null;
  readonly answer: () => void;
}

/** Null when the client has its answer. Throws the GatewayError with which it was stopped before there was one. */
export async function attempt(
  traveller: Traveller,
  lease: Lease,
  dependencies: AttemptDependencies,
): Promise<FailedAttempt | null> {
  const { trace } = traveller.exchange;
  const now = dependencies.clock.now();
  const traced = trace === null ? null : new AttemptTrace(trace, trace.waited(lease.queuedMs), now);
  const result = await ask(traveller, lease, traced, dependencies);
  traced?.end(attemptEnd(result, traveller.account.status), { ...traveller, lease }, dependencies);
  switch (result.kind) {
    case 'over': {
      const { outcome } = result;
      const isNews = lease.release(outcome);
      if (outcome.kind === 'failed') {
        const isBackends = isNews && outcome.against === 'backend';
        judge(outcome.failure, isBackends, lease, { traveller, dependencies });
      } else if (outcome.kind === 'done' && dependencies.quarantine.size > 0) {
        dependencies.quarantine.answered(traveller.fingerprint());
      }
      return null;
    }
    case 'lost':
      judge(result.loss.error.code, lease.release(result.outcome), lease, { traveller, dependencies });
      await dependencies.resumer!.resume(traveller, result.loss);
      return null;
    case 'stopped':
      lease.release({ kind: 'neutral', reason: result.why.code });
      throw result.why;
    case 'failed':
      return concludeFailure(result.failure, lease, traveller, dependencies);
    case 'hung':
      return concludeFailure(hung, lease, traveller, dependencies);
    case 'answered-error':
      return concludeErrorAnswer(result.answer, lease, traveller, dependencies);
  }
}

function ask(
  traveller: Traveller,
  lease: Lease,
  traced: AttemptTrace | null,
  dependencies: AttemptDependencies,
): Promise<AttemptResult> {
  const { account, asksForUsage, body, dialect, exchange, job, pulse, reading, route } = traveller;
  const { client, clock, emit, resumer, timeouts, verdict } = dependencies;
  account.attempts += 1;
  account.backend = lease.backend;
  account.reason = lease.reason;
  account.warm = lease.warm;
  account.phase = 'waiting';
  account.overheadMs ??= clock.now() - account.receivedAt - account.queueMs;
  const firstByte = (ms: Millis) => {
    lease.firstByte(ms);
    if (traced !== null) traced.firstByteMs = ms;
    verdict(lease.backend, true);
    // The first byte of a whole answer is its last token, not its first.
    if (!reading.stream) return;
    const { backend, warm } = lease;
    const traceId = exchange.trace?.place.traceId ?? traceIdOf(exchange.headers['traceparent']);
    const { model } = job;
    emit({ kind: 'first-token', route: route.path, model, backend, ms: account.firstByteMs ?? ms, warm, traceId });
  };
  const stripper = asksForUsage ? createUsageStripper() : null;
  const relay = new Relay({
    exchange,
    dialect,
    route,
    reading,
    lease,
    account,
    clock,
    firstByte,
    stripper,
    pulse,
    resumes: resumer === null ? null : { notes: resumer.notes(traveller, lease.backend) },
  });
  const headers = requestHeaders(
    traveller.isUnpacked ? { ...exchange.headers, 'content-encoding': undefined } : exchange.headers,
    account.requestId,
    traced?.traceparent,
  );
  const call = client(lease.backend).send(
    { method: 'POST', path: route.path, headers, body, repeatable: true, timeouts: timeouts(job.model, lease.warm) },
    relay,
  );
  relay.follow(call);
  lease.whenHung?.(() => relay.giveUp());
  return relay.result;
}

/** A model that hangs, as a failure of the backend to answer in time. */
const hung = { code: 'backend-first-byte-timeout', message: 'hangs in this model', cause: undefined } as const;

function concludeFailure(
  failure: Pick<BackendFailure, 'code' | 'message' | 'cause'>,
  lease: Lease,
  traveller: Traveller,
  dependencies: AttemptDependencies,
): FailedAttempt {
  const { account, dialect, exchange } = traveller;
  const isColdTimeout = failure.code === 'backend-first-byte-timeout' && !lease.warm;
  const kind = failure === hung ? 'runner-hung' : isColdTimeout ? 'backend-cold-timeout' : failure.code;
  release(kind, lease, traveller, dependencies);
  return {
    failure: kind,
    retryAfterMs: null,
    answer() {
      const { cause, code, message } = failure;
      const error = new GatewayError(code, `backend ${lease.backend} ${message}`, { cause });
      if (traveller.pulse?.hasBegun === true) cutWithError(exchange, dialect, error, { account, separator: '' });
      else answerError(exchange, dialect, error, account);
    },
  };
}

function concludeErrorAnswer(
  answer: HeldAnswer,
  lease: Lease,
  traveller: Traveller,
  dependencies: AttemptDependencies,
): FailedAttempt {
  const failure = classify(answer.status, answer.body.toString('utf8'), traveller.dialect.name);
  release(failure, lease, traveller, dependencies);
  return {
    failure,
    retryAfterMs: retryAfterMs(answer.headers, dependencies.wallNow()),
    answer: () => relayHeld(answer, lease, traveller),
  };
}

function release(failure: AttemptFailure, lease: Lease, traveller: Traveller, dependencies: AttemptDependencies): void {
  const outcome = failureOutcome(failure, false);
  const isNews = lease.release(outcome);
  const isBackends = isNews && outcome.kind === 'failed' && outcome.against === 'backend';
  judge(failure, isBackends, lease, { traveller, dependencies });
}

type Judges = Pick<AttemptDependencies, 'clock' | 'emit' | 'quarantine' | 'verdict'>;

/**
 * Tells the breaker of what speaks against the backend and was not known, and remembers requests after which a backend was broken.
 */
export function judge(
  failure: string,
  isBackends: boolean,
  { backend }: Lease,
  { traveller, dependencies }: { readonly traveller: Traveller; readonly dependencies: Judges },
): void {
  if (isBackends) dependencies.verdict(backend, false);
  if (!isLethal(failure)) return;
  const { clock, emit, quarantine } = dependencies;
  if (quarantine.broke(traveller.fingerprint(), backend, clock.now())) {
    emit({ kind: 'quarantined', requestId: traveller.account.requestId, model: traveller.job.model, failure });
  }
}

/** A backend's error answer, its body unchanged; inside the stream when that has begun with a sign of life. */
function relayHeld(answer: HeldAnswer, lease: Lease, { account, dialect, exchange, pulse }: Traveller): void {
  if (pulse?.hasBegun === true) {
    const code = answer.status >= 500 ? 'backend-unavailable' : answer.status === 404 ? 'unknown-model' : 'bad-request';
    const error = new GatewayError(code, errorTextOf(answer.body.toString('utf8'), dialect.name));
    cutWithError(exchange, dialect, error, { account, separator: '' });
    return;
  }
  account.status = answer.status;
  account.outcome = answer.status >= 500 ? 'backend-error' : 'client-error';
  const headers = [...answer.headers, ...ownHeaders(account, lease)];
  // An Ollama never says when to come back; clients that obey do not come back at once.
  const isForLater = answer.status === 503 || answer.status === 429;
  if (isForLater && !answer.headers.includes('Retry-After')) headers.push('Retry-After', '1');
  exchange.head(answer.status, headers, answer.length);
  exchange.write(answer.body);
  exchange.end();
}
