/**
 * A body on its way from a client to one or several backends at once, without ever being held: the client is read only as fast as
 * the slowest backend takes it. A backend that takes nothing for too long is given up, and the others go on.
 */
import type { IncomingMessage } from 'node:http';
import type { UploadCall } from '../backends/upload.ts';
import type { Clock, Millis, Timer } from '../core/types.ts';
import type { BodyLimits } from './body.ts';

export type UploadEnd =
  /** Every byte has been handed to every backend still there. */
  | 'sent'
  /** No backend is there any more. */
  | 'unwanted'
  | 'client-gone'
  | 'receive-timeout';

export interface Upload {
  readonly end: Promise<UploadEnd>;
  readonly bytes: number;
  /** The backend has answered or failed, and needs no more. */
  leave(index: number): void;
}

export interface UploadOptions {
  /** The client's pace; there is no limit of size here, since nothing is held. */
  readonly limits: Pick<BodyLimits, 'minimumRate' | 'timeout'>;
  /** How long a backend may take nothing. */
  readonly silence: Millis;
}

/** What may be on its way to one backend. */
const WINDOW_BYTES = 512 * 1024;
const LOOK_EVERY_MS = 1000;

export function startUpload(
  request: IncomingMessage,
  to: readonly UploadCall[],
  clock: Clock,
  options: UploadOptions,
): Upload {
  return new Tee(request, to, clock, options);
}

interface Outlet {
  readonly call: UploadCall;
  isOpen: boolean;
  /** Bytes that have not left the process yet. */
  pending: number;
  /** Since when nothing has left although something could; null while nothing is pending. */
  waitingSince: Millis | null;
}

class Tee implements Upload {
  readonly end: Promise<UploadEnd>;
  bytes = 0;
  readonly #request: IncomingMessage;
  readonly #clock: Clock;
  readonly #options: UploadOptions;
  readonly #outlets: readonly Outlet[];
  readonly #resolve: (end: UploadEnd) => void;
  #isOver = false;
  #timer: Timer | null = null;
  /** Since when the client is waited for; null while a backend is. */
  #waitingSince: Millis | null;
  #waitedMs: Millis = 0;

  constructor(request: IncomingMessage, to: readonly UploadCall[], clock: Clock, options: UploadOptions) {
    const { promise, resolve } = Promise.withResolvers<UploadEnd>();
    this.end = promise;
    this.#resolve = resolve;
    this.#request = request;
    this.#clock = clock;
    this.#options = options;
    this.#waitingSince = clock.now();
    this.#outlets = to.map((call) => ({ call, isOpen: true, pending: 0, waitingSince: null }));
    request.on('data', this.#onData).on('end', this.#onEnd).on('close', this.#onClose).on('error', this.#onClose);
    this.#look();
  }

  leave(index: number): void {
    const outlet = this.#outlets[index];
    if (outlet?.isOpen !== true) return;
    outlet.isOpen = false;
    outlet.call.abort();
    if (this.#outlets.some(({ isOpen }) => isOpen)) this.#flow();
    else this.#finish('unwanted');
  }

  readonly #onData = (chunk: Buffer): void => {
    const now = this.#clock.now();
    this.bytes += chunk.length;
    if (this.#waitingSince !== null) this.#waitedMs += now - this.#waitingSince;
    this.#waitingSince = now;
    const open = this.#outlets.filter(({ isOpen }) => isOpen);
    let users = open.length;
    for (const outlet of open) {
      outlet.pending += chunk.length;
      outlet.waitingSince ??= now;
      outlet.call.write(chunk, () => {
        outlet.pending -= chunk.length;
        outlet.waitingSince = outlet.pending > 0 ? this.#clock.now() : null;
        users -= 1;
        if (users === 0) giveBack(chunk);
        this.#flow();
      });
    }
    this.#flow();
  };

  readonly #onEnd = (): void => {
    for (const { call, isOpen } of this.#outlets) if (isOpen) call.end();
    this.#finish('sent');
  };

  readonly #onClose = (): void => this.#give('client-gone');

  /** Reads on when every backend has room, and not before. */
  #flow(): void {
    if (this.#isOver) return;
    const isFull = this.#outlets.some(({ isOpen, pending }) => isOpen && pending >= WINDOW_BYTES);
    if (isFull === this.#request.isPaused()) return;
    if (isFull) {
      this.#waitingSince = null;
      this.#request.pause();
    } else {
      this.#waitingSince = this.#clock.now();
      this.#request.resume();
    }
  }

  #look(): void {
    this.#timer = this.#clock.after(LOOK_EVERY_MS, () => this.#look());
    const now = this.#clock.now();
    const { limits, silence } = this.#options;
    const waited = this.#waitedMs + (this.#waitingSince === null ? 0 : now - this.#waitingSince);
    if (limits.timeout > 0 && waited > limits.timeout + (this.bytes / limits.minimumRate) * 1000) {
      this.#give('receive-timeout');
      return;
    }
    for (const [index, { isOpen, waitingSince }] of this.#outlets.entries()) {
      if (isOpen && waitingSince !== null && now - waitingSince >= silence) this.leave(index);
    }
  }

  /** The body will not be whole: no backend must take what it has for all of it. */
  #give(end: UploadEnd): void {
    if (this.#isOver) return;
    this.#finish(end);
    for (const { call, isOpen } of this.#outlets) if (isOpen) call.abort();
  }

  #finish(end: UploadEnd): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#timer?.cancel();
    const request = this.#request;
    request.off('data', this.#onData).off('end', this.#onEnd).off('close', this.#onClose).off('error', this.#onClose);
    request.on('error', () => {});
    this.#resolve(end);
  }
}

/**
 * The memory of a chunk that has left by every door. V8 would see to it, but lets some 64 MiB of such buffers gather first. Only
 * where the chunk is all of its memory, as what comes from a socket is.
 */
function giveBack({ buffer, byteOffset, length }: Buffer): void {
  if (buffer instanceof ArrayBuffer && byteOffset === 0 && buffer.byteLength === length) buffer.transfer(0);
}
