/**
 * Every failure the gateway itself can answer with: code → status, blame, what to do. Status, docs row and metric label
 * follow from the code; dialects render it. A backend's own answers pass unchanged and are not here.
 */
export interface FailureKind {
  /** HTTP status while the head can still be sent. */
  readonly status: number;
  readonly blame: 'client' | 'gateway' | 'backend';
  /** Whether the caller may sensibly try the same request again. */
  readonly retryable: boolean;
  /** One line for docs/errors.md: what happened and what to do next. */
  readonly help: string;
}

export const failures = {
  'bad-request': {
    status: 400,
    blame: 'client',
    retryable: false,
    help: 'The body is not what the API takes; the message says where.',
  },
  unauthorized: {
    status: 401,
    blame: 'client',
    retryable: false,
    help: 'The gateway does not know the caller: no credential, or one that is wrong, expired or revoked. See docs/security.md.',
  },
  forbidden: {
    status: 403,
    blame: 'client',
    retryable: false,
    help: 'The caller is known and may not do this; the message says what is missing in its profile.',
  },
  'rate-limited': {
    status: 429,
    blame: 'client',
    retryable: true,
    help: 'More requests than the profile allows in its window, or too many failed attempts from one address; wait as `Retry-After` says.',
  },
  'body-too-large': { status: 413, blame: 'client', retryable: false, help: 'Raise `listen.bodyLimit` or send less.' },
  'receive-timeout': { status: 408, blame: 'client', retryable: true, help: 'The request did not arrive in time.' },
  'not-found': { status: 404, blame: 'client', retryable: false, help: 'No such route.' },
  'method-not-allowed': {
    status: 405,
    blame: 'client',
    retryable: false,
    help: 'The route exists, the method does not.',
  },
  'unknown-model': {
    status: 404,
    blame: 'client',
    retryable: false,
    help: 'No backend has the model; pull it, or see /api/tags for what there is.',
  },
  quarantined: {
    status: 422,
    blame: 'client',
    retryable: false,
    help: 'The same request has broken several backends; it is refused for `quarantine.time`. Change it, or look at their logs.',
  },
  'no-backend': {
    status: 503,
    blame: 'gateway',
    retryable: true,
    help: 'No backend that may serve the request is healthy; see /readyz?verbose.',
  },
  'queue-full': {
    status: 503,
    blame: 'gateway',
    retryable: true,
    help: 'The queue is at `queue.limit`; add slots or backends, or raise the limit.',
  },
  'tokens-per-minute': {
    status: 429,
    blame: 'client',
    retryable: true,
    help: 'The client has used the tokens it is granted a minute (`tokensPerMinute`); `Retry-After` says when enough are free.',
  },
  'tokens-per-day': {
    status: 429,
    blame: 'client',
    retryable: true,
    help: 'The client has used the tokens it is granted a day (`tokensPerDay`); `Retry-After` says when enough are free.',
  },
  'too-many-waiting': {
    status: 429,
    blame: 'client',
    retryable: true,
    help: 'The client has as many requests in the queue as it is granted (`queued`); send fewer at a time.',
  },
  'queue-timeout': {
    status: 503,
    blame: 'gateway',
    retryable: true,
    help: 'No slot came free within `queue.timeout`.',
  },
  'backend-refused': {
    status: 502,
    blame: 'backend',
    retryable: true,
    help: 'The backend did not accept the connection.',
  },
  'backend-connect-timeout': {
    status: 504,
    blame: 'backend',
    retryable: true,
    help: 'The backend did not accept the connection within `timeouts.connect`.',
  },
  'backend-reset': {
    status: 502,
    blame: 'backend',
    retryable: true,
    help: 'The backend closed the connection before it answered.',
  },
  'backend-protocol': {
    status: 502,
    blame: 'backend',
    retryable: true,
    help: 'The backend answered something that is not HTTP.',
  },
  'backend-first-byte-timeout': {
    status: 504,
    blame: 'backend',
    retryable: true,
    help: 'The backend did not answer within `timeouts.firstByte`.',
  },
  'backend-unavailable': {
    status: 503,
    blame: 'backend',
    retryable: true,
    help: 'The backend answered 502, 503 or 504 and no other could be tried.',
  },
  'backend-lost': {
    status: 502,
    blame: 'backend',
    retryable: true,
    help: 'The backend was lost in the middle of its answer.',
  },
  'backend-truncated': {
    status: 502,
    blame: 'backend',
    retryable: true,
    help: 'The answer ended without its terminal marker.',
  },
  'backend-idle-timeout': {
    status: 504,
    blame: 'backend',
    retryable: true,
    help: 'The backend was silent for longer than `timeouts.idle` in the middle of its answer.',
  },
  'total-timeout': {
    status: 504,
    blame: 'backend',
    retryable: true,
    help: 'The request took longer than `timeouts.total`.',
  },
  'partly-done': {
    status: 502,
    blame: 'backend',
    retryable: true,
    help: 'Some backends did it and others failed; the message names them. Repeat it, or place it with `x-llamero-placement`.',
  },
  'client-stalled': {
    status: 499,
    blame: 'client',
    retryable: false,
    help: 'The client took nothing of its answer for `slowClients.stall` and was cut.',
  },
  'client-gone': { status: 499, blame: 'client', retryable: false, help: 'The client left; nobody sees this answer.' },
  cancelled: {
    status: 403,
    blame: 'gateway',
    retryable: false,
    help: 'An operator has ended the request (`DELETE /gateway/requests/ID`); ask them before you send it again.',
  },
  overloaded: {
    status: 503,
    blame: 'gateway',
    retryable: true,
    help: 'The gateway process itself lags or is short of memory (`overload`); give it more, or run another beside it.',
  },
  'shutting-down': { status: 503, blame: 'gateway', retryable: true, help: 'The gateway is stopping.' },
  internal: {
    status: 500,
    blame: 'gateway',
    retryable: false,
    help: 'A bug in the gateway; please report it with the log line.',
  },
} as const satisfies Record<string, FailureKind>;

export type FailureCode = keyof typeof failures;

/** The one error type that crosses rooms. The message is a sentence for the caller; it never holds a URL, prompt or credential. */
export class GatewayError extends Error {
  readonly code: FailureCode;
  /** Whole milliseconds after which a retry may succeed; a second for every 429 and 503 that does not know better. */
  readonly retryAfterMs: number | undefined;

  constructor(code: FailureCode, message: string, options: { cause?: unknown; retryAfterMs?: number } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'GatewayError';
    this.code = code;
    const { status } = failures[code];
    this.retryAfterMs = options.retryAfterMs ?? (status === 503 || status === 429 ? 1000 : undefined);
  }

  get kind(): FailureKind {
    return failures[this.code];
  }
}
