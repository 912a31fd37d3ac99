import assert from 'node:assert/strict';
import { EventEmitter } from 'node:events';
import type { Socket } from 'node:net';
import { it } from 'node:test';
import { IdleConnections } from '../../src/http/idle.ts';

const connection = () => Object.assign(new EventEmitter(), { bytesRead: 0, bytesWritten: 0 }) as unknown as Wire;
type Wire = Socket & { bytesRead: number; bytesWritten: number };
const nobody = new Set<Socket>();

it('takes a connection for idle when it has carried nothing for so long, counted from the first look', () => {
  const [idle, wire] = [new IdleConnections(), connection()];
  idle.add(wire);
  assert.deepEqual(idle.look(7, nobody, 10), []);
  assert.deepEqual(idle.look(16, nobody, 10), []);
  assert.deepEqual(idle.look(17, nobody, 10), [wire]);
});

it('counts anew when a byte comes, when one goes, and while an answer is under way', () => {
  const [idle, wire] = [new IdleConnections(), connection()];
  idle.add(wire);
  idle.look(0, nobody, 10);
  for (const [now, change] of [
    [10, () => (wire.bytesRead += 1)],
    [20, () => (wire.bytesWritten += 1)],
  ] as const) {
    change();
    assert.deepEqual(idle.look(now, nobody, 10), []);
  }
  assert.deepEqual(idle.look(30, new Set([wire]), 10), []);
  assert.deepEqual(idle.look(39, nobody, 10), []);
  assert.deepEqual(idle.look(40, nobody, 10), [wire]);
});

it('forgets what has closed', () => {
  const [idle, wire] = [new IdleConnections(), connection()];
  idle.add(wire);
  idle.look(0, nobody, 10);
  wire.emit('close');
  assert.deepEqual(idle.look(20, nobody, 10), []);
});
