import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { heartbeatOf } from '../../src/dialects/heartbeat.ts';
import { dialects } from '../../src/dialects/index.ts';
import { createMeter } from '../../src/dialects/meter.ts';
import { blankReading } from '../../src/dialects/reading.ts';

const streaming = { ...blankReading, stream: true, modelText: ' Tiny "x"' };
const routes = Object.values(dialects)
  .flatMap((dialect) => dialect.routes)
  .filter(({ kind }) => kind === 'infer');
const route = (path: string) => routes.find((each) => each.path === path)!;
const at = '2026-11-22T14:29:35.530Z';

describe('a sign of life', () => {
  it('is an empty delta in Ollama’s streams, with the model as the client spelled it', () => {
    const chat = heartbeatOf(route('/api/chat'), streaming)!;
    assert.equal(chat.contentType, 'application/x-ndjson');
    assert.equal(
      chat.frame(at),
      `{"model":" Tiny \\"x\\"","created_at":"${at}","message":{"role":"assistant","content":""},"done":false}\n`,
    );
    assert.equal(
      heartbeatOf(route('/api/generate'), streaming)!.frame(at),
      `{"model":" Tiny \\"x\\"","created_at":"${at}","response":"","done":false}\n`,
    );
  });

  it('is a comment for OpenAI’s clients and a ping for Anthropic’s', () => {
    for (const path of ['/v1/chat/completions', '/v1/completions', '/v1/responses']) {
      assert.match(heartbeatOf(route(path), streaming)!.frame(at), /^: .*\n\n$/);
    }
    assert.equal(heartbeatOf(route('/v1/messages'), streaming)!.frame(at), 'event: ping\ndata: {"type":"ping"}\n\n');
  });

  it('is not there where nothing is streamed', () => {
    for (const each of routes) assert.equal(heartbeatOf(each, { ...streaming, stream: false }), null, each.path);
    assert.equal(heartbeatOf(route('/api/embed'), streaming), null);
  });

  it('is a whole frame that is neither blank nor an end, for every stream', () => {
    for (const each of routes) {
      const sign = heartbeatOf(each, streaming);
      if (sign === null) continue;
      const meter = createMeter(each, streaming, sign.contentType);
      meter.push(Buffer.from(sign.frame(at)));
      assert.deepEqual([meter.separator(), meter.finish().ending], ['', 'missing'], each.path);
      assert.notEqual(sign.frame(at).trim(), '');
    }
  });
});
