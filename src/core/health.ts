/**
 * What evidence makes of a backend. Two judgements that do not overrule each other: liveness, from probes; trust, from the
 * outcomes of real requests. Both are pure: (state, evidence, now) → state. The fleet keeps one liveness per backend, and
 * one trust per backend and per (backend, model).
 */
import { Type, type Static } from 'typebox';
import { Duration } from './options.ts';
import type { Millis, Rng } from './types.ts';

export const HealthOptions = Type.Object(
  {
    riseAfter: Type.Integer({
      description:
        'Probes in a row that must succeed before a backend that was down is used again. A new one needs one.',
      minimum: 1,
      default: 2,
    }),
    fallAfter: Type.Integer({
      description: 'Probes in a row that must fail before a backend is down.',
      minimum: 1,
      default: 3,
    }),
    refusedIsDown: Type.Boolean({
      description: 'A request whose connection is refused takes its backend down at once; probes bring it back.',
      default: true,
    }),
    ejectAfter: Type.Integer({
      description: 'Requests in a row that must fail before a backend is ejected.',
      minimum: 1,
      default: 3,
    }),
    ejectRatio: Type.Number({
      description: 'Share of failed requests within `ejectWindow` that ejects a backend.',
      exclusiveMinimum: 0,
      maximum: 1,
      default: 0.5,
    }),
    ejectMinimum: Type.Integer({
      description: 'Requests that must have ended within `ejectWindow` before their share of failures counts.',
      minimum: 1,
      default: 10,
    }),
    ejectWindow: Duration({
      description:
        'How far back outcomes count. Also the time without ejection after which the next is one step milder.',
      default: '30s',
      minimum: '1s',
    }),
    ejectTime: Duration({
      description: 'How long the first ejection lasts. Each further one lasts twice as long, plus up to a quarter.',
      default: '5s',
      minimum: '100ms',
    }),
    ejectTimeLimit: Duration({ description: 'The longest an ejection may last.', default: '5m', minimum: '100ms' }),
    probationTimeout: Duration({
      description:
        'After an ejection one request is let through and decides. If it has not got its first byte by then, the next may try.',
      default: '30s',
      minimum: '1s',
    }),
    slowStart: Duration({
      description: 'After it comes back, a backend’s weight grows from a tenth to all of it over this time; 0 is off.',
      default: '30s',
      minimum: 0,
    }),
    busyPause: Duration({
      description: 'How long nothing is sent to a backend that answered that its own queue is full.',
      default: '1s',
      minimum: 0,
    }),
  },
  { additionalProperties: false, description: 'When a backend is used, and when not.' },
);
export type HealthOptions = Static<typeof HealthOptions>;

/** What probes say. `streak` counts consecutive probes that contradict the verdict. */
export interface Liveness {
  readonly verdict: 'unknown' | 'up' | 'down';
  readonly streak: number;
  /** Why it is down; '' while it is not. */
  readonly reason: string;
}

export const unprobed: Liveness = { verdict: 'unknown', streak: 0, reason: '' };
const up: Liveness = { verdict: 'up', streak: 0, reason: '' };

export function probeSucceeded(liveness: Liveness, options: HealthOptions): Liveness {
  if (liveness.verdict === 'up') return up;
  const streak = liveness.streak + 1;
  if (liveness.verdict === 'unknown' || streak >= options.riseAfter) return up;
  return { ...liveness, streak };
}

export function probeFailed(liveness: Liveness, reason: string, options: HealthOptions): Liveness {
  if (liveness.verdict === 'down') return { verdict: 'down', streak: 0, reason };
  const streak = liveness.streak + 1;
  return streak >= options.fallAfter ? { verdict: 'down', streak: 0, reason } : { ...liveness, streak, reason };
}

/** Nobody listens there. One refused connection proves it, whatever the last probes said. */
export function connectionRefused(reason: string): Liveness {
  return { verdict: 'down', streak: 0, reason };
}

/** Whether requests are let through: all, one at a time, or none. */
export type Standing =
  | { readonly kind: 'trusted' }
  | { readonly kind: 'ejected'; readonly until: Millis; readonly reason: string }
  | { readonly kind: 'probation' };

/** Outcomes that ended in one slice of time. */
interface Slice {
  readonly index: number;
  readonly successes: number;
  readonly failures: number;
}

/** What outcomes say. */
export interface Trust {
  readonly standing: Standing;
  readonly failuresInRow: number;
  /** Oldest first; at most SLICES, none older than `ejectWindow`. */
  readonly slices: readonly Slice[];
  /** Ejections so far, as of `since`; forgotten one by one while trusted. */
  readonly ejections: number;
  /** When the standing began. */
  readonly since: Millis;
  /** Trusted after an ejection or an outage: its weight is still growing. */
  readonly recovering: boolean;
  /** When a lost connection was last counted; -Infinity before the first. */
  readonly lostAt: Millis;
}

export interface Evidence {
  readonly verdict: 'success' | 'failure' | 'neutral';
  /** Whether the request was let through although the standing was not `trusted`: only such a request may change it. */
  readonly onTrial: boolean;
  readonly reason: string;
  /**
   * For a lost connection only: since when the attempt had been running. A process that dies takes all that runs there with it,
   * so what ran already when a loss was counted is part of that loss.
   */
  readonly lostSince?: Millis;
}

/** Now, and the luck for the jitter of an ejection. */
export interface Moment {
  readonly now: Millis;
  readonly rng: Rng;
}

const SLICES = 6;
const trusted: Standing = { kind: 'trusted' };

export function newTrust(now: Millis): Trust {
  const lostAt = Number.NEGATIVE_INFINITY;
  return { standing: trusted, failuresInRow: 0, slices: [], ejections: 0, since: now, recovering: false, lostAt };
}

/** A fresh start after an outage: what happened before it says nothing any more, but the weight grows slowly. */
export function trustAfterOutage(trust: Trust, now: Millis): Trust {
  return { ...newTrust(now), ejections: trust.ejections, recovering: true };
}

/** What time alone changes: an ejection that is over becomes probation. */
export function trustAt(trust: Trust, now: Millis): Trust {
  if (trust.standing.kind !== 'ejected' || now < trust.standing.until) return trust;
  return { ...trust, standing: { kind: 'probation' }, since: now };
}

/** The same object when the evidence is no news. */
export function judged(trust: Trust, evidence: Evidence, moment: Moment, options: HealthOptions): Trust {
  if (evidence.verdict === 'neutral') return trust;
  if (trust.standing.kind !== 'trusted') {
    // Requests that began before the ejection end during it; they belong to what it already punishes.
    if (!evidence.onTrial) return trust;
    if (evidence.verdict === 'success') return trustAfterOutage(trust, moment.now);
    return trust.standing.kind === 'probation' ? ejected(trust, evidence.reason, moment, options) : trust;
  }
  const { lostSince } = evidence;
  if (lostSince !== undefined && lostSince < trust.lostAt) return trust;
  const slices = withOutcome(trust.slices, evidence.verdict, moment.now, options);
  if (evidence.verdict === 'success') return { ...trust, failuresInRow: 0, slices };
  const lostAt = lostSince === undefined ? trust.lostAt : moment.now;
  const failed = { ...trust, failuresInRow: trust.failuresInRow + 1, slices, lostAt };
  const tooMany = failed.failuresInRow >= options.ejectAfter || failureShareTooHigh(slices, options);
  return tooMany ? ejected(failed, evidence.reason, moment, options) : failed;
}

/** Ejected for as long as may be, without a count: it hangs, and an early trial would hang too. */
export function wedged(trust: Trust, reason: string, now: Millis, options: HealthOptions): Trust {
  const standing: Standing = { kind: 'ejected', until: now + options.ejectTimeLimit, reason };
  return { ...newTrust(now), standing, ejections: trust.ejections };
}

/** An ejection that ends before its time. */
export function paroled(trust: Trust, now: Millis): Trust {
  return trust.standing.kind === 'ejected' ? { ...trust, standing: { kind: 'probation' }, since: now } : trust;
}

/** The part of the configured weight that counts now, in (0, 1]. */
export function weightShare(trust: Trust, now: Millis, options: HealthOptions): number {
  if (!trust.recovering || options.slowStart <= 0) return 1;
  const elapsed = Math.max(0, now - trust.since);
  return elapsed >= options.slowStart ? 1 : 0.1 + 0.9 * (elapsed / options.slowStart);
}

function ejected(trust: Trust, reason: string, moment: Moment, options: HealthOptions): Trust {
  const ejections = ejectionsLeft(trust, moment.now, options) + 1;
  const lasts = options.ejectTime * 2 ** Math.min(ejections - 1, 30) * (1 + moment.rng.next() / 4);
  const until = moment.now + Math.min(lasts, options.ejectTimeLimit);
  return { ...newTrust(moment.now), standing: { kind: 'ejected', until, reason }, ejections };
}

function ejectionsLeft(trust: Trust, now: Millis, options: HealthOptions): number {
  if (trust.standing.kind !== 'trusted') return trust.ejections;
  return Math.max(0, trust.ejections - Math.floor((now - trust.since) / options.ejectWindow));
}

function withOutcome(
  slices: readonly Slice[],
  verdict: 'success' | 'failure',
  now: Millis,
  options: HealthOptions,
): readonly Slice[] {
  const index = Math.floor(now / (options.ejectWindow / SLICES));
  const kept = slices.filter((slice) => slice.index > index - SLICES && slice.index < index);
  const last = slices.at(-1);
  const current = last !== undefined && last.index === index ? last : { index, successes: 0, failures: 0 };
  kept.push(
    verdict === 'success'
      ? { ...current, successes: current.successes + 1 }
      : { ...current, failures: current.failures + 1 },
  );
  return kept;
}

function failureShareTooHigh(slices: readonly Slice[], options: HealthOptions): boolean {
  let successes = 0;
  let failures = 0;
  for (const slice of slices) {
    successes += slice.successes;
    failures += slice.failures;
  }
  const all = successes + failures;
  return all >= options.ejectMinimum && failures / all >= options.ejectRatio;
}
