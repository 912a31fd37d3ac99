/** What the fleet makes of a model that hangs; src/core/wedge.ts finds it. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { backend, fleetOf, job } from '../support/build.ts';

describe('a model that hangs somewhere', () => {
  it('gets nothing there, not even as a last resort, until it is said to be well and a trial shows it', () => {
    const { fleet } = fleetOf([backend('a')]);
    fleet.observe('a', { kind: 'wedged', model: 'tiny:latest', reason: 'wedged: silent for 120 s' });
    assert.equal(fleet.eligible(job(), []).kind, 'none');
    assert.equal(fleet.outlook(job(), []), 'no-backend');
    assert.equal(fleet.eligible(job({ model: null }), []).kind, 'candidates');
    assert.deepEqual(fleet.view()[0]!.troubled, [{ model: 'tiny:latest', reason: 'wedged: silent for 120 s' }]);
    fleet.observe('a', { kind: 'unwedged', model: 'tiny:latest' });
    const trial = fleet.take('a', job());
    assert.notEqual(fleet.eligible(job(), []).kind, 'candidates', 'one at a time');
    fleet.give(trial, { kind: 'done', usage: {}, firstByteMs: 1 });
    assert.deepEqual(fleet.view()[0]!.troubled, []);
  });

  it('is tried again when its ejection is over', () => {
    const { clock, fleet } = fleetOf([backend('a')]);
    fleet.observe('a', { kind: 'wedged', model: 'tiny:latest', reason: 'wedged' });
    clock.tick(299_000);
    assert.equal(fleet.outlook(job(), []), 'no-backend');
    clock.tick(1000);
    assert.equal(fleet.outlook(job(), []), 'free');
  });

  it('gets nothing more there while it is suspected and another has it, and is the last resort otherwise', () => {
    const { fleet } = fleetOf([backend('a'), backend('b')]);
    const names = (model: string | null = 'tiny:latest') => {
      const found = fleet.eligible(job({ model }), []);
      return found.kind === 'candidates' ? found.candidates.map(({ id }) => id) : [];
    };
    fleet.observe('a', { kind: 'suspected', model: 'tiny:latest', reason: 'owes an answer for 12 s' });
    assert.deepEqual(names(), ['b']);
    assert.deepEqual(names(null), ['a', 'b']);
    assert.deepEqual(fleet.view()[0]!.troubled, [{ model: 'tiny:latest', reason: 'owes an answer for 12 s' }]);
    fleet.observe('b', { kind: 'admin', state: 'draining' });
    assert.deepEqual(names(), ['a']);
    fleet.observe('b', { kind: 'admin', state: 'active' });
    fleet.observe('a', { kind: 'unsuspected', model: 'tiny:latest' });
    assert.deepEqual(names(), ['a', 'b']);
    assert.deepEqual(fleet.view()[0]!.troubled, []);
  });

  it('lets those go who wait for it as soon as it is no longer suspected', () => {
    const { fleet } = fleetOf([backend('a'), backend('b')]);
    fleet.observe('a', { kind: 'suspected', model: 'tiny:latest', reason: 'owes an answer for 12 s' });
    let changes = 0;
    fleet.subscribe(() => (changes += 1));
    fleet.observe('a', { kind: 'unsuspected', model: 'tiny:latest' });
    assert.equal(changes, 1);
  });
});
