import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { failures, GatewayError, type FailureCode } from '../../src/core/errors.ts';

const codes = Object.keys(failures) as FailureCode[];

describe('the failures of the gateway', () => {
  it('may be tried again when their status says that it may go better another time, and only then', () => {
    const temporary: readonly number[] = [408, 429, 502, 503, 504];
    for (const code of codes) assert.equal(failures[code].retryable, temporary.includes(failures[code].status), code);
  });

  it('blame the client with 4xx alone, and a backend with 502, 503 and 504 alone', () => {
    for (const code of codes) {
      const { blame, status } = failures[code];
      if (blame === 'client') assert.ok(status >= 400 && status < 500, code);
      if (blame === 'backend') assert.ok([502, 503, 504].includes(status), code);
    }
  });

  it('say with every 429 and 503 when to come back: a second, or what is known better', () => {
    for (const code of codes) {
      const isBusy = [429, 503].includes(failures[code].status);
      assert.equal(new GatewayError(code, 'x').retryAfterMs, isBusy ? 1000 : undefined, code);
      assert.equal(new GatewayError(code, 'x', { retryAfterMs: 7000 }).retryAfterMs, 7000);
    }
  });

  it('keep their cause, and know their row', () => {
    const cause = new Error('why');
    const error = new GatewayError('backend-lost', 'gone', { cause });
    assert.equal(error.cause, cause);
    assert.equal(error.kind, failures['backend-lost']);
    assert.equal('cause' in new GatewayError('backend-lost', 'gone'), false);
  });
});
