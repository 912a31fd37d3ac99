/** Who holds what of which runner, and what is learnt when it ends. */
import type { LeaseWatch } from '../planner.ts';
import type { Job, Millis, Outcome } from '../types.ts';
import type { Knowledge, RunnerState } from './knowledge.ts';

/** One lease as it is followed. */
interface Followed {
  readonly runner: RunnerState;
  readonly since: Millis;
  /** Leases of the runner when it began, itself included. */
  readonly active: number;
  readonly cachedTokens: number;
  /** Leases of the runner that had ended when it began. */
  readonly ended: number;
  answered: boolean;
}

export class LeaseBook {
  readonly #knowledge: Knowledge;
  readonly #changed: (runner: RunnerState, now: Millis) => void;

  /** `changed` is called after a lease was answered or released. */
  constructor(knowledge: Knowledge, changed: (runner: RunnerState, now: Millis) => void) {
    this.#knowledge = knowledge;
    this.#changed = changed;
  }

  open(runner: RunnerState, job: Job, now: Millis): LeaseWatch {
    runner.inFlight += 1;
    runner.backend.inFlight += 1;
    runner.backend.revision += 1;
    runner.lastUsed = now;
    runner.embeds = job.task === 'embed';
    // A job sent to a model that is not in memory loads it.
    if (runner.phase === 'absent') this.#knowledge.setPhase(runner, 'loading', now);
    const cachedTokens = this.#knowledge.remembered(job).get(runner) ?? 0;
    const lease: Followed = {
      runner,
      since: now,
      active: runner.inFlight,
      cachedTokens,
      ended: runner.ended,
      answered: false,
    };
    this.#knowledge.remember(runner, job);
    return {
      answered: (at) => this.#answered(lease, at),
      released: (outcome, at) => this.#released(lease, outcome, at),
    };
  }

  #answered(lease: Followed, now: Millis): void {
    const { runner } = lease;
    lease.answered = true;
    // Where another has ended meanwhile, this one may have waited for its slot.
    if (lease.ended === runner.ended) runner.slots.served(lease.active);
    if (runner.phase === 'loading') this.#knowledge.setPhase(runner, 'ready', now);
    this.#changed(runner, now);
  }

  #released(lease: Followed, outcome: Outcome, now: Millis): void {
    const { runner } = lease;
    runner.inFlight -= 1;
    runner.backend.inFlight -= 1;
    runner.backend.revision += 1;
    runner.lastUsed = now;
    runner.ended += 1;
    if (outcome.kind === 'done') this.#learn(lease, outcome, now);
    else if (runner.phase === 'loading' && !lease.answered && runner.inFlight === 0) {
      this.#knowledge.setPhase(runner, 'absent', now);
    }
    this.#changed(runner, now);
  }

  #learn({ runner, since, active, cachedTokens }: Followed, { usage }: Outcome & { kind: 'done' }, now: Millis): void {
    if (runner.phase === 'loading' || runner.phase === 'absent') this.#knowledge.setPhase(runner, 'ready', now);
    const { loadMs = 0, promptMs = 0, outputMs = 0, totalMs } = usage;
    this.#knowledge.slotHeld(runner, Math.max(0, now - since - loadMs));
    if (cachedTokens === 0) this.#knowledge.processed(runner.backend, usage, active);
    if (totalMs !== undefined) runner.slots.waited(active, totalMs - loadMs - promptMs - outputMs, now);
  }
}
