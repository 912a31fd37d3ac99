import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import type { Learnt } from '../../src/core/routing/knowledge.ts';
import { startGateway } from '../support/gateway.ts';
import { simulatedOllama } from '../support/simulated.ts';

describe('what a gateway has learnt', () => {
  it('is there after a restart, and so is what the next one adds', async (t) => {
    const directory = await mkdtemp(join(tmpdir(), 'llamero-'));
    t.after(() => rm(directory, { recursive: true }));
    const file = join(directory, 'learnt.json');
    const ollama = await simulatedOllama(t, { models: ['tiny', 'other'] });
    const models = async () => {
      const { backends } = JSON.parse(await readFile(file, 'utf8')) as Learnt;
      return backends.flatMap(({ id, runners }) => runners.map(({ model }) => `${id} ${model}`)).sort();
    };
    for (const [model, known] of [
      ['tiny', ['sim-1 tiny:latest']],
      ['other', ['sim-1 other:latest', 'sim-1 tiny:latest']],
    ] as const) {
      const gateway = await startGateway(t, [ollama], { config: `state: {file: ${JSON.stringify(file)}}\n` });
      assert.equal((await gateway.chat({ model, stream: false })).status, 200);
      await gateway.app.close();
      assert.deepEqual(await models(), known);
    }
  });
});
