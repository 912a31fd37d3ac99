/**
 * Asks one backend. The only file that knows undici: one Pool per backend, pipelining 1, no limit on connections (queueing is
 * core's business), undici's own timers off and ours on, HTTP/1.1 only, redirects never followed, TLS verified.
 */
import { Client, Pool, type Dispatcher } from 'undici';
import type { BackendSpec } from '../core/backend.ts';
import type { Clock, Millis, Timer } from '../core/types.ts';
import { credential, readAhead, tlsOptions } from './connection.ts';
import { guardedLookup } from './address-guard.ts';
import { failure, failureOf, type BackendFailure } from './failure.ts';
import { startUpload, type UploadAsk, type UploadCall } from './upload.ts';

/** Milliseconds; 0 or less means no limit. */
export interface CallTimeouts {
  readonly connect: Millis;
  readonly firstByte: Millis;
  readonly idle: Millis;
  readonly total: Millis;
}

export interface Ask {
  readonly method: 'GET' | 'HEAD' | 'POST' | 'DELETE';
  /** A constant from a route table, or built from validated parts; never a client's text. */
  readonly path: string;
  /** Flat name, value list; already filtered by an allow-list. `Host` and credentials are added here. */
  readonly headers: readonly string[];
  readonly body: Buffer | null;
  /**
   * Whether it may be sent twice. Then a kept-alive connection that turns out to have been closed is replaced by a fresh one, once;
   * the backend had been asked nothing it could have begun. What may not has a connection of its own.
   */
  readonly repeatable: boolean;
  readonly timeouts: CallTimeouts;
}

/** Receives one answer: `head`, any `data`, then exactly one of `end` and `failed`; nothing after `Call.abort`. */
export interface Receiver {
  head(status: number, headers: Readonly<Record<string, string | string[] | undefined>>): void;
  data(chunk: Buffer): void;
  end(): void;
  failed(failure: BackendFailure): void;
}

export interface Call {
  /** Stops reading from the backend until `resume`; the idle timer stands still meanwhile. */
  pause(): void;
  resume(): void;
  /** Closes the connection, which is how Ollama learns that nobody listens. */
  abort(): void;
}

export interface BackendClient {
  send(ask: Ask, receiver: Receiver): Call;
  /** Sends a body of any size as it comes. */
  upload(ask: UploadAsk, receiver: Receiver): UploadCall;
  /** Reads a whole small answer (at most 16 MiB). Rejects with the BackendFailure in `cause`. */
  fetch(ask: Ask): Promise<{ readonly status: number; readonly body: Buffer }>;
  /** Takes no new call; resolves when the running ones have ended. */
  close(): Promise<void>;
  /** Cuts every connection. */
  destroy(): Promise<void>;
}

const keepAliveMs = 60_000;
/** A connection that was closed before the request shows it within a round trip. Later it is the request that was lost. */
const staleWithinMs = 250;
const fetchLimitBytes = 16 * 1024 * 1024;

/** Reads the TLS files of the spec; throws when one is missing. */
export function createClient(
  spec: Pick<BackendSpec, 'url' | 'tls' | 'auth' | 'specialAddress'>,
  clock: Clock,
): BackendClient {
  const url = new URL(spec.url);
  const prefix = url.pathname.replace(/\/+$/, '');
  const tls = { ...tlsOptions(spec.tls), ...(spec.specialAddress === true ? {} : { lookup: guardedLookup() }) };
  const options = {
    pipelining: 1,
    headersTimeout: 0,
    bodyTimeout: 0,
    keepAliveTimeout: keepAliveMs,
    keepAliveMaxTimeout: keepAliveMs,
    allowH2: false,
    connect: { timeout: 60_000, ...readAhead(url), ...tls },
  };
  const pool = new Pool(url.origin, { ...options, connections: null });
  // Without a listener, a pool-level connection error would be an unhandled 'error' event; every call reports its own.
  pool.on('connectionError', () => {});

  const own = ['Host', url.host, ...credential(spec.auth)];

  function send(ask: Ask, receiver: Receiver): Call {
    const request = { method: ask.method, path: prefix + ask.path, headers: own.concat(ask.headers), body: ask.body };
    const afresh = () => {
      const once = new Client(url.origin, options);
      dispatch(once, request, call);
      void once.close();
    };
    const call = new UpstreamCall(ask.timeouts, receiver, clock, ask.repeatable ? afresh : null);
    // What can't be sent again does not risk a kept-alive connection that has just been closed.
    if (ask.repeatable) dispatch(pool, request, call);
    else afresh();
    return call;
  }

  return {
    send,
    upload: (ask, receiver) => startUpload({ url, prefix, headers: own, tls }, ask, receiver, clock),
    fetch: (ask) => fetchWhole(send, ask),
    // Closing after the pool was destroyed is no error here: what should end has ended.
    close: () => pool.close().catch(() => {}),
    destroy: () => pool.destroy(),
  };
}

function dispatch(to: Dispatcher, request: Dispatcher.DispatchOptions, call: UpstreamCall): void {
  try {
    to.dispatch(request, call);
  } catch (error) {
    // undici throws synchronously only for a request it would not send (bad header, closed pool).
    queueMicrotask(() => call.fail(failureOf(error, false, false)));
  }
}

/** Where a call is; the timer that applies follows from it. */
type Stage = 'connecting' | 'waiting' | 'streaming' | 'over';

/**
 * One request to one backend. One timer serves all deadlines: chunks only move a number, and the timer, when it fires, looks
 * whether the deadline has moved and re-arms itself for the rest. So a chunk costs no timer call.
 */
class UpstreamCall implements Dispatcher.DispatchHandler, Call {
  readonly #timeouts: CallTimeouts;
  readonly #receiver: Receiver;
  readonly #clock: Clock;
  readonly #startedAt: Millis;
  #controller: Dispatcher.DispatchController | null = null;
  #stage: Stage = 'connecting';
  #paused = false;
  #since: Millis;
  #timer: Timer | null = null;
  #timerAt: Millis = Infinity;
  #afresh: (() => void) | null;
  /** How the kept-alive connection failed, when the request was sent again on a fresh one. */
  #stale: BackendFailure | null = null;

  /** `afresh` sends the request again on a new connection; null when it must not be. */
  constructor(timeouts: CallTimeouts, receiver: Receiver, clock: Clock, afresh: (() => void) | null) {
    this.#afresh = afresh;
    this.#timeouts = timeouts;
    this.#receiver = receiver;
    this.#clock = clock;
    this.#startedAt = clock.now();
    this.#since = this.#startedAt;
    this.#arm();
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    if (this.#stage === 'over') {
      controller.abort(new Error('the request was given up before a connection was there'));
      return;
    }
    this.#controller = controller;
    this.#enter('waiting');
    if (this.#paused) controller.pause();
  }

  onResponseStart(
    controller: Dispatcher.DispatchController,
    status: number,
    headers: Record<string, string | string[] | undefined>,
  ): void {
    // undici keeps them as views on the buffer they came in, so 64 KiB for as long as the answer lasts (seen in 8).
    controller.rawHeaders = null;
    if (this.#stage === 'over' || status < 200) return;
    this.#enter('streaming');
    this.#receiver.head(status, headers);
  }

  onResponseData(_: Dispatcher.DispatchController, chunk: Buffer): void {
    if (this.#stage === 'over') return;
    this.#since = this.#clock.now();
    this.#receiver.data(chunk);
  }

  onResponseEnd(): void {
    if (this.#stage === 'over') return;
    this.#finish();
    this.#receiver.end();
  }

  onResponseError(_: Dispatcher.DispatchController, error: Error): void {
    const what = failureOf(error, this.#stage !== 'connecting', this.#stage === 'streaming');
    const afresh = this.#afresh;
    const isSoon = this.#clock.now() - this.#since < staleWithinMs;
    if (what.staleSocket && afresh !== null && this.#stage === 'waiting' && isSoon) {
      this.#afresh = null;
      this.#stale = what;
      this.#controller = null;
      this.#enter('connecting');
      afresh();
      return;
    }
    // Nobody listens any more where the request has just been: what died may have died of it.
    this.fail(what.code === 'backend-refused' && this.#stale !== null ? this.#stale : what);
  }

  fail(what: BackendFailure): void {
    if (this.#stage === 'over') return;
    this.#finish();
    this.#receiver.failed(what);
  }

  pause(): void {
    this.#paused = true;
    this.#controller?.pause();
  }

  resume(): void {
    if (!this.#paused) return;
    this.#paused = false;
    this.#since = this.#clock.now();
    this.#controller?.resume();
  }

  abort(): void {
    if (this.#stage === 'over') return;
    this.#finish();
    this.#controller?.abort(new Error('given up'));
  }

  /** The timer is left alone where it fires before the new deadline: most calls are over before it does. */
  #enter(stage: Stage): void {
    this.#stage = stage;
    this.#since = this.#clock.now();
    const limit = this.#limit();
    if (limit <= 0 || this.#since + limit >= this.#timerAt) return;
    this.#timer?.cancel();
    this.#arm();
  }

  #finish(): void {
    this.#stage = 'over';
    this.#timer?.cancel();
    this.#timer = null;
  }

  #limit(): Millis {
    if (this.#stage === 'connecting') return this.#timeouts.connect;
    if (this.#stage === 'waiting') return this.#timeouts.firstByte;
    return this.#paused ? 0 : this.#timeouts.idle;
  }

  /** Sets the timer for the nearest deadline that applies now. */
  #arm(): void {
    const limit = this.#limit();
    const byStage = limit > 0 ? this.#since + limit : Infinity;
    const byTotal = this.#timeouts.total > 0 ? this.#startedAt + this.#timeouts.total : Infinity;
    // A paused call is looked at again later, in case it is resumed.
    const at = Math.min(
      byStage,
      byTotal,
      this.#paused && this.#timeouts.idle > 0 ? this.#clock.now() + this.#timeouts.idle : Infinity,
    );
    this.#timerAt = at;
    this.#timer = at === Infinity ? null : this.#clock.after(at - this.#clock.now(), () => this.#look());
  }

  #look(): void {
    if (this.#stage === 'over') return;
    const now = this.#clock.now();
    const { total } = this.#timeouts;
    if (total > 0 && now >= this.#startedAt + total)
      return this.#expire(failure('total-timeout', 'took longer than timeouts.total'));
    const limit = this.#limit();
    if (limit <= 0 || now < this.#since + limit) return this.#arm();
    if (this.#stage === 'connecting')
      return this.#expire(failure('backend-connect-timeout', 'did not accept the connection in time'));
    if (this.#stage === 'waiting') return this.#expire(failure('backend-first-byte-timeout', 'sent nothing in time'));
    return this.#expire(failure('backend-idle-timeout', 'fell silent in the middle of its answer'));
  }

  #expire(what: BackendFailure): void {
    this.fail(what);
    this.#controller?.abort(new Error(what.message));
  }
}

function fetchWhole(send: BackendClient['send'], ask: Ask): Promise<{ status: number; body: Buffer }> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let status = 0;
    let size = 0;
    const call = send(ask, {
      head(code) {
        status = code;
      },
      data(chunk) {
        size += chunk.length;
        if (size > fetchLimitBytes) {
          call.abort();
          reject(new Error('the answer is too long'));
          return;
        }
        chunks.push(chunk);
      },
      end: () => resolve({ status, body: Buffer.concat(chunks) }),
      failed: (what) => reject(new Error(what.message, { cause: what })),
    });
  });
}
