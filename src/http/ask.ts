/** Asks a backend for a small answer and waits for the whole of it. */
import type { Departure } from '../core/types.ts';
import type { Ask, BackendClient, Receiver } from '../backends/client.ts';
import type { BackendFailure } from '../backends/failure.ts';
import { responseHeaders } from './headers.ts';

export interface WholeAnswer {
  readonly kind: 'answer';
  readonly status: number;
  /** Flat name, value list of the fields that may pass to a client. */
  readonly headers: readonly string[];
  /** What the backend stated as Content-Length; null when it stated none. */
  readonly length: number | null;
  readonly body: Buffer;
}

export type Answered = WholeAnswer | { readonly kind: 'failed'; readonly failure: BackendFailure };

const LIMIT_BYTES = 64 * 1024 * 1024;

/** Never rejects. A signal that aborts gives the call up. */
export function askWhole(client: BackendClient, ask: Ask, signal: Departure | null): Promise<Answered> {
  return answerOf((receiver) => client.send(ask, receiver), signal).answered;
}

/** Starts a call and gathers its answer, which is never a rejection. A signal that aborts gives the call up. */
export function answerOf<C extends { abort(): void }>(
  start: (receiver: Receiver) => C,
  signal: Departure | null,
): { readonly call: C; readonly answered: Promise<Answered>; readonly giveUp: () => void } {
  const { promise, resolve } = Promise.withResolvers<Answered>();
  const chunks: Buffer[] = [];
  let head: Pick<WholeAnswer, 'status' | 'headers' | 'length'> | null = null;
  let size = 0;
  const finish = (answered: Answered): void => {
    signal?.removeEventListener('abort', giveUp);
    resolve(answered);
  };
  const call = start({
    head(status, headers) {
      const length = headers['content-length'];
      head = { status, headers: responseHeaders(headers), length: typeof length === 'string' ? Number(length) : null };
    },
    data(chunk) {
      size += chunk.length;
      if (size <= LIMIT_BYTES) {
        chunks.push(chunk);
        return;
      }
      call.abort();
      finish({ kind: 'failed', failure: failure('backend-protocol', 'sent an answer that is too long') });
    },
    end() {
      finish({ kind: 'answer', ...head!, body: Buffer.concat(chunks, size) });
    },
    failed: (what) => finish({ kind: 'failed', failure: what }),
  });
  function giveUp(): void {
    call.abort();
    finish({ kind: 'failed', failure: failure('backend-lost', 'was not waited for') });
  }
  if (signal?.aborted === true) giveUp();
  else signal?.addEventListener('abort', giveUp, { once: true });
  return { call, answered: promise, giveUp };
}

function failure(code: BackendFailure['code'], message: string): BackendFailure {
  return { code, message, staleSocket: false, cause: undefined };
}

export function isGood(answered: Answered): boolean {
  return answered.kind === 'answer' && answered.status < 400;
}

/** The text of an error answer in Ollama's shape, or what there is instead. */
export function errorTextOf({ status, body }: Pick<WholeAnswer, 'status' | 'body'>): string {
  try {
    const { error } = JSON.parse(body.toString('utf8')) as { error?: unknown };
    if (typeof error === 'string') return error;
  } catch {
    // Not JSON: the status has to do.
  }
  return `it answered ${status}`;
}
