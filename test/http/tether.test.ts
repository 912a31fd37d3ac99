import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { GatewayError } from '../../src/core/errors.ts';
import type { Exchange } from '../../src/http/exchange.ts';
import { tether } from '../../src/http/tether.ts';

function bench() {
  const left = new AbortController();
  const exchange = { left: left.signal, onRoom: null, onStop: null } as unknown as Exchange;
  const said: string[] = [];
  const bond = tether(exchange, { onLeft: () => void said.push('left'), onStop: () => void said.push('stop') });
  const call = (name: string) => ({
    pause: () => void said.push(`pause ${name}`),
    resume: () => void said.push(`resume ${name}`),
    abort: () => void said.push(`abort ${name}`),
  });
  return { left, exchange, said, bond, call };
}

describe('a client tied to its backends', () => {
  it('makes them wait while it has no room, also one that is asked meanwhile', () => {
    const { exchange, said, bond, call } = bench();
    bond.hold(call('a'));
    exchange.onRoom!(false);
    bond.hold(call('b'));
    exchange.onRoom!(true);
    assert.deepEqual(said, ['pause a', 'pause b', 'resume a', 'resume b']);
  });

  it('stops them when it leaves, and whoever is asked after that', () => {
    const { left, said, bond, call } = bench();
    bond.hold(call('a'));
    left.abort();
    bond.hold(call('b'));
    assert.deepEqual(said, ['abort a', 'left', 'abort b']);
  });

  it('stops them when the gateway stops, and not at all once it is untied', () => {
    const { left, exchange, said, bond, call } = bench();
    bond.hold(call('a'));
    exchange.onStop!(new GatewayError('shutting-down', 'the gateway is stopping'));
    assert.deepEqual(said, ['abort a', 'stop']);
    bond.release();
    left.abort();
    assert.deepEqual([exchange.onStop, exchange.onRoom, said.length], [null, null, 2]);
  });
});
