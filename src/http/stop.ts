/**
 * Stopping in order: not ready at once; still accepting for a while, so that a balancer in front can notice; then no new
 * connections, and answers under way may finish; then they are ended with an error in their dialect.
 * Fastify's own close would refuse connections at once and has no deadline.
 */
import { Type, type Static } from 'typebox';
import { GatewayError } from '../core/errors.ts';
import { Duration } from '../core/options.ts';
import type { Clock, Millis } from '../core/types.ts';
import type { Listener } from './listener.ts';

export const ShutdownOptions = Type.Object(
  {
    delay: Duration({
      description: 'After SIGTERM, how long to go on accepting while `/readyz` already says no.',
      default: '0',
    }),
    grace: Duration({ description: 'How long answers under way may take to finish after that.', default: '30s' }),
  },
  { additionalProperties: false, description: 'Stopping.' },
);
export type ShutdownOptions = Static<typeof ShutdownOptions>;

export interface StopDependencies {
  readonly listener: Listener;
  readonly clock: Clock;
  /** Says "not ready" from now on. */
  readonly begin: () => void;
  /** Refuses what still waits in the queue. */
  readonly giveUp: () => void;
  /** Closes everything else. */
  readonly close: () => Promise<void>;
}

const sweepMs = 250;
/**
 * How long a connection stays open after its last answer, or after the listener has closed, unless its next request ends it; longer
 * while answers are under way, for which we wait anyhow. A request that comes just when its connection is closed gets no answer, and
 * a client that has just had one is the likeliest to ask again.
 */
const courtesyMs = 5000;
/** How long cut answers may take to leave the socket. */
const farewellMs = 500;

/** Returns the one function that stops; calling it again returns the same promise. */
export function createStop(dependencies: StopDependencies, options: ShutdownOptions): () => Promise<void> {
  let stopped: Promise<void> | null = null;
  return () => (stopped ??= stop(dependencies, options));
}

async function stop(
  { listener, clock, begin, giveUp, close }: StopDependencies,
  options: ShutdownOptions,
): Promise<void> {
  const pause = (ms: Millis) => new Promise<void>((resolve) => void clock.after(ms, resolve));
  begin();
  if (options.delay > 0) await pause(options.delay);
  const closed = listener.stopAccepting();
  const state = { done: false };
  const done = closed.then(() => {
    state.done = true;
  });
  const deadline = clock.now() + options.grace;
  const quietMs = Math.min(courtesyMs, options.grace / 2);
  while (!state.done && clock.now() < deadline) {
    await listener.closeIdle(clock.now(), hasAny(listener.open) ? Infinity : quietMs);
    await Promise.race([done, pause(Math.min(sweepMs, Math.max(1, deadline - clock.now())))]);
  }
  if (!state.done) {
    giveUp();
    for (const exchange of listener.open)
      exchange.onStop?.(new GatewayError('shutting-down', 'the gateway is stopping'));
    await Promise.race([done, pause(farewellMs)]);
  }
  await close();
}

function hasAny(items: Iterable<unknown>): boolean {
  for (const _ of items) return true;
  return false;
}
