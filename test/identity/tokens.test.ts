import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { describe, it, type TestContext } from 'node:test';
import { exportJWK, generateKeyPair, SignJWT, UnsecuredJWT, type JWTPayload } from 'jose';
import { createProfiles } from '../../src/core/profiles.ts';
import { createTokenCheck, isTokenText, type TokenOptions } from '../../src/identity/tokens.ts';

const now = 1_790_000_000_000;
const seconds = now / 1000;

async function setUp(t: TestContext, rest: Partial<TokenOptions> = {}) {
  const { privateKey, publicKey } = await generateKeyPair('ES256');
  const jwk = { ...(await exportJWK(publicKey)), kid: 'one', alg: 'ES256' };
  let fetched = 0;
  const server = createServer((_, response) => {
    fetched += 1;
    response.setHeader('content-type', 'application/json').end(JSON.stringify({ keys: [jwk] }));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  const provider: TokenOptions = {
    issuer: 'https://login.example/',
    audience: ['llamero'],
    jwks: `http://127.0.0.1:${(server.address() as AddressInfo).port}/jwks.json`,
    algorithms: ['ES256', 'EdDSA'],
    subject: 'sub',
    claim: 'groups',
    profiles: { ops: 'operator', devs: 'plain' },
    skew: 30_000,
    ...rest,
  };
  const claims = { iss: provider.issuer, aud: 'llamero', sub: 'ana', exp: seconds + 600, groups: ['all', 'devs'] };
  const token = (changes: JWTPayload = {}) =>
    new SignJWT({ ...claims, ...changes }).setProtectedHeader({ alg: 'ES256', kid: 'one' }).sign(privateKey);
  const tokens = createTokenCheck([provider], createProfiles({}));
  const check = async (text: string, at = now) => {
    const found = await tokens.check(text, at);
    return typeof found === 'string' ? found : `${found.id} ${found.grant.scopes.length}`;
  };
  return { check, claims, fetched: () => fetched, jwk, token, tokens };
}

describe('a token of an identity provider', () => {
  it('names its subject, and gives the profile of the first group that has one', async (t) => {
    const { check, token } = await setUp(t);
    assert.equal(await check(await token()), 'token:ana 2');
    assert.equal(await check(await token({ groups: ['devs', 'ops'] })), 'token:ana 3');
    assert.equal(await check(await token({ groups: 'ops' })), 'token:ana 3');
    assert.equal(await check(await token({ groups: ['others'] })), 'token-without-profile');
    assert.ok(isTokenText(await token()));
  });

  it('from others, for others, out of its time or of another form is refused', async (t) => {
    const { check, claims, jwk, token } = await setUp(t, { profile: 'plain' });
    const { privateKey } = await generateKeyPair('ES256');
    const forged = await new SignJWT(claims).setProtectedHeader({ alg: 'ES256', kid: 'one' }).sign(privateKey);
    // A public key as if it were a shared secret: the oldest trick.
    const confused = await new SignJWT(claims)
      .setProtectedHeader({ alg: 'HS256', kid: 'one' })
      .sign(new TextEncoder().encode(JSON.stringify(jwk)));
    for (const text of [
      await token({ iss: 'https://evil.example/' }),
      await token({ aud: 'another' }),
      await token({ exp: seconds - 31 }),
      await token({ nbf: seconds + 31 }),
      await token({ sub: 'two words' }),
      await token({ sub: undefined } as unknown as JWTPayload),
      await token({ exp: undefined } as unknown as JWTPayload),
      forged,
      confused,
      new UnsecuredJWT(claims).encode(),
      `${(await token()).slice(0, -4)}AAAA`,
      'eyJ.eyJ.x',
    ]) {
      assert.equal(await check(text), 'bad-token', text);
    }
    assert.equal(await check(await token({ exp: seconds - 29, groups: [] })), 'token:ana 2');
  });

  it('is looked at once, and again when its time is over', async (t) => {
    const { check, fetched, token, tokens } = await setUp(t);
    const text = await token();
    await check(text);
    assert.ok(!(tokens.check(text, now) instanceof Promise));
    assert.equal(await check(text, now + 631_000), 'bad-token');
    await check(await token({ sub: 'bob' }));
    assert.equal(fetched(), 1);
  });
});
