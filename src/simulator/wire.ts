/**
 * How Go's HTTP server writes an answer: the handler's headers in alphabetical order, then Date, Content-Length, Connection
 * and Transfer-Encoding; no Server, no Keep-Alive; one chunk a flush; a Content-Length only for bodies that fit its buffer.
 */
import type { IncomingMessage } from 'node:http';
import { goJsonString } from '../dialects/go-json.ts';
import type { Output } from './output.ts';
import { httpDate } from './stamp.ts';

export type Headers = readonly (readonly [name: string, value: string])[];

/** A body longer than this leaves before Go knows its length, so it is chunked. */
const goBufferBytes = 2_048;

/** What Go reads of a body the handler left alone, to keep the connection. */
const unreadLimitBytes = 262_144;

export interface Reply {
  readonly headers: Headers;
  readonly body: string;
  /** Chunked whatever its length: it was flushed by a streaming handler. */
  readonly flushed?: boolean;
}

export interface ExchangeParts {
  readonly id: number;
  readonly request: IncomingMessage;
  readonly output: Output;
  readonly wallNow: () => number;
  /** Lets a client that waits for it send its body. */
  readonly proceed: () => void;
  /** Told of every piece of the request's body. */
  readonly heard: (bytes: Uint8Array) => void;
}

/** One request and its answer. */
export class Exchange {
  readonly id: number;
  readonly request: IncomingMessage;
  readonly method: string;
  /** As in Go's URL.Path: decoded. */
  readonly path: string;
  /** With its `?`, or empty. */
  readonly query: string;
  output: Output;
  committed = false;
  finished = false;
  gone = false;
  /** Whether a fault, not the client, ended it. */
  abandoned = false;
  /** Frames that say an error once the stream has begun. */
  broken: (text: string) => readonly string[] = (text) => [`{"error":${goJsonString(text)}}\n`];
  /** Headers a middleware has set before the handler runs. */
  early: Headers = [];
  readonly #parts: ExchangeParts;
  readonly #leaving: (() => void)[] = [];
  #read: 'not' | 'begun' | 'whole' = 'not';
  #waitsToProceed: boolean;

  constructor(parts: ExchangeParts) {
    const { request } = parts;
    this.#parts = parts;
    this.id = parts.id;
    this.request = request;
    this.output = parts.output;
    this.method = request.method ?? 'GET';
    const target = (request.url ?? '/').replace(/^https?:\/\/[^/?]*/iu, '');
    const mark = target.indexOf('?');
    this.path = decoded(mark < 0 ? target : target.slice(0, mark)) || '/';
    this.query = mark < 0 ? '' : target.slice(mark);
    this.#waitsToProceed = request.headers.expect === '100-continue';
  }

  /** The client left before the answer was complete. */
  left(): void {
    if (this.finished || this.gone) return;
    this.gone = true;
    for (const run of this.#leaving.splice(0)) run();
  }

  /** A fault has ended the answer: nobody will hear the rest. */
  abandon(): void {
    this.abandoned = true;
    this.left();
  }

  /** Runs at most once, when the client leaves before the answer is complete. */
  onGone(run: () => void): void {
    if (this.gone) run();
    else this.#leaving.push(run);
  }

  /** The request's body, piece by piece. Ends early when the client leaves. */
  async *body(): AsyncGenerator<Buffer> {
    if (this.#waitsToProceed) this.#parts.proceed();
    this.#waitsToProceed = false;
    this.#read = 'begun';
    try {
      for await (const chunk of this.request.iterator({ destroyOnReturn: false })) {
        this.#parts.heard(chunk as Buffer);
        yield chunk as Buffer;
      }
      this.#read = 'whole';
    } catch {
      this.left();
    }
  }

  async wholeBody(): Promise<Buffer> {
    const chunks: Buffer[] = [];
    for await (const chunk of this.body()) chunks.push(chunk);
    return chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks);
  }

  /** A whole answer. */
  send(status: number, { headers, body, flushed = false }: Reply): void {
    if (this.gone || this.committed) return;
    const bytes = Buffer.byteLength(body);
    const framing = this.#framing(status, bytes, flushed);
    this.#head(status, headers, framing);
    if (this.method !== 'HEAD' && bytes > 0) this.output.flush(body);
    this.end();
  }

  /** An answer without a body, as gin gives when a handler only sets the status. */
  async sendEmpty(status: number): Promise<void> {
    if (this.#read !== 'whole') await this.#discardBody();
    this.send(status, { headers: [], body: '' });
  }

  /** The head of a streamed answer; it leaves with the first chunk. */
  start(status: number, headers: Headers): void {
    if (this.gone || this.committed) return;
    this.#head(status, headers, this.#framing(status, 0, true));
  }

  /** One flush: one chunk on the wire. False when the client does not keep up; see `onDrain`. */
  chunk(text: string): boolean {
    return this.gone || this.finished || this.output.flush(text);
  }

  onDrain(run: () => void): void {
    this.output.onDrain(run);
  }

  end(): void {
    if (this.gone || this.finished) return;
    this.finished = true;
    this.output.end();
  }

  #head(status: number, headers: Headers, framing: Headers): void {
    this.committed = true;
    const own = [...this.early, ...headers].filter(([name]) => name !== 'Connection' || !this.#closes());
    const sorted = own.toSorted(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0));
    const date = ['Date', httpDate(this.#parts.wallNow())] as const;
    this.output.head(
      status,
      [...sorted, date, ...framing].flatMap(([name, value]) => [name, value]),
    );
  }

  #framing(status: number, bytes: number, flushed: boolean): Headers {
    const close = this.#closes() ? ([['Connection', 'close']] as const) : [];
    if (status === 204 || status === 304) return close;
    const isHead = this.method === 'HEAD';
    if (flushed || bytes > goBufferBytes) {
      if (isHead || this.request.httpVersionMinor === 0) return close;
      return [...close, ['Transfer-Encoding', 'chunked']];
    }
    if (isHead && bytes === 0) return close;
    return [['Content-Length', String(bytes)], ...close];
  }

  #closes(): boolean {
    if (this.request.httpVersionMinor === 0) return false;
    if (/\bclose\b/iu.test(this.request.headers.connection ?? '')) return true;
    // A client that waits for leave to send its body was never given it; or there is more of the body than Go cares to read.
    return this.#waitsToProceed || (this.#read === 'not' && this.#unreadBytes() >= unreadLimitBytes);
  }

  #unreadBytes(): number {
    if (this.request.complete) return 0;
    const stated = this.request.headers['content-length'];
    return stated === undefined ? Number(this.#tooMuch) * unreadLimitBytes : Number(stated);
  }

  #tooMuch = false;

  /** What Go does before the head, so that the connection can be used again: reads a body of unknown length up to its limit. */
  async #discardBody(): Promise<void> {
    if (this.#waitsToProceed || this.request.complete || this.request.headers['content-length'] !== undefined) return;
    let bytes = 0;
    for await (const chunk of this.request.iterator({ destroyOnReturn: false })) {
      bytes += (chunk as Buffer).length;
      if (bytes > unreadLimitBytes) break;
    }
    this.#tooMuch = bytes > unreadLimitBytes;
  }
}

function decoded(path: string): string {
  try {
    return decodeURIComponent(path);
  } catch {
    return path;
  }
}
