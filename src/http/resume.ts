/**
 * Goes on, on another backend, with a stream whose backend was lost in the middle: once a request, only for plain text, and only
 * where it is proved that the other backend goes on with the very text the client has. Off unless configured.
 */
import { Type, type Static } from 'typebox';
import type { BackendClient } from '../backends/client.ts';
import { GatewayError, type FailureCode } from '../core/errors.ts';
import type { Emit, ResumeOutcome } from '../core/events.ts';
import { Size } from '../core/options.ts';
import type { Quarantine } from '../core/quarantine.ts';
import type { Retry } from '../core/retry.ts';
import type { Lease, Scheduler } from '../core/scheduler.ts';
import type { BackendId, Clock, ModelName, Outcome } from '../core/types.ts';
import type { MeterReport } from '../dialects/dialect.ts';
import {
  mayResume,
  renderedPrompt,
  resumeSteps,
  type ResumeAsk,
  type ResumeStep,
} from '../dialects/resume/requests.ts';
import { createTranscript, type Transcript } from '../dialects/resume/transcript.ts';
import { createResumeVoice } from '../dialects/resume/voice.ts';
import { askWhole } from './ask.ts';
import { judge, type Traveller } from './attempt.ts';
import { cutWithError } from './errors.ts';
import { requestHeaders } from './headers.ts';
import { Rest, type RestResult } from './rest.ts';
import type { TimeoutsFor } from './timeouts.ts';
import { AttemptTrace } from './trace.ts';

export const ResumeOptions = Type.Object(
  {
    enabled: Type.Boolean({
      description:
        'Let another backend with the same model, by digest, go on with a stream of plain text whose backend was lost, where ' +
        'that can be proved to work; docs/reliability.md tells the limits. Otherwise such a stream ends with an error.',
      default: false,
    }),
    maxText: Size({
      description: 'A stream that has said more than this is not gone on with; so much text of each stream is kept.',
      default: '16KiB',
      minimum: '1KiB',
    }),
  },
  { additionalProperties: false, description: 'What becomes of a stream whose backend is lost in the middle.' },
);
export type ResumeOptions = Static<typeof ResumeOptions>;

export interface ResumeDependencies {
  readonly scheduler: Scheduler;
  readonly retry: Retry;
  readonly quarantine: Quarantine;
  readonly client: (id: BackendId) => BackendClient;
  readonly verdict: (id: BackendId, ok: boolean) => void;
  readonly clock: Clock;
  readonly emit: Emit;
  readonly timeouts: TimeoutsFor;
  /** The digest of a model on a backend; null when it is not known to be there. */
  readonly digestOn: (id: BackendId, model: ModelName) => string | null;
  /** The backends where the model has this digest. */
  readonly holdersOfDigest: (model: ModelName, digest: string) => readonly BackendId[];
}

/** What is noted of an answer on its way, so that another backend can go on with it. */
export interface Notes {
  readonly transcript: Transcript;
  /** Of the model that speaks. */
  readonly digest: string;
}

/** A stream that was lost after its commit. Nothing of that has been told to the client. */
export interface Loss {
  readonly backend: BackendId;
  readonly error: GatewayError;
  /** What the client has; null when its request is of no kind that can be resumed. */
  readonly notes: Notes | null;
  /** Whether the client keeps up. */
  readonly hasRoom: () => boolean;
  /** For the error inside the stream, as `cutWithError` takes them. */
  readonly separator: string | null;
  readonly after: MeterReport | undefined;
}

export interface Resumer {
  /** Null for an answer that can't be gone on with; then nothing is spent on it. */
  notes(traveller: Traveller, backend: BackendId): Notes | null;
  /** Resolves when the client has all it will get: the rest, or the error inside the stream. */
  resume(traveller: Traveller, loss: Loss): Promise<void>;
}

/** Null when it is turned off. */
export function createResumer(dependencies: ResumeDependencies, { enabled, maxText }: ResumeOptions): Resumer | null {
  if (!enabled) return null;
  return {
    notes({ body, job, reading, route }, backend) {
      if (!reading.stream || reading.ambiguous || job.model === null || !mayResume(route, body)) return null;
      const digest = dependencies.digestOn(backend, job.model);
      return digest === null ? null : { transcript: createTranscript(route, maxText), digest };
    },
    async resume(traveller, loss) {
      const { account, exchange, job } = traveller;
      const stop = new AbortController();
      let stopped: GatewayError | null = null;
      exchange.onStop = (why) => {
        stopped = why;
        stop.abort();
      };
      const signal = AbortSignal.any([exchange.leftSignal, stop.signal]);
      const end = await goOn(traveller, loss, signal, dependencies);
      exchange.onStop = null;
      const { outcome, reason, to } = end;
      const { requestId } = account;
      dependencies.emit({ kind: 'stream-lost', requestId, model: job.model, from: loss.backend, to, outcome, reason });
      if (outcome !== 'resumed') tell(traveller, loss, end, stopped);
    },
  };
}

interface End {
  readonly outcome: ResumeOutcome;
  readonly reason: string;
  readonly to: BackendId | null;
  /** Set when the second backend had begun to go on: how that ended. */
  readonly error?: GatewayError;
}

/** The error inside the stream: what it would have been without an attempt to go on, unless more has happened since. */
function tell({ account, dialect, exchange }: Traveller, loss: Loss, end: End, stopped: GatewayError | null): void {
  if (end.error !== undefined) {
    cutWithError(exchange, dialect, stopped ?? end.error, { account, separator: '', after: loss.after });
    return;
  }
  if (loss.notes !== null) exchange.write(loss.notes.transcript.flush());
  const { separator, after } = loss;
  cutWithError(exchange, dialect, stopped ?? loss.error, { account, separator, after });
}

async function goOn(
  traveller: Traveller,
  loss: Loss,
  signal: AbortSignal,
  dependencies: ResumeDependencies,
): Promise<End> {
  const { body, fingerprint, job, route } = traveller;
  const { clock, holdersOfDigest, quarantine, retry } = dependencies;
  const ineligible = (reason: string): End => ({ outcome: 'ineligible', reason, to: null });
  const failed = (reason: string): End => ({ outcome: 'failed', reason, to: null });
  const told = loss.notes?.transcript.told() ?? null;
  if (told === null || loss.notes === null) return ineligible('not plain text, too long, or as good as complete');
  const steps = resumeSteps(route, body, told);
  if (steps === null) return ineligible('the request asks for more than plain text, or nothing is left to say');
  const only = holdersOfDigest(job.model!, loss.notes.digest).filter((id) => id !== loss.backend);
  if (only.length === 0) return ineligible('no other backend has the model with this digest');
  if (quarantine.size > 0 && quarantine.remaining(fingerprint(), clock.now()) !== null) return failed('quarantined');
  if (!retry.spend(clock.now())) return failed('the budget of retries is spent');
  let lease: Lease;
  try {
    lease = await dependencies.scheduler.acquire({ ...job, only }, [loss.backend], signal);
  } catch (error) {
    if (!(error instanceof GatewayError)) throw error;
    return failed(error.message);
  }
  const to = lease.backend;
  const rest = await prove(traveller, lease, { steps, signal }, dependencies);
  if (rest === null) {
    lease.release({ kind: 'neutral', reason: 'not-proved' });
    return { ...failed(signal.aborted ? 'the client or the gateway ended it' : 'it could not be proved'), to };
  }
  const voice = createResumeVoice(route, traveller.reading, told);
  return { ...(await finish(traveller, lease, { ask: rest, voice, loss, signal, told }, dependencies)), to };
}

/** The first way to go on that is proved to work there; null when none is. */
async function prove(
  traveller: Traveller,
  { backend, warm }: Lease,
  { steps, signal }: { readonly steps: readonly ResumeStep[]; readonly signal: AbortSignal },
  { client, timeouts }: ResumeDependencies,
): Promise<ResumeAsk | null> {
  for (const { render, rest } of steps) {
    if (signal.aborted) return null;
    let rendered = '';
    if (render !== null) {
      const times = timeouts(traveller.job.model, warm);
      const call = {
        method: 'POST',
        ...render,
        headers: headersOf(traveller),
        repeatable: true,
        timeouts: times,
      } as const;
      const answered = await askWhole(client(backend), call, signal);
      if (answered.kind === 'failed') return null;
      // A model may not take a last message of its own; its prompt can be had all the same.
      if (answered.status >= 400) continue;
      const prompt = renderedPrompt(answered.body);
      if (prompt === null) return null;
      rendered = prompt;
    }
    const ask = rest(rendered);
    if (ask !== null) return signal.aborted ? null : ask;
  }
  return null;
}

interface RestOfStream {
  readonly ask: ResumeAsk;
  readonly voice: ReturnType<typeof createResumeVoice>;
  readonly loss: Loss;
  readonly signal: AbortSignal;
  readonly told: { readonly tokens: number };
}

async function finish(
  traveller: Traveller,
  lease: Lease,
  { ask, voice, loss, signal, told }: RestOfStream,
  dependencies: ResumeDependencies,
): Promise<Omit<End, 'to'>> {
  const { client, clock, quarantine, timeouts, verdict } = dependencies;
  const { account, exchange, fingerprint, job } = traveller;
  account.attempts += 1;
  account.backend = lease.backend;
  account.usage = { ...account.usage, outputTokens: told.tokens };
  const startedAt = clock.now();
  const { trace } = exchange;
  const traced = trace === null ? null : new AttemptTrace(trace, lease.queuedMs, startedAt);
  const firstByte = (): void => {
    lease.firstByte(clock.now() - startedAt);
    if (traced !== null) traced.firstByteMs = clock.now() - startedAt;
    verdict(lease.backend, true);
  };
  const rest = new Rest({ exchange, voice, firstByte });
  const headers = headersOf(traveller, traced?.traceparent);
  const times = timeouts(job.model, lease.warm);
  const call = client(lease.backend).send({ method: 'POST', ...ask, headers, repeatable: true, timeouts: times }, rest);
  const result = await rest.follow(call, loss.hasRoom(), signal);
  if (result.kind === 'complete') {
    account.usage = result.usage;
    account.resumed = 1;
    traced?.end({ outcome: 'ok', status: 200 }, { account, job, lease }, dependencies);
    exchange.end();
    if (quarantine.size > 0) quarantine.answered(fingerprint());
    lease.release({ kind: 'done', usage: result.usage, firstByteMs: account.firstByteMs });
    return { outcome: 'resumed', reason: '' };
  }
  const outcome = outcomeOf(result, traveller);
  const isNews = lease.release(outcome);
  if (outcome.kind === 'failed') judge(outcome.failure, isNews, lease, { traveller, dependencies });
  const { code, reason } = endOf(result);
  traced?.end({ outcome: exchange.hasLeft ? 'client-gone' : code, status: 0 }, { account, job, lease }, dependencies);
  const error = new GatewayError(code, `backend ${lease.backend} ${reason}`);
  return { outcome: 'failed', reason, ...(rest.hasSpoken && { error }) };
}

function endOf(result: Exclude<RestResult, { kind: 'complete' }>): { code: FailureCode; reason: string } {
  if (result.kind === 'lost') return { code: result.code, reason: result.message };
  const reason = result.kind === 'given-up' ? 'was not waited for' : `did not go on with the text: ${result.what}`;
  return { code: 'backend-lost', reason };
}

function outcomeOf(result: Exclude<RestResult, { kind: 'complete' }>, { account, exchange }: Traveller): Outcome {
  switch (result.kind) {
    case 'lost':
      return { kind: 'failed', failure: result.code, against: 'backend', committed: true };
    case 'refused':
      return { kind: 'neutral', reason: 'not-resumed' };
    case 'given-up':
      return exchange.hasLeft
        ? { kind: 'client-gone', phase: account.phase, usage: account.usage }
        : { kind: 'neutral', reason: 'shutting-down' };
    default:
      return result satisfies never;
  }
}

/** The bodies are our own: plain JSON, whatever the client's was. */
function headersOf({ account, exchange }: Traveller, own = exchange.trace?.traceparent): string[] {
  const { traceparent, tracestate, 'user-agent': agent } = exchange.headers;
  const fields = { 'content-type': 'application/json', traceparent, tracestate, 'user-agent': agent };
  return requestHeaders(fields, account.requestId, own);
}
