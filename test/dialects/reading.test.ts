import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { GatewayError } from '../../src/core/errors.ts';
import type { Reading, Route } from '../../src/dialects/dialect.ts';
import { decodeGoJson, GoJsonError } from '../../src/dialects/go-json.ts';
import { dialects } from '../../src/dialects/index.ts';
import { takenBody } from './bodies.ts';
import { referenceReading } from './reference-reading.ts';

const context = { headers: {}, hash: (text: string | Uint8Array) => String(text) };

const routes: readonly Route[] = Object.values(dialects).flatMap(({ routes }) => routes);

function routeOf(path: string): Route {
  const route = routes.find((candidate) => candidate.path === path && candidate.method === 'POST');
  assert.ok(route !== undefined, path);
  return route;
}

function read(path: string, body: string | Buffer, headers: Record<string, string> = {}): Reading {
  const route = routeOf(path);
  return dialects[route.dialect].read(route, Buffer.from(body as string), { ...context, headers });
}

const PATHS = [
  '/api/chat',
  '/api/generate',
  '/api/embed',
  '/api/pull',
  '/api/create',
  '/v1/chat/completions',
  '/v1/responses',
  '/v1/messages',
];

describe('reading a body', () => {
  for (const path of PATHS) {
    it(`reads what Ollama reads on ${path}, however it is written`, () => {
      fc.assert(
        fc.property(takenBody, (body) => {
          const { promptTokens: _tokens, prefix: _prefix, session: _session, ...reading } = read(path, body);
          assert.deepEqual(reading, referenceReading(routeOf(path), Buffer.from(body)));
        }),
        { numRuns: 200 },
      );
    });
  }

  it('throws for what Go refuses, in its words, or leaves it to a backend', () => {
    fc.assert(
      fc.property(takenBody, fc.nat(), fc.constantFrom('', '"', '}', 'x', ',', '\\', '\u0001'), (body, at, scrap) => {
        const cut = at % (body.length + 1);
        const broken = Buffer.from(body.slice(0, cut) + scrap + body.slice(cut + (at % 3)));
        let goes: string | null = null;
        try {
          decodeGoJson(broken);
        } catch (error) {
          assert.ok(error instanceof GoJsonError);
          goes = error.kind === 'empty' ? 'missing request body' : error.message;
        }
        try {
          read('/api/chat', broken);
        } catch (error) {
          assert.ok(error instanceof GatewayError);
          assert.equal(error.code, 'bad-request');
          assert.equal(error.message, goes);
        }
      }),
      { numRuns: 1_000 },
    );
  });

  it('reads no model out of what is no object', () => {
    for (const body of ['[]', 'null', '"model"', '1', '[{"model":"tiny"}]', 'true trailing']) {
      assert.equal(read('/api/chat', body).model, null, body);
    }
  });

  it('is not fooled by what stands in texts, in nested objects or behind the body', () => {
    const decoys =
      '{"prompt":"\\"model\\":\\"evil\\",","options":{"model":"evil"},"model":"tiny","x":[{"model":"evil"}]}';
    assert.equal(read('/api/generate', `${decoys},"model":"evil"}`).model, 'tiny:latest');
  });

  it('gives the last of several models, but null changes none', () => {
    assert.equal(read('/api/chat', '{"model":"a","Model":"b"}').model, 'b:latest');
    assert.equal(read('/api/chat', '{"model":"a","model":null}').model, 'a:latest');
    assert.equal(read('/api/chat', '{"model":"a","\\u006DODEL":"b"}').model, 'b:latest');
  });

  it('sees the cloud model that Ollama sees first on /v1', () => {
    const body = '{"model":"gpt-oss:20b-cloud","Model":"tiny","messages":[]}';
    assert.equal(read('/v1/chat/completions', body).model, 'gpt-oss:20b-cloud');
    assert.equal(read('/api/chat', body).model, 'tiny:latest');
    assert.equal(read('/v1/chat/completions', '{"model":"a","Model":"b"}').model, 'b:latest');
    assert.equal(read('/v1/chat/completions', '{"Model":"x:cloud","model":"a"}').model, 'a:latest');
  });

  it('adds up what several `stream_options` say, and null clears it', () => {
    const wantsUsage = (options: string) => read('/v1/chat/completions', `{"model":"a",${options}}`).wantsUsage;
    assert.equal(wantsUsage('"stream_options":{"include_usage":true},"stream_options":{}'), true);
    assert.equal(wantsUsage('"stream_options":{"Include_Usage":true},"stream_options":null'), false);
    assert.equal(wantsUsage('"stream_options":{"include_usage":true,"include_usage":false}'), false);
    assert.equal(wantsUsage('"stream_options":{"include_usage":true,"include_usage":null}'), true);
  });

  it('tells a body that could be read in two ways', () => {
    assert.equal(read('/api/chat', '{"model":"a","messages":[]}').ambiguous, false);
    for (const body of ['{"model":"a","model":"a"}', '{"MODEL":"a"}', '{"model":"a","\u017Ftream":true}']) {
      assert.equal(read('/api/chat', body).ambiguous, true, body);
    }
    assert.equal(read('/api/chat', '{"\\u006dodel":"a"}').ambiguous, false);
  });

  it('takes `name` where `model` is empty, on the routes that manage models', () => {
    assert.equal(read('/api/show', '{"name":"a"}').model, 'a:latest');
    assert.equal(read('/api/show', '{"model":"","name":"a"}').model, 'a:latest');
    assert.equal(read('/api/show', '{"model":"b","name":"a"}').model, 'b:latest');
    assert.equal(read('/api/generate', '{"name":"a"}').model, null);
  });

  it('names what a copy and a create are about', () => {
    assert.deepEqual(read('/api/copy', '{"source":"a","destination":"b"}').others, { source: 'a', destination: 'b' });
    const create = read('/api/create', '{"model":"m","from":"b","files":{"x":"sha256:1"},"adapters":{"y":"sha256:2"}}');
    assert.deepEqual(create.others, { from: 'b' });
    assert.deepEqual(create.digests, ['sha256:1', 'sha256:2']);
  });

  it('does not look at bodies that concern no model', () => {
    assert.equal(read('/api/me', '').model, null);
    assert.equal(read('/api/blobs/:digest', 'GGUF').model, null);
  });

  it('reads a prompt of megabytes without decoding it', () => {
    const prompt = 'x\\n'.repeat(4_000_000);
    const reading = read('/v1/chat/completions', `{"messages":[{"role":"user","content":"${prompt}"}],"model":"tiny"}`);
    assert.equal(reading.model, 'tiny:latest');
    assert.equal(reading.promptTokens, Math.ceil((prompt.length + 'user'.length) / 4));
  });

  it('counts what it no longer walks, of a body made of tiny values', () => {
    for (const value of ['1', '{}', '""', '{"role":"user","content":"a"}', '[[1,2],{"a":{"b":"c"}}]']) {
      const messages = `[${Array.from({ length: value.length > 20 ? 29_000 : 60_000 }, () => value).join(',')}]`;
      const reading = read('/v1/chat/completions', `{"messages":${messages},"model":"tiny"}`);
      assert.equal(reading.model, 'tiny:latest', value);
      assert.ok(reading.promptTokens > messages.length / 16, `${reading.promptTokens} tokens of ${value}`);
      assert.ok(reading.prefix.length <= 13);
    }
  });

  it('refuses what would take long to read, before it does', () => {
    const many = (piece: string) => piece.repeat(Math.ceil((2 * 1024 * 1024) / piece.length));
    for (const body of [
      `{"model":"a","messages":[${many('{},').repeat(5)}{}]}`,
      `{"model":"a","options":{"num_ctx":${many('1')}}}`,
      `{"model":"a","keep_alive":"${many('1h')}"}`,
      `{"model":"${many('\\u0020')}a"}`,
      `{"model":"a","messages":[{"content":"${many('\\\\')}"}]}`,
      `{"model":"a","x":${many('[')}`,
    ])
      assert.throws(() => read('/api/chat', body), { code: 'bad-request' }, body.slice(0, 50));
    const honest = `{"messages":[{"content":"${many('he said \\"hi\\" to everybody and went on ')}"}],"model":"a","${many('\\u0061')}":1}`;
    assert.equal(read('/api/chat', honest).model, 'a:latest');
  });

  it('refuses an object of more members than any request has', () => {
    const members = (count: number) => Array.from({ length: count }, () => '"model":"a"').join(',');
    assert.equal(read('/api/chat', `{${members(10_000)}}`).model, 'a:latest');
    for (const body of [`{${members(10_001)}}`, `{"model":"a","options":{${members(10_001)}}}`]) {
      assert.throws(() => read('/api/chat', body), { code: 'bad-request', message: /more than 10000 members/ });
    }
  });

  it('takes a long body with a mistake for one that was cut', () => {
    for (const body of [`[${'1,'.repeat(700_000)}`, `{"model":"a","x":"${'y'.repeat(1_100_000)}" "z"}`]) {
      assert.throws(() => read('/api/chat', body), { code: 'bad-request', message: 'unexpected EOF' });
    }
  });

  it('keeps its stack however deep a body is nested', () => {
    const nested = `${'[{"a":'.repeat(4_000)}1${'}]'.repeat(4_000)}`;
    const reading = read('/api/chat', `{"messages":${nested},"tools":${nested},"options":${nested},"model":"tiny"}`);
    assert.equal(reading.model, 'tiny:latest');
  });
});

describe('the session', () => {
  const body = '{"model":"m","prompt_cache_key":"from body","metadata":{"user_id":"user_1_account__session_abc-1"}}';
  const names = [
    'x-session-id',
    'x-claude-code-session-id',
    'session-id',
    'session_id',
    'x-session-affinity',
    'x-opencode-session',
    'x-openwebui-chat-id',
  ];

  it('is the first of the known headers', () => {
    names.forEach((name, index) => {
      const headers = Object.fromEntries(names.slice(index).map((each) => [each, `value of ${each}`]));
      assert.equal(read('/v1/responses', body, headers).session, `value of ${name}`);
    });
  });

  it('is else what the body says', () => {
    assert.equal(read('/v1/responses', body).session, 'from body');
    assert.equal(read('/v1/chat/completions', body).session, 'from body');
    assert.equal(read('/v1/messages', body).session, 'abc-1');
    assert.equal(read('/api/chat', body).session, null);
  });

  it("is taken out of Claude Code's user id in both its forms, and a user is no session", () => {
    const session = (userId: string) =>
      read('/v1/messages', JSON.stringify({ model: 'm', metadata: { user_id: userId } })).session;
    assert.equal(session('{"device_id":"d","account_uuid":"","session_id":"8d5c-1"}'), '8d5c-1');
    assert.equal(session('user_abc'), null);
  });

  it('is not an empty header, nor one of any length', () => {
    assert.equal(read('/api/chat', body, { 'x-session-id': ' ', 'session-id': 'b' }).session, 'b');
    assert.equal(read('/api/chat', body, { 'x-session-id': 'x'.repeat(9_999) }).session?.length, 512);
  });
});

describe('runner options', () => {
  const options = (json: string) => read('/api/generate', `{"model":"m","prompt":"p",${json}}`).runnerOptions;

  it('are those that reload the model, in one order', () => {
    assert.equal(
      options('"options":{"num_ctx":8192,"temperature":0,"main_gpu":1},"shift":false'),
      'main_gpu=1,num_ctx=8192,shift=false',
    );
    assert.equal(
      options('"shift":false,"options":{"main_gpu":1,"num_ctx":8.192e3}'),
      'main_gpu=1,num_ctx=8192,shift=false',
    );
  });

  it('are none when they ask for what happens anyway', () => {
    assert.equal(options('"options":{"num_gpu":-1,"num_thread":0,"num_ctx":null},"shift":true'), '');
  });

  it('have exact keys, unlike the body', () => {
    assert.equal(options('"Options":{"NUM_CTX":1,"num_ctx":2}'), 'num_ctx=2');
  });

  it('add up over several `options`, and null clears them', () => {
    assert.equal(options('"options":{"num_ctx":1,"num_batch":2},"options":{"num_ctx":3}'), 'num_batch=2,num_ctx=3');
    assert.equal(options('"options":{"num_ctx":1},"options":null,"options":{"num_batch":2}'), 'num_batch=2');
  });
});
