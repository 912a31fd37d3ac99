/** What is known of one request while it runs; told once, when its response has closed. */
import { randomUUID } from 'node:crypto';
import type { Emit, RequestFinished } from '../core/events.ts';
import type { BackendId, ClientId, Clock, Millis, ModelName, Phase, RouteReason, Usage } from '../core/types.ts';
import type { Meter } from '../dialects/dialect.ts';
import type { Reservation } from '../core/quota.ts';
import { spentBy } from '../core/spent.ts';
import type { Exchange } from './exchange.ts';
import { saneRequestId, traceIdOf } from './headers.ts';

export class Account {
  readonly requestId: string;
  readonly route: string;
  readonly startedAt: Millis;
  /** When the last byte of the request's body had come. */
  receivedAt: Millis;
  client: ClientId;
  model: ModelName | null = null;
  stream = false;
  phase: Phase = 'receiving';
  backend: BackendId | null = null;
  reason: RouteReason | null = null;
  warm: boolean | null = null;
  attempts = 0;
  failovers = 0;
  resumed = 0;
  status = 0;
  outcome = 'ok';
  queueMs: Millis = 0;
  /** What the gateway took before the first backend was asked, without the queue. */
  overheadMs: Millis | null = null;
  firstByteMs: Millis | null = null;
  bytesIn = 0;
  usage: Usage = {};
  promptEstimate: number | null = null;
  /** What is reserved of the client's tokens; settled at the end. */
  reserved: Reservation | null = null;
  /** What the client is told of its tokens: names and values in turn. */
  quotaHeaders: readonly string[] = [];
  /** Watches the answer that passes at the moment, so that who looks at running requests sees how far they are. */
  meter: Pick<Meter, 'outputSoFar'> | null = null;

  constructor(requestId: string, route: string, client: ClientId, startedAt: Millis) {
    this.requestId = requestId;
    this.route = route;
    this.client = client;
    this.startedAt = startedAt;
    this.receivedAt = startedAt;
  }

  /** Emits `request-finished` when the exchange closes. */
  tellAtClose(exchange: Exchange, clock: Clock, emit: Emit): void {
    const { method, address, headers } = exchange;
    // Through a name: a function that is assigned to a property where it is written is allotted among what lives long, and holds
    // the whole request there.
    const tell = (): void => {
      const gone = exchange.hasLeft && this.outcome === 'ok' ? this.phase : null;
      if (gone !== null) this.outcome = exchange.hasStalled ? 'client-stalled' : 'client-gone';
      const now = clock.now();
      const { bytesOut, client, trace } = exchange;
      const agent = headers['user-agent'];
      const finished: { -readonly [Field in keyof RequestFinished]: RequestFinished[Field] } = {
        kind: 'request-finished',
        requestId: this.requestId,
        traceId: trace?.place.traceId ?? traceIdOf(headers['traceparent']),
        client: this.client,
        priority: client.grant.priority,
        address,
        userAgent: typeof agent === 'string' ? agent : null,
        method,
        route: this.route,
        model: this.model,
        stream: this.stream,
        backend: this.backend,
        reason: this.reason,
        attempts: this.attempts,
        failovers: this.failovers,
        status: gone === null || this.status !== 0 ? this.status : 499,
        outcome: this.outcome,
        gonePhase: gone,
        warm: this.warm,
        queueMs: this.queueMs,
        firstByteMs: this.firstByteMs,
        durationMs: now - this.startedAt,
        bytesIn: this.bytesIn,
        bytesOut,
        usage: this.usage,
      };
      if (trace !== null) finished.place = trace.place;
      if (this.resumed > 0) finished.resumed = this.resumed;
      if (this.overheadMs !== null) finished.overheadMs = this.overheadMs;
      if (this.promptEstimate !== null) finished.promptEstimate = this.promptEstimate;
      if (this.reserved !== null) {
        const { outputTokens, promptTokens } = spentBy(finished);
        this.reserved.settle(promptTokens + outputTokens, now);
      }
      emit(finished);
    };
    exchange.onClose = tell;
  }
}

/** Starts the record that becomes the one `request-finished` event. */
export function openAccount(exchange: Exchange, route: string, clock: Clock, emit: Emit): Account {
  const requestId = saneRequestId(exchange.headers['x-request-id']) ?? randomUUID();
  const account = new Account(requestId, route, exchange.client.id, clock.now());
  exchange.account = account;
  account.tellAtClose(exchange, clock, emit);
  return account;
}
