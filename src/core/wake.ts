/**
 * When a backend that sleeps is woken: when a request waits that no backend in use can serve, or only after too long a wait. One at a
 * time for each model; who is woken gets no request until its probes succeed, and until then requests wait in the queue.
 */
import type { Wake } from './backend.ts';
import type { Sleeper } from './eligibility.ts';
import type { Emit } from './events.ts';
import type { Fleet } from './fleet.ts';
import type { Lane } from './queue.ts';
import type { BackendId, Clock, Job, Millis, ModelName } from './types.ts';

/** Asked at every event while jobs wait; `predictedWait` is null where nothing tells. */
export type Wakes = (lanes: Iterable<Lane>, predictedWait: (job: Job) => Millis | null) => void;

export interface WakesDependencies {
  readonly fleet: Pick<Fleet, 'mayWake' | 'observe' | 'outlook' | 'sleepers'>;
  readonly clock: Clock;
  readonly emit: Emit;
  /** Sends one packet; rejects when that is not possible. That it was sent does not mean that it came. */
  readonly send: (wake: Wake) => Promise<void>;
}

/** Packets get lost, and nobody says so: as long as somebody waits they are repeated this often. */
const REPEAT_MS = 5000;

export function createWakes({ clock, emit, fleet, send }: WakesDependencies): Wakes {
  /** When each was last sent a packet. */
  const sentAt = new Map<BackendId, Millis>();

  function poke({ id, wake, isWaking }: Sleeper, model: ModelName | null): void {
    const now = clock.now();
    if (now - (sentAt.get(id) ?? Number.NEGATIVE_INFINITY) < REPEAT_MS) return;
    sentAt.set(id, now);
    const tell = (error: string | null): void => {
      if (!isWaking) emit({ kind: 'backend-woken', backend: id, model, error });
    };
    send(wake).then(
      () => tell(null),
      (error: Error) => tell(error.message),
    );
    if (!isWaking) fleet.observe(id, { kind: 'waking', until: now + wake.wait });
  }

  return (lanes, predictedWait) => {
    if (!fleet.mayWake) return;
    // Waking one makes the scheduler look at its queue again, so the queue is read to its end before.
    const needed = new Map<BackendId, readonly [Sleeper, Job]>();
    for (const { head } of lanes) {
      const { job, tried, since } = head;
      const sleepers = fleet.sleepers(job, tried);
      const one = sleepers.find(({ isWaking }) => isWaking) ?? sleepers[0];
      if (one === undefined || needed.has(one.id)) continue;
      const waitMs = Math.max(clock.now() - since, predictedWait(job) ?? 0);
      if (fleet.outlook(job, tried) === 'asleep' || waitMs > one.wake.backlog) needed.set(one.id, [one, job]);
    }
    for (const [sleeper, { model }] of needed.values()) poke(sleeper, model);
  };
}
