import assert from 'node:assert/strict';
import { readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { builtInProfiles, createProfiles } from '../../src/core/profiles.ts';
import { editKeys, KeyFileError, parseKeys, readKeys, readUses } from '../../src/identity/key-file.ts';
import { createKeyRing } from '../../src/identity/key-ring.ts';
import { digestOf, isKeyText, keyIdOf, makeKey } from '../../src/identity/key-text.ts';
import { createIdentity } from '../../src/identity/identity.ts';
import { loadConfig } from '../../src/config/load.ts';
import { memoryFiles } from '../support/io.ts';
import { keyFile, keyRecord, testFolder } from '../support/keys.ts';
import { virtualClock } from '../support/virtual-clock.ts';

const profiles = createProfiles({ few: { ...builtInProfiles.plain, models: ['llama*', 'qwen3:8b'] } });
const at = (text: string) => Date.parse(text);
const now = at('2026-11-24T12:00:00Z');

describe('the text of a key', () => {
  it('names its id, and is told from a text that only looks like it', () => {
    const key = makeKey('ana-2');
    assert.match(key, /^llm_ana-2_[0-9A-Za-z]{38}$/);
    assert.equal(keyIdOf(key), 'ana-2');
    assert.ok(isKeyText(key));
    const other = key.endsWith('0') ? '1' : '0';
    for (const wrong of [`${key}x`, key.slice(0, -1) + other, key.replace('ana', 'eve'), key.replace('llm', 'LLM'), ''])
      assert.ok(!isKeyText(wrong), wrong);
  });

  it('is another each time', () => {
    assert.equal(new Set(Array.from({ length: 100 }, () => makeKey('x'))).size, 100);
  });
});

describe('a ring of keys', () => {
  it('finds who holds one, for as long as it lasts', () => {
    const good = keyRecord('good');
    const ending = keyRecord('ending', { expires: '2026-11-25T00:00:00Z' });
    const revoked = keyRecord('revoked', { revoked: '2026-11-24T00:00:00Z' });
    const ring = createKeyRing([good.record, ending.record, revoked.record], profiles);
    const find = (text: string, when = now) => {
      const found = ring.find(text, when);
      return typeof found === 'string' ? found : found.client.id;
    };
    assert.equal(find(good.key), 'key:good');
    assert.equal(find(ending.key), 'key:ending');
    assert.equal(find(ending.key, at('2026-11-25T00:00:00Z')), 'expired');
    assert.equal(find(revoked.key), 'revoked');
    assert.equal(find(good.key.replace('good', 'ending')), 'unknown');
    assert.equal(find(makeKey('good')), 'unknown');
    assert.equal(find(makeKey('nobody')), 'unknown');
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 150 }), (text) => find(text) === 'unknown'),
      { numRuns: 50 },
    );
  });

  it('takes the old secret of a rotated key until its time is over, and the new one for good', () => {
    const { key: old, record } = keyRecord('ana');
    const key = makeKey('ana');
    const secrets = [{ sha256: digestOf(key) }, { sha256: digestOf(old), expires: '2026-11-25T00:00:00Z' }];
    const ring = createKeyRing([{ ...record, secrets }], profiles);
    const later = at('2026-11-25T00:00:00Z');
    const kinds = [key, old].flatMap((text) => [now, later].map((when) => typeof ring.find(text, when)));
    assert.deepEqual(kinds, ['object', 'object', 'object', 'string']);
    assert.equal(ring.find(old, later), 'expired');
  });

  it('narrows the models of a profile, and never widens them', () => {
    const grantOf = (models: string[], profile = 'few') => {
      const { key, record } = keyRecord('x', { models, profile });
      const found = createKeyRing([record], profiles).find(key, now);
      return typeof found === 'string' ? found : found.client.grant.models;
    };
    assert.deepEqual(grantOf(['llama3*', 'llama3.2:1b', 'qwen3:8b']), ['llama3*', 'llama3.2:1b', 'qwen3:8b']);
    assert.deepEqual(grantOf(['*', 'mistral', 'qwen3:*', 'l*']), []);
    assert.deepEqual(grantOf(['*'], 'plain'), ['*']);
  });

  it('remembers when each was used, over a change of the file', () => {
    const { key, record } = keyRecord('ana');
    const ring = createKeyRing([record], profiles);
    ring.find(key, now);
    assert.deepEqual([...createKeyRing([record, keyRecord('bob').record], profiles, ring).uses()], [['ana', now]]);
  });
});

describe('a file of keys', () => {
  it('is read back as it was written, by its owner only, and holds no key', async (t) => {
    const { keys, path } = await keyFile(t, { ana: {}, bob: { models: ['tiny'] } });
    const records = await readKeys(path);
    assert.deepEqual(
      records.map(({ id }) => id),
      ['ana', 'bob'],
    );
    assert.equal((await stat(path)).mode & 0o777, 0o600);
    assert.ok(!(await readFile(path, 'utf8')).includes(keys.ana.slice(-38)));
    assert.deepEqual(await readKeys(`${path}.none`), []);
  });

  it('that is something else is refused in words that repeat nothing of it', () => {
    for (const text of ['', 'hunter2', '{"version":2,"keys":[]}', '{"version":1,"keys":[{"id":"hunter2"}]}']) {
      assert.throws(
        () => parseKeys(text, 'k.json'),
        (error: Error) => error instanceof KeyFileError && !error.message.includes('hunter2'),
      );
    }
    const { record } = keyRecord('twice');
    assert.throws(
      () => parseKeys(JSON.stringify({ version: 1, keys: [record, record] }), 'k.json'),
      /two keys of one id/,
    );
  });

  it('is changed by one command at a time', async (t) => {
    const path = join(await testFolder(t), 'keys.json');
    await writeFile(`${path}.lock`, '');
    await assert.rejects(
      editKeys(path, (records) => records),
      /another command is changing the keys/,
    );
  });
});

describe('an identity', () => {
  async function optionsFor(config: string) {
    const loaded = await loadConfig({ file: 'c.yaml', env: {}, flags: null, files: memoryFiles({ 'c.yaml': config }) });
    if (!loaded.ok) throw new Error(JSON.stringify(loaded.problems));
    return loaded.config;
  }

  /** Looks at files are not on the clock: what was begun has ended when a look of our own has. */
  async function until(isTrue: () => boolean): Promise<void> {
    for (let i = 0; i < 1000 && !isTrue(); i++) await stat('.');
    assert.ok(isTrue());
  }

  it('refuses a revoked key and takes a new one within a second, and survives a broken file', async (t) => {
    const { keys, path } = await keyFile(t, { ana: {} });
    const clock = virtualClock();
    const complaints: string[] = [];
    const identity = createIdentity(
      { clock, wallNow: () => now, complain: (message) => complaints.push(message) },
      await optionsFor(`clients: {keys: ${JSON.stringify(path)}}`),
    );
    await identity.load();
    const isKnown = (key: string) => typeof identity.key(key) !== 'string';
    assert.ok(isKnown(keys.ana));
    const bob = keyRecord('bob');
    await editKeys(path, ([ana]) => [{ ...ana!, revoked: '2026-11-24T00:00:00Z' }, bob.record]);
    clock.tick(500);
    await until(() => isKnown(bob.key));
    assert.equal(identity.key(keys.ana), 'revoked');

    await writeFile(path, 'half a fi');
    await until(() => (clock.tick(500), complaints.length > 0));
    assert.match(complaints[0]!, /is not JSON; what was read before stays in force$/);
    assert.ok(isKnown(bob.key));
    await identity.close();
    const used = new Date(now).toISOString();
    const uses = await readUses(path);
    assert.deepEqual([uses.size, uses.get('ana'), uses.get('bob')], [2, used, used]);
  });

  it('does not start with a file of keys that is none', async (t) => {
    const path = join(await testFolder(t), 'keys.json');
    await writeFile(path, '[]');
    const identity = createIdentity(
      { clock: virtualClock(), wallNow: () => now, complain: () => {} },
      await optionsFor(`clients: {keys: ${JSON.stringify(path)}}`),
    );
    await assert.rejects(identity.load(), KeyFileError);
    await identity.close();
  });

  it('is open only where only this machine can connect, or where that was said', async () => {
    const opens = async (config: string, isLoopback: boolean) => {
      const identity = createIdentity(
        { clock: virtualClock(), wallNow: () => now, complain: () => {} },
        await optionsFor(config),
      );
      identity.bound(isLoopback);
      const client = identity.anonymous('192.168.1.7');
      return client === null ? null : client.grant.scopes.length;
    };
    assert.deepEqual(
      await Promise.all(['{}', 'clients: {keys: k}', 'auth: required', 'auth: open'].map((c) => opens(c, true))),
      [3, null, null, 3],
    );
    assert.deepEqual(
      await Promise.all(['{}', 'clients: {keys: k}', 'auth: required', 'auth: open'].map((c) => opens(c, false))),
      [null, null, null, 2],
    );
    assert.equal(await opens('{auth: open, clients: {anonymous: operator}}', false), 3);
  });
});
