/** One small HTTP request, told with everything a diagnosis wants to know: the status, the clock, the certificate, or what went wrong. */
import { request as plainRequest, type IncomingMessage } from 'node:http';
import { request as secureRequest } from 'node:https';
import type { TLSSocket } from 'node:tls';
import type { Millis } from '../../core/types.ts';

export interface Answered {
  readonly kind: 'answered';
  readonly status: number;
  readonly body: string;
  /** The `Date` field in epoch milliseconds; null when there is none. */
  readonly date: number | null;
  /** When the certificate ends, in epoch milliseconds; null without TLS. */
  readonly certificateEnds: number | null;
  readonly tookMs: Millis;
}

export interface Unanswered {
  readonly kind: 'unanswered';
  /** As the system names it, e.g. ECONNREFUSED; `TIMEOUT` when nothing came. */
  readonly code: string;
  readonly message: string;
}

export interface AskOptions {
  /** In place of the URL's own. */
  readonly host?: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** Of the TLS socket. */
  readonly tls?: Readonly<Record<string, unknown>>;
  readonly timeoutMs?: Millis;
}

const TIMEOUT_MS = 5000;
const LIMIT_BYTES = 32 * 1024 * 1024;

/** GET, on a connection of its own. Never rejects. */
export function ask(url: string, options: AskOptions = {}): Promise<Answered | Unanswered> {
  const { headers = {}, host, timeoutMs = TIMEOUT_MS, tls = {} } = options;
  const signal = AbortSignal.timeout(timeoutMs);
  const startedAt = performance.now();
  return new Promise((resolve) => {
    const send = url.startsWith('https:') ? secureRequest : plainRequest;
    const fields = { ...headers, ...(host === undefined ? {} : { host }) };
    const request = send(url, { ...tls, agent: false, signal, headers: fields }, (response) => {
      const tookMs = performance.now() - startedAt;
      const chunks: Buffer[] = [];
      let size = 0;
      response.on('data', (chunk: Buffer) => {
        size += chunk.length;
        if (size <= LIMIT_BYTES) chunks.push(chunk);
      });
      response.on('error', (error) => resolve(unanswered(error, signal)));
      response.on('end', () => resolve(answered(response, Buffer.concat(chunks).toString('utf8'), tookMs)));
    });
    request.on('error', (error) => resolve(unanswered(error, signal)));
    request.end();
  });
}

function answered(response: IncomingMessage, body: string, tookMs: Millis): Answered {
  const date = Date.parse(response.headers.date ?? '');
  const { valid_to: ends } = (response.socket as Partial<TLSSocket>).getPeerCertificate?.() ?? {};
  return {
    kind: 'answered',
    status: response.statusCode ?? 0,
    body,
    date: Number.isNaN(date) ? null : date,
    certificateEnds: ends === undefined ? null : Date.parse(ends),
    tookMs,
  };
}

function unanswered(error: Error, signal: AbortSignal): Unanswered {
  const { code = '' } = error as NodeJS.ErrnoException;
  return { kind: 'unanswered', code: signal.aborted ? 'TIMEOUT' : code, message: error.message };
}
