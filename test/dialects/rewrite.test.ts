import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { decodeGoJson, foldKey, GoNumber, GoObject, type GoValue } from '../../src/dialects/go-json.ts';
import { dialects } from '../../src/dialects/index.ts';
import { type BodyChanges, rewriteBody } from '../../src/dialects/rewrite.ts';
import { takenBody } from './bodies.ts';

const context = { headers: {}, hash: (text: string | Uint8Array) => String(text) };
const rewritten = (body: string, changes: BodyChanges) => rewriteBody(Buffer.from(body), changes).toString('utf8');
const chat = dialects.ollama.routes.find(({ endpoint }) => endpoint === 'chat')!;
const v1Chat = dialects.openai.routes.find(({ endpoint }) => endpoint === 'chat')!;

/** The members that a change does not name, in order. */
function others(value: GoValue, named: readonly string[]): readonly (readonly [string, GoValue])[] {
  return value instanceof GoObject ? value.entries.filter(([key]) => !named.includes(foldKey(key))) : [];
}

describe('rewriteBody', () => {
  it('changes the bytes of the value and no others', () => {
    assert.equal(
      rewritten('{ "messages" : [ "é" ],\n "model"\t: "a" , "x":1.50 } tail', { model: 'ns/b:1' }),
      '{ "messages" : [ "é" ],\n "model"\t: "ns/b:1" , "x":1.50 } tail',
    );
    assert.equal(
      rewritten('{"options":{"num_ctx":8192,"seed":7}}', { options: { num_ctx: 4096 } }),
      '{"options":{"num_ctx":4096,"seed":7}}',
    );
  });

  it('changes nothing when nothing is asked for', () => {
    fc.assert(fc.property(takenBody, (body) => assert.equal(rewritten(body, {}), Buffer.from(body).toString('utf8'))));
  });

  it('writes what is absent in front', () => {
    assert.equal(rewritten('{"a":1}', { model: 'b' }), '{"model":"b","a":1}');
    assert.equal(
      rewritten(' { } ', { model: 'b', keepAlive: '5m', options: { num_ctx: 1, num_gpu: null } }),
      ' {"model":"b","keep_alive":"5m","options":{"num_ctx":1,"num_gpu":null} } ',
    );
    assert.equal(rewritten('{"options":{}}', { options: { num_ctx: 1 } }), '{"options":{"num_ctx":1}}');
    assert.equal(rewritten('{"options":null}', { options: { num_ctx: 1 } }), '{"options":{"num_ctx":1}}');
    assert.equal(
      rewritten('{"stream":true}', { includeUsage: true }),
      '{"stream_options":{"include_usage":true},"stream":true}',
    );
    assert.equal(
      rewritten('{"stream_options":{"include_usage":false}}', { includeUsage: true }),
      '{"stream_options":{"include_usage":true}}',
    );
  });

  it('adds to the last of several `options`, and changes what each of them says', () => {
    assert.equal(
      rewritten('{"options":{"num_gpu":1},"Options":{"num_ctx":1},"options":{}}', {
        options: { num_ctx: 2, num_gpu: 3 },
      }),
      '{"options":{"num_gpu":3},"Options":{"num_ctx":2},"options":{"num_ctx":2,"num_gpu":3}}',
    );
  });

  it('changes the older `name` with the model', () => {
    assert.equal(rewritten('{"name":"a","model":"a"}', { model: 'b' }), '{"name":"b","model":"b"}');
  });

  it('is read back as what was asked for, however the body was written', () => {
    fc.assert(
      fc.property(takenBody, (body) => {
        const changed = rewriteBody(Buffer.from(body), {
          model: 'ns/new:1',
          keepAlive: 60,
          options: { num_ctx: 7, num_gpu: null },
        });
        const reading = dialects.ollama.read(chat, changed, context);
        assert.equal(reading.modelText, 'ns/new:1');
        assert.equal(reading.keepAliveMs, 60_000);
        assert.match(reading.runnerOptions, /(?:^|,)num_ctx=7(?:,|$)/);
        assert.doesNotMatch(reading.runnerOptions, /num_gpu/);
        const before = decodeGoJson(Buffer.from(body));
        const after = decodeGoJson(changed);
        const named = ['model', 'name', 'keep_alive', 'options'];
        assert.deepEqual(others(after.value, named), others(before.value, named));
        assert.deepEqual(changed.subarray(after.end), Buffer.from(body).subarray(before.end));
      }),
      { numRuns: 500 },
    );
  });

  it('asks for usage, however the body was written', () => {
    fc.assert(
      fc.property(takenBody, (body) => {
        const changed = rewriteBody(Buffer.from(body), { includeUsage: true });
        assert.equal(dialects.openai.read(v1Chat, changed, context).wantsUsage, true);
      }),
    );
  });

  it('leaves a number as it was written, unless it is the one to change', () => {
    const { value } = decodeGoJson(
      Buffer.from(rewritten('{"a":12345678901234567890,"options":{"b":1e0}}', { options: { num_ctx: 1 } })),
    );
    assert.ok(value instanceof GoObject);
    assert.deepEqual(value.entries[0], ['a', new GoNumber('12345678901234567890')]);
  });
});
