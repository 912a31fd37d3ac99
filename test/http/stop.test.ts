import assert from 'node:assert/strict';
import { it } from 'node:test';
import type { Exchange } from '../../src/http/exchange.ts';
import { createStop } from '../../src/http/stop.ts';
import { virtualClock } from '../support/virtual-clock.ts';

/** Stopping with a grace of half a minute unless said otherwise; `answering` are the answers under way. */
function stopping(answering: Set<Exchange>, grace = 30_000) {
  const clock = virtualClock();
  const closed = Promise.withResolvers<void>();
  const told: string[] = [];
  const stop = createStop(
    {
      clock,
      listener: {
        open: answering,
        listen: async () => '',
        stopAccepting: () => closed.promise,
        closeIdle: async (_now, quietMs) => {
          if (quietMs < Infinity) told.push(`idle for ${quietMs}`);
        },
        renewCertificate: () => null,
        close: async () => {},
      },
      begin: () => void told.push('begin'),
      giveUp: () => void told.push('give up'),
      close: async () => void told.push('close'),
    },
    { delay: 0, grace },
  );
  /** Lets time pass in the steps in which the gateway looks. */
  const pass = async (ms: number): Promise<void> => {
    for (let passed = 0; passed < ms; passed += 250) {
      clock.tick(250);
      for (let turn = 0; turn < 5; turn += 1) await Promise.resolve();
    }
  };
  return { closed, pass, stop, told };
}

const exchange = (ended: string[] = []) => ({ onStop: () => void ended.push('said') }) as unknown as Exchange;

it('closes connections that carried nothing for five seconds, when nobody is being answered', async () => {
  const { closed, pass, stop, told } = stopping(new Set());
  const stopped = stop();
  await pass(250);
  assert.deepEqual(new Set(told), new Set(['begin', 'idle for 5000']));
  closed.resolve();
  await pass(250);
  await stopped;
  assert.equal(told.at(-1), 'close');
});

it('leaves connections half of a grace that is short', async () => {
  const { closed, pass, stop, told } = stopping(new Set(), 4_000);
  const stopped = stop();
  await pass(250);
  assert.ok(told.includes('idle for 2000'));
  closed.resolve();
  await pass(250);
  await stopped;
});

it('leaves idle connections alone as long as anybody is being answered', async () => {
  const answering = new Set([exchange()]);
  const { closed, pass, stop, told } = stopping(answering);
  const stopped = stop();
  await pass(20_000);
  assert.deepEqual(told, ['begin']);
  answering.clear();
  await pass(250);
  assert.ok(told.includes('idle for 5000'));
  closed.resolve();
  await pass(250);
  await stopped;
});

it('ends what is not finished within its grace', async () => {
  const ended: string[] = [];
  const { pass, stop, told } = stopping(new Set([exchange(ended)]));
  const stopped = stop();
  await pass(31_000);
  await stopped;
  assert.deepEqual(told, ['begin', 'give up', 'close']);
  assert.deepEqual(ended, ['said']);
});
