/**
 * opossum, narrowed to a failure counter with a memory. The one file that knows it.
 *
 * Requests don't run inside opossum: a verdict is reported when it is known (at the first byte), so that a slow cold load
 * never holds a half-open circuit, a client that leaves is never a verdict, and nothing opossum emits carries a prompt.
 * Recovery is by probe: after `openFor` the next good probe closes the circuit; user traffic is never the trial.
 * Why so narrow: docs/decisions/0004.
 */
import { EventEmitter } from 'node:events';
import CircuitBreaker from 'opossum';
import { Type, type Static } from 'typebox';
import { Duration } from '../core/options.ts';
import type { BreakerState } from '../core/events.ts';

export const BreakerOptions = Type.Object(
  {
    failureRatio: Type.Number({
      description: 'The share of failed verdicts within the window that opens the circuit.',
      default: 0.5,
      exclusiveMinimum: 0,
      maximum: 1,
    }),
    minimumVerdicts: Type.Integer({
      description: 'Verdicts needed within the window before the ratio means anything.',
      default: 5,
      minimum: 1,
    }),
    window: Duration({ description: 'How far back verdicts count.', default: '10s' }),
    openFor: Duration({
      description: 'How long an open circuit stays open before a good probe may close it.',
      default: '5s',
    }),
  },
  { additionalProperties: false, description: 'The circuit breaker of each backend.' },
);
export type BreakerOptions = Static<typeof BreakerOptions>;

export interface Breaker {
  /** One attempt's verdict. Neutral outcomes are not reported at all. */
  verdict(ok: boolean): void;
  /** One probe's verdict; a good one closes a circuit that has been open long enough. */
  probed(ok: boolean): void;
  readonly state: BreakerState;
  close(): void;
}

/** Rotates the windows of all breakers together; opossum would otherwise keep a timer per breaker. */
export interface BreakerClock {
  readonly controller: EventEmitter;
  close(): void;
}

const buckets = 10;

export function createBreakerClock(options: BreakerOptions): BreakerClock {
  const controller = new EventEmitter().setMaxListeners(0);
  const timer = setInterval(() => controller.emit('rotate'), options.window / buckets);
  timer.unref();
  return { controller, close: () => clearInterval(timer) };
}

export function createBreaker(
  options: BreakerOptions,
  clock: BreakerClock,
  changed: (to: BreakerState, reason: string) => void,
): Breaker {
  const circuit = new CircuitBreaker(
    async (ok: boolean) => (ok ? Promise.resolve() : Promise.reject(new Error('failed verdict'))),
    {
      timeout: false,
      errorThresholdPercentage: options.failureRatio * 100,
      volumeThreshold: options.minimumVerdicts,
      rollingCountTimeout: options.window,
      rollingCountBuckets: buckets,
      resetTimeout: options.openFor,
      rollingPercentilesEnabled: false,
      enableSnapshots: false,
      rotateBucketController: clock.controller,
    },
  );
  // opossum's window of counts; its method is public and documented, but not in the types.
  const window = circuit.status as unknown as { increment(count: 'fires' | 'successes'): void };
  let state: BreakerState = 'closed';
  const move = (to: BreakerState, reason: string) => {
    if (state === to) return;
    state = to;
    changed(to, reason);
  };
  circuit.on('open', () => move('open', `${Math.round(options.failureRatio * 100)} % of recent attempts failed`));
  circuit.on('halfOpen', () => move('half-open', 'waiting for a good probe'));
  circuit.on('close', () => move('closed', 'a probe succeeded'));

  return {
    verdict(ok) {
      // Late verdicts of attempts begun before the circuit opened would be refused or, half-open, be taken as the trial.
      if (state !== 'closed') return;
      if (ok) {
        // What `fire` would count, without its promises: a good verdict can't change the state of a closed circuit.
        window.increment('fires');
        window.increment('successes');
      } else circuit.fire(ok).catch(() => {});
    },
    probed(ok) {
      if (state !== 'half-open') return;
      if (ok) circuit.close();
      else circuit.open();
    },
    get state() {
      return state;
    },
    close: () => circuit.shutdown(),
  };
}
