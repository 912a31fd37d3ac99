import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { dialects } from '../../src/dialects/index.ts';
import { inspect, type Inspection } from '../../src/dialects/inspection.ts';
import { takenBody } from './bodies.ts';
import { recordings } from './recordings.ts';

const routes = Object.values(dialects).flatMap((dialect) => dialect.routes);

function inspected(path: string, body: unknown): Inspection {
  const route = routes.find((candidate) => candidate.path === path && candidate.method !== 'GET')!;
  return inspect(route, Buffer.from(typeof body === 'string' ? body : JSON.stringify(body)));
}

const features = (path: string, body: unknown) => [...inspected(path, body).features].toSorted();

describe('an inspection', () => {
  it('tells what a request asks for beyond an answer', () => {
    const generate = (more: object) => features('/api/generate', { model: 'm', prompt: 'p', ...more });
    assert.deepEqual(generate({}), []);
    assert.deepEqual(generate({ raw: true, template: '{{ .Prompt }}', system: 's', suffix: 'x', context: [1] }), [
      'context',
      'raw',
      'suffix',
      'system',
      'template',
    ]);
    assert.deepEqual(generate({ raw: false, template: '', system: '', context: [], format: null, images: [] }), []);
    assert.deepEqual(generate({ _debug_render_only: true }), ['debug-render']);
    assert.deepEqual(generate({ keep_alive: -1 }), ['pin']);
    assert.deepEqual(generate({ options: { num_ctx: 9 } }), ['runner-options']);
    assert.deepEqual(generate({ shift: false }), ['runner-options']);
    assert.deepEqual(generate({ images: ['a', 'b'], format: 'json' }), ['format', 'images']);
    assert.deepEqual(features('/v1/responses', { model: 'm', input: 'x', instructions: 'be', tools: [{}] }), [
      'system',
      'tools',
    ]);
  });

  it('knows the empty prompts that load and unload', () => {
    assert.deepEqual(features('/api/generate', { model: 'm' }), ['load']);
    assert.deepEqual(features('/api/generate', { model: 'm', prompt: '', keep_alive: 0 }), ['unload']);
    assert.deepEqual(features('/api/chat', { model: 'm', messages: [], keep_alive: '0s' }), ['unload']);
    assert.deepEqual(features('/api/chat', { model: 'm', messages: [{}] }), []);
    assert.deepEqual(features('/v1/chat/completions', { model: 'm', messages: [] }), []);
  });

  it('is not got round by another spelling', () => {
    const odd = inspected(
      '/api/generate',
      '{"model":"m","prompt":"p","RAW":true,"\\u006beep_alive":-1,"Options":{"num_ctx":5}}',
    );
    assert.deepEqual([...odd.features].toSorted(), ['pin', 'raw', 'runner-options']);
    assert.deepEqual(odd.ambiguous, ['raw', 'options']);
    assert.equal(odd.contextLength, 5);
  });

  it('names every model the request touches', () => {
    assert.deepEqual(inspected('/api/copy', { source: 'a', destination: 'b' }).models, ['a', 'b']);
    assert.deepEqual(inspected('/api/create', { model: 'a', from: 'b' }).models, ['a', 'b']);
    assert.deepEqual(inspected('/api/show', { name: 'a' }).models, ['a']);
  });

  it('gives the numbers that a policy clamps', () => {
    const native = inspected('/api/chat', {
      model: 'm',
      messages: [{ images: ['a', 'b'] }],
      keep_alive: '1m',
      options: { num_ctx: 8, num_predict: 9 },
    });
    assert.deepEqual(
      [native.contextLength, native.maxOutputTokens, native.keepAliveMs, native.images],
      [8, 9, 60_000, 2],
    );
    assert.equal(inspected('/v1/chat/completions', { max_tokens: 5, max_completion_tokens: 6 }).maxOutputTokens, 6);
    assert.equal(inspected('/v1/responses', { max_output_tokens: 7 }).maxOutputTokens, 7);
    assert.equal(inspected('/v1/messages', { max_tokens: 8 }).maxOutputTokens, 8);
    assert.equal(inspected('/api/embed', { input: ['a', 'b', 'c'] }).inputs, 3);
    assert.equal(inspected('/api/embed', { input: 'a' }).inputs, 1);
    assert.equal(inspected('/api/embed', {}).inputs, 0);
    assert.equal(inspected('/api/embed', `{"input":[${'1,'.repeat(100_100)}1]}`).inputs, 100_001);
  });

  it('refuses no recorded body that Ollama took, and finds one of them ambiguous', () => {
    const ambiguous = recordings
      .filter(({ route, status, requestBody }) => route !== null && status < 400 && requestBody[0] === 0x7b)
      .filter(({ route, requestBody }) => inspect(route!, requestBody).ambiguous.length > 0);
    assert.deepEqual(
      ambiguous.map(({ name }) => name),
      ['generate.duplicate-keys'],
    );
  });

  it('agrees with the reading, and never fails on what Ollama takes', () => {
    const route = routes.find(({ path }) => path === '/api/chat')!;
    fc.assert(
      fc.property(takenBody, (body) => {
        const reading = dialects.ollama.read(route, Buffer.from(body), { headers: {}, hash: String });
        const seen = inspect(route, Buffer.from(body));
        assert.equal(seen.keepAliveMs, reading.keepAliveMs);
        assert.equal(
          seen.maxOutputTokens === null ||
            reading.maxOutputTokens === null ||
            seen.maxOutputTokens === reading.maxOutputTokens,
          true,
        );
        assert.equal(seen.features.has('runner-options'), reading.runnerOptions !== '');
        assert.equal(seen.features.has('unload'), reading.task === 'unload');
        assert.ok(!reading.ambiguous || seen.ambiguous.length > 0);
        assert.ok(reading.modelText === null || seen.models.includes(reading.modelText));
      }),
      { numRuns: 300 },
    );
  });
});
