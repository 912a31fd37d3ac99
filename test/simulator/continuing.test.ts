import assert from 'node:assert/strict';
import { describe, it, type TestContext } from 'node:test';
import fc from 'fast-check';
import { readPrompt, renderPrompt } from '../../src/simulator/template.ts';
import { textMessage } from '../../src/simulator/speech.ts';
import { simulatedOllama } from '../support/simulated.ts';

type Json = Record<string, unknown>;

async function asking(t: TestContext): Promise<(path: string, body: Json) => Promise<Json>> {
  const { url } = await simulatedOllama(t, { models: ['tiny'], tokensPerSecond: 100_000, loadMs: 0 });
  return async (path, body) => {
    const answer = await fetch(url + path, {
      method: 'POST',
      body: JSON.stringify({ model: 'tiny', stream: false, ...body }),
    });
    return (await answer.json()) as Json;
  };
}

const user = { role: 'user', content: 'Tell me about water' };
const contentOf = ({ message }: Json) => (message as { content: string }).content;
const rendered = (answer: Json) => (answer['_debug_info'] as { rendered_template: string }).rendered_template;

describe('a simulated model that is given the beginning of its answer', () => {
  it('goes on with it from any token, as prefill and as a raw prompt', async (t) => {
    const ask = await asking(t);
    const whole = contentOf(await ask('/api/chat', { messages: [user] }));
    const prompt = rendered(await ask('/api/chat', { messages: [user], _debug_render_only: true }));
    const words = whole.match(/\s*\S+/g)!;
    const property = fc.asyncProperty(fc.integer({ min: 1, max: words.length - 1 }), async (count) => {
      const begun = words.slice(0, count).join('');
      const messages = [user, { role: 'assistant', content: begun }];
      assert.equal(begun + contentOf(await ask('/api/chat', { messages })), whole);
      const { response, eval_count: tokens } = await ask('/api/generate', { raw: true, prompt: prompt + begun });
      assert.equal(begun + String(response), whole);
      const shorter = { messages, options: { num_predict: Number(tokens) - 1 } };
      const { done_reason: reason } = await ask('/api/chat', shorter);
      assert.equal(reason, Number(tokens) > 1 ? 'length' : 'stop');
    });
    await fc.assert(property, { numRuns: 10 });
  });

  it('says something of its own after a beginning that is not its own', async (t) => {
    const ask = await asking(t);
    const messages = [user, { role: 'assistant', content: 'Never would it say that' }];
    assert.notEqual(contentOf(await ask('/api/chat', { messages })), '');
  });

  it('shows a prompt as it is rendered, ends it with what has begun, and says nothing', async (t) => {
    const ask = await asking(t);
    const begun = { role: 'assistant', content: 'Water is ' };
    const answer = await ask('/api/chat', { messages: [user, begun], _debug_render_only: true });
    assert.ok(rendered(answer).endsWith(begun.content));
    assert.deepEqual([answer['done'], answer['eval_count']], [false, undefined]);
    assert.match(rendered(await ask('/api/generate', { prompt: 'hi', _debug_render_only: true })), /hi/);
  });
});

describe('a prompt', () => {
  it('is read back into the messages it was rendered from', () => {
    const text = fc.string({ unit: 'grapheme' }).filter((value) => !value.includes('<|im_'));
    const message = fc.record({ role: fc.constantFrom('system', 'user', 'assistant'), content: text });
    const property = fc.property(fc.array(message), text, (given, begun) => {
      const messages = given.map(({ role, content }) => textMessage(role, content));
      if (messages.at(-1)?.role === 'assistant') messages.pop();
      const all = begun === '' ? messages : [...messages, textMessage('assistant', begun)];
      assert.deepEqual(readPrompt(renderPrompt({ messages: all, raw: false })), all);
    });
    fc.assert(property);
    assert.equal(readPrompt('hello'), null);
  });
});
