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

const refusals: ReadonlySet<string> = new Set([
  'ECONNREFUSED',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'EHOSTDOWN',
  'ENOTFOUND',
  'EAI_AGAIN',
  'CERT_HAS_EXPIRED',
  'DEPTH_ZERO_SELF_SIGNED_CERT',
  'SELF_SIGNED_CERT_IN_CHAIN',
  'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
  'UNABLE_TO_GET_ISSUER_CERT_LOCALLY',
  'ERR_TLS_CERT_ALTNAME_INVALID',
]);

/** This machine's own limits: they say nothing about the backend. */
const exhaustions: ReadonlySet<string> = new Set(['EMFILE', 'ENFILE', 'EADDRNOTAVAIL', 'ENOBUFS', 'ENOMEM']);

/**
 * @param connected whether the request had been written to a connection
 * @param headSeen whether the answer's head had arrived
 */
export function failureOf(error: unknown, connected: boolean, headSeen: boolean): BackendFailure {
  const { code = '', socket } = (error ?? {}) as SystemError;
  if (code === 'UND_ERR_CONNECT_TIMEOUT' || (!connected && code === 'ETIMEDOUT')) {
    return failure('backend-connect-timeout', 'did not accept the connection in time', error);
  }
  if (!connected && exhaustions.has(code)) {
    return failure('overloaded', `could not be asked: the gateway itself is out of sockets (${code})`, error);
  }
  if (!connected) {
    const why = refusals.has(code) ? code : code || 'connection failed';
    return failure('backend-refused', `refused the connection (${why})`, error);
  }
  if (
    code.startsWith('HPE_') ||
    code === 'UND_ERR_HEADERS_OVERFLOW' ||
    code === 'UND_ERR_RES_CONTENT_LENGTH_MISMATCH'
  ) {
    return failure('backend-protocol', `answered something that is not valid HTTP (${code})`, error);
  }
  if (headSeen) return failure('backend-lost', 'was lost in the middle of its answer', error);
  const staleSocket = code === 'UND_ERR_SOCKET' && (socket?.bytesRead ?? 0) > 0;
  return { ...failure('backend-reset', 'closed the connection before it answered', error), staleSocket };
}

export function failure(code: BackendFailure['code'], message: string, cause?: unknown): BackendFailure {
  return { code, message, staleSocket: false, cause };
}
