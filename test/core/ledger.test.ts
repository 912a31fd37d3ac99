import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { createLedger, otherClients, usageBy, type Used } from '../../src/core/ledger.ts';

const used = fc.record({
  day: fc.constantFrom('2026-11-24', '2026-11-25'),
  client: fc.constantFrom('key:a', 'key:b', '127.0.0.1'),
  model: fc.constantFrom('m:latest', 'n:latest'),
  promptTokens: fc.nat({ max: 1000 }),
  outputTokens: fc.nat({ max: 1000 }),
  isAborted: fc.boolean(),
});

function tokensOf(rows: readonly { promptTokens: number; outputTokens: number }[]): number {
  return rows.reduce((sum, { outputTokens, promptTokens }) => sum + promptTokens + outputTokens, 0);
}

describe('usage ledger', () => {
  it('loses nothing and invents nothing, however it is summed, and over a restart', () => {
    fc.assert(
      fc.property(fc.array(used, { maxLength: 40 }), fc.nat({ max: 40 }), (all, restartAt) => {
        let ledger = createLedger();
        for (const [index, one] of all.entries()) {
          if (index === restartAt) {
            const next = createLedger();
            next.restore(ledger.rows());
            ledger = next;
          }
          ledger.record(one);
        }
        for (const since of ['', '2026-11-25']) {
          const expected = all.filter(({ day }) => day >= since);
          const rows = ledger.rows(since);
          assert.equal(tokensOf(rows), tokensOf(expected));
          for (const field of ['client', 'model', 'day'] as const) {
            const totals = usageBy(rows, field);
            for (const { name, ...total } of totals) {
              const theirs = expected.filter((one) => one[field] === name);
              assert.equal(tokensOf([total]), tokensOf(theirs));
              assert.equal(total.requests, theirs.length);
              assert.equal(total.aborted, theirs.filter(({ isAborted }) => isAborted).length);
            }
            assert.equal(
              totals.reduce((sum, { requests }) => sum + requests, 0),
              expected.length,
            );
          }
        }
      }),
    );
  });

  it('has a bound for a day: those beyond it are counted together', () => {
    const ledger = createLedger();
    const one: Used = {
      day: '2026-11-25',
      client: '',
      model: 'm:latest',
      promptTokens: 1,
      outputTokens: 1,
      isAborted: false,
    };
    for (let count = 0; count < 20_100; count += 1) ledger.record({ ...one, client: `user:${count}` });
    const rows = ledger.rows();
    assert.equal(rows.length, 20_001);
    assert.equal(tokensOf(rows), 40_200);
    assert.equal(rows.find(({ client }) => client === otherClients)?.requests, 100);
  });

  it('says which days have changed since it was last asked, and forgets old ones', () => {
    const ledger = createLedger();
    const one = { client: 'a', model: 'm:latest', promptTokens: 1, outputTokens: 1, isAborted: false };
    ledger.record({ ...one, day: '2026-11-24' });
    ledger.record({ ...one, day: '2026-11-25' });
    assert.deepEqual(ledger.takeChanged(), ['2026-11-24', '2026-11-25']);
    assert.deepEqual(ledger.takeChanged(), []);
    assert.deepEqual(ledger.forgetBefore('2026-11-25'), ['2026-11-24']);
    assert.deepEqual(
      ledger.rows().map(({ day }) => day),
      ['2026-11-25'],
    );
  });
});
