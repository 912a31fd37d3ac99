import assert from 'node:assert/strict';
import { generateKeyPairSync, sign, type KeyObject } from 'node:crypto';
import { describe, it } from 'node:test';
import { createProfiles } from '../../src/core/profiles.ts';
import { createSignatureCheck, isSignature, parseAuthorizedKeys, type Signed } from '../../src/identity/signature.ts';

const profiles = createProfiles({});
const now = 1_790_000_000_000;
const seconds = now / 1000;

/** What `ollama` keeps in ~/.ollama/id_ed25519, and what it makes of it. */
function signer() {
  const { privateKey, publicKey } = generateKeyPairSync('ed25519');
  const raw = publicKey.export({ format: 'der', type: 'spki' }).subarray(-32);
  const blob = Buffer.concat([Buffer.from('0000000b7373682d6564323535313900000020', 'hex'), raw]).toString('base64');
  return { blob, line: `ssh-ed25519 ${blob} ana@desk`, privateKey };
}

function signed(
  { blob, privateKey }: { readonly blob: string; readonly privateKey: KeyObject },
  {
    at = seconds,
    method = 'POST',
    path = '/api/chat',
    connection = {},
  }: Partial<Signed & { at: number; path: string }> = {},
): Signed {
  const signature = sign(null, Buffer.from(`${method},${path}?ts=${at}`), privateKey).toString('base64');
  return { authorization: `${blob}:${signature}`, method, target: `${path}?ts=${at}`, connection };
}

function setUp(...signers: readonly { readonly line: string }[]) {
  const { keys } = parseAuthorizedKeys(signers.map(({ line }) => line).join('\n'), profiles, 'operator');
  const signatures = createSignatureCheck(60_000);
  return (request: Signed, at = now) => {
    const found = signatures.check(request, keys, at);
    return typeof found === 'string' ? found : found.id;
  };
}

describe('the signature of the ollama command', () => {
  it('names the holder of the key, by the fingerprint that ssh-keygen prints', () => {
    const ana = signer();
    const check = setUp(ana);
    assert.match(check(signed(ana)), /^cli:[A-Za-z0-9+/]{43}$/);
    assert.ok(isSignature(signed(ana).authorization));
    const line = 'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl github';
    const [known] = parseAuthorizedKeys(line, profiles, 'plain').keys.values();
    assert.equal(known!.client.id, 'cli:+DiY3wvvV6TuJJhbpZisF/zLDA0zPMSvHdkr4UvCOqU');
  });

  it('of another key, for another method or path, or with another second is worth nothing', () => {
    const [ana, eve] = [signer(), signer()];
    const check = setUp(ana);
    const good = signed(ana);
    assert.equal(check(signed(eve)), 'unknown');
    assert.equal(
      check({ ...good, authorization: `${ana.blob}:${signed(eve).authorization.split(':')[1]}` }),
      'bad-signature',
    );
    assert.equal(check({ ...good, method: 'DELETE' }), 'bad-signature');
    assert.equal(check({ ...good, target: `/api/delete?ts=${seconds}` }), 'bad-signature');
    assert.equal(check({ ...good, target: `/api/chat?ts=${seconds + 1}` }), 'bad-signature');
    for (const target of ['/api/chat', `/api/chat?ts=${seconds}&x=1`, `/api/chat?x=1&ts=${seconds}`, `/api/chat?ts=`])
      assert.equal(check({ ...good, target }), 'bad-signature', target);
    for (const authorization of ['', ':', `${ana.blob}:`, `Bearer ${good.authorization}`, `${good.authorization}=`])
      assert.equal(check({ ...good, authorization }), 'unknown', authorization);
  });

  it('counts within the window, and not a millisecond longer', () => {
    const ana = signer();
    for (const [at, expected] of [
      [now + 60_000, 'cli'],
      [now - 60_000, 'cli'],
      [now + 60_001, 'skewed'],
      [now - 60_001, 'skewed'],
    ] as const) {
      assert.ok(setUp(ana)(signed(ana), at).startsWith(expected), `${at - now} ms`);
    }
  });

  it('comes again on its own connection only, in whatever spelling', () => {
    const ana = signer();
    const check = setUp(ana);
    const connection = {};
    const request = signed(ana, { connection });
    assert.match(check(request), /^cli:/);
    // The command shows a model twice within a second: the same text, hence the same signature.
    assert.match(check(request), /^cli:/);
    assert.equal(check({ ...request, connection: {} }), 'replayed');
    // The last character but two of 64 bytes in base64 has four bits that mean nothing.
    const respelled = request.authorization.replace(/.(?===$)/, (last) => {
      const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/';
      return alphabet[alphabet.indexOf(last) + 1]!;
    });
    assert.notEqual(respelled, request.authorization);
    assert.equal(check({ ...request, authorization: respelled, connection: {} }), 'replayed');
    assert.match(check(signed(ana, { at: seconds + 1 })), /^cli:/);
    // Out of the window it is too old, long before it is forgotten.
    assert.equal(check({ ...request, connection: {} }, now + 130_000), 'skewed');
  });
});

describe('a file of authorized keys', () => {
  it('takes ed25519 lines with a profile before them, and says which lines it could not read', () => {
    const [ana, bob] = [signer(), signer()];
    const text = [
      '# the team',
      '',
      ana.line,
      `profile="plain" ${bob.line}\r`,
      'ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABgQ== old@desk',
      'ssh-ed25519 AAAA short@desk',
      'no key at all',
    ].join('\n');
    const { keys, strange } = parseAuthorizedKeys(text, profiles, 'operator');
    assert.deepEqual(strange, [5, 6, 7]);
    assert.deepEqual(
      [ana, bob].map(({ blob }) => keys.get(blob)!.client.grant),
      [profiles.get('operator'), profiles.get('plain')],
    );
  });

  it('gives nothing to who is given a profile that does not exist', () => {
    const ana = signer();
    const { keys } = parseAuthorizedKeys(`profile="gone" ${ana.line}`, profiles, 'operator');
    assert.deepEqual(keys.get(ana.blob)!.client.grant.scopes, []);
  });
});
