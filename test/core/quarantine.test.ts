import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { createQuarantine } from '../../src/core/quarantine.ts';

const options = { after: 2, time: 300_000, limit: 1000 };

describe('quarantine', () => {
  it('refuses a request that has broken two backends, for five minutes', () => {
    const quarantine = createQuarantine(options);
    assert.equal(quarantine.broke('x', 'a', 0), false);
    assert.equal(quarantine.remaining('x', 0), null);
    assert.equal(quarantine.broke('x', 'b', 1000), true);
    assert.equal(quarantine.remaining('x', 1000), 300_000);
    assert.equal(quarantine.remaining('x', 300_999), 1);
    assert.equal(quarantine.remaining('x', 301_000), null);
    assert.equal(quarantine.remaining('y', 1000), null);
  });

  it('does not count one backend twice', () => {
    const quarantine = createQuarantine(options);
    quarantine.broke('x', 'a', 0);
    assert.equal(quarantine.broke('x', 'a', 1), false);
    assert.equal(quarantine.remaining('x', 1), null);
  });

  it('acquits a request that is answered', () => {
    const quarantine = createQuarantine(options);
    quarantine.broke('x', 'a', 0);
    quarantine.answered('x');
    assert.equal(quarantine.broke('x', 'b', 1), false);
  });

  it('forgets one broken backend after five minutes', () => {
    const quarantine = createQuarantine(options);
    quarantine.broke('x', 'a', 0);
    assert.equal(quarantine.broke('x', 'b', 300_000), false);
    assert.equal(quarantine.broke('x', 'a', 300_001), true);
  });

  it('forgets first whom it has heard nothing of for longest', () => {
    const quarantine = createQuarantine({ ...options, limit: 2 });
    quarantine.broke('x', 'a', 0);
    quarantine.broke('y', 'a', 100);
    quarantine.broke('x', 'b', 200);
    assert.equal(quarantine.size, 2);
    quarantine.broke('z', 'a', 300);
    assert.equal(quarantine.size, 2);
    assert.equal(quarantine.remaining('x', 300), 299_900);
    assert.equal(quarantine.broke('y', 'b', 400), false);
  });

  it('can be turned off', () => {
    const quarantine = createQuarantine({ ...options, after: 0 });
    for (const id of ['a', 'b', 'c']) assert.equal(quarantine.broke('x', id, 0), false);
    assert.equal(quarantine.remaining('x', 0), null);
    assert.equal(quarantine.size, 0);
  });

  it('is bounded, agrees with its definition, and never refuses a request that broke nothing', () => {
    const step = fc.record({
      request: fc.constantFrom('r1', 'r2', 'r3', 'r4', 'r5'),
      backend: fc.constantFrom('a', 'b', 'c', null),
      wait: fc.integer({ min: 0, max: 200_000 }),
    });
    fc.assert(
      fc.property(fc.array(step, { size: 'max', maxLength: 60 }), fc.integer({ min: 1, max: 3 }), (steps, after) => {
        const quarantine = createQuarantine({ after, time: 300_000, limit: 3 });
        const broken = new Map<string, { readonly ids: Set<string>; last: number }>();
        let now = 0;
        for (const { request, backend, wait } of steps) {
          now += wait;
          if (backend === null) {
            quarantine.answered(request);
            broken.delete(request);
            continue;
          }
          const before = broken.get(request);
          const ids = before === undefined || before.last + 300_000 <= now ? new Set<string>() : before.ids;
          broken.set(request, { ids: ids.add(backend), last: now });
          const refused = quarantine.broke(request, backend, now);
          assert.equal(refused, quarantine.remaining(request, now) !== null);
          if (refused) assert.ok(ids.size >= after, 'it has broken enough');
          assert.ok(quarantine.size <= 3);
          if (steps.every((each) => each.request === request)) assert.equal(refused, ids.size >= after);
        }
      }),
    );
  });
});
