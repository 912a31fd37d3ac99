import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import Anthropic, { APIError as AnthropicError } from '@anthropic-ai/sdk';
import fc from 'fast-check';
import { Ollama } from 'ollama';
import OpenAI, { APIError as OpenAIError } from 'openai';
import { failures, type FailureCode, GatewayError } from '../../src/core/errors.ts';
import { dialectOfPath } from '../../src/dialects/dialect-of-path.ts';
import { dialects } from '../../src/dialects/index.ts';
import { recording } from './recordings.ts';

const codes = Object.keys(failures) as FailureCode[];
const all = Object.values(dialects);

const SPEC = {
  ollama: /^\{"error":"/,
  openai: /^\{"error":\{"message":"/,
  responses: /^\{"error":\{"message":"/,
  anthropic: /^\{"type":"error","error":\{"type":"/,
};

describe('a rendered error', () => {
  it('has the status of its code, the shape of its dialect, and the sentence it was given', () => {
    for (const code of codes.filter((each) => each !== 'not-found' && each !== 'method-not-allowed')) {
      for (const dialect of all) {
        const { status, headers, body } = dialect.renderError(new GatewayError(code, 'it <broke> "badly"\n'), 'abc');
        assert.equal(status, failures[code].status);
        assert.match(body, SPEC[dialect.name]);
        const { error } = JSON.parse(body);
        assert.equal(dialect.name === 'ollama' ? error : error.message, 'it <broke> "badly"\n');
        assert.match(headers['content-type']!, /^application\/json/);
        assert.match(body, /^[^\n]*\n?$/);
      }
    }
  });

  it('is one line of JSON whatever it says', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), fc.constantFrom(...all), (message, dialect) => {
        const { body } = dialect.renderError(new GatewayError('internal', message), 'abc');
        assert.match(body, /^[^\n\r\u2028\u2029]*\n?$/);
        JSON.parse(body);
      }),
    );
  });

  it('tells when to come back, in whole seconds and in milliseconds', () => {
    const headers = (retryAfterMs: number) =>
      dialects.openai.renderError(new GatewayError('queue-full', 'full', { retryAfterMs }), 'abc').headers;
    assert.deepEqual([headers(1_200)['retry-after'], headers(1_200)['retry-after-ms']], ['2', '1200']);
    assert.deepEqual([headers(0)['retry-after'], headers(0)['retry-after-ms']], ['1', '1']);
    assert.equal(
      dialects.openai.renderError(new GatewayError('backend-refused', 'x'), 'abc').headers['retry-after'],
      undefined,
    );
  });

  it('keeps SDKs from trying again what cannot help', () => {
    const header = (code: FailureCode) =>
      dialects.openai.renderError(new GatewayError(code, 'x'), 'abc').headers['x-should-retry'];
    assert.equal(header('internal'), 'false');
    assert.equal(header('queue-full'), undefined);
    assert.equal(header('bad-request'), undefined);
  });

  it("carries the request's id to Anthropic's clients", () => {
    const id = (requestId: string) =>
      JSON.parse(dialects.anthropic.renderError(new GatewayError('internal', 'x'), requestId).body).request_id;
    assert.equal(id('abc'), 'req_abc');
    assert.equal(id('req_abc'), 'req_abc');
  });
});

describe('an in-band error', () => {
  const gone = new GatewayError('backend-lost', 'the backend was lost');

  /** A stream that was cut after `bytes` of a recording, and then told of its error as the relay does. */
  function cutStream(name: string, bytes = Number.POSITIVE_INFINITY): string {
    const { answer, contentType, dialect, route } = recording(name);
    const begun = answer.subarray(0, bytes);
    const meter = dialect.meter(
      route!,
      dialect.read(route!, recording(name).requestBody, { headers: {}, hash: String }),
      contentType,
    );
    meter.push(begun);
    return begun.toString('latin1') + meter.separator() + dialect.renderInBandError(gone, 'abc', meter.finish());
  }

  it('is one frame in the dialect, without a success marker', () => {
    assert.equal(dialects.ollama.renderInBandError(gone, 'abc'), '{"error":"the backend was lost"}\n');
    assert.equal(
      dialects.openai.renderInBandError(gone, 'abc'),
      'data: {"error":{"message":"the backend was lost","type":"api_error","param":null,"code":null}}\n\n',
    );
    assert.equal(
      dialects.anthropic.renderInBandError(gone, 'abc'),
      'event: error\ndata: {"type":"error","error":{"type":"api_error","message":"the backend was lost"},"request_id":"req_abc"}\n\n',
    );
    const failed = dialects.responses.renderInBandError(gone, 'abc');
    assert.match(failed, /^event: response\.failed\ndata: \{[^\n]*\}\n\n$/);
    const { response, sequence_number, type } = JSON.parse(failed.split('\ndata: ')[1]!);
    assert.equal(type, 'response.failed');
    assert.deepEqual([response.status, response.error.message, sequence_number], ['failed', gone.message, 0]);
  });

  it('goes on from the events of a response', () => {
    const last = cutStream('crash.v1.responses').trim().split('\ndata: ').at(-1)!;
    const { response, sequence_number } = JSON.parse(last);
    assert.deepEqual([response.id, sequence_number], ['resp_943457', 7]);
  });

  it('is seen by the meter as the end of its stream, wherever that was cut', () => {
    for (const name of [
      'chat.stream',
      'generate.stream',
      'v1.chat.stream',
      'v1.messages.stream',
      'v1.responses.stream',
    ]) {
      const { answer, contentType, dialect, route } = recording(name);
      const end = answer.toString('latin1').trimEnd().length;
      for (let at = 0; at < end; at += 17) {
        const meter = dialect.meter(
          route!,
          dialect.read(route!, recording(name).requestBody, { headers: {}, hash: String }),
          contentType,
        );
        meter.push(Buffer.from(cutStream(name, at), 'latin1'));
        assert.deepEqual(
          [meter.finish().ending, meter.finish().errorText],
          ['error', gone.message],
          `${name} at ${at}`,
        );
      }
    }
  });

  const answering = (name: string, bytes?: number) => async () =>
    new Response(cutStream(name, bytes), { headers: { 'content-type': recording(name).contentType } });
  const drain = async (stream: AsyncIterable<unknown>): Promise<void> => {
    for await (const _part of stream) {
      // Only the end matters.
    }
  };
  const messages = [{ role: 'user' as const, content: 'hi' }];

  it('makes ollama-js raise', async () => {
    const client = new Ollama({
      host: 'http://127.0.0.1',
      fetch: answering('timed.generate.hot', 2 * recording('timed.generate.hot').answer.indexOf('\n') + 2),
    });
    await assert.rejects(async () => drain(await client.chat({ model: 'tiny', messages, stream: true })), {
      message: gone.message,
    });
  });

  it("makes OpenAI's SDK raise on chats and on responses", async () => {
    const client = (name: string) =>
      new OpenAI({ apiKey: 'k', baseURL: 'http://127.0.0.1/v1', maxRetries: 0, fetch: answering(name) });
    const isOurs = (error: unknown) => error instanceof OpenAIError && error.message.includes(gone.message);
    await assert.rejects(
      async () =>
        drain(await client('crash.v1.chat').chat.completions.create({ model: 'tiny', messages, stream: true })),
      isOurs,
    );
    await assert.rejects(
      async () =>
        drain(await client('crash.v1.responses').responses.create({ model: 'tiny', input: 'hi', stream: true })),
      isOurs,
    );
  });

  it("makes Anthropic's SDK raise", async () => {
    const client = new Anthropic({
      apiKey: 'k',
      baseURL: 'http://127.0.0.1',
      maxRetries: 0,
      fetch: answering('crash.v1.messages'),
    });
    await assert.rejects(
      async () => drain(await client.messages.create({ model: 'tiny', max_tokens: 8, messages, stream: true })),
      (error: unknown) => error instanceof AnthropicError && error.message.includes(gone.message),
    );
  });
});

describe('the dialect of a path', () => {
  it('is the one whose clients would ask there', () => {
    for (const [path, name] of [
      ['/', 'ollama'],
      ['/api/nope', 'ollama'],
      ['/v1', 'openai'],
      ['/v1/nope', 'openai'],
      ['//v1/chat/completions', 'openai'],
      ['/v1/responses', 'responses'],
      ['/v1/responses/resp_1', 'responses'],
      ['/v1/messages/count_tokens', 'anthropic'],
      ['/v1/messagesx', 'openai'],
      ['/v10', 'ollama'],
    ] as const) {
      assert.equal(dialectOfPath(path), name, path);
    }
  });
});
