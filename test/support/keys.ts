/** A file of keys in a folder of its own, and the texts of the keys in it. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { editKeys, type KeyRecord } from '../../src/identity/key-file.ts';
import { digestOf, makeKey } from '../../src/identity/key-text.ts';

export async function testFolder(t: Pick<TestContext, 'after'>): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'llamero-keys-'));
  t.after(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

export function keyRecord(
  id: string,
  rest: Partial<KeyRecord> = {},
): { readonly key: string; readonly record: KeyRecord } {
  const key = makeKey(id);
  const secrets = [{ sha256: digestOf(key) }];
  return { key, record: { id, profile: 'plain', created: '2026-11-24T00:00:00.000Z', secrets, ...rest } };
}

/** `records`: what is special about each, by id. */
export async function keyFile<Id extends string>(
  t: Pick<TestContext, 'after'>,
  records: Readonly<Record<Id, Partial<KeyRecord>>>,
): Promise<{ readonly path: string; readonly keys: Readonly<Record<Id, string>> }> {
  const path = join(await testFolder(t), 'keys.json');
  const made = Object.entries<Partial<KeyRecord>>(records).map(([id, rest]) => keyRecord(id, rest));
  await editKeys(path, () => made.map(({ record }) => record));
  return { path, keys: Object.fromEntries(made.map(({ key, record }) => [record.id, key])) as Record<Id, string> };
}
