import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { chatLine, fakeOllama, startStream } from '../support/fake-ollama.ts';
import { startGateway } from '../support/gateway.ts';

const bounded = (bounds: string) => `clients: {anonymous: bounded}\nprofiles: {bounded: {${bounds}}}\n`;

describe('a client with a bound on tokens', () => {
  it('is told how much is left, and then, in its dialect, when to come again', async (t) => {
    const ollama = await fakeOllama(t);
    const gateway = await startGateway(t, [ollama], { config: bounded('tokensPerMinute: 600') });
    const body = { options: { num_predict: 599 } };
    const first = await gateway.chat(body);
    assert.equal(first.headers.get('x-ratelimit-limit-tokens'), '600');
    assert.ok(Number(first.headers.get('x-ratelimit-remaining-tokens')) < 10);
    await first.text();
    // The answer took seven tokens, so that a smaller one has room, and one of this size has not.
    const refused = await gateway.chat(body);
    assert.equal(refused.status, 429);
    assert.ok(Number(refused.headers.get('retry-after')) > 50);
    assert.equal(refused.headers.get('x-ratelimit-remaining-tokens'), '593');
    assert.match(((await refused.json()) as { error: string }).error, /600 tokens a minute/);
    const inAnthropic = await fetch(`${gateway.url}/v1/messages`, {
      method: 'POST',
      body: JSON.stringify({ model: 'tiny', max_tokens: 600, messages: [{ role: 'user', content: 'hi' }] }),
    });
    assert.equal(inAnthropic.status, 429);
    assert.equal(inAnthropic.headers.get('anthropic-ratelimit-tokens-remaining'), '593');
    assert.match(inAnthropic.headers.get('anthropic-ratelimit-tokens-reset') ?? '', /^\d{4}-\d\d-\d\dT[\d:]+Z$/);
    assert.equal(((await inAnthropic.json()) as { error: { type: string } }).error.type, 'rate_limit_error');
    assert.equal((await gateway.chat({ options: { num_predict: 100 } })).status, 200);
  });

  it('pays for what has passed of an answer it leaves, and for no failure of a backend', async (t) => {
    const ollama = await fakeOllama(t);
    const gateway = await startGateway(t, [ollama], {
      config: `${bounded('tokensPerDay: 1000')}retry: {backends: 1}\n`,
    });
    const remaining = async () => {
      const answer = await gateway.chat({ options: { num_predict: 1 } });
      await answer.text();
      return Number(answer.headers.get('x-ratelimit-remaining-tokens'));
    };
    const before = await remaining();
    ollama.handler = ({ response }) => void response.destroy();
    const failed = gateway.finished();
    await (await gateway.chat()).text();
    await failed;
    ollama.handler = (asked) => {
      startStream(asked);
      asked.response.write(chatLine('one') + chatLine('two') + chatLine('three'));
    };
    const left = gateway.finished(({ outcome }) => outcome === 'client-gone');
    const controller = new AbortController();
    const answer = await gateway.chat({}, { signal: controller.signal });
    await answer.body!.getReader().read();
    controller.abort();
    await left;
    ollama.handler = (asked) => void asked.response.end(chatLine('x', true));
    const after = await remaining();
    // Three tokens were seen, the prompt is guessed at about one, and the request before took seven.
    assert.ok(before - after >= 10 && before - after <= 14, `${before} ${after}`);
  });
});
