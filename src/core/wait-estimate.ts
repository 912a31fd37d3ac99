/** How long a job would wait, told from how long leases are held. An honest `Retry-After` and early refusals rest on it. */
import type { Millis } from './types.ts';

export interface WaitEstimate {
  /** A lease ended well after this time. */
  finished(heldMs: Millis): void;
  /** At least a second, at most ten minutes. A guess of one second until leases have ended. */
  predict(load: { readonly ahead: number; readonly slots: number }): Millis;
}

/** The weight of the newest lease in the mean: about the last twenty count. */
const NEWEST = 0.1;
const SHORTEST = 1000;
const LONGEST = 600_000;

export function createWaitEstimate(): WaitEstimate {
  let meanMs: Millis | null = null;
  return {
    finished(heldMs) {
      meanMs = meanMs === null ? heldMs : meanMs + NEWEST * (heldMs - meanMs);
    },
    predict({ ahead, slots }) {
      if (meanMs === null || slots <= 0) return SHORTEST;
      return Math.min(LONGEST, Math.max(SHORTEST, Math.ceil((meanMs * ahead) / slots)));
    },
  };
}
