/**
 * How Go's HTTP server writes an answer: the handler's headers in alphabetical order, then Date, Content-Length or
 * Transfer-Encoding; no Server, no Keep-Alive; one chunk a flush; a Content-Length only for bodies that fit its buffer.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';

export type Headers = readonly (readonly [name: string, value: string])[];

/** Go buffers this much before it must send the head; a longer body without a stated length is chunked. */
const goBuffer = 2_048;

/** What the rest of the simulator writes to: one request, one answer. */
export interface Exchange {
  readonly request: IncomingMessage;
  readonly method: string;
  readonly path: string;
  readonly query: URLSearchParams;
  /** Whether the head has been sent. */
  readonly committed: boolean;
  /** True once the client has left before the end. */
  readonly gone: boolean;
  /** Runs at most once, when the client leaves before the answer is complete. */
  onGone(run: () => void): void;
  /** A whole answer. */
  send(status: number, headers: Headers, body: string): void;
  /** The head of a streamed answer; it leaves with the first chunk. */
  start(status: number, headers: Headers): void;
  /** One flush: one chunk on the wire. */
  chunk(text: string): void;
  end(): void;
}

export function httpDate(epochMs: number): string {
  return new Date(epochMs).toUTCString();
}

/** Handler headers as Go sorts them, with those every answer to this exchange has (CORS). */
export function sorted(headers: Headers): Headers {
  return headers.toSorted(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0));
}

export interface WireOptions {
  readonly wallNow: () => number;
  /** Headers a middleware has set before the handler ran. */
  readonly early: Headers;
}

export function createExchange(request: IncomingMessage, response: ServerResponse, options: WireOptions): Exchange {
  const target = new URL(request.url ?? '/', 'http://simulated');
  const method = request.method ?? 'GET';
  let gone = false;
  let finished = false;
  const leaving: (() => void)[] = [];
  response.sendDate = false;
  response.removeHeader('connection');
  response.once('close', () => {
    gone = !finished;
    if (gone) for (const run of leaving.splice(0)) run();
  });
  response.on('error', () => undefined);

  function head(status: number, headers: Headers, framing: Headers): void {
    const date = ['Date', httpDate(options.wallNow())] as const;
    const all = [...sorted([...options.early, ...headers]), date, ...framing];
    response.writeHead(
      status,
      all.flatMap(([name, value]) => [name, value]),
    );
  }

  return {
    request,
    method,
    path: target.pathname,
    query: target.searchParams,
    get committed() {
      return response.headersSent;
    },
    get gone() {
      return gone;
    },
    onGone(run) {
      if (gone) run();
      else leaving.push(run);
    },
    send(status, headers, body) {
      if (gone) return;
      const bytes = Buffer.byteLength(body);
      const chunked = bytes > goBuffer && method !== 'HEAD';
      head(status, headers, chunked ? [['Transfer-Encoding', 'chunked']] : [['Content-Length', String(bytes)]]);
      finished = true;
      response.end(method === 'HEAD' ? undefined : body);
    },
    start(status, headers) {
      if (!gone) head(status, headers, [['Transfer-Encoding', 'chunked']]);
    },
    chunk(text) {
      if (!gone) response.write(text);
    },
    end() {
      if (gone) return;
      finished = true;
      response.end();
    },
  };
}
