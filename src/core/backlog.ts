/**
 * How long a job would wait, told from how fast the jobs of its model have been leaving the queue, and before any has, from
 * how long leases are held. An honest `Retry-After` and early refusals rest on it.
 */
import { Recent } from './recent.ts';
import type { Millis, ModelName } from './types.ts';

export interface Backlog {
  joined(model: ModelName | null, now: Millis): void;
  /** It left: with a lease (`served`), or because it gave up. */
  left(model: ModelName | null, how: 'served' | 'gave-up', now: Millis): void;
  /** Nobody can serve it for now: when the next one leaves says nothing about how fast the queue moves. */
  stalled(model: ModelName | null): void;
  /** How many wait. */
  waiting(model: ModelName | null): number;
  /** A lease was released after this time. */
  held(model: ModelName | null, heldMs: Millis): void;
  /**
   * The wait of whoever is last among `ahead` jobs of the model, himself included, when `slots` slots serve it. Null while
   * nothing is known to tell it from.
   */
  predict(model: ModelName | null, load: { readonly ahead: number; readonly slots: number }): Millis | null;
}

/** What is known of one model's jobs. Times in ms. */
interface Line {
  waiting: number;
  /** Since when the next one has stood first: the last departure, or the arrival that ended an empty time. */
  turnSince: Millis;
  /** Nobody could serve them at some time since then. */
  hasStalled: boolean;
  /** Mean time between two departures while others waited, since somebody waits; null before the first. */
  meanGap: Millis | null;
  /** Mean time a lease is held; null before the first release. */
  meanHeld: Millis | null;
}

/** The weight of the newest value in a mean: about the last twenty count. */
const NEWEST = 0.1;

/** Models that are remembered; of those without waiting jobs, the one unused for longest is forgotten first. */
const REMEMBERED = 1000;

export function createBacklog(): Backlog {
  const lines = new Recent<ModelName | null, Line>(REMEMBERED, ({ waiting }) => waiting === 0);

  function lineOf(model: ModelName | null): Line {
    const line = lines.get(model);
    if (line === undefined) {
      return lines.add(model, { waiting: 0, turnSince: 0, hasStalled: false, meanGap: null, meanHeld: null });
    }
    lines.touch(model);
    return line;
  }

  return {
    joined(model, now) {
      const line = lineOf(model);
      if (line.waiting === 0) {
        line.turnSince = now;
        line.hasStalled = false;
        line.meanGap = null;
      }
      line.waiting += 1;
    },
    left(model, how, now) {
      const line = lineOf(model);
      line.waiting -= 1;
      if (how === 'gave-up') return;
      if (!line.hasStalled) line.meanGap = mean(line.meanGap, now - line.turnSince);
      line.turnSince = now;
      line.hasStalled = false;
    },
    stalled(model) {
      lineOf(model).hasStalled = true;
    },
    waiting: (model) => lines.get(model)?.waiting ?? 0,
    held(model, heldMs) {
      const line = lineOf(model);
      line.meanHeld = mean(line.meanHeld, heldMs);
    },
    predict(model, { ahead, slots }) {
      const line = lines.get(model);
      if (line === undefined) return null;
      if (line.meanGap !== null) return line.meanGap * ahead;
      return line.meanHeld === null || slots <= 0 ? null : (line.meanHeld * ahead) / slots;
    },
  };
}

function mean(before: Millis | null, newest: Millis): Millis {
  return before === null ? newest : before + NEWEST * (newest - before);
}
