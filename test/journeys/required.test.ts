import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { startGateway } from '../support/gateway.ts';
import { simulatedOllamas } from '../support/simulated.ts';

describe('a model that is required', () => {
  it('is pulled onto a backend that lacks it, told in log and metrics, and then served there', async (t) => {
    const [holder, lacking] = await simulatedOllamas(t, 2, { models: ['other'] });
    await (await fetch(`${holder!.url}/api/pull`, { method: 'POST', body: '{"model":"tiny"}' })).text();
    const gateway = await startGateway(t, [holder!, lacking!], {
      config: 'models: {required: {tiny: {backends: 2, pull: true}}}\n',
    });
    const said = () => gateway.log.map(({ msg }) => String(msg));
    while (!said().includes('pull done')) await (await fetch(`${gateway.url}/readyz`)).text();
    assert.equal(await gateway.metric('llamero_model_required_missing', { model: 'tiny:latest' }), 0);
    assert.equal(await gateway.metric('llamero_required_pulls_total', { backend: 'sim-2', outcome: 'done' }), 1);
    assert.deepEqual(
      said().filter((line) => /^(?:pull|model on)/.test(line)),
      ['model on too few backends', 'pull begun', 'model on enough backends', 'pull done'],
    );
    const names = lacking!.control.library.list().map(({ name }) => name);
    assert.ok(names.includes('tiny:latest'), names.join());
  });
});
