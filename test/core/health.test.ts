import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import {
  connectionRefused,
  judged,
  newTrust,
  probeFailed,
  probeSucceeded,
  trustAfterOutage,
  trustAt,
  unprobed,
  weightShare,
  type Evidence,
  type Liveness,
  type Trust,
} from '../../src/core/health.ts';
import { healthDefaults } from '../support/build.ts';
import { seededRng } from '../support/random.ts';

const options = healthDefaults;
const fails: Evidence = { verdict: 'failure', onTrial: false, reason: 'backend-reset' };
const succeeds: Evidence = { verdict: 'success', onTrial: false, reason: '' };
const unlucky = { next: () => 0.999 };
const lucky = { next: () => 0 };

function probes(outcomes: string, from: Liveness = unprobed): Liveness {
  return Array.from(outcomes).reduce(
    (liveness, outcome) =>
      outcome === '+' ? probeSucceeded(liveness, options) : probeFailed(liveness, 'no answer', options),
    from,
  );
}

function after(trust: Trust, evidence: readonly Evidence[], now = 0, rng = lucky): Trust {
  return evidence.reduce((state, piece) => judged(state, piece, { now, rng }, options), trust);
}

describe('liveness', () => {
  it('follows its probes', () => {
    const expected: Record<string, Liveness['verdict']> = {
      '': 'unknown',
      '+': 'up',
      '-': 'unknown',
      '--': 'unknown',
      '---': 'down',
      '--+': 'up',
      '+--': 'up',
      '+---': 'down',
      '+--+--': 'up',
      '+++--': 'up',
      '+---+': 'down',
      '+---++': 'up',
      '+---+-+': 'down',
      '+---+-++': 'up',
    };
    for (const [outcomes, verdict] of Object.entries(expected)) {
      assert.equal(probes(outcomes).verdict, verdict, `after ${outcomes === '' ? 'nothing' : outcomes}`);
    }
  });

  it('is down only after three failures, or one refusal, since the last success; up again after two successes', () => {
    fc.assert(
      fc.property(fc.array(fc.constantFrom('+', '-', 'x'), { size: 'max', maxLength: 60 }), (outcomes) => {
        let liveness = unprobed;
        let past = '';
        for (const outcome of outcomes) {
          const before = liveness.verdict;
          past += outcome;
          liveness = outcome === 'x' ? connectionRefused('refused') : probes(outcome, liveness);
          if (before !== 'down' && liveness.verdict === 'down') assert.match(past, /(---|x)$/);
          if (before === 'down' && liveness.verdict === 'up') assert.match(past, /\+\+$/);
          if (/(---|x)$/.test(past)) assert.equal(liveness.verdict, 'down');
          if (past.endsWith('++')) assert.equal(liveness.verdict, 'up');
        }
      }),
    );
  });

  it('keeps the reason of the last failure while it is down', () => {
    assert.equal(probeFailed(probes('+---'), 'timed out', options).reason, 'timed out');
    assert.equal(probes('+---++').reason, '');
  });
});

describe('trust', () => {
  it('ends with the third failure in a row', () => {
    assert.equal(after(newTrust(0), [fails, fails]).standing.kind, 'trusted');
    assert.equal(after(newTrust(0), [fails, fails, succeeds, fails, fails]).standing.kind, 'trusted');
    assert.deepEqual(after(newTrust(0), [fails, fails, fails]).standing, {
      kind: 'ejected',
      until: 5000,
      reason: 'backend-reset',
    });
  });

  it('ends when half of ten or more requests of the last 30 s failed', () => {
    const mixed = [fails, succeeds, fails, succeeds, fails, succeeds, fails, succeeds];
    const nine = after(newTrust(0), [...mixed, succeeds]);
    assert.equal(nine.standing.kind, 'trusted');
    assert.equal(after(nine, [fails]).standing.kind, 'ejected');
    // Also when they are spread over the 30 s.
    const spread = [...mixed, succeeds].reduce(
      (trust, piece, index) => after(trust, [piece], index * 2500),
      newTrust(0),
    );
    assert.equal(spread.standing.kind, 'trusted');
    assert.equal(after(spread, [fails], 22_500).standing.kind, 'ejected');
    // The same, but the first eight are too long ago to count.
    const later = after(after(newTrust(0), mixed), [succeeds, fails], 31_000);
    assert.equal(later.standing.kind, 'trusted');
  });

  it('counts one death once, however many requests it takes', () => {
    const lost = (lostSince: number): Evidence => ({ ...fails, lostSince });
    const crashed = after(newTrust(0), [lost(10), lost(20), lost(30), lost(99)], 100);
    assert.equal(crashed.failuresInRow, 1);
    assert.equal(after(crashed, [lost(50)], 200), crashed, 'what ran at the time of the loss is part of it');
    const twice = after(crashed, [lost(150), lost(150)], 200);
    assert.equal(twice.failuresInRow, 2);
    assert.equal(after(twice, [lost(250)], 300).standing.kind, 'ejected');
    // A time limit that passes speaks for itself, each time.
    assert.equal(after(crashed, [fails, fails], 200).standing.kind, 'ejected');
  });

  it('becomes probation when the ejection is over, and not before', () => {
    const ejected = after(newTrust(0), [fails, fails, fails]);
    assert.equal(trustAt(ejected, 4999).standing.kind, 'ejected');
    assert.equal(trustAt(ejected, 5000).standing.kind, 'probation');
    assert.equal(trustAt(newTrust(0), 1e9).standing.kind, 'trusted');
  });

  it('is decided by the trial alone while on probation', () => {
    const probation = trustAt(after(newTrust(0), [fails, fails, fails]), 5000);
    assert.equal(after(probation, [fails, succeeds, fails, fails, fails], 5000), probation);
    assert.equal(after(probation, [{ ...succeeds, onTrial: true }], 5000).standing.kind, 'trusted');
    assert.equal(after(probation, [{ ...fails, onTrial: true }], 5000).standing.kind, 'ejected');
    assert.equal(after(probation, [{ verdict: 'neutral', onTrial: true, reason: '' }], 5000), probation);
  });

  it('is lost for twice as long each time, with jitter, up to the limit', () => {
    let now = 0;
    let trust = newTrust(0);
    const lengths: number[] = [];
    for (let ejection = 0; ejection < 9; ejection += 1) {
      trust =
        ejection === 0 ? after(trust, [fails, fails, fails], now) : after(trust, [{ ...fails, onTrial: true }], now);
      assert.ok(trust.standing.kind === 'ejected');
      lengths.push(trust.standing.until - now);
      now = trust.standing.until;
      trust = trustAt(trust, now);
    }
    assert.deepEqual(lengths, [5000, 10_000, 20_000, 40_000, 80_000, 160_000, 300_000, 300_000, 300_000]);
    const jittered = after(newTrust(0), [fails, fails, fails], 0, unlucky);
    assert.ok(
      jittered.standing.kind === 'ejected' && jittered.standing.until > 6000 && jittered.standing.until <= 6250,
    );
  });

  it('forgets one ejection for each window without another', () => {
    const once = after(
      trustAt(after(newTrust(0), [fails, fails, fails]), 5000),
      [{ ...succeeds, onTrial: true }],
      5000,
    );
    const again = (now: number): number => {
      const trust = after(once, [fails, fails, fails], now);
      assert.ok(trust.standing.kind === 'ejected');
      return trust.standing.until - now;
    };
    assert.equal(again(34_999), 10_000);
    assert.equal(again(35_000), 5000);
  });

  it('grows the weight back from a tenth after a recovery, and never touches it otherwise', () => {
    assert.equal(weightShare(newTrust(0), 0, options), 1);
    const back = trustAfterOutage(newTrust(0), 1000);
    assert.equal(weightShare(back, 1000, options), 0.1);
    assert.equal(Math.round(weightShare(back, 16_000, options) * 100), 55);
    assert.equal(weightShare(back, 31_000, options), 1);
    assert.equal(weightShare(back, 1000, { ...options, slowStart: 0 }), 1);
  });

  it('keeps its promises over any history', () => {
    const step = fc.record({
      wait: fc.integer({ min: 0, max: 20_000 }),
      verdict: fc.constantFrom<Evidence['verdict']>('success', 'failure', 'neutral'),
      onTrial: fc.boolean(),
    });
    fc.assert(
      fc.property(fc.array(step, { size: 'max', maxLength: 100 }), fc.integer(), (steps, seed) => {
        const rng = seededRng(seed);
        let now = 0;
        let trust = newTrust(now);
        for (const { wait, verdict, onTrial } of steps) {
          now += wait;
          const before = trustAt(trust, now);
          trust = judged(before, { verdict, onTrial, reason: 'x' }, { now, rng }, options);
          if (verdict === 'neutral') assert.equal(trust, before);
          if (before.standing.kind !== 'trusted' && !onTrial) assert.equal(trust, before);
          if (before.standing.kind === 'trusted' && verdict === 'success') assert.equal(trust.standing.kind, 'trusted');
          if (trust.standing.kind === 'ejected' && before.standing.kind !== 'ejected') {
            assert.equal(verdict, 'failure');
            const lasts = trust.standing.until - now;
            assert.ok(lasts >= 5000 && lasts <= 300_000, `${lasts} ms`);
          }
          assert.ok(trust.slices.length <= 6);
          const share = weightShare(trust, now, options);
          assert.ok(share > 0 && share <= 1);
        }
      }),
    );
  });
});
