/** Everything an observer can learn, as one union. Core and http emit; observe subscribes; nobody waits for anybody. */
import type { Band } from './grants.ts';
import type { RewriteKind } from './model-rules.ts';
import type { SpanPlace } from './trace-context.ts';
import type { BackendId, ClientId, Millis, ModelName, Phase, RouteReason, Usage } from './types.ts';

export type Event =
  | RequestFinished
  | AttemptTraced
  | {
      readonly kind: 'attempt-failed';
      readonly requestId: string;
      readonly backend: BackendId;
      readonly failure: string;
      readonly retried: boolean;
    }
  /** A stream was lost in the middle while `resume.enabled`: whether another backend went on with it. */
  | {
      readonly kind: 'stream-lost';
      readonly requestId: string;
      readonly model: ModelName | null;
      readonly from: BackendId;
      /** Null when no other backend was asked. */
      readonly to: BackendId | null;
      readonly outcome: ResumeOutcome;
      /** What was in the way; '' when nothing was. */
      readonly reason: string;
    }
  | { readonly kind: 'queued'; readonly model: ModelName | null; readonly depth: number }
  | {
      readonly kind: 'dequeued';
      readonly model: ModelName | null;
      readonly waitedMs: Millis;
      readonly how: 'leased' | 'timeout' | 'client-gone' | 'failed';
    }
  | {
      readonly kind: 'first-token';
      readonly route: string;
      readonly model: ModelName | null;
      readonly backend: BackendId;
      readonly ms: Millis;
      readonly warm: boolean;
      readonly traceId?: string | null;
    }
  | {
      readonly kind: 'backend-state';
      readonly backend: BackendId;
      readonly from: BackendState;
      readonly to: BackendState;
      readonly reason: string;
    }
  | {
      readonly kind: 'breaker-state';
      readonly backend: BackendId;
      readonly from: BreakerState;
      readonly to: BreakerState;
      readonly reason: string;
    }
  | {
      readonly kind: 'model-loaded' | 'model-unloaded';
      readonly backend: BackendId;
      readonly model: ModelName;
      readonly reason: string;
      readonly ms?: Millis;
    }
  /** A model that is required is on another number of backends than before. */
  | { readonly kind: 'model-required'; readonly model: ModelName; readonly wanted: number; readonly have: number }
  /** The gateway pulls a model that is required. */
  | {
      readonly kind: 'model-pull';
      readonly backend: BackendId;
      readonly model: ModelName;
      readonly state: 'begun' | 'done' | 'failed';
      /** Why it has failed; '' when it has not. */
      readonly reason: string;
    }
  | { readonly kind: 'digest-skew'; readonly model: ModelName; readonly digests: readonly string[] }
  /** A model in memory hangs on a backend whose probes succeed; it gets no more requests for now. */
  | {
      readonly kind: 'runner-wedged';
      readonly backend: BackendId;
      readonly model: ModelName;
      readonly silentMs: Millis;
      /** Requests that hang in it. */
      readonly inFlight: number;
    }
  /** One model on one backend is no longer used, is on trial, or is trusted again. */
  | {
      readonly kind: 'model-standing';
      readonly backend: BackendId;
      readonly model: ModelName;
      readonly from: Standing;
      readonly to: Standing;
      /** Why it is ejected; '' when it is not. */
      readonly reason: string;
    }
  /** A sleeping backend was sent a packet that wakes it, because a request for the model waits; or that could not be sent. */
  | {
      readonly kind: 'backend-woken';
      readonly backend: BackendId;
      readonly model: ModelName | null;
      /** What was in the way; null when nothing was. */
      readonly error: string | null;
    }
  /** Somebody used the admin API to change something, or was refused. */
  | {
      readonly kind: 'operated';
      /** Method and template, e.g. `POST /gateway/backends`. */
      readonly what: string;
      /** What the path names; null when nothing. */
      readonly target: string | null;
      /** `ok`, or the status of the refusal. */
      readonly outcome: string;
      readonly address: string;
    }
  | { readonly kind: 'config-reloaded'; readonly ok: boolean; readonly message: string }
  /** The operator's rules have changed a request before it was sent on. */
  | {
      readonly kind: 'request-rewritten';
      /** As the client asked for it. */
      readonly model: ModelName;
      readonly rewrites: readonly RewriteKind[];
    }
  /** A request has broken so many backends that it is refused for a while. */
  | {
      readonly kind: 'quarantined';
      readonly requestId: string;
      readonly model: ModelName | null;
      readonly failure: string;
    }
  /** One of our own assertions failed; the request failed, the process goes on. */
  | { readonly kind: 'bug'; readonly message: string; readonly stack: string | undefined };

/**
 * `unknown` until the first probe; `down` by probe or a refused connection; `waking` while a machine that sleeps has been woken and
 * does not answer yet; `ejected` by the outcomes of requests or its
 * breaker; `probation` after an ejection, one request at a time; `draining` by the operator, or removed but not finished.
 */
export const backendStates = ['unknown', 'up', 'down', 'waking', 'ejected', 'probation', 'draining'] as const;
export type BackendState = (typeof backendStates)[number];
/** `ineligible`: not of a kind that can be gone on with. `failed`: of such a kind, but it was not, or not to its end. */
export const resumeOutcomes = ['resumed', 'ineligible', 'failed'] as const;
export type ResumeOutcome = (typeof resumeOutcomes)[number];

/** How far one model is trusted on one backend. */
export type Standing = 'trusted' | 'ejected' | 'probation';

export type BreakerState = 'closed' | 'open' | 'half-open';

/** Exactly one per request, on the close of its response. The fields are the log line's. */
export interface RequestFinished {
  readonly kind: 'request-finished';
  readonly requestId: string;
  readonly traceId: string | null;
  /** Where the request's span is, when its trace is recorded. */
  readonly place?: SpanPlace;
  readonly client: ClientId;
  /** The band of the queue its client waits in; `standard` when absent. */
  readonly priority?: Band;
  readonly address: string;
  readonly userAgent: string | null;
  readonly method: string;
  /** The route's template, e.g. `/api/chat`; `other` for unknown paths. */
  readonly route: string;
  readonly model: ModelName | null;
  readonly stream: boolean;
  readonly backend: BackendId | null;
  readonly reason: RouteReason | null;
  readonly attempts: number;
  readonly failovers: number;
  /** How often another backend went on with the stream; absent when none did. */
  readonly resumed?: number;
  readonly status: number;
  /** `ok`, `client-gone`, or a failure code. */
  readonly outcome: string;
  /** Set when the client left: where the request was. */
  readonly gonePhase: Phase | null;
  readonly warm: boolean | null;
  readonly queueMs: Millis;
  /** From the last byte of the request until a backend was asked, `queueMs` not counted; absent when none was asked. */
  readonly overheadMs?: Millis;
  readonly firstByteMs: Millis | null;
  readonly durationMs: Millis;
  readonly bytesIn: number;
  readonly bytesOut: number;
  readonly usage: Usage;
  /** Tokens of the prompt as they were estimated before it was sent; absent when it was not read. */
  readonly promptEstimate?: number;
}

/** An attempt that is over, of a request whose trace is recorded; nothing is told of others. */
export interface AttemptTraced {
  readonly kind: 'attempt-traced';
  readonly place: SpanPlace;
  readonly requestId: string;
  /** The route's template. */
  readonly route: string;
  readonly model: ModelName | null;
  readonly backend: BackendId;
  readonly reason: RouteReason;
  readonly warm: boolean;
  /** 1 for the first. */
  readonly attempt: number;
  readonly stream: boolean;
  /** The status of the backend's answer, 0 when there was none or it was kept back. */
  readonly status: number;
  /** `ok`, `client-gone`, a failure code, or the status of an answer that told of an error. */
  readonly outcome: string;
  /** In the queue, just before this attempt. */
  readonly waitedMs: Millis;
  readonly durationMs: Millis;
  /** From the start of the attempt; null when no byte of an answer came. */
  readonly firstByteMs: Millis | null;
  readonly usage: Usage;
}

export type Emit = (event: Event) => void;
