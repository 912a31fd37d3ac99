import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { createProgressMerge, failureText, type ProgressMerge } from '../../src/http/progress.ts';

interface Line {
  readonly status?: string;
  readonly digest?: string;
  readonly total?: number;
  readonly completed?: number;
  readonly error?: string;
}

const read = (lines: readonly string[]): Line[] => lines.map((line) => JSON.parse(line) as Line);
const layer = (digest: string, total: number, completed: number): string =>
  JSON.stringify({ status: `pulling ${digest}`, digest: `sha256:${digest.repeat(64)}`, total, completed });
const status = (text: string): string => JSON.stringify({ status: text });
const success = status('success');

/** Feeds the lines in order and gathers everything said. */
function say(merge: ProgressMerge, ...said: readonly (readonly [backend: string, line: string])[]): Line[] {
  return said.flatMap(([backend, line]) => read(merge.line(backend, line)));
}

/** What the command line shows: a bar per digest, whose maximum is the total of the first line that has bytes. */
function bars(lines: readonly Line[]): Map<string, { max: number; value: number }> {
  const shown = new Map<string, { max: number; value: number }>();
  for (const { digest, total = 0, completed = 0 } of lines) {
    if (digest === undefined || completed === 0) continue;
    const bar = shown.get(digest) ?? { max: total, value: 0 };
    shown.set(digest, bar);
    assert.equal(total, bar.max, 'a bar keeps its maximum');
    assert.ok(completed >= bar.value && completed <= bar.max, 'a bar only grows');
    bar.value = completed;
  }
  return shown;
}

describe('the progress of several backends', () => {
  it('is the mean of those that are in it, with the layer’s own total', () => {
    const merge = createProgressMerge(['a', 'b']);
    assert.deepEqual(say(merge, ['a', layer('1', 100, 0)], ['a', layer('1', 100, 50)], ['b', layer('1', 100, 20)]), [
      { status: 'pulling 1', digest: `sha256:${'1'.repeat(64)}`, total: 100 },
      { status: 'pulling 1', digest: `sha256:${'1'.repeat(64)}`, total: 100, completed: 25 },
      { status: 'pulling 1', digest: `sha256:${'1'.repeat(64)}`, total: 100, completed: 35 },
    ]);
  });

  it('says nothing twice and never falls', () => {
    const merge = createProgressMerge(['a', 'b']);
    say(merge, ['a', layer('1', 100, 80)]);
    assert.deepEqual(say(merge, ['a', layer('1', 100, 80)], ['a', layer('1', 100, 10)], ['b', layer('1', 100, 1)]), []);
  });

  it('says the first status at once and each other when every backend has come to it', () => {
    const merge = createProgressMerge(['a', 'b']);
    assert.deepEqual(say(merge, ['a', status('pulling manifest')]), [{ status: 'pulling manifest' }]);
    assert.deepEqual(say(merge, ['b', status('pulling manifest')], ['a', status('writing manifest')]), []);
    assert.deepEqual(say(merge, ['b', status('writing manifest')]), [{ status: 'writing manifest' }]);
    assert.deepEqual(say(merge, ['a', status('only here')]), []);
    assert.deepEqual(say(merge, ['b', success]), [{ status: 'only here' }]);
  });

  it('completes every layer when the last backend has succeeded, and ends with one success', () => {
    const merge = createProgressMerge(['a', 'b']);
    const lines = say(merge, ['a', layer('1', 100, 100)], ['b', layer('2', 10, 5)], ['a', success], ['b', success]);
    assert.deepEqual(
      [...bars(lines).values()],
      [
        { max: 100, value: 100 },
        { max: 10, value: 10 },
      ],
    );
    assert.deepEqual(read(merge.finish()), [{ status: 'success' }]);
    assert.ok(merge.hasSucceeded('a') && merge.hasSucceeded('b'));
  });

  it('goes on without a backend that fails, and names it before the success', () => {
    const merge = createProgressMerge(['a', 'b']);
    say(merge, ['a', layer('1', 100, 60)], ['b', layer('1', 100, 0)]);
    assert.deepEqual(read(merge.line('b', '{"error":"disk full"}')), [
      { status: 'pulling 1', digest: `sha256:${'1'.repeat(64)}`, total: 100, completed: 60 },
    ]);
    assert.deepEqual(say(merge, ['b', layer('1', 100, 90)], ['a', success]), [
      { status: 'pulling 1', digest: `sha256:${'1'.repeat(64)}`, total: 100, completed: 100 },
    ]);
    assert.deepEqual(read(merge.finish()), [{ status: 'b failed: disk full' }, { status: 'success' }]);
  });

  it('drops what only a failed backend was about to do', () => {
    const merge = createProgressMerge(['a', 'b']);
    say(merge, ['a', status('one')], ['b', status('one')], ['b', status('two')]);
    assert.deepEqual(read(merge.failed('b', 'gone')), []);
  });

  it('is one error when all fail: their text if they have one, else each with its name', () => {
    const same = createProgressMerge(['a', 'b']);
    say(same, ['a', '{"error":"file does not exist"}'], ['b', '{"error":"file does not exist"}']);
    assert.deepEqual(read(same.finish()), [{ error: 'file does not exist' }]);
    const other = createProgressMerge(['a', 'b']);
    other.failed('a', 'it is down');
    assert.deepEqual(read(other.finish()), [{ error: 'a: it is down; b: it ended without saying how' }]);
    assert.equal(failureText(other.failures), 'a: it is down; b: it ended without saying how');
  });

  it('passes over what is not progress', () => {
    const merge = createProgressMerge(['a']);
    for (const line of ['', 'x', '1', 'null', '{}', '{"status":1}', '[]']) {
      assert.deepEqual(merge.line('a', line), [], line);
    }
    assert.deepEqual(merge.line('stranger', success), []);
    assert.deepEqual(say(merge, ['a', '{"status":"s","digest":"0","total":-1,"completed":"x"}']), [
      { status: 's', digest: '0' },
    ]);
  });

  it('is bounded', () => {
    const merge = createProgressMerge(['a']);
    let told = 0;
    for (let i = 0; i < 11_000; i += 1) {
      told += merge.line('a', JSON.stringify({ status: 's', digest: `sha256:${i}`, total: 1 })).length;
    }
    for (let i = 0; i < 1100; i += 1) told += merge.line('a', status(`s${i}`)).length;
    assert.equal(told, 11_000);
  });

  it('holds, whatever the backends do and in whatever order: bars only grow and end full, and there is one last word', () => {
    const step = fc.record({
      backend: fc.constantFrom('a', 'b', 'c'),
      what: fc.oneof(
        { weight: 12, arbitrary: fc.record({ digest: fc.constantFrom('1', '2', '3'), completed: fc.nat(1000) }) },
        { weight: 3, arbitrary: fc.constantFrom('pulling manifest', 'verifying', 'writing') },
        { weight: 2, arbitrary: fc.constant('success') },
        { weight: 1, arbitrary: fc.constant('fail') },
      ),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const merge = createProgressMerge(['a', 'b', 'c']);
        const lines: Line[] = [];
        for (const { backend, what } of steps) {
          if (typeof what === 'object') lines.push(...say(merge, [backend, layer(what.digest, 1000, what.completed)]));
          else if (what === 'fail') lines.push(...read(merge.failed(backend, 'broken')));
          else lines.push(...say(merge, [backend, status(what)]));
        }
        const last = read(merge.finish());
        const shown = bars([...lines, ...last]);
        assert.ok(!lines.some((line) => line.status === 'success' || line.error !== undefined));
        assert.equal(last.filter((line) => line.status === 'success' || line.error !== undefined).length, 1);
        const anySuccess = ['a', 'b', 'c'].some((backend) => merge.hasSucceeded(backend));
        assert.equal(last.at(-1)!.status === 'success', anySuccess);
        if (anySuccess) for (const { max, value } of shown.values()) assert.equal(value, max);
      }),
      { numRuns: 300 },
    );
  });
});
