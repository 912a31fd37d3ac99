import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { failureOf } from '../../src/backends/failure.ts';

const coded = (code: string, more: object = {}) => Object.assign(new Error(code), { code, ...more });

describe('a failure below HTTP', () => {
  it('before there was a connection is the backend’s refusal, unless this machine had no socket to ask with', () => {
    assert.equal(failureOf(coded('ECONNREFUSED'), false, false).code, 'backend-refused');
    assert.equal(failureOf(coded('UND_ERR_CONNECT_TIMEOUT'), false, false).code, 'backend-connect-timeout');
    for (const code of ['EMFILE', 'ENFILE', 'EADDRNOTAVAIL'])
      assert.equal(failureOf(coded(code), false, false).code, 'overloaded');
  });

  it('after it is a reset before the head, and a loss after it', () => {
    assert.equal(failureOf(coded('ECONNRESET'), true, false).code, 'backend-reset');
    assert.equal(failureOf(coded('ECONNRESET'), true, true).code, 'backend-lost');
    assert.equal(failureOf(coded('HPE_INVALID_CONSTANT'), true, false).code, 'backend-protocol');
  });

  it('never names an address', () => {
    const error = coded('ECONNREFUSED', { address: '10.0.0.2', port: 11434 });
    assert.doesNotMatch(failureOf(error, false, false).message, /10\.0\.0\.2|11434/);
  });
});
