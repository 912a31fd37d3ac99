import assert from 'node:assert/strict';
import { it } from 'node:test';
import type { Exchange } from '../../src/http/exchange.ts';
import { createStop } from '../../src/http/stop.ts';
import { virtualClock } from '../support/virtual-clock.ts';

/** Stopping with a grace of half a minute; `answering` are the answers under way. */
function stopping(answering: Set<Exchange>) {
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
        closeIdle: () => void told.push('idle'),
        renewCertificate: () => null,
        close: async () => {},
      },
      begin: () => void told.push('begin'),
      giveUp: () => void told.push('give up'),
      close: async () => void told.push('close'),
    },
    { delay: 0, grace: 30_000 },
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

it('closes idle connections two seconds after the last was accepted, when nobody is being answered', async () => {
  const { closed, pass, stop, told } = stopping(new Set());
  const stopped = stop();
  await pass(1_750);
  assert.deepEqual(told, ['begin']);
  await pass(500);
  assert.ok(told.includes('idle'));
  closed.resolve();
  await pass(250);
  await stopped;
  assert.equal(told.at(-1), 'close');
});

it('leaves idle connections alone as long as anybody is being answered', async () => {
  const answering = new Set([exchange()]);
  const { closed, pass, stop, told } = stopping(answering);
  const stopped = stop();
  await pass(20_000);
  assert.deepEqual(told, ['begin']);
  answering.clear();
  await pass(250);
  assert.ok(told.includes('idle'));
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
