import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import type { Reading } from '../../src/dialects/dialect.ts';
import { needsZstd } from '../../src/dialects/content-encoding.ts';
import { dialects } from '../../src/dialects/index.ts';
import { goDuration } from '../../src/dialects/keep-alive.ts';
import { multipartField } from '../../src/dialects/multipart.ts';

const routes = Object.values(dialects).flatMap((dialect) => dialect.routes);
const openai = (endpoint: string) => dialects.openai.routes.find((route) => route.endpoint === endpoint)!;

describe('the routes', () => {
  it("are Ollama's, each once", () => {
    const all = routes.map(({ method, path }) => `${method} ${path}`);
    assert.equal(new Set(all).size, all.length);
    assert.deepEqual(all.toSorted(), [
      'DELETE /api/delete',
      'DELETE /api/user/keys/:key',
      'GET /',
      'GET /api/experimental/model-recommendations',
      'GET /api/ps',
      'GET /api/status',
      'GET /api/tags',
      'GET /api/version',
      'GET /v1/models',
      'GET /v1/models/:model',
      'HEAD /',
      'HEAD /api/blobs/:digest',
      'HEAD /api/tags',
      'HEAD /api/version',
      'POST /api/blobs/:digest',
      'POST /api/chat',
      'POST /api/copy',
      'POST /api/create',
      'POST /api/embed',
      'POST /api/embeddings',
      'POST /api/experimental/web_fetch',
      'POST /api/experimental/web_search',
      'POST /api/generate',
      'POST /api/me',
      'POST /api/pull',
      'POST /api/push',
      'POST /api/show',
      'POST /api/signout',
      'POST /v1/audio/transcriptions',
      'POST /v1/chat/completions',
      'POST /v1/completions',
      'POST /v1/embeddings',
      'POST /v1/messages',
      'POST /v1/responses',
    ]);
  });

  it('say which dialect they are of', () => {
    for (const dialect of Object.values(dialects)) {
      assert.ok(dialect.routes.every((route) => route.dialect === dialect.name));
    }
  });

  it('schedule what runs a model, and nothing else', () => {
    assert.deepEqual(
      routes.filter(({ kind }) => kind === 'infer').map(({ path }) => path),
      [
        '/api/generate',
        '/api/chat',
        '/api/embed',
        '/api/embeddings',
        '/v1/chat/completions',
        '/v1/completions',
        '/v1/embeddings',
        '/v1/audio/transcriptions',
        '/v1/responses',
        '/v1/messages',
      ],
    );
  });
});

describe('zstd', () => {
  it('is decoded where Ollama decodes it, and as exactly named', () => {
    assert.equal(needsZstd(openai('chat'), { 'content-encoding': 'zstd' }), true);
    assert.equal(needsZstd(dialects.responses.routes[0]!, { 'content-encoding': 'zstd' }), true);
    assert.equal(needsZstd(openai('chat'), { 'content-encoding': 'ZSTD' }), false);
    assert.equal(needsZstd(openai('chat'), { 'content-encoding': 'gzip' }), false);
    assert.equal(needsZstd(openai('chat'), {}), false);
    assert.equal(needsZstd(openai('transcriptions'), { 'content-encoding': 'zstd' }), false);
    assert.equal(
      needsZstd(dialects.ollama.routes.find(({ path }) => path === '/api/chat')!, { 'content-encoding': 'zstd' }),
      false,
    );
  });
});

describe('keep_alive', () => {
  const keepAliveMs = (json: string): number | null =>
    dialects.ollama.read(
      dialects.ollama.routes.find(({ path }) => path === '/api/generate')!,
      Buffer.from(`{"model":"m","keep_alive":${json}}`),
      { headers: {}, hash: String },
    ).keepAliveMs;

  it('is seconds as a number and a duration as text', () => {
    for (const [json, ms] of [
      ['300', 300_000],
      ['0', 0],
      ['-0', 0],
      ['0.5', 500],
      ['1e-12', 0],
      ['-1', Number.POSITIVE_INFINITY],
      ['"5m"', 300_000],
      ['"1h30m"', 5_400_000],
      ['"1.5s"', 1_500],
      ['"0"', 0],
      ['"-1s"', Number.POSITIVE_INFINITY],
      ['"+2ms"', 2],
      ['"100\u00B5s"', 0.1],
      ['null', null],
      ['"300"', null],
      ['""', null],
      ['"1 m"', null],
      ['true', null],
      ['{}', null],
    ] as const) {
      assert.equal(keepAliveMs(json), ms, json);
    }
  });

  it('reads durations as Go does', () => {
    assert.equal(goDuration('1h2m3s4ms5us6ns'), 3_723_004_005_006);
    assert.equal(goDuration('.5s'), 5e8);
    assert.equal(goDuration('1.s'), 1e9);
    for (const text of ['', '-', '.s', '1', '1d', '1S', 's', '1s ', '9999999999h']) {
      assert.equal(goDuration(text), null, text);
    }
  });
});

describe('a multipart form', () => {
  const form = (parts: readonly string[], boundary = 'B') =>
    Buffer.from(`${parts.map((part) => `--${boundary}\r\n${part}\r\n`).join('')}--${boundary}--\r\n`, 'latin1');
  const field = (name: string, value: string) => `Content-Disposition: form-data; name="${name}"\r\n\r\n${value}`;
  const file = `Content-Disposition: form-data; name="file"; filename="a.wav"\r\nContent-Type: audio/wav\r\n\r\nRIFF\r\n\r\nname="model"\r\n\r\nevil`;
  const type = 'multipart/form-data; boundary=B';

  const found = (parts: readonly string[], contentType = type) => multipartField(form(parts), contentType, 'model');

  it('gives the first value of a field, and counts them', () => {
    assert.deepEqual(found([file, field('model', 'whisper')]), { value: 'whisper', count: 1, isClear: true });
    assert.deepEqual(found([field('model', 'a'), file, field('model', 'b')]), { value: 'a', count: 2, isClear: true });
    assert.deepEqual(found([field('model', '')]), { value: '', count: 1, isClear: true });
    assert.deepEqual(found([file]), { value: null, count: 0, isClear: true });
  });

  it('takes a part with a file name for a file', () => {
    const disguised = 'Content-Disposition: form-data; name="model"; filename="x"\r\n\r\nevil';
    assert.deepEqual(found([disguised, field('model', 'a')]), { value: 'a', count: 1, isClear: true });
    const encoded = 'Content-Disposition: form-data; name="model"; filename*=UTF-8\'\'x\r\n\r\nevil';
    assert.deepEqual(found([encoded, field('model', 'a')]), { value: 'a', count: 1, isClear: true });
  });

  it('takes names and boundaries with and without quotes', () => {
    const unquoted = 'content-disposition: form-data; name=model\r\n\r\na';
    assert.equal(found([unquoted], 'Multipart/Form-Data; charset=x; boundary="B"').value, 'a');
  });

  it('does not take for a boundary what only begins like one', () => {
    const inFile = `${file}\r\n--BB\r\n${field('model', 'evil')}\r\n--B-\r\n${field('model', 'evil')}`;
    assert.deepEqual(found([inFile, field('model', 'a')]), { value: 'a', count: 1, isClear: true });
    const preamble = Buffer.concat([Buffer.from(`x--B\r\n${field('model', 'evil')}\r\n`), form([field('model', 'a')])]);
    assert.equal(multipartField(preamble, type, 'model').value, 'a');
    const epilogue = Buffer.concat([form([field('model', 'a')]), form([field('model', 'b')])]);
    assert.equal(multipartField(epilogue, type, 'model').count, 1);
  });

  it('says where Go might read something else', () => {
    for (const part of [
      "Content-Disposition: form-data; name*=utf-8''model\r\n\r\na",
      'Content-Disposition: form-data;\r\n name="model"\r\n\r\na',
      'Content-Disposition: form-data; name="mo\\"del"\r\n\r\na',
      'Content-Disposition: form-data; name="x"\r\nContent-Disposition: form-data; name="model"\r\n\r\na',
      'Content-Disposition : form-data; name="model"\r\n\r\na',
      'Content-Disposition: form-data\r\n\r\na',
      'X: y\r\n\r\na',
      'no head at all',
    ]) {
      assert.equal(found([part]).isClear, false, part);
    }
    const bare = Buffer.from(
      form([field('model', 'a')])
        .toString('latin1')
        .replaceAll('\r\n', '\n'),
    );
    assert.equal(multipartField(bare, type, 'model').isClear, false);
    assert.equal(found([field('model', 'a')], "multipart/form-data; boundary*=utf-8''B").isClear, false);
    assert.equal(found([field('model', 'a')], 'multipart/form-data; boundary="B"x').isClear, false);
  });

  it('is not clear when it has more of what only begins like a boundary than any file', () => {
    const lookalikes = (count: number) => `${file}${'\r\n--BB'.repeat(count)}`;
    assert.deepEqual(found([lookalikes(10_000), field('model', 'a')]), { value: 'a', count: 1, isClear: true });
    assert.equal(found([lookalikes(10_001), field('model', 'a')]).isClear, false);
  });

  it('has no part whose headers go on for longer than headers do', () => {
    const padding = `X: ${'y'.repeat(9_000)}\r\n`;
    assert.equal(found([`${padding}${field('model', 'evil')}`]).isClear, false);
    assert.deepEqual(found([`X: y\r\n${field('model', 'a')}`]), { value: 'a', count: 1, isClear: true });
  });

  it('is not clear when it has more parts than any form', () => {
    const many = Array.from({ length: 1_001 }, () => field('x', 'y'));
    assert.equal(found([...many, field('model', 'a')]).isClear, false);
    assert.equal(found([...many.slice(2), field('model', 'a')]).isClear, true);
  });

  it('finds nothing where there is no form', () => {
    assert.deepEqual(found([field('model', 'a')], 'application/json'), { value: null, count: 0, isClear: true });
    assert.equal(multipartField(Buffer.from('--B'), type, 'model').value, null);
    assert.equal(multipartField(Buffer.from('--B--\r\n'), type, 'model').value, null);
    assert.equal(multipartField(Buffer.alloc(0), type, 'model').value, null);
  });

  it('is read whatever the files hold', () => {
    const scraps = fc.constantFrom('\r\n', '--', 'B', '-', 'x', '\u0000', 'é', '\r\n--', '\r\n\r\n');
    const content = fc
      .array(scraps, { maxLength: 30 })
      .map((parts) => parts.join(''))
      .filter((text) => !`\r\n${text}`.includes('\r\n--B'));
    fc.assert(
      fc.property(content, (text) => {
        const anyFile = `Content-Disposition: form-data; name="file"; filename="f"\r\n\r\n${text}`;
        assert.deepEqual(found([anyFile, field('model', 'm')]), { value: 'm', count: 1, isClear: true });
      }),
    );
  });

  it("gives a transcription its model; one in the query comes first, as in Go's form values", () => {
    const read = (query?: string): Reading =>
      dialects.openai.read(openai('transcriptions'), form([file, field('model', 'Whisper')]), {
        headers: { 'content-type': type },
        hash: String,
        ...(query !== undefined && { query }),
      });
    assert.deepEqual([read().model, read().task, read().ambiguous], ['whisper:latest', 'transcribe', false]);
    assert.deepEqual([read('model=x').model, read('model=x').ambiguous], ['x:latest', true]);
  });
});
