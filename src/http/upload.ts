/**
 * A body on its way from a client to one or several backends at once, without ever being held: the client is read only as fast as
 * the slowest backend takes it. A backend that takes nothing for too long is given up, and the others go on.
 */
import type { IncomingMessage } from 'node:http';
import { Readable } from 'node:stream';
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
  /** One body for each backend, in the order given. */
  readonly bodies: readonly Readable[];
  readonly end: Promise<UploadEnd>;
  readonly bytes: number;
  /** The backend has answered or failed; its body needs no more. */
  leave(index: number): void;
}

export interface UploadOptions {
  readonly count: number;
  /** The client's pace; `size` is no limit here, since nothing is held. */
  readonly limits: BodyLimits;
  /** How long a backend may take nothing. */
  readonly silence: Millis;
  /** Called for a backend that took nothing for that long; its body is gone then. */
  readonly onStall: (index: number) => void;
}

/** Per backend; the rest of what is under way is in the sockets. */
const BUFFER_BYTES = 256 * 1024;
const LOOK_EVERY_MS = 1000;

export function startUpload(request: IncomingMessage, clock: Clock, options: UploadOptions): Upload {
  return new Tee(request, clock, options);
}

interface Outlet {
  readonly body: Readable;
  isOpen: boolean;
  /** Since when it has had no room; null while it has. */
  fullSince: Millis | null;
}

class Tee implements Upload {
  readonly bodies: readonly Readable[];
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

  constructor(request: IncomingMessage, clock: Clock, options: UploadOptions) {
    const { promise, resolve } = Promise.withResolvers<UploadEnd>();
    this.end = promise;
    this.#resolve = resolve;
    this.#request = request;
    this.#clock = clock;
    this.#options = options;
    this.#waitingSince = clock.now();
    this.#outlets = Array.from({ length: options.count }, (_, index) => this.#outlet(index));
    this.bodies = this.#outlets.map(({ body }) => body);
    request.on('data', this.#onData).on('end', this.#onEnd).on('close', this.#onClose).on('error', this.#onClose);
    this.#look();
  }

  leave(index: number): void {
    const outlet = this.#outlets[index];
    if (outlet?.isOpen !== true) return;
    outlet.isOpen = false;
    outlet.body.destroy();
    if (this.#outlets.some(({ isOpen }) => isOpen)) this.#flow();
    else this.#finish('unwanted');
  }

  #outlet(index: number): Outlet {
    const body = new Readable({
      highWaterMark: BUFFER_BYTES,
      read: () => {
        outlet.fullSince = null;
        this.#flow();
      },
    });
    // Whoever reads it learns of an error; nobody may be reading.
    body.on('error', () => {});
    body.on('close', () => this.leave(index));
    const outlet: Outlet = { body, isOpen: true, fullSince: null };
    return outlet;
  }

  readonly #onData = (chunk: Buffer): void => {
    this.bytes += chunk.length;
    if (this.#waitingSince !== null) this.#waitedMs += this.#clock.now() - this.#waitingSince;
    this.#waitingSince = this.#clock.now();
    for (const outlet of this.#outlets) {
      if (outlet.isOpen && !outlet.body.push(chunk)) outlet.fullSince ??= this.#clock.now();
    }
    this.#flow();
  };

  readonly #onEnd = (): void => {
    for (const { body, isOpen } of this.#outlets) if (isOpen) body.push(null);
    this.#finish('sent');
  };

  readonly #onClose = (): void => this.#give('client-gone');

  /** Reads on when every backend has room, and not before. */
  #flow(): void {
    if (this.#isOver) return;
    const isFull = this.#outlets.some(({ isOpen, fullSince }) => isOpen && fullSince !== null);
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
    const { limits, onStall, silence } = this.#options;
    const waited = this.#waitedMs + (this.#waitingSince === null ? 0 : now - this.#waitingSince);
    if (limits.timeout > 0 && waited > limits.timeout + (this.bytes / limits.minimumRate) * 1000) {
      this.#give('receive-timeout');
      return;
    }
    for (const [index, { isOpen, fullSince }] of this.#outlets.entries()) {
      if (!isOpen || fullSince === null || now - fullSince < silence) continue;
      onStall(index);
      this.leave(index);
    }
  }

  /** The body will not be whole: a backend must not take what it has for all of it. */
  #give(end: UploadEnd): void {
    if (this.#isOver) return;
    this.#finish(end);
    for (const { body, isOpen } of this.#outlets) if (isOpen) body.destroy(new Error(`the upload ended: ${end}`));
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
