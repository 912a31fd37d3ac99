/**
 * One attempt at one backend: relays the answer as it comes, byte for byte, and ends in exactly one result. The commit point is
 * the head of an answer that is not an error: before it the attempt may be given up for another backend, after it never.
 */
import { GatewayError, type FailureCode } from '../core/errors.ts';
import { failureOutcome } from '../core/retry.ts';
import type { Clock, Millis, Outcome } from '../core/types.ts';
import { classifyInBand } from '../dialects/failures.ts';
import type { Dialect, Meter, MeterReport, Reading, Route } from '../dialects/dialect.ts';
import type { UsageStripper } from '../dialects/usage-stripper.ts';
import type { Lease } from '../core/scheduler.ts';
import type { Call, Receiver } from '../backends/client.ts';
import type { BackendFailure } from '../backends/failure.ts';
import type { Account } from './account.ts';
import { cutWithError } from './errors.ts';
import type { Exchange } from './exchange.ts';
import { ownHeaders, responseHeaders } from './headers.ts';
import type { Loss, Notes } from './resume.ts';
import type { Pulse } from './streams.ts';

/** An error answer of a backend, held back until it is known whether another backend is tried. */
export interface HeldAnswer {
  readonly status: number;
  readonly headers: readonly string[];
  /** As the backend stated it; null when it stated none. */
  readonly length: number | null;
  readonly body: Buffer;
}

export type AttemptResult =
  /** The client has all it will get; the outcome says how it went. */
  | { readonly kind: 'over'; readonly outcome: Outcome }
  /** The backend was lost after the commit, and the client has not been told: another may go on with the stream. */
  | { readonly kind: 'lost'; readonly loss: Loss; readonly outcome: Outcome }
  | { readonly kind: 'answered-error'; readonly answer: HeldAnswer }
  | { readonly kind: 'failed'; readonly failure: BackendFailure }
  /** Given up, because what it was sent to hangs. */
  | { readonly kind: 'hung' }
  /** The gateway stopped, or an operator ended the request, before anything had been sent. */
  | { readonly kind: 'stopped'; readonly why: GatewayError };

export interface RelayContext {
  readonly exchange: Exchange;
  readonly dialect: Dialect;
  readonly route: Route;
  readonly reading: Reading;
  /** Whom it is asked, and why that one. */
  readonly lease: Pick<Lease, 'backend' | 'reason'>;
  readonly account: Account;
  readonly clock: Clock;
  /** Takes out of the answer what only the gateway asked for; the meter sees it before. */
  readonly stripper: UsageStripper | null;
  /** Null when a lost stream is not gone on with; `notes` are null when this one can't be. */
  readonly resumes: { readonly notes: Notes | null } | null;
  /** Ends with the first byte of a good answer. */
  readonly pulse: Pulse | null;
  /** Reports the first byte of a good answer: the breaker's verdict and the time to first token. */
  readonly firstByte: (ms: Millis) => void;
}

const heldLimitBytes = 64 * 1024;

/** Losses after which another backend may go on. */
const resumable: ReadonlySet<FailureCode> = new Set(['backend-lost', 'backend-truncated', 'backend-idle-timeout']);

export class Relay implements Receiver {
  readonly result: Promise<AttemptResult>;
  readonly #context: RelayContext;
  readonly #startedAt: Millis;
  #settle: (result: AttemptResult) => void = () => {};
  #settled = false;
  #call: Call | null = null;
  #meter: Meter | null = null;
  #stripper: UsageStripper | null = null;
  #notes: Notes | null = null;
  #hasRoom = true;
  #inBand = false;
  #committed = false;
  #held: { status: number; headers: string[]; length: number | null; chunks: Buffer[]; size: number } | null = null;

  constructor(context: RelayContext) {
    this.#context = context;
    this.#startedAt = context.clock.now();
    this.result = new Promise((resolve) => {
      this.#settle = resolve;
    });
  }

  /** Binds the call, and from now on a client that leaves aborts it at once. */
  follow(call: Call): void {
    this.#call = call;
    const { exchange } = this.#context;
    // Through names, as in account.ts.
    const stop = (why: GatewayError): void => this.#stop(why);
    exchange.onStop = stop;
    const { left } = exchange;
    if (left.aborted) this.#onLeft();
    else left.addEventListener('abort', this.#onLeft, { once: true });
  }

  /** Ends the attempt unless its answer has begun. */
  giveUp(): void {
    if (this.#committed || this.#held !== null || this.#settled) return;
    this.#call?.abort();
    this.#finish({ kind: 'hung' });
  }

  head(status: number, headers: Readonly<Record<string, string | string[] | undefined>>): void {
    const fields = responseHeaders(headers);
    this.#context.account.phase = 'streaming';
    if (status >= 400) {
      this.#held = { status, headers: fields, length: lengthOf(headers), chunks: [], size: 0 };
      return;
    }
    this.#commit(status, fields, headers);
  }

  data(chunk: Buffer): void {
    const held = this.#held;
    if (held !== null) {
      held.size += chunk.length;
      if (held.size <= heldLimitBytes) held.chunks.push(chunk);
      return;
    }
    const { account, clock, exchange, firstByte } = this.#context;
    if (account.firstByteMs === null) {
      account.firstByteMs = clock.now() - account.startedAt;
      firstByte(clock.now() - this.#startedAt);
    }
    this.#meter?.push(chunk);
    const passed = this.#stripper === null ? chunk : this.#stripper.push(chunk);
    exchange.write(this.#notes === null ? passed : this.#notes.transcript.push(passed));
  }

  end(): void {
    if (this.#held !== null) {
      const { status, headers, length, chunks, size } = this.#held;
      const body = Buffer.concat(chunks);
      // What was too long to hold is not what it says it is.
      const stated = size <= heldLimitBytes ? length : null;
      this.#finish({ kind: 'answered-error', answer: { status, headers, length: stated, body } });
      return;
    }
    const report = this.#report();
    this.#writeHeldBack();
    if (report.ending === 'missing') {
      this.#lose('backend-truncated', this.#backend('ended its answer before it was complete'));
      return;
    }
    this.#writeLastLine();
    if (report.ending === 'error') {
      this.#context.account.outcome = 'backend-error';
      this.#context.exchange.end();
      this.#over(failureOutcome(classifyInBand(report.errorText ?? ''), true));
      return;
    }
    this.#context.exchange.end();
    this.#over({ kind: 'done', usage: report.usage, firstByteMs: this.#context.account.firstByteMs });
  }

  failed(failure: BackendFailure): void {
    if (!this.#committed) {
      this.#finish({ kind: 'failed', failure });
      return;
    }
    this.#report();
    this.#writeHeldBack();
    this.#lose(failure.code, this.#backend(failure.message));
  }

  readonly #onLeft = (): void => {
    this.#call?.abort();
    const usage = this.#meter === null ? {} : this.#report().usage;
    this.#over({ kind: 'client-gone', phase: this.#context.account.phase, usage });
  };

  #commit(status: number, fields: string[], headers: Readonly<Record<string, string | string[] | undefined>>): void {
    const { account, dialect, exchange, lease, pulse, reading, resumes, route, stripper } = this.#context;
    this.#committed = true;
    pulse?.stop();
    const contentType = String(headers['content-type'] ?? '');
    this.#inBand = contentType.startsWith('text/event-stream') || contentType.startsWith('application/x-ndjson');
    this.#meter = dialect.meter(route, reading, contentType);
    account.meter = this.#meter;
    // A stream asked for is one, whatever the backend calls it; only a whole answer has no events to take usage out of.
    if (!contentType.startsWith('application/json')) this.#stripper = stripper;
    if (this.#inBand) this.#notes = resumes?.notes ?? null;
    account.status = status;
    fields.push(...ownHeaders(account, lease));
    if (this.#inBand) fields.push('X-Accel-Buffering', 'no');
    const flow = (room: boolean): void => {
      this.#hasRoom = room;
      if (room) this.#call?.resume();
      else this.#call?.pause();
    };
    exchange.onRoom = flow;
    exchange.head(status, fields, lengthOf(headers));
  }

  /** An event that was not complete when the stream ended. */
  #writeHeldBack(): void {
    if (this.#stripper === null) return;
    const rest = this.#stripper.flush();
    this.#context.exchange.write(this.#notes === null ? rest : this.#notes.transcript.push(rest));
  }

  /** A line that was not complete when the stream ended, and that nobody is going to complete. */
  #writeLastLine(): void {
    if (this.#notes !== null) this.#context.exchange.write(this.#notes.transcript.flush());
  }

  #report(): MeterReport {
    const report = this.#meter?.finish() ?? {
      ending: 'missing' as const,
      errorText: null,
      usage: {},
      estimated: false,
    };
    this.#context.account.usage = report.usage;
    return report;
  }

  /** The backend was lost after the commit: tell it in-band, cut, count it. */
  #lose(code: FailureCode, what: string): void {
    const error = new GatewayError(code, what);
    this.#tell(error, { kind: 'failed', failure: code, against: 'backend', committed: true });
  }

  #tell(error: GatewayError, outcome: Outcome): void {
    const { account, dialect, exchange, lease, resumes } = this.#context;
    const separator = this.#inBand ? (this.#meter?.separator() ?? '') : null;
    const after = this.#meter?.finish();
    if (resumes !== null && resumable.has(error.code)) {
      const hasRoom = () => this.#hasRoom;
      const loss = { backend: lease.backend, error, notes: this.#notes, hasRoom, separator, after };
      this.#finish({ kind: 'lost', loss, outcome });
      return;
    }
    this.#writeLastLine();
    cutWithError(exchange, dialect, error, { account, separator, after });
    this.#over(outcome);
  }

  #backend(what: string): string {
    return `backend ${this.#context.lease.backend} ${what}`;
  }

  /** The gateway stops and its patience is over, or an operator's with this request is. */
  #stop(why: GatewayError): void {
    this.#call?.abort();
    if (this.#committed) {
      this.#report();
      this.#writeHeldBack();
      this.#tell(why, { kind: 'neutral', reason: why.code });
    } else this.#finish({ kind: 'stopped', why });
  }

  #over(outcome: Outcome): void {
    this.#finish({ kind: 'over', outcome });
  }

  #finish(result: AttemptResult): void {
    if (this.#settled) return;
    this.#settled = true;
    const { exchange } = this.#context;
    exchange.left.removeEventListener('abort', this.#onLeft);
    // Until another backend goes on, somebody has to know whether the client keeps up.
    if (result.kind !== 'lost') exchange.onRoom = null;
    exchange.onStop = null;
    this.#settle(result);
  }
}

function lengthOf(headers: Readonly<Record<string, string | string[] | undefined>>): number | null {
  const length = headers['content-length'];
  return typeof length === 'string' ? Number(length) : null;
}
