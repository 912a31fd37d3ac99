import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { dialects } from '../../../src/dialects/index.ts';
import type { Route } from '../../../src/dialects/dialect.ts';
import { mayResume, renderedPrompt, resumeSteps } from '../../../src/dialects/resume/requests.ts';
import type { Told } from '../../../src/dialects/resume/transcript.ts';

type Json = Record<string, unknown>;

function routeOf(path: string): Route {
  const all = Object.values(dialects).flatMap(({ routes }) => routes);
  return all.find((route) => route.path === path && route.method === 'POST')!;
}

const told: Told = { text: 'Water is', tokens: 2, first: null, separator: '' };
const messages = [{ role: 'user', content: 'hi' }];

const bytes = (body: Json) => Buffer.from(JSON.stringify(body));

function stepsOf(path: string, body: Json, said = told) {
  return resumeSteps(routeOf(path), bytes({ model: 'tiny', ...body }), said);
}

const readBody = (ask: { readonly body: Buffer } | null) => JSON.parse(ask!.body.toString()) as Json;

describe('how a chat is gone on with', () => {
  it('is by prefill, where the prompt as rendered ends with the text', () => {
    const [prefill] = stepsOf('/api/chat', { messages, keep_alive: '5m' })!;
    assert.equal(readBody(prefill!.render)['_debug_render_only'], true);
    assert.equal(prefill!.rest('<user>hi</><assistant>Water is</>'), null);
    const rest = prefill!.rest('<user>hi</><assistant>Water is')!;
    assert.equal(rest.path, '/api/chat');
    const begun = [...messages, { role: 'assistant', content: 'Water is' }];
    assert.deepEqual(readBody(rest), { model: 'tiny', keep_alive: '5m', options: {}, messages: begun, stream: true });
  });

  it('else by the prompt itself, unless it ends where the model is to think', () => {
    const [, raw] = stepsOf('/api/chat', { messages, options: { num_predict: 9 } })!;
    for (const open of ['<think>', '<think>\n', '<thinking>', '<|think|>\n\n']) {
      assert.equal(raw!.rest(`<assistant>${open}`), null, open);
    }
    const { prompt, options, raw: isRaw } = readBody(raw!.rest('<assistant>'));
    assert.deepEqual([prompt, options, isRaw], ['<assistant>Water is', { num_predict: 7 }, true]);
  });

  it('is by asking again while nothing has been said', () => {
    const steps = stepsOf('/api/chat', { messages }, { ...told, text: '', tokens: 0 })!;
    assert.equal(steps.length, 1);
    assert.equal(steps[0]!.render, null);
    assert.deepEqual(readBody(steps[0]!.rest(''))['messages'], messages);
  });
});

describe('how the other requests are gone on with', () => {
  it('/api/generate only by its prompt as rendered', () => {
    const steps = stepsOf('/api/generate', { prompt: 'hi', system: 'be brief' })!;
    assert.deepEqual(
      steps.map(({ render }) => render!.path),
      ['/api/generate'],
    );
    const { prompt, system } = readBody(steps[0]!.render);
    assert.deepEqual([prompt, system], ['hi', 'be brief']);
  });

  it('/v1/chat/completions as Ollama would translate it', () => {
    const parts = { role: 'user', content: ['a', 'b'].map((text) => ({ type: 'text', text })) };
    const body = {
      messages: [parts],
      max_tokens: 9,
      stop: 'x',
      seed: 3,
      reasoning_effort: 'none',
      stream: true,
      user: 'u',
    };
    const [prefill] = stepsOf('/v1/chat/completions', body)!;
    const { messages: asked, options, think } = readBody(prefill!.rest('Water is'));
    assert.deepEqual(
      (asked as Json[]).map(({ content }) => content),
      ['a', 'b', 'Water is'],
    );
    assert.deepEqual(options, { temperature: 1, top_p: 1, stop: ['x'], num_predict: 7, seed: 3 });
    assert.equal(think, false);
  });
});

describe('what can’t be gone on with', () => {
  it('is told by the outline of the body where it can be', () => {
    const chat = routeOf('/api/chat');
    assert.ok(mayResume(chat, bytes({ messages, tools: [], format: '', logprobs: false, images: null })));
    for (const field of ['tools', 'format', 'images', 'logprobs', 'top_logprobs', '_debug_render_only']) {
      assert.ok(!mayResume(chat, bytes({ messages, [field]: field === 'tools' ? [{}] : 1 })), field);
      assert.ok(!mayResume(chat, bytes({ messages, [field.toUpperCase()]: null })), field.toUpperCase());
    }
    assert.ok(!mayResume(routeOf('/v1/chat/completions'), bytes({ messages, n: 2 })));
    assert.ok(!mayResume(routeOf('/v1/messages'), bytes({ messages })));
    assert.ok(!mayResume(chat, Buffer.from('{"messages":')));
  });

  it('is a request whose limit has been reached, or that has none to tell', () => {
    for (const limit of [0, 1, 2, '9'])
      assert.equal(stepsOf('/api/chat', { messages, options: { num_predict: limit } }), null);
    for (const limit of [3, -1, null]) assert.ok(stepsOf('/api/chat', { messages, options: { num_predict: limit } }));
  });

  it('is an answer that shows no prompt', () => {
    assert.equal(renderedPrompt(bytes({ _debug_info: { rendered_template: 'x' } })), 'x');
    for (const answer of [{}, { _debug_info: {} }, { _debug_info: { rendered_template: '' } }]) {
      assert.equal(renderedPrompt(bytes(answer)), null);
    }
  });
});
