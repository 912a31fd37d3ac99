/**
 * One request and its answer, as the journey sees them. The journey does not know Fastify: this file turns Node's pair of
 * request and response into an `Exchange`, and is the place where bytes leave the process.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';

export interface Exchange {
  readonly method: string;
  /** The request target as it came, for logs of unknown routes only; routing used a template. */
  readonly target: string;
  /** Lower-case names. */
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly address: string;
  readonly request: IncomingMessage;
  /** Aborts when the client leaves before the answer is complete; never on a normal end. */
  readonly left: AbortSignal;
  readonly hasLeft: boolean;
  readonly headSent: boolean;
  /** Body bytes handed to the socket, without framing. */
  readonly bytesOut: number;
  /**
   * Starts the answer. `length` is the body's, or null when it ends with the answer. Nothing leaves before the first `write`
   * or the end of the current turn, so that head and first bytes share a packet.
   */
  head(status: number, headers: readonly string[], length: number | null): void;
  /** Hands on bytes, unchanged, within the current turn of the event loop. */
  write(bytes: Buffer): void;
  end(): void;
  /** Sends what was written, then closes the connection without completing the answer, so that nobody takes it for whole. */
  cut(): void;
  /** Called with false when the client reads too slowly, with true when there is room again. */
  onRoom: ((room: boolean) => void) | null;
  /** Called once, when the response has closed for whatever reason. */
  onClose: (() => void) | null;
  /** Called when the gateway stops and can wait no longer: end the answer now, truthfully. */
  onStop: (() => void) | null;
}

/** Below this, a write goes out as one latin1 string: one small system call instead of a vector of buffers. */
const stringLimitBytes = 8 * 1024;

export class NodeExchange implements Exchange {
  readonly request: IncomingMessage;
  readonly #response: ServerResponse;
  #left: AbortController | null = null;
  hasLeft = false;
  bytesOut = 0;
  onRoom: ((room: boolean) => void) | null = null;
  onClose: (() => void) | null = null;
  onStop: (() => void) | null = null;

  /** How the body is delimited: by us in chunks, by its length or the connection's end, or there is none. */
  #framing: 'chunked' | 'plain' | 'none' = 'plain';
  #pending: Buffer[] = [];
  #ending = false;
  #scheduled = false;
  #started = false;
  #draining = false;
  /** The head has gone to the socket, so what follows may go there directly. */
  #flushed = false;

  constructor(request: IncomingMessage, response: ServerResponse) {
    this.request = request;
    this.#response = response;
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

  get left(): AbortSignal {
    if (this.#left === null) {
      this.#left = new AbortController();
      if (this.hasLeft) this.#left.abort();
    }
    return this.#left.signal;
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
    const all = length === null || status === 204 ? headers : [...headers, 'Content-Length', String(length)];
    response.writeHead(status, all as string[]);
    this.#framing = bodiless ? 'none' : length === null && response.chunkedEncoding ? 'chunked' : 'plain';
    // From here on we frame the chunks ourselves: one write per turn instead of Node's four per chunk.
    if (this.#framing === 'chunked') response.chunkedEncoding = false;
    this.#schedule();
  }

  write(bytes: Buffer): void {
    if (this.hasLeft || this.#framing === 'none' || bytes.length === 0) return;
    this.bytesOut += bytes.length;
    this.#pending.push(bytes);
    this.#schedule();
  }

  end(): void {
    if (this.hasLeft || this.#ending) return;
    this.#ending = true;
    this.#schedule();
  }

  cut(): void {
    if (this.hasLeft) return;
    this.#flush();
    const { socket } = this.#response;
    this.onRoom = null;
    if (socket === null) this.#response.destroy();
    else socket.destroySoon();
  }

  #schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    queueMicrotask(() => {
      if (this.#scheduled) this.#flush();
    });
  }

  /** Everything gathered in this turn leaves as one write. */
  #flush(): void {
    this.#scheduled = false;
    if (this.hasLeft) return;
    const parts = this.#pending;
    if (parts.length > 0) this.#pending = [];
    if (this.#ending) this.#finish(parts);
    else this.#send(parts);
  }

  #send(parts: readonly Buffer[]): void {
    const response = this.#response;
    if (parts.length === 0) {
      response.flushHeaders();
      return;
    }
    const framed = this.#frame(parts, false);
    // After the head, straight to the socket: ServerResponse.write would cork and wait for the next tick.
    const { socket } = response as { socket: Socket | null };
    const direct = socket !== null && response.headersSent && this.#flushed;
    this.#flushed = socket !== null;
    const room = direct ? put(socket, framed) : put(response, framed);
    if (!room && !this.#draining) this.#waitForRoom(direct ? socket : response);
  }

  #finish(parts: readonly Buffer[]): void {
    const last = this.#framing === 'none' ? '' : this.#frame(parts, true);
    if (last.length === 0) this.#response.end();
    else if (typeof last === 'string') this.#response.end(last, 'latin1');
    else this.#response.end(last);
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

  #waitForRoom(on: Socket | ServerResponse): void {
    this.#draining = true;
    this.onRoom?.(false);
    on.once('drain', () => {
      this.#draining = false;
      this.onRoom?.(true);
    });
  }

  #closed(): void {
    if (!this.#response.writableFinished) {
      this.hasLeft = true;
      this.#pending = [];
      this.#left?.abort();
    }
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
