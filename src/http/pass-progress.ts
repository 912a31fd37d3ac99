/**
 * A pull, push or create on one backend: its bytes pass unchanged, as they come, but for the last of them. `success`, and the end,
 * wait until the catalogue knows what has changed, because a client that sees them goes on with what it asked for.
 */
import type { Call, Receiver } from '../backends/client.ts';
import type { BackendFailure } from '../backends/failure.ts';
import type { FailureCode, GatewayError } from '../core/errors.ts';
import type { BackendId } from '../core/types.ts';
import type { Meter, Reading } from '../dialects/dialect.ts';
import { answerError, cutWithError } from './errors.ts';
import { ownHeaders, responseHeaders } from './headers.ts';
import { tether, type Tether } from './tether.ts';
import { unanswered, type Visit } from './visit.ts';

export interface PassErrand {
  readonly visit: Visit;
  readonly reading: Reading;
  readonly backend: BackendId;
  readonly send: (receiver: Receiver) => Call;
  /** Resolves when the catalogue knows what the backend has now. */
  readonly settled: () => Promise<void>;
}

/** Resolves when the client has all it will get. */
export function passProgress(errand: PassErrand): Promise<void> {
  return new Passage(errand).over;
}

class Passage implements Receiver {
  readonly over: Promise<void>;
  readonly #errand: PassErrand;
  readonly #tether: Tether;
  readonly #resolve: () => void;
  #meter: Meter | null = null;
  /** An answer that is no stream, gathered whole. */
  #gathered: { readonly status: number; readonly headers: string[]; readonly length: number | null } | null = null;
  /** What is kept back: a whole answer, or a stream from its `success` on. */
  #kept: Buffer[] = [];

  constructor(errand: PassErrand) {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.over = promise;
    this.#resolve = resolve;
    this.#errand = errand;
    this.#tether = tether(errand.visit.exchange, {
      onLeft: () => this.#finish(),
      onStop: (why) => this.#tell(why),
    });
    this.#tether.hold(errand.send(this));
  }

  head(status: number, headers: Readonly<Record<string, string | string[] | undefined>>): void {
    const { visit, reading, backend } = this.#errand;
    const { account, dialect, exchange, route } = visit;
    account.phase = 'streaming';
    account.status = status;
    const contentType = String(headers['content-type'] ?? '');
    const length = typeof headers['content-length'] === 'string' ? Number(headers['content-length']) : null;
    const fields = [...responseHeaders(headers), ...ownHeaders(account, { backend, reason: 'placement' })];
    if (status >= 400 || !contentType.startsWith('application/x-ndjson')) {
      this.#gathered = { status, headers: fields, length };
      return;
    }
    this.#meter = dialect.meter(route, reading, contentType);
    exchange.head(status, [...fields, 'X-Accel-Buffering', 'no'], length);
  }

  data(chunk: Buffer): void {
    const { account, exchange } = this.#errand.visit;
    account.firstByteMs ??= this.#errand.visit.clock.now() - account.startedAt;
    this.#meter?.push(chunk);
    if (this.#gathered !== null || this.#kept.length > 0 || chunk.includes('"success"')) this.#kept.push(chunk);
    else exchange.write(chunk);
  }

  end(): void {
    void this.#end();
  }

  failed(failure: BackendFailure): void {
    // It had said how it ended; that the connection was lost after that takes nothing back.
    if (this.#meter?.finish().ending === 'complete') void this.#end();
    else this.#lose(failure.code, failure.message);
  }

  async #end(): Promise<void> {
    const { visit, settled } = this.#errand;
    const { account, exchange } = visit;
    const gathered = this.#gathered;
    if (gathered !== null) {
      if (gathered.status < 400) await settled();
      else account.outcome = gathered.status >= 500 ? 'backend-error' : 'client-error';
      exchange.head(gathered.status, gathered.headers, gathered.length);
      this.#release();
      return;
    }
    const ending = this.#meter?.finish().ending ?? 'missing';
    if (ending === 'missing') {
      this.#lose('backend-truncated', 'ended its answer before it was complete');
      return;
    }
    if (ending === 'error') account.outcome = 'backend-error';
    else await settled();
    this.#release();
  }

  #release(): void {
    const { exchange } = this.#errand.visit;
    for (const chunk of this.#kept) exchange.write(chunk);
    exchange.end();
    this.#finish();
  }

  #lose(code: FailureCode, what: string): void {
    this.#tell(unanswered(this.#errand.backend, { code, message: what }));
  }

  #tell(error: GatewayError): void {
    const { account, dialect, exchange } = this.#errand.visit;
    if (this.#meter === null) answerError(exchange, dialect, error, account);
    else {
      for (const chunk of this.#kept) exchange.write(chunk);
      cutWithError(exchange, dialect, error, { account, separator: this.#meter.separator() });
    }
    this.#finish();
  }

  #finish(): void {
    this.#tether.release();
    this.#resolve();
  }
}
