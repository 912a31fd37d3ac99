/**
 * Sends a body of any size to one backend. Over Node's own client and not undici, because it says of each chunk when it has left the
 * process: until then the sender's memory is in use, and from then on it need not wait for the garbage collector. That is what
 * keeps the memory flat under a body of gigabytes.
 */
import { request as httpRequest, type ClientRequest, type IncomingMessage } from 'node:http';
import { request as httpsRequest } from 'node:https';
import type { Clock, Millis, Timer } from '../core/types.ts';
import type { Receiver } from './client.ts';
import { failure, failureOf, type BackendFailure } from './failure.ts';

export interface UploadAsk {
  /** Built from validated parts. */
  readonly path: string;
  /** As those of an `Ask`, with `Content-Length` when it is known; the body is chunked otherwise. */
  readonly headers: readonly string[];
  /** Until the connection is there; how long the rest may take is for whoever writes to say. */
  readonly connect: Millis;
}

export interface UploadCall {
  /** `taken` is called when the bytes have left the process, and never when the call ends before that. */
  write(chunk: Buffer, taken: () => void): void;
  end(): void;
  /** Closes the connection, whatever its state; the receiver hears nothing more. */
  abort(): void;
}

export interface UploadTarget {
  readonly url: URL;
  /** Path in front of every path. */
  readonly prefix: string;
  /** Host and credential. */
  readonly headers: readonly string[];
  readonly tls: Readonly<Record<string, unknown>>;
}

/** On a connection of its own, closed after the answer. */
export function startUpload(target: UploadTarget, ask: UploadAsk, receiver: Receiver, clock: Clock): UploadCall {
  return new Sending(target, ask, receiver, clock);
}

class Sending implements UploadCall {
  readonly #receiver: Receiver;
  readonly #request: ClientRequest;
  readonly #timer: Timer | null;
  #isConnected = false;
  #headSeen = false;
  #isOver = false;

  constructor({ url, prefix, headers, tls }: UploadTarget, ask: UploadAsk, receiver: Receiver, clock: Clock) {
    this.#receiver = receiver;
    const start = url.protocol === 'https:' ? httpsRequest : httpRequest;
    this.#request = start({
      ...tls,
      method: 'POST',
      hostname: url.hostname.replace(/^\[|\]$/g, ''),
      port: url.port,
      path: prefix + ask.path,
      headers: [...headers, ...ask.headers],
      agent: false,
    });
    const late = () => this.#fail(failure('backend-connect-timeout', 'did not accept the connection in time'));
    this.#timer = ask.connect > 0 ? clock.after(ask.connect, late) : null;
    this.#request.on('socket', (socket) => socket.once('connect', () => this.#connected()));
    this.#request.on('response', (response) => this.#answered(response));
    this.#request.on('error', (error) => this.#fail(failureOf(error, this.#isConnected, this.#headSeen)));
    // The head goes out at once, so that a backend that wants nothing can say so before the body has come.
    this.#request.flushHeaders();
  }

  write(chunk: Buffer, taken: () => void): void {
    if (this.#isOver) return;
    this.#request.write(chunk, (error) => {
      if (error === null || error === undefined) taken();
    });
  }

  end(): void {
    if (!this.#isOver) this.#request.end();
  }

  abort(): void {
    this.#finish();
    this.#request.destroy();
  }

  #connected(): void {
    this.#isConnected = true;
    this.#timer?.cancel();
  }

  #answered(response: IncomingMessage): void {
    if (this.#isOver) return;
    this.#headSeen = true;
    this.#receiver.head(response.statusCode ?? 0, response.headers);
    response.on('data', (chunk: Buffer) => {
      if (!this.#isOver) this.#receiver.data(chunk);
    });
    response.on('end', () => {
      if (this.#isOver) return;
      this.#finish();
      this.#receiver.end();
      this.#request.destroy();
    });
    response.on('error', (error) => this.#fail(failureOf(error, true, true)));
  }

  #fail(what: BackendFailure): void {
    if (this.#isOver) return;
    this.#finish();
    this.#request.destroy();
    this.#receiver.failed(what);
  }

  #finish(): void {
    this.#isOver = true;
    this.#timer?.cancel();
  }
}
