/** One simulated request and the attempt that runs for it. */
import type { Lease } from '../../src/core/scheduler.ts';
import type { Departure, Job, Millis, Timer } from '../../src/core/types.ts';
import type { AttemptFailure } from '../../src/core/retry.ts';

/** How an attempt ended. */
export type AttemptEnd =
  | { readonly kind: 'done' }
  | { readonly kind: 'gone' }
  | { readonly kind: 'failed'; readonly failure: AttemptFailure };

/** A client that may leave, without the machinery of an AbortController. */
export class Client implements Departure {
  aborted = false;
  readonly #listeners = new Set<() => void>();

  addEventListener(_type: 'abort', run: () => void): void {
    this.#listeners.add(run);
  }

  removeEventListener(_type: 'abort', run: () => void): void {
    this.#listeners.delete(run);
  }

  leave(): void {
    if (this.aborted) return;
    this.aborted = true;
    const listeners = [...this.#listeners];
    for (const run of listeners) run();
  }
}

/** An attempt that runs; its timers are its backend's next step. */
export interface Running {
  readonly lease: Lease;
  /** Of the backend's machine: id and URL. */
  readonly machine: string;
  committed: boolean;
  timer: Timer | null;
  readonly end: (how: AttemptEnd) => void;
}

/** One acquire that has no answer yet. */
export interface Waiting {
  readonly number: number;
  readonly since: Millis;
  readonly deadline: Millis;
}

export interface Traveller {
  readonly job: Job;
  readonly fingerprint: string;
  /** Whether it kills what it runs on. */
  readonly isPoison: boolean;
  readonly client: Client;
  /** Different backends that failed it. */
  readonly tried: string[];
  readonly sentTo: Set<string>;
  /** Those that broke while it ran there. */
  readonly broken: Set<string>;
  waiting: Waiting | null;
  running: Running | null;
}
