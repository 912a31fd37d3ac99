import assert from 'node:assert/strict';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import type { RequestFinished } from '../../src/core/events.ts';
import { createUsageFiles, type UsageFiles } from '../../src/store/usage-files.ts';
import { finished } from '../observe/samples.ts';
import { virtualClock } from '../support/virtual-clock.ts';

const NOON = Date.parse('2026-11-25T12:00:00Z');
const DAY = 86_400_000;

async function directoryFor(t: TestContext): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'llamero-'));
  t.after(() => rm(directory, { recursive: true }));
  return directory;
}

function open(directory: string, wall = { now: NOON }): { files: UsageFiles; said: string[] } {
  const said: string[] = [];
  const log = { say: (_: string, message: string) => void said.push(message) };
  const files = createUsageFiles(
    { clock: virtualClock(), wallNow: () => wall.now, log },
    { directory, interval: 60_000, days: 3 },
  );
  return { files, said };
}

function request(overrides: Partial<RequestFinished> = {}): RequestFinished {
  const usage = { promptTokens: 5, outputTokens: 3 };
  const served = { client: 'key:a', model: 'm:latest', backend: 'b1', outcome: 'ok', usage };
  return finished({ ...served, ...overrides });
}

describe('usage', () => {
  it('is kept over a restart, a file a day', async (t) => {
    const directory = await directoryFor(t);
    const wall = { now: NOON };
    const { files } = open(directory, wall);
    await files.load();
    files.observe(request());
    wall.now += DAY;
    files.observe(request({ outcome: 'client-gone' }));
    await files.close();
    assert.deepEqual((await readdir(directory)).sort(), ['usage-2026-11-25.jsonl', 'usage-2026-11-26.jsonl']);
    const again = open(directory, wall).files;
    await again.load();
    again.observe(request());
    const row = { client: 'key:a', model: 'm:latest' };
    assert.deepEqual(again.rows(), [
      { day: '2026-11-25', ...row, requests: 1, aborted: 0, promptTokens: 5, outputTokens: 3 },
      { day: '2026-11-26', ...row, requests: 2, aborted: 1, promptTokens: 10, outputTokens: 6 },
    ]);
    await again.close();
  });

  it('counts requests that a backend was asked for a model, and no others', async (t) => {
    const { files } = open(await directoryFor(t));
    files.observe(request({ backend: null, outcome: 'queue-full' }));
    files.observe(request({ model: null }));
    assert.deepEqual(files.rows(), []);
  });

  it('goes when its day is older than the days that are kept', async (t) => {
    const directory = await directoryFor(t);
    const wall = { now: NOON };
    const { files } = open(directory, wall);
    await files.load();
    files.observe(request());
    await files.save();
    wall.now += 3 * DAY;
    files.observe(request());
    await files.close();
    assert.deepEqual(await readdir(directory), ['usage-2026-11-28.jsonl']);
  });

  it('that cannot be read is left as it is, and said', async (t) => {
    const directory = await directoryFor(t);
    const file = join(directory, 'usage-2026-11-25.jsonl');
    await writeFile(file, 'not ours\n');
    await writeFile(join(directory, 'notes.txt'), 'mine');
    const { files, said } = open(directory);
    await files.load();
    files.observe(request());
    await files.close();
    assert.deepEqual(said, ['usage could not be read']);
    assert.equal(await readFile(file, 'utf8'), 'not ours\n');
    assert.equal(files.rows().length, 1);
  });
});
