/**
 * The checker: reads a history and says what in it must not have happened. Pure, so that it can be run again on a file, and tried
 * with histories in which something is wrong. The invariants' numbers are those of docs/reliability.md.
 */
import { quantileOf } from '../load/statistics.ts';
import { inOrder, type HistoryEvent } from './history.ts';
import { invariants } from './invariants.ts';
import { worldOf, type World } from './world.ts';

export interface Rules {
  /** Requests a backend may have at once; null when the run does not limit them. */
  readonly slots: number | null;
  /** Different backends one request may be tried on. */
  readonly backends: number;
  /** Attempts after the first, as a share of the requests within `budgetWindowMs`, and the number that is always allowed. */
  readonly budget: number;
  readonly budgetFloor: number;
  readonly budgetWindowMs: number;
  /** How much longer than its deadline a request may take. */
  readonly graceMs: number;
  /** How soon a backend's work must stop when its client has left, 99 of 100 times. */
  readonly abortP99Ms: number;
  /** How much later one process may see the same thing than another, usually and at most. */
  readonly blurMs: number;
  readonly lateMs: number;
}

export const usualRules: Rules = {
  slots: null,
  backends: 2,
  budget: 0.2,
  budgetFloor: 3,
  budgetWindowMs: 10_000,
  graceMs: 1_000,
  abortP99Ms: 100,
  blurMs: 150,
  lateMs: 1_000,
};

export interface Violation {
  readonly invariant: string;
  readonly what: string;
  /** The request it is about; '' when it is about none. */
  readonly id: string;
}

export interface Verdict {
  readonly violations: readonly Violation[];
  readonly figures: Figures;
}

export interface Figures {
  readonly requests: number;
  /** How many ended how. */
  readonly endings: Readonly<Record<string, number>>;
  /** Share that was complete, of requests whose client did not leave; NaN for none. */
  readonly streamSuccess: number;
  readonly wholeSuccess: number;
  /** Attempts at backends, those that were refused included, per request. */
  readonly attemptsPerRequest: number;
  /** From sending to the end of complete answers that are not streamed, in milliseconds. */
  readonly wholeP50Ms: number;
  readonly wholeP99Ms: number;
  /** From a client's leaving to its backend's noticing. */
  readonly aborts: number;
  readonly abortP50Ms: number;
  readonly abortP99Ms: number;
}

export function check(events: readonly HistoryEvent[], rules: Rules): Verdict {
  const world = worldOf(inOrder(events));
  return { violations: invariants.flatMap((invariant) => invariant(world, rules)), figures: figuresOf(world) };
}

function figuresOf(world: World): Figures {
  const endings: Record<string, number> = {};
  let attempts = 0;
  let logged = 0;
  const whole: number[] = [];
  for (const { sent, ended, lines } of world.requests.values()) {
    const ending = sent.isUnread === true ? 'unread' : (ended?.ending ?? 'never');
    endings[ending] = (endings[ending] ?? 0) + 1;
    if (!sent.stream && ended?.ending === 'complete') whole.push(ended.at - sent.at);
    if (sent.voice === 'copy') continue;
    for (const { line } of lines) {
      attempts += Number(line['attempts']);
      logged += 1;
    }
  }
  whole.sort((a, b) => a - b);
  const delays = world.abortDelays.toSorted((a, b) => a - b);
  return {
    requests: world.requests.size,
    endings,
    streamSuccess: successOf(world, true),
    wholeSuccess: successOf(world, false),
    attemptsPerRequest: attempts / logged,
    wholeP50Ms: quantileOf(whole, 0.5),
    wholeP99Ms: quantileOf(whole, 0.99),
    aborts: delays.length,
    abortP50Ms: quantileOf(delays, 0.5),
    abortP99Ms: quantileOf(delays, 0.99),
  };
}

function successOf(world: World, stream: boolean): number {
  let all = 0;
  let complete = 0;
  for (const { sent, ended } of world.requests.values()) {
    if (sent.stream !== stream || sent.voice === 'copy' || sent.isUnread === true) continue;
    if (ended?.ending === 'left') continue;
    all += 1;
    if (ended?.ending === 'complete') complete += 1;
  }
  return complete / all;
}
