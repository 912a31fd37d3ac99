import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { runCommand } from '../../src/cli/commands.ts';
import { createProfiles } from '../../src/core/profiles.ts';
import { readKeys } from '../../src/identity/key-file.ts';
import { createKeyRing } from '../../src/identity/key-ring.ts';
import { recordedIo } from '../support/io.ts';
import { testFolder } from '../support/keys.ts';

async function setUp(t: TestContext) {
  const folder = await testFolder(t);
  const path = join(folder, 'keys.json');
  const audit = join(folder, 'audit.jsonl');
  const env = { LLAMERO_CLIENTS_KEYS: path, LLAMERO_LOG_AUDIT: audit };
  const keys = async (...argv: string[]) => {
    const io = recordedIo({ env });
    const code = await runCommand(['keys', ...argv], io);
    return { code, out: io.out().trim(), err: io.err() };
  };
  const find = async (key: string, at = Date.now()) => {
    const found = createKeyRing(await readKeys(path), createProfiles({})).find(key, at);
    return typeof found === 'string' ? found : found.client.id;
  };
  return { audit, find, keys, path };
}

describe('llamero keys', () => {
  it('creates, rotates and revokes, and says a key only once', async (t) => {
    const { audit, find, keys } = await setUp(t);
    const made = await keys('create', 'ana', '--profile', 'operator');
    assert.deepEqual([made.code, await find(made.out)], [0, 'key:ana']);
    const rotated = await keys('rotate', 'ana', '--grace', '1h');
    assert.deepEqual([await find(made.out), await find(rotated.out)], ['key:ana', 'key:ana']);
    const later = Date.now() + 2 * 3_600_000;
    assert.deepEqual([await find(made.out, later), await find(rotated.out, later)], ['expired', 'key:ana']);
    const list = await keys('list');
    assert.match(list.out, /^ID +PROFILE +STATE.*\nana +operator +rotating/);
    assert.equal((await keys('revoke', 'ana')).code, 0);
    assert.deepEqual([await find(made.out), await find(rotated.out)], ['revoked', 'revoked']);
    const told = (await readFile(audit, 'utf8'))
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as { what: string; target: string });
    assert.deepEqual(
      told.map(({ what, target }) => `${what} ${target}`),
      ['key created ana', 'key rotated ana', 'key revoked ana'],
    );
    for (const secret of [made.out, rotated.out])
      assert.ok(!(list.out + JSON.stringify(told)).includes(secret.slice(-38)));
  });

  it('keeps an end and a list of models', async (t) => {
    const { find, keys, path } = await setUp(t);
    const { out } = await keys('create', 'x', '--expires', '90d', '--models', 'qwen3:*, tiny');
    assert.equal(await find(out, Date.now() + 89 * 86_400_000), 'key:x');
    assert.equal(await find(out, Date.now() + 91 * 86_400_000), 'expired');
    assert.deepEqual((await readKeys(path))[0]!.models, ['qwen3:*', 'tiny']);
  });

  it('says what is wrong and changes nothing', async (t) => {
    const { keys, path } = await setUp(t);
    await keys('create', 'ana');
    const before = await readFile(path, 'utf8');
    for (const [argv, code, words] of [
      [[], 2, /^usage: /],
      [['create'], 2, /^usage: /],
      [['list', 'ana'], 2, /^usage: /],
      [['destroy', 'ana'], 2, /^usage: /],
      [['create', 'ana'], 1, /there is a key `ana` already/],
      [['create', 'Ana!'], 1, /can’t be an id/],
      [['create', 'bob', '--profile', 'king'], 1, /no profile `king`; there are plain, operator, admin/],
      [['create', 'bob', '--expires', 'soon'], 1, /neither a length of time/],
      [['rotate', 'bob'], 1, /there is no key `bob`/],
      [['revoke', 'bob'], 1, /there is no key `bob`/],
    ] as const) {
      const said = await keys(...argv);
      assert.equal(said.code, code, argv.join(' '));
      assert.match(said.err, words);
    }
    assert.equal(await readFile(path, 'utf8'), before);
    const io = recordedIo({});
    assert.equal(await runCommand(['keys', 'list'], io), 1);
    assert.match(io.err(), /set `clients\.keys`, or LLAMERO_CLIENTS_KEYS/);
  });
});

describe('a start', () => {
  const start = async (env: Record<string, string>) => {
    const io = recordedIo({ env });
    return { code: await runCommand(['check'], io), err: io.err() };
  };

  it('does not happen where strangers would be let in without anybody having said so', async () => {
    for (const listen of ['0.0.0.0:1', ':1', '[::]:1', '192.168.1.2:1', 'gateway.example:1']) {
      const { code, err } = await start({ LLAMERO_LISTEN_ADDRESS: listen });
      assert.equal(code, 1, listen);
      assert.match(err, /^llamero: LLAMERO_LISTEN_ADDRESS: .*`llamero keys create NAME`.*`auth: open`/);
    }
    assert.match(
      (await start({ LLAMERO_ADMIN_ADDRESS: '0.0.0.0:1' })).err,
      /LLAMERO_ADMIN_ADDRESS: .*LLAMERO_ADMIN_TOKEN/,
    );
    assert.match((await start({ LLAMERO_AUTH: 'required' })).err, /LLAMERO_AUTH: .*nobody could come in/);
  });

  it('happens on loopback, with keys, or where open was said', async () => {
    const outside = { LLAMERO_LISTEN_ADDRESS: '0.0.0.0:1' };
    for (const env of [
      {},
      { LLAMERO_LISTEN_ADDRESS: '[::1]:1' },
      { LLAMERO_LISTEN_ADDRESS: 'localhost:1' },
      { ...outside, LLAMERO_AUTH: 'open' },
      { ...outside, LLAMERO_CLIENTS_KEYS: 'k.json' },
      { ...outside, LLAMERO_CLIENTS_AUTHORIZED_KEYS: 'k', LLAMERO_AUTH: 'required' },
      { LLAMERO_ADMIN_ADDRESS: '0.0.0.0:1', LLAMERO_ADMIN_TOKEN: 'x' },
    ] as Record<string, string>[])
      assert.equal((await start(env)).code, 0, JSON.stringify(env));
  });
});
