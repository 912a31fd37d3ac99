/** What each report writes into a backend's row. What follows of it for who may be used is in fleet.test.ts. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Event } from '../../src/core/events.ts';
import { newEntry, type Entry } from '../../src/core/fleet-entry.ts';
import { takeIn, type Changed } from '../../src/core/fleet-reports.ts';
import type { Observation } from '../../src/core/observation.ts';
import { backend, healthDefaults, installed, resident } from '../support/build.ts';

class Bench {
  readonly entry: Entry = newEntry(backend('a'), 0, 4);
  readonly events: Event[] = [];
  now = 0;

  tell(observation: Observation): readonly Changed[] {
    const emit = (event: Event): void => void this.events.push(event);
    return takeIn(this.entry, observation, { now: this.now, options: healthDefaults, emit });
  }
}

const alive: Observation = { kind: 'alive', version: '0.33.0' };
const silent: Observation = { kind: 'probe-failed', reason: 'timeout' };

function ejected(bench: Bench, model: string): boolean {
  return bench.entry.models.get(model)?.trust.standing.kind === 'ejected';
}

describe('a probe', () => {
  it('tells whether the backend is up, and its version, which may change what it can do', () => {
    const bench = new Bench();
    assert.deepEqual(bench.tell(alive), ['inventory']);
    assert.deepEqual([bench.entry.liveness.verdict, bench.entry.version], ['up', '0.33.0']);
    assert.deepEqual(bench.tell(alive), [], 'nothing new');
    assert.deepEqual(bench.tell({ kind: 'alive', version: null }), ['inventory']);
    assert.equal(bench.entry.version, null);
  });

  it('that fails is remembered with its reason, and changes no list', () => {
    const bench = new Bench();
    bench.tell(alive);
    for (let count = 0; count < 3; count += 1) assert.deepEqual(bench.tell(silent), []);
    assert.deepEqual([bench.entry.liveness.verdict, bench.entry.lastError], ['down', 'timeout']);
  });

  it('ends an outage, before which nothing counts any more, but not an ejection', () => {
    for (const standing of ['trusted', 'ejected'] as const) {
      const bench = new Bench();
      bench.tell(alive);
      const { credit } = bench.entry;
      credit.trust = { ...credit.trust, failuresInRow: 2 };
      if (standing === 'ejected') {
        credit.trust = { ...credit.trust, standing: { kind: 'ejected', until: 9e9, reason: 'lost' } };
      }
      for (let count = 0; count < 3; count += 1) bench.tell(silent);
      bench.now = 5000;
      bench.tell(alive);
      assert.equal(credit.trust.failuresInRow, 2, 'one is not enough');
      bench.tell(alive);
      assert.equal(credit.trust.standing.kind, standing);
      assert.deepEqual(
        [credit.trust.failuresInRow, credit.trust.recovering, credit.trust.since],
        standing === 'trusted' ? [0, true, 5000] : [2, false, 0],
      );
    }
  });

  it('that succeeds while it is up, or comes first, changes no trust', () => {
    const bench = new Bench();
    const { trust } = bench.entry.credit;
    bench.tell(alive);
    bench.tell(alive);
    assert.equal(bench.entry.credit.trust, trust);
  });
});

describe('a list of what is installed', () => {
  const tell = (bench: Bench, ...models: ReturnType<typeof installed>[]) => bench.tell({ kind: 'inventory', models });

  it('is news the first time, though it is empty, and then when anything of it is different', () => {
    const bench = new Bench();
    const [m, n] = [installed('m:latest'), installed('n:latest')];
    assert.deepEqual(tell(bench), ['inventory']);
    assert.deepEqual(tell(bench), []);
    assert.deepEqual(tell(bench, m), ['inventory']);
    assert.deepEqual(tell(bench, installed('m:latest')), [], 'the same again');
    assert.deepEqual(tell(bench, m, n), ['inventory'], 'one more');
    assert.deepEqual(tell(bench, n, m), ['inventory'], 'another order');
    assert.deepEqual(tell(bench, n), ['inventory'], 'one less');
    assert.deepEqual([...bench.entry.installedNames!], ['n:latest']);
    assert.deepEqual(tell(bench, installed('n:latest', { digest: 'e'.repeat(64) })), ['inventory'], 'pulled anew');
    const pulled = installed('n:latest', { digest: 'e'.repeat(64) });
    const later = { ...pulled, raw: { ...pulled.raw, modified_at: '2026-11-25T00:00:00Z' } };
    assert.deepEqual(tell(bench, later), ['inventory'], 'changed');
    assert.deepEqual(tell(bench, later), []);
    assert.deepEqual(bench.entry.installed, [later]);
  });
});

describe('a list of what is in memory', () => {
  const told = ({ events }: Bench) =>
    events.map((event) => ('model' in event ? `${event.kind} ${event.model}` : event.kind));

  it('tells of each model that came or went, once', () => {
    const bench = new Bench();
    bench.now = 700;
    assert.deepEqual(bench.tell({ kind: 'resident', models: [resident('m:latest'), resident('n:latest')] }), [
      'residents',
    ]);
    assert.deepEqual(told(bench), ['model-loaded m:latest', 'model-loaded n:latest']);
    bench.events.length = 0;
    bench.tell({ kind: 'resident', models: [resident('n:latest')] });
    bench.tell({ kind: 'resident', models: [resident('n:latest')] });
    assert.deepEqual(told(bench), ['model-unloaded m:latest']);
    assert.deepEqual([bench.entry.residentAt, [...bench.entry.residentNames]], [700, ['n:latest']]);
    assert.equal(bench.entry.resident?.length, 1);
  });

  it('agrees with what the gateway has done itself, which was told then', () => {
    const bench = new Bench();
    const did = { model: 'm:latest', reason: 'wanted', ms: 50 };
    assert.deepEqual(bench.tell({ kind: 'loaded', ...did }), ['residents']);
    assert.deepEqual(bench.events, [{ kind: 'model-loaded', backend: 'a', ...did }]);
    bench.tell({ kind: 'resident', models: [resident('m:latest')] });
    assert.equal(bench.events.length, 1);
    bench.tell({ kind: 'unloaded', ...did });
    assert.deepEqual(bench.events[1], { kind: 'model-unloaded', backend: 'a', ...did });
    bench.tell({ kind: 'resident', models: [] });
    assert.equal(bench.events.length, 2);
  });
});

describe('a model that hangs', () => {
  const wedged: Observation = { kind: 'wedged', model: 'm:latest', reason: 'silent for a minute' };

  it('is suspected until it is cleared', () => {
    const bench = new Bench();
    assert.deepEqual(bench.tell({ kind: 'suspected', model: 'm:latest', reason: 'slow' }), ['use']);
    assert.equal(bench.entry.models.get('m:latest')?.suspicion, 'slow');
    assert.deepEqual(bench.tell({ kind: 'unsuspected', model: 'm:latest' }), ['use']);
    assert.equal(bench.entry.models.get('m:latest')?.suspicion, null);
  });

  it('is ejected for as long as may be, and then no longer suspected', () => {
    const bench = new Bench();
    bench.tell({ kind: 'suspected', model: 'm:latest', reason: 'slow' });
    bench.now = 1000;
    assert.deepEqual(bench.tell(wedged), ['use']);
    const { suspicion, trust, wedged: isWedged } = bench.entry.models.get('m:latest')!;
    assert.deepEqual([suspicion, isWedged], [null, true]);
    assert.deepEqual(trust.standing, { kind: 'ejected', until: 301_000, reason: 'silent for a minute' });
    assert.equal(ejected(bench, 'n:latest'), false, 'no other model is');
  });

  it('may be tried when it is said to be well', () => {
    const bench = new Bench();
    bench.tell(wedged);
    assert.deepEqual(bench.tell({ kind: 'unwedged', model: 'm:latest' }), ['use']);
    assert.equal(bench.entry.models.get('m:latest')?.trust.standing.kind, 'probation');
  });

  it('is not let out of an ejection that it owes to something else', () => {
    const bench = new Bench();
    bench.tell({ kind: 'unsuspected', model: 'm:latest' });
    const credit = bench.entry.models.get('m:latest')!;
    credit.trust = { ...credit.trust, standing: { kind: 'ejected', until: 9e9, reason: 'lost' } };
    bench.tell({ kind: 'unwedged', model: 'm:latest' });
    assert.equal(ejected(bench, 'm:latest'), true);
  });
});

describe('what others decide', () => {
  it('is written down as they say it', () => {
    const bench = new Bench();
    assert.deepEqual(bench.tell({ kind: 'waking', until: 90 }), []);
    assert.equal(bench.entry.wakingUntil, 90);
    assert.deepEqual(bench.tell({ kind: 'admin', state: 'draining' }), []);
    assert.equal(bench.entry.admin, 'draining');
  });

  it('of the breaker is told when it changes, and not when it is said again', () => {
    const bench = new Bench();
    const open: Observation = { kind: 'breaker', state: 'open', reason: 'half of all failed' };
    bench.tell(open);
    bench.tell({ ...open, reason: 'still' });
    assert.deepEqual(bench.events, [
      { kind: 'breaker-state', backend: 'a', from: 'closed', to: 'open', reason: 'half of all failed' },
    ]);
    assert.deepEqual([bench.entry.breaker, bench.entry.breakerReason], ['open', 'half of all failed']);
    bench.tell({ kind: 'breaker', state: 'closed', reason: '' });
    assert.equal(bench.entry.breaker, 'closed');
  });
});
