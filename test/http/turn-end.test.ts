import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { TurnEnd } from '../../src/http/turn-end.ts';

describe('the end of a turn', () => {
  it('calls everybody once, in order, and those who ask meanwhile in the next', async () => {
    const turn = new TurnEnd();
    const calls: string[] = [];
    turn.call(() => {
      calls.push('a');
      turn.call(() => calls.push('c'));
    });
    turn.call(() => calls.push('b'));
    await new Promise((resolve) => setImmediate(resolve));
    assert.deepEqual(calls, ['a', 'b']);
    await new Promise((resolve) => setImmediate(resolve));
    assert.deepEqual(calls, ['a', 'b', 'c']);
  });
});
