import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Endpoint } from '../../../src/http/admin/endpoints.ts';
import { createGuard, type GuardOptions } from '../../../src/http/admin/guard.ts';
import { Problem } from '../../../src/http/admin/problem.ts';

const token = 'correct-horse';
const local = { host: 'localhost:11436' };
const bearer = { ...local, authorization: `Bearer ${token}` };

/** 200 when it may. */
function status(options: GuardOptions, access: Endpoint['access'], headers: Record<string, string> = local): number {
  try {
    createGuard(options)(access, headers);
    return 200;
  } catch (error) {
    assert.ok(error instanceof Problem);
    return error.status;
  }
}

describe('the guard of the admin API', () => {
  it('lets look and change as docs/admin.md has it', () => {
    const rows: readonly (readonly [GuardOptions, Record<Endpoint['access'], number>, number])[] = [
      [{ isLoopback: true, token: null }, { open: 200, read: 200, change: 200 }, 200],
      [{ isLoopback: true, token }, { open: 200, read: 200, change: 401 }, 200],
      [{ isLoopback: false, token: null }, { open: 200, read: 200, change: 403 }, 403],
      [{ isLoopback: false, token }, { open: 200, read: 401, change: 401 }, 200],
    ];
    for (const [options, without, changeWithToken] of rows) {
      for (const access of ['open', 'read', 'change'] as const) {
        assert.equal(status(options, access), without[access], JSON.stringify([options, access]));
      }
      assert.equal(status(options, 'change', bearer), changeWithToken, JSON.stringify(options));
    }
  });

  it('takes the token, and nothing that is like it', () => {
    const options = { isLoopback: false, token };
    for (const authorization of ['', token, `Basic ${token}`, `Bearer ${token}x`, 'Bearer ', `Bearer  ${token}`]) {
      assert.equal(status(options, 'change', { ...local, authorization }), 401, authorization);
    }
    assert.equal(status(options, 'change', { ...local, authorization: `bearer ${token}` }), 200);
  });

  it('changes nothing for other names and other sites, where there is no token', () => {
    const options = { isLoopback: true, token: null };
    for (const host of ['127.0.0.1:11436', 'localhost', '[::1]:8080']) {
      assert.equal(status(options, 'change', { host }), 200, host);
    }
    for (const host of ['', 'evil.example', '127.0.0.1.evil.example', 'localhost.evil.example:11436', '10.0.0.2']) {
      assert.equal(status(options, 'change', { host }), 403, host);
    }
    for (const site of ['cross-site', 'same-site']) {
      assert.equal(status(options, 'change', { ...local, 'sec-fetch-site': site }), 403, site);
    }
    for (const site of ['same-origin', 'none']) {
      assert.equal(status(options, 'change', { ...local, 'sec-fetch-site': site }), 200, site);
    }
  });
});
