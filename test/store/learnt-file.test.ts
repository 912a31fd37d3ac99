import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import type { Learnt } from '../../src/core/routing/knowledge.ts';
import { createLearntFile, type LearntFile } from '../../src/store/learnt-file.ts';
import { virtualClock, type VirtualClock } from '../support/virtual-clock.ts';

const one: Learnt = {
  version: 1,
  backends: [
    {
      id: 'a',
      prefillPerSecond: 900,
      runners: [{ model: 'm:latest', options: '', holdMs: 1200, loadMs: null, slots: 4 }],
    },
  ],
};

interface Bench {
  readonly file: LearntFile;
  readonly path: string;
  readonly clock: VirtualClock;
  readonly restored: Learnt[];
  readonly said: string[];
  learnt: Learnt | null;
  /** What is in the file; null when there is none. */
  contents(): Promise<string | null>;
}

async function bench(t: TestContext, contents: string | null): Promise<Bench> {
  const directory = await mkdtemp(join(tmpdir(), 'llamero-'));
  t.after(() => rm(directory, { recursive: true }));
  const path = join(directory, 'learnt.json');
  if (contents !== null) await writeFile(path, contents);
  const clock = virtualClock();
  const restored: Learnt[] = [];
  const said: string[] = [];
  const made: Bench = {
    file: createLearntFile(
      {
        clock,
        scheduler: { learnt: () => made.learnt, restore: (learnt) => void restored.push(learnt) },
        log: { say: (level, message, { reason }) => void said.push([level, message, reason].join(' ').trim()) },
      },
      { file: path, interval: 60_000 },
    ),
    path,
    clock,
    restored,
    said,
    learnt: one,
    contents: () => readFile(path, 'utf8').catch(() => null),
  };
  return made;
}

describe('what was learnt', () => {
  it('is written and taken up again', async (t) => {
    const { file, contents, restored, said } = await bench(t, null);
    await file.load();
    assert.deepEqual([restored, said], [[], []], 'there is none at the first start');
    await file.save();
    const after = await bench(t, await contents());
    await after.file.load();
    assert.deepEqual(after.restored, [one]);
    assert.deepEqual(after.said, ['info took up what was learnt']);
  });

  it('is written every interval, and at the end', async (t) => {
    const made = await bench(t, null);
    await made.file.load();
    await made.clock.advance(59_000);
    assert.equal(await made.contents(), null);
    await made.clock.advance(1000);
    await made.file.save();
    assert.equal(await made.contents(), `${JSON.stringify(one)}\n`);
    made.learnt = { version: 1, backends: [] };
    await made.file.close();
    assert.equal(await made.contents(), `${JSON.stringify(made.learnt)}\n`);
    assert.equal(made.clock.pendingTimers, 0);
  });

  it('is not overwritten by a start that failed before it was read', async (t) => {
    const made = await bench(t, JSON.stringify(one));
    made.learnt = { version: 1, backends: [] };
    await made.file.close();
    assert.equal(await made.contents(), JSON.stringify(one));
  });

  it('is left alone by a policy that learns nothing', async (t) => {
    const made = await bench(t, JSON.stringify(one));
    await made.file.load();
    made.learnt = null;
    await made.file.close();
    assert.equal(await made.contents(), JSON.stringify(one));
  });

  for (const [name, text] of [
    ['of another version', '{"version":2,"backends":[]}'],
    ['with values that cannot be', JSON.stringify(one).replace('900', '-900')],
    ['cut short to nothing', ''],
  ] as const) {
    it(`is learnt afresh over a file ${name}, which is said`, async (t) => {
      const made = await bench(t, text);
      await made.file.load();
      assert.deepEqual(made.restored, []);
      assert.equal(made.said.length, 1);
      assert.match(made.said[0]!, /^warn what was learnt is of no use/);
      await made.file.close();
      assert.equal(await made.contents(), `${JSON.stringify(one)}\n`);
    });
  }

  for (const [name, text] of [
    ['a configuration', 'backends: [http://127.0.0.1:1]\n'],
    ['other JSON', '{"name":"llamero"}'],
    ['null', 'null'],
  ] as const) {
    it(`never takes the place of ${name} that is named by mistake`, async (t) => {
      const made = await bench(t, text);
      await made.file.load();
      await made.file.save();
      await made.file.close();
      assert.deepEqual(made.restored, []);
      assert.match(made.said[0]!, /^warn nothing is kept over a restart it holds something else/);
      assert.equal(await made.contents(), text);
    });
  }

  it('goes to another file after a reload says so, and nowhere when none is named', async (t) => {
    const [made, other] = [await bench(t, null), await bench(t, null)];
    await made.file.load();
    made.file.setOptions({ file: other.path, interval: 60_000 });
    await made.file.save();
    assert.equal(await made.contents(), null);
    assert.equal(await other.contents(), `${JSON.stringify(one)}\n`);
    made.file.setOptions({ interval: 60_000 });
    assert.equal(made.clock.pendingTimers, 0);
    await made.file.close();
  });

  it('that cannot be written is a warning', async (t) => {
    const made = await bench(t, '{"version":1,"backends":[]}');
    await made.file.load();
    made.file.setOptions({ file: join(made.path, 'below', 'a-file'), interval: 60_000 });
    await made.file.close();
    assert.match(made.said.at(-1)!, /^warn /);
  });
});
