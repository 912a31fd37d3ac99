import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import * as fc from 'fast-check';
import { createPrefixCache } from '../../../src/core/prefix-cache.ts';
import { Knowledge, type RunnerState } from '../../../src/core/routing/knowledge.ts';
import { Prompts } from '../../../src/core/routing/prompts.ts';
import { job } from '../../support/build.ts';

/** Boundaries of a prompt whose messages are the letters of the text, 100 tokens each. */
function marks(text: string): { hash: string; tokens: number }[] {
  return Array.from(text, (_, index) => ({ hash: text.slice(0, index + 1), tokens: 100 * (index + 1) }));
}

function runners(): RunnerState[] {
  const knowledge = new Knowledge(0);
  return ['m', 'n'].flatMap((model) => ['a', 'b'].map((id) => knowledge.runner(id, job({ model }), 0)));
}

describe('prompts', () => {
  it('tells of each runner how much of a prompt it remembers, in one go', () => {
    const [one, other, third] = runners();
    const prompts = new Prompts(10);
    prompts.add(one!, marks('abc'));
    prompts.add(other!, marks('abx'));
    assert.deepEqual(
      [one, other, third].map((runner) => prompts.remembered(marks('abcd')).get(runner!)),
      [300, 200, undefined],
    );
  });

  it('remembers of each backend what a cache of its size does, over all its runners', () => {
    const text = fc.string({ unit: fc.constantFrom('a', 'b', 'c'), minLength: 1, maxLength: 5 });
    const step = fc.record({
      runner: fc.integer({ min: 0, max: 3 }),
      text,
      drop: fc.integer({ min: 0, max: 9 }).map((one) => one === 0),
    });
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 4 }), fc.array(step, { maxLength: 40 }), text, (capacity, steps, asked) => {
        const all = runners();
        const prompts = new Prompts(capacity);
        const caches = new Map(['a', 'b'].map((id) => [id, createPrefixCache(capacity)]));
        const cacheOf = (runner: RunnerState) => caches.get(runner.backend.id)!;
        for (const { runner: index, text: added, drop } of steps) {
          const runner = all[index]!;
          if (drop) {
            prompts.drop(runner);
            cacheOf(runner).drop(runner.key);
          } else {
            prompts.add(runner, marks(added));
            cacheOf(runner).store(runner.key, marks(added));
          }
        }
        for (const runner of all) {
          const tokens = prompts.remembered(marks(asked)).get(runner) ?? 0;
          assert.equal(tokens, cacheOf(runner).peek(runner.key, marks(asked)));
        }
      }),
    );
  });
});
