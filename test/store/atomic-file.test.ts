import assert from 'node:assert/strict';
import { mkdtemp, mkdir, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { readSmallFile, writeFileAtomically } from '../../src/store/atomic-file.ts';

async function directory(t: TestContext): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), 'llamero-'));
  t.after(() => rm(path, { recursive: true }));
  return path;
}

describe('a file that is replaced as a whole', () => {
  it('holds what was written last, for this user only, in a directory that is made', async (t) => {
    const path = join(await directory(t), 'made', 'state.json');
    await writeFileAtomically(path, 'old');
    await writeFileAtomically(path, 'new');
    assert.equal(await readFile(path, 'utf8'), 'new');
    assert.equal((await stat(path)).mode & 0o777, 0o600);
    assert.deepEqual(await readdir(join(path, '..')), ['state.json']);
  });

  it('leaves nothing behind when it cannot be put in place', async (t) => {
    const base = await directory(t);
    await mkdir(join(base, 'taken', 'inside'), { recursive: true });
    await assert.rejects(writeFileAtomically(join(base, 'taken'), 'text'));
    assert.deepEqual(await readdir(base), ['taken']);
  });

  it('is read unless it is larger than it may be, and is null when it is not there', async (t) => {
    const path = join(await directory(t), 'state.json');
    assert.equal(await readSmallFile(path, 10), null);
    await writeFile(path, '0123456789');
    assert.equal(await readSmallFile(path, 10), '0123456789');
    await assert.rejects(readSmallFile(path, 9), /10 bytes; 9 are the most/);
  });
});
