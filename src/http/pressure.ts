/**
 * Whether the process itself is short of time or memory. Then new requests are refused early, with 503, so that those under way
 * are finished. What waits for backends is the scheduler's business, not this file's.
 */
import { Type, type Static } from 'typebox';
import { GatewayError } from '../core/errors.ts';
import { Duration, Size } from '../core/options.ts';
import type { Clock, LoadSample, Millis, Timer } from '../core/types.ts';

export const OverloadOptions = Type.Object(
  {
    loopDelay: Duration({
      description:
        'New requests are refused while the event loop lags so far behind (99th percentile within half a second), for a second or longer; 0 means never.',
      default: '500ms',
    }),
    memory: Size({
      description: 'New requests are refused while the process holds more memory than this; 0 means never.',
      default: 0,
    }),
    connections: Type.Integer({
      description: 'Client connections at a time; more are closed at once. 0 means as many as the system allows.',
      default: 0,
      minimum: 0,
    }),
  },
  { additionalProperties: false, description: 'When the gateway itself has too much to do.' },
);
export type OverloadOptions = Static<typeof OverloadOptions>;

export interface Pressure {
  /** Null when a request may come in. */
  refusal(): GatewayError | null;
  close(): void;
}

const sampleMs: Millis = 500;

export function createPressure(clock: Clock, sample: () => LoadSample, options: OverloadOptions): Pressure {
  let reason: string | null = null;
  let before: string | null = null;
  let timer: Timer | null = null;
  const look = (): void => {
    const now = reasonOf(sample(), options);
    // Twice in a row: one long pause, of a busy machine or the garbage collector, is no overload.
    reason = now === before ? now : null;
    before = now;
    timer = clock.after(sampleMs, look);
  };
  if (options.loopDelay > 0 || options.memory > 0) look();
  return {
    refusal: () =>
      reason === null
        ? null
        : new GatewayError('overloaded', `the gateway ${reason}; try again soon`, { retryAfterMs: 2 * sampleMs }),
    close: () => timer?.cancel(),
  };
}

function reasonOf({ loopDelayMs, memoryBytes }: LoadSample, { loopDelay, memory }: OverloadOptions): string | null {
  if (loopDelay > 0 && loopDelayMs > loopDelay) return 'has more to do than it can';
  if (memory > 0 && memoryBytes > memory) return 'is short of memory';
  return null;
}
