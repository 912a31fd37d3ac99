/** What the gateway may do to a stream beyond passing it on, and the sign of life that is one of these things. */
import { Type, type Static } from 'typebox';
import { Duration } from '../core/options.ts';
import type { Clock, Millis, Timer } from '../core/types.ts';
import type { Reading, Route } from '../dialects/dialect.ts';
import { heartbeatOf } from '../dialects/heartbeat.ts';
import type { Account } from './account.ts';
import type { Exchange } from './exchange.ts';

export const StreamOptions = Type.Object(
  {
    countTokens: Type.Boolean({
      description:
        'Ask backends for the token counts of OpenAI streams whose client did not ask, and take them out again, so that they can ' +
        'be counted; the client gets the bytes it would have got without.',
      default: true,
    }),
    heartbeat: Duration({
      description:
        'How long a stream may be silent, in the queue or while a model loads, before its client gets a sign of life; 0 means ' +
        'never. It commits the answer: an error after it is told inside the stream, under status 200.',
      default: '0',
    }),
    heartbeatInterval: Duration({
      description: 'How often the sign is repeated, until the answer begins.',
      default: '15s',
      minimum: '100ms',
    }),
  },
  { additionalProperties: false, description: 'What the gateway adds to streams, and takes out of them.' },
);
export type StreamOptions = Static<typeof StreamOptions>;

/** A sign of life, begun or not. */
export interface Pulse {
  /** A sign was sent, so the head is out. */
  readonly hasBegun: boolean;
  /** The answer has begun, or has ended without; nothing more is sent. */
  stop(): void;
}

export interface PulseContext {
  readonly exchange: Exchange;
  readonly route: Route;
  readonly reading: Reading;
  readonly account: Account;
  readonly clock: Clock;
  /** Epoch milliseconds. */
  readonly wallNow: () => number;
}

/** Null when this answer gets none. */
export function startPulse(context: PulseContext, { heartbeat, heartbeatInterval }: StreamOptions): Pulse | null {
  const sign = heartbeat > 0 ? heartbeatOf(context.route, context.reading) : null;
  if (sign === null) return null;
  const { account, clock, exchange, wallNow } = context;
  let hasBegun = false;
  let timer: Timer | null = null;

  function beat(): void {
    timer = null;
    if (exchange.hasLeft) return;
    if (!hasBegun) {
      hasBegun = true;
      account.status = 200;
      const fields = ['Content-Type', sign!.contentType, 'X-Request-Id', account.requestId, 'X-Accel-Buffering', 'no'];
      exchange.head(200, fields, null);
    }
    exchange.write(Buffer.from(sign!.frame(new Date(wallNow()).toISOString()), 'utf8'));
    arm(heartbeatInterval);
  }
  function arm(delay: Millis): void {
    timer = clock.after(delay, beat);
  }

  arm(heartbeat);
  return {
    get hasBegun() {
      return hasBegun;
    },
    stop() {
      timer?.cancel();
      timer = null;
    },
  };
}
