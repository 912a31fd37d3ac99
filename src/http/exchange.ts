/**
 * One request and its answer, as the journey sees them. The journey does not know Fastify: this file turns Node's pair of
 * request and response into an `Exchange`, and is the place where bytes leave the process.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { Type, type Static } from 'typebox';
import type { GatewayError } from '../core/errors.ts';
import { Duration, Size } from '../core/options.ts';
import { noGrant } from '../core/profiles.ts';
import type { Client } from '../core/grants.ts';
import type { Clock, Departure, Millis, Timer } from '../core/types.ts';
import type { Account } from './account.ts';
import { Backlog, type BacklogBudget } from './backlog.ts';
import type { Member } from '../core/bag.ts';
import type { TurnEnd } from './turn-end.ts';
import { withOrigin } from './door.ts';
import type { RequestTrace } from './trace.ts';

export interface Exchange {
  readonly method: string;
  /** The request target as it came, for logs of unknown routes only; routing used a template. */
  readonly target: string;
  /** Lower-case names. */
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly address: string;
  /** Who asks, and what they may do. */
  readonly client: Client;
  readonly request: IncomingMessage;
  /** Aborts when the client leaves before the answer is complete; never on a normal end. */
  readonly left: Departure;
  /** The same for those who need a real signal. */
  readonly leftSignal: AbortSignal;
  readonly hasLeft: boolean;
  readonly headSent: boolean;
  /** Body bytes handed to the socket, without framing. */
  readonly bytesOut: number;
  /**
   * Starts the answer. `length` is the body's, or null when it ends with the answer. Nothing leaves before the first `write`
   * or the end of the current turn, so that head and first bytes share a packet.
   */
  head(status: number, headers: readonly string[], length: number | null): void;
  /** Hands on bytes, unchanged, within the current turn of the event loop. What comes after the end is dropped. */
  write(bytes: Buffer): void;
  end(): void;
  /** Sends what was written, then closes the connection without completing the answer, so that nobody takes it for whole. */
  cut(): void;
  /** Whether the client was cut because it took nothing for too long. */
  readonly hasStalled: boolean;
  /**
   * Called with false when the client is so far behind that its backlog is full, with true when there is room again. Until
   * then the backend is read at its own pace, so that a slow reader does not hold a slot.
   */
  onRoom: ((room: boolean) => void) | null;
  /** Set by whoever takes the request over; null when its trace is not recorded. */
  trace: RequestTrace | null;
  /** Called once, when the response has closed for whatever reason. */
  onClose: (() => void) | null;
  /** Called when the gateway stops and can wait no longer, or an operator ends the request: end the answer now, with this error. */
  onStop: ((why: GatewayError) => void) | null;
  /** What is known of the request; null until its account is opened. */
  account: Account | null;
}

export const SlowClientOptions = Type.Object(
  {
    buffer: Size({
      description: 'How far one client may lag behind its answer before the backend is made to wait.',
      default: '256KiB',
      minimum: '16KiB',
    }),
    bufferTotal: Size({
      description: 'The same for all clients together, with what waits at their connections.',
      default: '32MiB',
      minimum: '1MiB',
    }),
    stall: Duration({
      description: 'A client that takes nothing of its answer for so long is cut; 0 means never.',
      default: '60s',
    }),
  },
  {
    additionalProperties: false,
    description:
      'Clients that read slowly. Their answers are read ahead, so that they do not hold a slot of a backend.',
  },
);
export type SlowClientOptions = Static<typeof SlowClientOptions>;

/** How far a client may lag behind, and for how long. */
export interface FlowLimits {
  readonly clock: Clock;
  /** Bytes one client may lag behind before its backend is paused. */
  readonly perClient: number;
  /** When what was written in a turn of the event loop is sent. */
  readonly turn: TurnEnd;
  /** For all clients together. */
  readonly budget: BacklogBudget;
  /** A client that takes nothing for so long is cut; 0 means never. */
  readonly stallMs: Millis;
}

/** Below this, a write goes out as one latin1 string: one small system call instead of a vector of buffers. */
const stringLimitBytes = 8 * 1024;

/**
 * A turn of the event loop can bring megabytes from a fast backend. Once so much has been gathered it is sent at once, so that
 * a client that does not take it is noticed before the rest has been read.
 */
const gatherLimitBytes = 16 * 1024;

/** A backlog is sent in steps, so that a client that reads slowly but steadily is seen to make progress. */
const stepBytes = 16 * 1024;

class ClientDeparture implements Departure {
  readonly #exchange: { readonly hasLeft: boolean };
  readonly #listeners = new Set<() => void>();

  constructor(exchange: { readonly hasLeft: boolean }) {
    this.#exchange = exchange;
  }

  get aborted(): boolean {
    return this.#exchange.hasLeft;
  }

  addEventListener(_type: 'abort', run: () => void): void {
    this.#listeners.add(run);
  }

  removeEventListener(_type: 'abort', run: () => void): void {
    this.#listeners.delete(run);
  }

  tell(): void {
    for (const run of this.#listeners) run();
    this.#listeners.clear();
  }
}

export class NodeExchange implements Exchange, Member {
  place = 0;
  trace: RequestTrace | null = null;
  readonly request: IncomingMessage;
  client: Client;
  /** Fields of the answer that say something of the client rather than of the answer. */
  ownFields: readonly string[] | null = null;
  readonly #response: ServerResponse;
  #left: ClientDeparture | null = null;
  hasLeft = false;
  hasStalled = false;
  bytesOut = 0;
  onRoom: ((room: boolean) => void) | null = null;
  onClose: (() => void) | null = null;
  onStop: ((why: GatewayError) => void) | null = null;
  account: Account | null = null;

  /** How the body is delimited: by us in chunks, by its length or the connection's end, or there is none. */
  #framing: 'chunked' | 'plain' | 'none' = 'plain';
  #pending: Buffer[] = [];
  #pendingBytes = 0;
  #ending = false;
  #scheduled = false;
  #started = false;
  /** The socket has more than it can send at once; what comes goes to the backlog. */
  #isCongested = false;
  #isPaused = false;
  #isCutting = false;
  /** The head has gone to the socket, so what follows may go there directly. */
  #flushed = false;
  readonly #flow: FlowLimits;
  readonly #flushDue = (): void => {
    if (this.#scheduled) this.#flush();
  };
  readonly #backlog: Backlog;
  #progressAt: Millis = 0;
  #stallTimer: Timer | null = null;

  readonly #allowOrigin: string | null;

  /** `allowOrigin`: what the answer tells the browser of a page that may read it; null when no page is involved. */
  constructor(request: IncomingMessage, response: ServerResponse, flow: FlowLimits, allowOrigin: string | null = null) {
    this.request = request;
    this.client = { id: this.address, grant: noGrant };
    this.#response = response;
    this.#flow = flow;
    this.#allowOrigin = allowOrigin;
    this.#backlog = new Backlog(flow.budget);
    response.on('close', () => this.#closed());
  }

  get method(): string {
    return this.request.method ?? 'GET';
  }

  get target(): string {
    return this.request.url ?? '/';
  }

  get headers(): Readonly<Record<string, string | string[] | undefined>> {
    return this.request.headers;
  }

  get address(): string {
    return this.request.socket.remoteAddress ?? '';
  }

  get left(): Departure {
    return (this.#left ??= new ClientDeparture(this));
  }

  get leftSignal(): AbortSignal {
    const controller = new AbortController();
    if (this.hasLeft) controller.abort();
    else this.left.addEventListener('abort', () => controller.abort());
    return controller.signal;
  }

  get headSent(): boolean {
    return this.#started;
  }

  head(status: number, headers: readonly string[], length: number | null): void {
    const response = this.#response;
    if (this.hasLeft || response.headersSent) return;
    this.#started = true;
    // Ollama sends no Connection or Keep-Alive field; HTTP/1.1 connections stay open without them.
    if (response.shouldKeepAlive && this.request.httpVersionMinor >= 1 && !response.hasHeader('connection')) {
      response.removeHeader('connection');
    }
    const bodiless = this.method === 'HEAD' || status === 204 || status === 304;
    const own = this.ownFields === null ? headers : [...headers, ...this.ownFields];
    const fields = withOrigin(own, this.#allowOrigin);
    const all = length === null || status === 204 ? fields : [...fields, 'Content-Length', String(length)];
    response.writeHead(status, all as string[]);
    this.#framing = bodiless ? 'none' : length === null && response.chunkedEncoding ? 'chunked' : 'plain';
    // From here on we frame the chunks ourselves: one write per turn instead of Node's four per chunk.
    if (this.#framing === 'chunked') response.chunkedEncoding = false;
    this.#schedule();
  }

  write(bytes: Buffer): void {
    if (this.hasLeft || this.#ending || this.#framing === 'none' || bytes.length === 0) return;
    this.bytesOut += bytes.length;
    this.#pending.push(bytes);
    this.#pendingBytes += bytes.length;
    const isMuch = this.#pendingBytes >= gatherLimitBytes || (this.#isCongested && this.#backlog.isShort);
    if (isMuch && !this.#isPaused) this.#flush();
    else this.#schedule();
  }

  end(): void {
    if (this.hasLeft || this.#ending) return;
    this.#ending = true;
    this.#schedule();
  }

  cut(): void {
    if (this.hasLeft || this.#ending || this.#isCutting) return;
    this.#isCutting = true;
    this.onRoom = null;
    if (this.#started) this.#flush();
    else this.#disconnect();
  }

  #schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    this.#flow.turn.call(this.#flushDue);
  }

  /** Everything gathered in this turn leaves as one write, or joins the backlog. */
  #flush(): void {
    this.#scheduled = false;
    if (this.hasLeft) return;
    const parts = this.#pending;
    if (parts.length > 0) this.#pending = [];
    this.#pendingBytes = 0;
    if (this.#isCongested) {
      for (const part of parts) this.#backlog.push(part);
      if (!this.#isPaused && this.#backlog.isFull(this.#flow.perClient)) this.#setPaused(true);
      return;
    }
    if (this.#ending) return this.#finish(parts);
    if (parts.length > 0) this.#send(parts);
    else if (!this.#flushed) this.#sendHead();
    if (this.#isCutting && !this.#isCongested) this.#disconnect();
  }

  #sendHead(): void {
    this.#response.flushHeaders();
    this.#flushed = this.#response.socket !== null;
  }

  #send(parts: readonly Buffer[]): void {
    const response = this.#response;
    const framed = this.#frame(parts, false);
    // After the head, straight to the socket: ServerResponse.write would cork and wait for the next tick.
    const { socket } = response as { socket: Socket | null };
    const direct = socket !== null && response.headersSent && this.#flushed;
    this.#flushed = socket !== null;
    const to = direct ? socket : response;
    if (!put(to, framed)) this.#congest(to);
  }

  #congest(on: Socket | ServerResponse): void {
    this.#isCongested = true;
    this.#backlog.queued = on.writableLength;
    this.#progressAt = this.#flow.clock.now();
    this.#watch();
    on.once('drain', () => this.#drained());
  }

  #drained(): void {
    if (this.hasLeft) return;
    this.#progressAt = this.#flow.clock.now();
    this.#isCongested = false;
    this.#backlog.queued = 0;
    while (this.#backlog.size > 0 && !this.#isCongested) this.#send([this.#backlog.take(stepBytes)]);
    if (this.#isPaused && this.#backlog.size <= this.#flow.perClient / 2) this.#setPaused(false);
    if (this.#isCongested) return;
    this.#flush();
  }

  #setPaused(paused: boolean): void {
    this.#isPaused = paused;
    this.onRoom?.(!paused);
  }

  #finish(parts: readonly Buffer[]): void {
    const last = this.#framing === 'none' ? '' : this.#frame(parts, true);
    if (last.length === 0) this.#response.end();
    else if (typeof last === 'string') this.#response.end(last, 'latin1');
    else this.#response.end(last);
    if ((this.#response.socket?.writableLength ?? 0) > stepBytes) {
      this.#progressAt = this.#flow.clock.now();
      this.#watch();
    }
  }

  #disconnect(): void {
    const { socket } = this.#response;
    if (socket === null) this.#response.destroy();
    else socket.destroySoon();
    this.#progressAt = this.#flow.clock.now();
    this.#watch();
  }

  /** Looks, when it could be true, whether the client has taken nothing for too long. */
  #watch(): void {
    const { clock, stallMs } = this.#flow;
    if (stallMs <= 0 || this.#stallTimer !== null) return;
    this.#stallTimer = clock.after(this.#progressAt + stallMs - clock.now(), () => {
      this.#stallTimer = null;
      if (!this.#isCongested && !this.#ending && !this.#isCutting) return;
      if (clock.now() < this.#progressAt + stallMs) return this.#watch();
      this.hasStalled = true;
      this.request.socket.destroy();
    });
  }

  /** One chunk of the parts, and the terminator when it is the last. */
  #frame(parts: readonly Buffer[], last: boolean): string | Buffer {
    let size = 0;
    for (const part of parts) size += part.length;
    const chunked = this.#framing === 'chunked';
    if (size > stringLimitBytes) {
      if (!chunked) return parts.length === 1 ? parts[0]! : Buffer.concat(parts);
      return Buffer.concat([latin1(`${size.toString(16)}\r\n`), ...parts, latin1(last ? '\r\n0\r\n\r\n' : '\r\n')]);
    }
    let text = '';
    for (const part of parts) text += part.toString('latin1');
    if (!chunked) return text;
    const chunk = size === 0 ? '' : `${size.toString(16)}\r\n${text}\r\n`;
    return last ? `${chunk}0\r\n\r\n` : chunk;
  }

  #closed(): void {
    if (!this.#response.writableFinished) {
      this.hasLeft = true;
      this.#pending = [];
      this.#left?.tell();
    }
    this.#backlog.clear();
    this.#stallTimer?.cancel();
    const { onClose } = this;
    this.onClose = null;
    this.onRoom = null;
    onClose?.();
  }
}

function put(to: Socket | ServerResponse, data: string | Buffer): boolean {
  return typeof data === 'string' ? (to as Socket).write(data, 'latin1') : to.write(data);
}

function latin1(text: string): Buffer {
  return Buffer.from(text, 'latin1');
}
