/** What follows from one backend's row. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Wake } from '../../src/core/backend.ts';
import {
  allows,
  conclude,
  isAsleep,
  isWarm,
  mayServe,
  modelCredit,
  newEntry,
  nextChange,
  respecify,
  settleWake,
  trialFree,
  useFor,
  type Entry,
} from '../../src/core/fleet-entry.ts';
import type { Standing } from '../../src/core/health.ts';
import { backend } from '../support/build.ts';

const wake: Wake = { mac: 'a4:bb:6d:00:11:22', broadcast: '192.0.2.255', port: 9, wait: 60_000, backlog: 20_000 };
const isUp = { verdict: 'up', streak: 0, reason: '' } as const;
const isDown = { verdict: 'down', streak: 0, reason: 'timeout' } as const;
const isEjected: Standing = { kind: 'ejected', until: 500, reason: 'lost' };
const onProbation: Standing = { kind: 'probation' };

function up(overrides: Parameters<typeof backend>[1] = {}): Entry {
  const entry = newEntry(backend('a', overrides), 0, 7);
  entry.liveness = isUp;
  settle(entry);
  return entry;
}

/** As the fleet does after each report. */
function settle(entry: Entry): void {
  Object.assign(entry, conclude(entry));
}

function stand(entry: Entry, standing: Standing, model?: string): void {
  const credit = model === undefined ? entry.credit : modelCredit(entry, model, 0);
  credit.trust = { ...credit.trust, standing };
  settle(entry);
}

const verdict = (entry: Entry): string => `${entry.state} ${entry.use}`;

describe('the use of a backend', () => {
  it('follows from the gravest thing that is known of it', () => {
    const entry = newEntry(backend('a'), 0, 4);
    const steps: [() => unknown, string, RegExp][] = [
      [() => {}, 'unknown no', /not probed/],
      [() => (entry.liveness = isUp), 'up yes', /^$/],
      [() => stand(entry, onProbation), 'probation trial', /ejection is over/],
      [() => stand(entry, isEjected), 'ejected last-resort', /lost/],
      [
        () => Object.assign(entry, { breaker: 'half-open', breakerReason: 'errors' }),
        'ejected no',
        /half-open: errors/,
      ],
      [() => (entry.liveness = isDown), 'down no', /timeout/],
      [() => (entry.wakingUntil = 90), 'waking no', /woken/],
      [() => (entry.admin = 'draining'), 'draining no', /operator/],
      [() => (entry.removed = true), 'draining no', /configuration/],
    ];
    for (const [happens, expected, reason] of steps) {
      happens();
      settle(entry);
      assert.equal(verdict(entry), expected);
      assert.match(entry.reason, reason);
    }
  });

  it('for a model is narrowed by what is known of the model there, and never widened', () => {
    const entry = up();
    const use = (model: string | null) => useFor(entry, model);
    assert.equal(use('m:latest'), 'yes');
    stand(entry, isEjected, 'm:latest');
    stand(entry, onProbation, 'n:latest');
    modelCredit(entry, 'o:latest', 0).suspicion = 'slow';
    assert.deepEqual(['m:latest', 'n:latest', 'o:latest', 'p:latest', null].map(use), [
      'last-resort',
      'trial',
      'last-resort',
      'yes',
      'yes',
    ]);
    modelCredit(entry, 'm:latest', 0).wedged = true;
    assert.equal(use('m:latest'), 'no', 'who is sent to one that hangs waits in vain');
    modelCredit(entry, 'o:latest', 0).suspicion = null;
    assert.equal(use('o:latest'), 'yes');
    stand(entry, isEjected);
    assert.deepEqual(['n:latest', 'o:latest'].map(use), ['last-resort', 'last-resort']);
    entry.liveness = isDown;
    settle(entry);
    assert.deepEqual(['m:latest', 'n:latest', null].map(use), ['no', 'no', 'no']);
  });
});

describe('a trial', () => {
  it('is one at a time, of the backend and of the model there, until its permit expires', () => {
    const entry = up();
    assert.equal(trialFree(entry, 'm:latest', 0), true);
    entry.credit.trialUntil = 100;
    assert.deepEqual([trialFree(entry, 'm:latest', 99), trialFree(entry, null, 99)], [false, false]);
    assert.equal(trialFree(entry, 'm:latest', 100), true);
    modelCredit(entry, 'm:latest', 0).trialUntil = 200;
    assert.deepEqual([trialFree(entry, 'm:latest', 199), trialFree(entry, 'm:latest', 200)], [false, true]);
    assert.deepEqual([trialFree(entry, 'n:latest', 199), trialFree(entry, null, 199)], [true, true]);
  });
});

describe('whether a backend may ever serve a model', () => {
  it('is decided by its list, by what it has, and by what the job is restricted to', () => {
    const entry = up({ models: ['m*'] });
    assert.deepEqual([mayServe(entry, 'm:latest', undefined), mayServe(entry, 'n:latest', undefined)], [true, false]);
    assert.deepEqual([mayServe(entry, 'm:latest', ['b']), mayServe(entry, 'm:latest', ['b', 'a'])], [false, true]);
    assert.deepEqual([mayServe(entry, null, undefined), mayServe(entry, null, ['b'])], [true, false]);
    entry.installedNames = new Set(['m2:latest']);
    assert.deepEqual([mayServe(entry, 'm:latest', undefined), mayServe(entry, 'm2:latest', undefined)], [false, true]);
  });

  it('is remembered of a thousand names at most, and forgotten when its list changes', () => {
    const entry = up({ models: ['m*'] });
    for (let name = 0; name < 5000; name += 1) {
      assert.equal(allows(entry, `m${name}:latest`), true);
      assert.ok(entry.allowed.size <= 1000);
    }
    assert.equal(allows(entry, 'n:latest'), false);
    respecify(entry, backend('a', { models: ['n*'] }), 4);
    assert.deepEqual([allows(entry, 'n:latest'), allows(entry, 'm1:latest')], [true, false]);
    respecify(entry, backend('a'), 4);
    assert.equal(allows(entry, 'anything:latest'), true);
  });

  it('has nothing to do with what is in its memory', () => {
    const entry = up();
    entry.residentNames = new Set(['m:latest']);
    assert.deepEqual(
      ['m:latest', 'n:latest', null].map((model) => isWarm(entry, model)),
      [true, false, false],
    );
  });
});

describe('the slots of a backend', () => {
  it('are those it is given, or as many as others count', () => {
    assert.equal(newEntry(backend('a', { slots: 3 }), 0, 7).slots, 3);
    const entry = newEntry(backend('a', { slots: 'auto' }), 0, 7);
    assert.equal(entry.slots, 7);
    respecify(entry, backend('a', { slots: 2 }), 7);
    assert.equal(entry.slots, 2);
  });
});

describe('a backend that can be woken', () => {
  const sleeper = (): Entry => {
    const entry = newEntry(backend('a', { wake }), 0, 4);
    entry.liveness = isDown;
    return entry;
  };

  it('sleeps while it is down, unless it did not wake lately or the operator wants it out', () => {
    const entry = sleeper();
    assert.equal(isAsleep(entry, 0), true);
    entry.sleepsUntil = 100;
    assert.deepEqual([isAsleep(entry, 99), isAsleep(entry, 100)], [false, true]);
    entry.wakingUntil = 90;
    assert.equal(isAsleep(entry, 0), true, 'it may wake yet');
    entry.admin = 'draining';
    assert.equal(isAsleep(entry, 100), false);
    assert.equal(isAsleep(up({ wake }), 0), false);
    const removed = sleeper();
    removed.removed = true;
    assert.equal(isAsleep(removed, 0), false);
    const other = newEntry(backend('b'), 0, 4);
    other.liveness = isDown;
    assert.equal(isAsleep(other, 0), false);
  });

  it('is awake when it answers, and rests when it does not in time', () => {
    const entry = sleeper();
    settleWake(entry, 0);
    assert.equal(entry.sleepsUntil, 0, 'nobody has woken it');
    entry.wakingUntil = 60_000;
    settleWake(entry, 59_999);
    assert.equal(entry.wakingUntil, 60_000);
    settleWake(entry, 60_000);
    assert.deepEqual([entry.wakingUntil, entry.sleepsUntil], [null, 120_000]);
    const answers = sleeper();
    answers.wakingUntil = 60_000;
    answers.liveness = isUp;
    settleWake(answers, 10);
    assert.deepEqual([answers.wakingUntil, answers.sleepsUntil], [null, 0]);
  });

  it('is no longer being woken when it is drained, or can no longer be', () => {
    const drained = sleeper();
    drained.wakingUntil = 60_000;
    drained.admin = 'draining';
    settleWake(drained, 10);
    assert.equal(drained.wakingUntil, null);
    const changed = sleeper();
    changed.wakingUntil = 60_000;
    respecify(changed, backend('a'), 4);
    settleWake(changed, 10);
    assert.deepEqual([changed.wakingUntil, changed.sleepsUntil], [null, 0]);
  });
});

describe('the next change that time alone makes', () => {
  it('is the first of pauses, wakings, ejections and permits', () => {
    const entry = up();
    assert.equal(nextChange(entry, 0), null);
    stand(entry, isEjected, 'm:latest');
    assert.equal(nextChange(entry, 0), 500);
    stand(entry, { ...isEjected, until: 450 });
    assert.equal(nextChange(entry, 0), 450);
    entry.wakingUntil = 400;
    assert.equal(nextChange(entry, 0), 400);
    entry.credit.trialUntil = 300;
    assert.equal(nextChange(entry, 0), 300);
    entry.busyUntil = 200;
    assert.equal(nextChange(entry, 0), 200);
    assert.equal(nextChange(entry, 200), 300, 'what is over changes nothing any more');
    assert.equal(nextChange(entry, 300), 400);
  });
});

describe('what is known of models on a backend', () => {
  it('is of 256 at most, the oldest forgotten first', () => {
    const entry = up();
    const first = modelCredit(entry, 'm0:latest', 0);
    assert.equal(modelCredit(entry, 'm0:latest', 9), first);
    for (let name = 1; name < 256; name += 1) modelCredit(entry, `m${name}:latest`, 0);
    assert.deepEqual([entry.models.size, entry.models.has('m0:latest')], [256, true]);
    modelCredit(entry, 'm256:latest', 0);
    assert.deepEqual([entry.models.size, entry.models.has('m0:latest')], [256, false]);
  });
});
