/** A pull, push or create on several backends at once, told to the client as one. */
import type { Call, Receiver } from '../backends/client.ts';
import { GatewayError } from '../core/errors.ts';
import type { LeftOut } from '../core/placement.ts';
import type { BackendId } from '../core/types.ts';
import { createLineSplitter } from '../dialects/frames.ts';
import { errorTextOf } from './ask.ts';
import { answerError, cutWithError } from './errors.ts';
import { ownHeaders, responseHeaders } from './headers.ts';
import { createProgressMerge, failureText, type ProgressLines, type ProgressMerge } from './progress.ts';
import { tether, type Tether } from './tether.ts';
import type { Visit } from './visit.ts';

export interface MergeErrand {
  readonly visit: Visit;
  readonly backends: readonly BackendId[];
  readonly leftOut: readonly LeftOut[];
  readonly send: (backend: BackendId, receiver: Receiver) => Call;
  /** Resolves when the catalogue knows what these have now. */
  readonly settled: (backends: readonly BackendId[]) => Promise<void>;
}

/** Resolves when the client has all it will get. */
export function mergeProgress(errand: MergeErrand): Promise<void> {
  return new Merging(errand).over;
}

const LINE_BYTES = 64 * 1024;
const GATHERED_BYTES = 1024 * 1024;

interface ErrorAnswer {
  readonly status: number;
  readonly headers: readonly string[];
  readonly body: Buffer;
}

class Merging {
  readonly over: Promise<void>;
  readonly #errand: MergeErrand;
  readonly #merge: ProgressMerge;
  readonly #tether: Tether;
  readonly #resolve: () => void;
  readonly #refusals = new Map<BackendId, ErrorAnswer>();
  #running: number;
  #isStreaming = false;
  #isOver = false;

  constructor(errand: MergeErrand) {
    const { promise, resolve } = Promise.withResolvers<void>();
    const { backends, leftOut, send, visit } = errand;
    this.over = promise;
    this.#resolve = resolve;
    this.#errand = errand;
    this.#merge = createProgressMerge([...backends, ...leftOut.map(({ backend }) => backend)]);
    this.#running = backends.length;
    this.#tether = tether(visit.exchange, { onLeft: () => this.#finish(), onStop: (why) => this.#stop(why) });
    for (const { backend, reason } of leftOut) this.#merge.failed(backend, reason);
    for (const backend of backends) this.#tether.hold(send(backend, this.#branch(backend)));
  }

  #branch(backend: BackendId): Receiver {
    const lines = createLineSplitter(LINE_BYTES);
    const gathered: Buffer[] = [];
    let size = 0;
    let status = 0;
    let headers: string[] = [];
    let isStream = false;
    return {
      head: (code, fields) => {
        status = code;
        headers = responseHeaders(fields);
        isStream = code < 400 && String(fields['content-type'] ?? '').startsWith('application/x-ndjson');
        if (isStream) this.#begin();
      },
      data: (chunk) => {
        if (!isStream) {
          size += chunk.length;
          if (size <= GATHERED_BYTES) gathered.push(chunk);
          return;
        }
        for (const { bytes } of lines.push(chunk)) this.#say(this.#merge.line(backend, bytes.toString('utf8')));
      },
      end: () => {
        const body = isStream ? (lines.rest()?.bytes ?? Buffer.alloc(0)) : Buffer.concat(gathered);
        if (status >= 400) {
          this.#refusals.set(backend, { status, headers, body });
          this.#say(this.#merge.failed(backend, errorTextOf({ status, body })));
        } else this.#say(this.#merge.line(backend, body.toString('utf8')));
        this.#ended(backend, 'ended its answer before it was complete');
      },
      failed: ({ message }) => this.#ended(backend, message),
    };
  }

  /** The first stream commits the answer; whatever fails from now on is a line of it. */
  #begin(): void {
    const { account, exchange } = this.#errand.visit;
    if (this.#isStreaming) return;
    this.#isStreaming = true;
    account.phase = 'streaming';
    account.status = 200;
    exchange.head(
      200,
      ['Content-Type', 'application/x-ndjson', ...this.#ownHeaders(), 'X-Accel-Buffering', 'no'],
      null,
    );
  }

  #ownHeaders(): string[] {
    const { visit, backends } = this.#errand;
    return ownHeaders(visit.account, { backend: backends.join(','), reason: 'placement' });
  }

  #say(lines: ProgressLines): void {
    const { account, clock, exchange } = this.#errand.visit;
    if (!this.#isStreaming || this.#isOver) return;
    for (const line of lines) {
      account.firstByteMs ??= clock.now() - account.startedAt;
      exchange.write(Buffer.from(`${line}\n`, 'utf8'));
    }
  }

  #ended(backend: BackendId, reason: string): void {
    this.#say(this.#merge.failed(backend, `it ${reason}`));
    this.#running -= 1;
    if (this.#running === 0) void this.#conclude();
  }

  async #conclude(): Promise<void> {
    const { backends, settled, visit } = this.#errand;
    const { account, exchange } = visit;
    const done = backends.filter((backend) => this.#merge.hasSucceeded(backend));
    // What was begun and failed may have left something too.
    await settled(backends);
    if (this.#isOver) return;
    if (done.length === 0) account.outcome = 'backend-error';
    else if (this.#merge.failures.size > 0) account.outcome = 'partly-done';
    if (this.#isStreaming) {
      this.#say(this.#merge.finish());
      exchange.end();
    } else if (done.length > 0) this.#answerSuccess();
    else this.#answerFailure();
    this.#finish();
  }

  #answerSuccess(): void {
    const { account, exchange } = this.#errand.visit;
    const { failures } = this.#merge;
    const body = Buffer.from(
      JSON.stringify({
        status: 'success',
        ...(failures.size > 0 ? { llamero_failed: Object.fromEntries(failures) } : {}),
      }),
    );
    account.status = 200;
    exchange.head(200, ['Content-Type', 'application/json', ...this.#ownHeaders()], body.length);
    exchange.write(body);
    exchange.end();
  }

  /** A backend's own answer when there is one, in the order asked; else what kept them from answering. */
  #answerFailure(): void {
    const { backends, visit } = this.#errand;
    const { account, dialect, exchange } = visit;
    const refusal = backends.map((backend) => this.#refusals.get(backend)).find((answer) => answer !== undefined);
    if (refusal === undefined) {
      const error = new GatewayError('backend-unavailable', failureText(this.#merge.failures));
      answerError(exchange, dialect, error, account);
      return;
    }
    account.status = refusal.status;
    account.outcome = refusal.status >= 500 ? 'backend-error' : 'client-error';
    exchange.head(refusal.status, [...refusal.headers, ...this.#ownHeaders()], refusal.body.length);
    exchange.write(refusal.body);
    exchange.end();
  }

  #stop(error: GatewayError): void {
    const { account, dialect, exchange } = this.#errand.visit;
    if (this.#isStreaming) cutWithError(exchange, dialect, error, { account, separator: '' });
    else answerError(exchange, dialect, error, account);
    this.#finish();
  }

  #finish(): void {
    this.#isOver = true;
    this.#tether.release();
    this.#resolve();
  }
}
