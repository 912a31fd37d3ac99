/** What went wrong below HTTP, said in the gateway's words. undici and socket errors end here. */
import type { FailureCode } from '../core/errors.ts';

export interface BackendFailure {
  readonly code: Extract<
    FailureCode,
    | 'backend-refused'
    | 'backend-connect-timeout'
    | 'backend-reset'
    | 'backend-protocol'
    | 'backend-first-byte-timeout'
    | 'backend-lost'
    | 'backend-idle-timeout'
    | 'total-timeout'
    | 'overloaded'
  >;
  /** One sentence without addresses. */
  readonly message: string;
  /** True when a kept-alive connection turned out to be closed before a byte of the answer came. */
  readonly staleSocket: boolean;
  readonly cause: unknown;
}

interface SystemError {
  readonly code?: string;
  readonly socket?: { readonly bytesRead?: number } | null;
}

/** This machine's own limits: they say nothing about the backend. */
const exhaustions: ReadonlySet<string> = new Set(['EMFILE', 'ENFILE', 'EADDRNOTAVAIL', 'ENOBUFS', 'ENOMEM']);

/**
 * @param connected whether the request had been written to a connection
 * @param headSeen whether the answer's head had arrived
 */
export function failureOf(error: unknown, connected: boolean, headSeen: boolean): BackendFailure {
  const { code = '', socket } = (error ?? {}) as SystemError;
  if (!connected) return unconnected(code, error);
  if (isNoHttp(code)) return failure('backend-protocol', `answered something that is not valid HTTP (${code})`, error);
  if (headSeen) return failure('backend-lost', 'was lost in the middle of its answer', error);
  const staleSocket = code === 'UND_ERR_SOCKET' && (socket?.bytesRead ?? 0) > 0;
  return { ...failure('backend-reset', 'closed the connection before it answered', error), staleSocket };
}

function unconnected(code: string, error: unknown): BackendFailure {
  if (code === 'UND_ERR_CONNECT_TIMEOUT' || code === 'ETIMEDOUT') {
    return failure('backend-connect-timeout', 'did not accept the connection in time', error);
  }
  if (exhaustions.has(code)) {
    return failure('overloaded', `could not be asked: the gateway itself is out of sockets (${code})`, error);
  }
  return failure('backend-refused', `refused the connection (${code || 'connection failed'})`, error);
}

function isNoHttp(code: string): boolean {
  return (
    code.startsWith('HPE_') || code === 'UND_ERR_HEADERS_OVERFLOW' || code === 'UND_ERR_RES_CONTENT_LENGTH_MISMATCH'
  );
}

export function failure(code: BackendFailure['code'], message: string, cause?: unknown): BackendFailure {
  return { code, message, staleSocket: false, cause };
}
