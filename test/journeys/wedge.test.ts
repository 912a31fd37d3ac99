import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { answerChat, fakeOllama, type Asked } from '../support/fake-ollama.ts';
import { startGateway, type Gateway } from '../support/gateway.ts';

const config = 'wedge: {after: 200ms}\ntimeouts: {firstByteWarm: 1s}\n';

const asks = ({ body }: Asked) => JSON.parse(body) as { model: string; keep_alive?: number };

/** Hangs `stuck` until it is unloaded, and serves everything else. */
function wedged() {
  const state = { hangs: true };
  const handler = (asked: Asked) => {
    const { keep_alive, model } = asks(asked);
    if (keep_alive === 0) {
      state.hangs = false;
      asked.response.end('{"done":true,"done_reason":"unload"}');
    } else if (!model.startsWith('stuck') || !state.hangs) answerChat(asked);
  };
  return { models: ['stuck:latest', 'tiny:latest'], resident: ['stuck:latest', 'tiny:latest'], handler };
}

function tellsOf(gateway: Gateway) {
  return gateway.log.filter(({ msg }) => String(msg).startsWith('model hangs'));
}

describe('a model that hangs on a backend that is healthy', () => {
  it('is found, told, unloaded when nobody is left in it, and then serves again', async (t) => {
    const ollama = await fakeOllama(t, wedged());
    const gateway = await startGateway(t, [ollama], { config });
    await (await gateway.chat({ model: 'tiny' })).text();
    const unloaded = new Promise<void>((resolve) => {
      const { handler } = ollama;
      ollama.handler = (asked) => {
        void handler(asked);
        if (asks(asked).keep_alive === 0) resolve();
      };
    });
    assert.equal((await gateway.chat({ model: 'stuck' })).status, 504);
    await unloaded;
    assert.equal(tellsOf(gateway).length, 1);
    assert.equal(tellsOf(gateway)[0]!['model'], 'stuck:latest');
    const labels = { backend: 'b1', model: 'stuck:latest' };
    assert.equal(await gateway.metric('llamero_runners_wedged_total', labels), 1);
    assert.equal((await gateway.chat({ model: 'stuck' })).status, 200);
    assert.equal((await gateway.chat({ model: 'tiny' })).status, 200);
  });

  it('is given up by those who wait in it, and another backend answers them', async (t) => {
    const first = await fakeOllama(t, wedged());
    const second = await fakeOllama(t, { models: ['stuck:latest'], resident: ['stuck:latest'] });
    const gateway = await startGateway(t, [first, second], {
      config: 'wedge: {after: 100ms}\ntimeouts: {firstByteWarm: 1h}\npolicy: round-robin\n',
    });
    const answers = await Promise.all([gateway.chat({ model: 'stuck' }), gateway.chat({ model: 'stuck' })]);
    assert.deepEqual(
      answers.map(({ headers, status }) => [status, headers.get('x-llamero-backend')]),
      [
        [200, 'b2'],
        [200, 'b2'],
      ],
    );
    await Promise.all(answers.map((answer) => answer.text()));
    assert.equal(await gateway.metric('llamero_attempt_failures_total', { backend: 'b1', reason: 'runner-hung' }), 1);
    assert.equal(gateway.app.view()[0]!.state, 'up', 'the backend itself is not to blame');
  });

  it('gets no more requests there while another backend has it', async (t) => {
    const first = await fakeOllama(t, wedged());
    const second = await fakeOllama(t, { models: ['stuck:latest'], resident: ['stuck:latest'] });
    const gateway = await startGateway(t, [first, second], {
      config: 'wedge: {after: 100ms, heal: false}\npolicy: round-robin\n',
    });
    // One of the two goes to the one that hangs, and stays there.
    const pending = [new AbortController(), new AbortController()].map((leaving) => {
      const answer = gateway.chat({ model: 'stuck' }, { signal: leaving.signal });
      return { leaving, ended: answer.then((one) => one.text()).catch(() => null) };
    });
    await Promise.race(pending.map(({ ended }) => ended));
    while (tellsOf(gateway).length === 0) await (await fetch(`${gateway.url}/readyz`)).text();
    const before = first.asked.length;
    for (let count = 0; count < 4; count += 1) assert.equal((await gateway.chat({ model: 'stuck' })).status, 200);
    assert.equal(first.asked.length, before);
    const [view] = gateway.app.view();
    assert.deepEqual(
      view!.troubled.map(({ model, reason }) => [model, reason.startsWith('wedged: silent for')]),
      [['stuck:latest', true]],
    );
    for (const { leaving } of pending) leaving.abort();
    await Promise.all(pending.map(({ ended }) => ended));
  });
});
