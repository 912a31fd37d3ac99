/** One suite over every policy of the list, and what single policies promise beyond it. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import {
  createPolicy,
  policyName,
  policyNames,
  type PolicyName,
  type PolicyOptions,
} from '../../src/core/policies/choice.ts';
import { policies } from '../../src/core/policies/index.ts';
import { turns } from '../../src/core/policies/turns.ts';
import { busyness } from '../../src/core/policies/least-connections.ts';
import type { Candidate, Policy } from '../../src/core/policies/policy.ts';
import type { NonEmpty } from '../../src/core/types.ts';
import { backend, fleetOf, job } from '../support/build.ts';
import { seededRng } from '../support/random.ts';
import { createScheduler, type Lease } from '../../src/core/scheduler.ts';

type Pool = NonEmpty<Candidate>;

const candidate = fc.record({
  weight: fc.double({ min: 0.01, max: 1000, noNaN: true }),
  slots: fc.oneof(fc.integer({ min: 1, max: 64 }), fc.constant(Infinity)),
  inFlight: fc.nat({ max: 63 }),
  warm: fc.boolean(),
});

const pools: fc.Arbitrary<Pool> = fc
  .array(candidate, { minLength: 1, maxLength: 12 })
  .map((members) => members.map((member, index) => ({ id: `b${index}`, ...member })) as unknown as Pool);

const addresses = fc.oneof(fc.ipV4(), fc.ipV6());

function equal(ids: readonly string[], weights: readonly number[] = []): Pool {
  return ids.map((id, index) => ({
    id,
    weight: weights[index] ?? 1,
    slots: 4,
    inFlight: 0,
    warm: false,
  })) as unknown as Pool;
}

/** How often each id is picked. */
function tally(policy: Policy, pool: () => Pool, picks: number): Map<string, number> {
  const counts = new Map<string, number>();
  for (let pick = 0; pick < picks; pick += 1) {
    const { id } = policy.pick(
      pool(),
      job({ address: `10.${(pick >> 16) & 255}.${(pick >> 8) & 255}.${pick & 255}` }),
      pick,
    );
    counts.set(id, (counts.get(id) ?? 0) + 1);
  }
  return counts;
}

for (const name of policyNames) {
  describe('every policy', () => {
    it('takes no option it does not know', () => {
      for (const [name, { options }] of Object.entries(policies)) {
        assert.equal((options as { additionalProperties?: boolean }).additionalProperties, false, name);
      }
    });
  });

  describe(`policy ${name}`, () => {
    it('picks one of the candidates it was given, untouched, whatever came before', () => {
      fc.assert(
        fc.property(
          fc.array(fc.tuple(pools, addresses), { minLength: 1, maxLength: 30 }),
          fc.integer(),
          (calls, seed) => {
            const policy = createPolicy(name, seededRng(seed));
            for (const [now, [pool, address]] of calls.entries()) {
              const before = structuredClone(pool);
              assert.ok(pool.includes(policy.pick(pool, job({ address }), now)));
              assert.deepEqual(pool, before);
            }
          },
        ),
      );
    });

    it('decides the same for the same seed and the same past', () => {
      fc.assert(
        fc.property(fc.array(fc.tuple(pools, addresses), { maxLength: 30 }), fc.integer(), (calls, seed) => {
          const [one, other] = [createPolicy(name, seededRng(seed)), createPolicy(name, seededRng(seed))];
          for (const [now, [pool, address]] of calls.entries()) {
            assert.equal(one.pick(pool, job({ address }), now).id, other.pick(pool, job({ address }), now).id);
          }
        }),
      );
    });

    it('leaves out no backend of an idle fleet, whatever its place in the list', () => {
      const ids = ['a', 'b', 'c', 'd', 'e'];
      const counts = tally(createPolicy(name, seededRng(5)), () => equal(ids), 2000);
      for (const id of ids) assert.ok((counts.get(id) ?? 0) > 200, `${id} got ${counts.get(id) ?? 0} of 2000`);
    });

    it('starves nobody while others come and go', () => {
      fc.assert(
        fc.property(fc.integer(), (seed) => {
          const rng = seededRng(seed);
          const policy = createPolicy(name, seededRng(seed + 1));
          const weights = [1, 2, 3, 1];
          // `a` is always there; each of the others in half of the picks.
          const pool = (): Pool => {
            const ids = ['a', ...['b', 'c', 'd'].filter(() => rng.next() < 0.5)];
            return equal(
              ids,
              ids.map((id) => weights['abcd'.indexOf(id)]!),
            );
          };
          const counts = tally(policy, pool, 1000);
          for (const id of 'abcd') assert.ok((counts.get(id) ?? 0) > 50, `${id} got ${counts.get(id) ?? 0} of 1000`);
        }),
        { numRuns: 20 },
      );
    });

    it('makes do with one candidate', () => {
      const policy = createPolicy(name, seededRng(1));
      for (let pick = 0; pick < 10; pick += 1) assert.equal(policy.pick(equal(['only']), job(), pick).id, 'only');
    });

    it('says in one sentence what it does, and what each option is and is by default', () => {
      const { summary, options } = policies[name];
      const properties = options.properties as Record<string, { description?: string; default?: unknown }>;
      assert.match(summary, /^[A-Z].*\.$/s);
      for (const [option, schema] of Object.entries(properties)) {
        assert.ok(schema.description !== undefined, `${option} has a description`);
        assert.ok(schema.default !== undefined, `${option} has a default`);
      }
    });
  });
}

describe('policies', () => {
  it('give each backend its share of 10,000 requests within 2 %', async () => {
    const cases: readonly (readonly [PolicyName, readonly number[]])[] = [
      ['round-robin', [1, 1, 1]],
      ['weighted', [1, 2, 3]],
      ['weighted', [1, 1, 1]],
      ['least-connections', [1, 1, 1]],
      ['least-connections', [1, 2, 3]],
    ];
    for (const [name, weights] of cases) {
      const counts = await served(name, weights, 10_000);
      const total = weights.reduce((sum, weight) => sum + weight, 0);
      for (const [index, weight] of weights.entries()) {
        const ideal = (10_000 * weight) / total;
        const off = Math.abs(counts[index]! - ideal) / ideal;
        assert.ok(off <= 0.02, `${name} ${weights.join(':')}: ${counts.join(' ')}`);
      }
    }
  });

  /** What each of the backends serves of requests that keep 60 % of all slots busy, each lasting equally long. */
  async function served(name: PolicyName, weights: readonly number[], requests: number): Promise<number[]> {
    const ids = weights.map((_, index) => `b${index}`);
    const parts = fleetOf(ids.map((id, index) => backend(id, { weight: weights[index]!, slots: 100 })));
    const scheduler = createScheduler(
      { ...parts, policy: createPolicy(name, seededRng(11)), emit: () => undefined },
      { limit: 10, timeout: 1000, refuseEarly: true, ageing: 30_000, waitForBackend: true },
    );
    const counts = ids.map(() => 0);
    const running: Lease[] = [];
    const signal = new AbortController().signal;
    for (let request = 0; request < requests; request += 1) {
      const lease = await scheduler.acquire(job(), [], signal);
      counts[ids.indexOf(lease.backend)]! += 1;
      running.push(lease);
      if (running.length > 120) running.shift()!.release({ kind: 'done', usage: {}, firstByteMs: null });
    }
    return counts;
  }

  it('round-robin gives everybody a turn before anybody a second one', () => {
    const policy = createPolicy('round-robin', seededRng(1));
    const pool = equal(['a', 'b', 'c', 'd']);
    for (let round = 0; round < 5; round += 1) {
      const picked = Array.from({ length: 4 }, () => policy.pick(pool, job(), 0).id);
      assert.deepEqual([...picked].sort(), ['a', 'b', 'c', 'd']);
    }
  });

  it('round-robin keeps its shares when the list is given in another order each time', () => {
    const rng = seededRng(3);
    const counts = tally(
      createPolicy('round-robin', seededRng(1)),
      () =>
        equal(
          ['a', 'b', 'c']
            .map((id) => [rng.next(), id] as const)
            .sort((a, b) => a[0] - b[0])
            .map(([, id]) => id),
        ),
      999,
    );
    assert.deepEqual([...counts.values()], [333, 333, 333]);
  });

  it('weighted interleaves: no backend is ever a whole turn ahead of its share', () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 2, maxLength: 6 }), (weights) => {
        const policy = createPolicy('weighted', seededRng(1));
        const pool = equal(
          weights.map((_, index) => `b${index}`),
          weights,
        );
        const total = weights.reduce((sum, weight) => sum + weight, 0);
        const counts = new Map<string, number>();
        for (let pick = 1; pick <= 2 * total; pick += 1) {
          const { id } = policy.pick(pool, job(), pick);
          counts.set(id, (counts.get(id) ?? 0) + 1);
          for (const { id, weight } of pool) {
            assert.ok(Math.abs((counts.get(id) ?? 0) - (pick * weight) / total) < pool.length, `${id} at ${pick}`);
          }
        }
        for (const { id, weight } of pool) assert.equal(counts.get(id), 2 * weight);
      }),
    );
  });

  it('least-connections never picks a busier backend than the least busy', () => {
    fc.assert(
      fc.property(pools, fc.integer(), (pool, seed) => {
        const picked = createPolicy('least-connections', seededRng(seed)).pick(pool, job(), 0);
        return pool.every((other) => busyness(picked) <= busyness(other));
      }),
    );
  });

  it('least-connections breaks ties evenly', () => {
    const counts = tally(createPolicy('least-connections', seededRng(2)), () => equal(['a', 'b', 'c']), 9000);
    for (const id of 'abc') assert.ok(Math.abs(counts.get(id)! - 3000) < 200, `${id}: ${counts.get(id)}`);
  });

  it('power-of-two never picks the busiest when nobody is as busy', () => {
    fc.assert(
      fc.property(pools, fc.integer(), fc.integer({ min: 2, max: 5 }), (pool, seed, choices) => {
        const picked = createPolicy({ name: 'power-of-two', choices }, seededRng(seed)).pick(pool, job(), 0);
        // Of `choices` different ones drawn, at most pool - choices can be less busy than the pick.
        const lessBusy = pool.filter((other) => busyness(other) < busyness(picked)).length;
        return lessBusy <= Math.max(0, pool.length - choices);
      }),
    );
  });

  it('random follows the weights', () => {
    const counts = tally(createPolicy('random', seededRng(4)), () => equal(['a', 'b', 'c'], [1, 2, 3]), 12_000);
    for (const [index, id] of ['a', 'b', 'c'].entries()) {
      const ideal = 2000 * (index + 1);
      assert.ok(Math.abs(counts.get(id)! - ideal) / ideal < 0.08, `${id}: ${counts.get(id)}`);
    }
  });

  it('random gives each just its part of what may be drawn', () => {
    const pool = equal(['a', 'b', 'c'], [1, 1, 2]);
    const picked = [0, 0.2499, 0.25, 0.4999, 0.5, 0.9999].map((drawn) => {
      return createPolicy('random', { next: () => drawn }).pick(pool, job(), 0).id;
    });
    assert.deepEqual(picked, ['a', 'a', 'b', 'b', 'c', 'c']);
  });

  it('ip-hash sends an address to the same backend in whatever order the candidates come', () => {
    fc.assert(
      fc.property(pools, addresses, fc.integer(), (pool, address, seed) => {
        const policy = createPolicy('ip-hash', seededRng(1));
        const rng = seededRng(seed);
        const shuffled = [...pool].sort(() => rng.next() - 0.5) as unknown as Pool;
        assert.equal(policy.pick(pool, job({ address }), 0).id, policy.pick(shuffled, job({ address }), 1).id);
      }),
    );
  });

  it('ip-hash moves only the addresses of a backend that leaves', () => {
    fc.assert(
      fc.property(
        pools.filter((pool) => pool.length > 1),
        addresses,
        fc.nat(),
        (pool, address, which) => {
          const policy = createPolicy('ip-hash', seededRng(1));
          const before = policy.pick(pool, job({ address }), 0).id;
          const gone = pool[which % pool.length]!.id;
          const after = policy.pick(pool.filter(({ id }) => id !== gone) as unknown as Pool, job({ address }), 1).id;
          if (gone !== before) assert.equal(after, before);
        },
      ),
    );
  });

  it('ip-hash spreads addresses by weight', () => {
    const counts = tally(createPolicy('ip-hash', seededRng(1)), () => equal(['a', 'b', 'c'], [1, 2, 3]), 12_000);
    for (const [index, id] of ['a', 'b', 'c'].entries()) {
      const ideal = 2000 * (index + 1);
      assert.ok(Math.abs(counts.get(id)! - ideal) / ideal < 0.08, `${id}: ${counts.get(id)}`);
    }
  });

  it('remember only so many backends, however many come and go, and those longest that are there', () => {
    const remembered = turns(-1);
    for (let number = 0; number < 10_000; number += 1) {
      if (number % 1000 === 0) remembered.set('stays', number);
      remembered.set(`gone-${number}`, number);
      assert.equal(remembered.of('stays'), number - (number % 1000));
    }
    assert.equal(remembered.of('gone-9999'), 9999);
    assert.equal(remembered.of('gone-0'), -1);
    const kept = Array.from({ length: 10_000 }, (_, number) => remembered.of(`gone-${number}`)).filter(
      (turn) => turn >= 0,
    );
    assert.equal(kept.length, 4095, 'and the one that stays');
  });

  it('are named by a name, or by a name with options that fill up with defaults', () => {
    const choices: readonly PolicyOptions[] = [
      'power-of-two',
      { name: 'power-of-two' },
      { name: 'power-of-two', choices: 2 },
    ];
    const picks = choices.map((choice) => {
      const policy = createPolicy(choice, seededRng(9));
      return Array.from({ length: 20 }, (_, pick) => policy.pick(equal(['a', 'b', 'c', 'd']), job(), pick).id);
    });
    assert.deepEqual(picks[1], picks[0]);
    assert.deepEqual(picks[2], picks[0]);
    assert.deepEqual(choices.map(policyName), ['power-of-two', 'power-of-two', 'power-of-two']);
  });
});
