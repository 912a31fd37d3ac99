import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import type { DialectName, Meter, MeterReport } from '../../src/dialects/dialect.ts';
import { dialects } from '../../src/dialects/index.ts';
import { blankReading } from '../../src/dialects/reading.ts';
import { recording } from './recordings.ts';

const NDJSON = 'application/x-ndjson';
const SSE = 'text/event-stream';

function meter(name: DialectName, endpoint: string, contentType: string): Meter {
  const dialect = dialects[name];
  const route = dialect.routes.find((candidate) => candidate.endpoint === endpoint);
  assert.ok(route !== undefined, endpoint);
  return dialect.meter(route, blankReading, contentType);
}

function report(name: DialectName, endpoint: string, contentType: string, answer: string, step = 7): MeterReport {
  const watching = meter(name, endpoint, contentType);
  const bytes = Buffer.from(answer);
  for (let at = 0; at < bytes.length; at += step) {
    watching.push(bytes.subarray(at, at + step));
  }
  return watching.finish();
}

const chatLine = (content: string) =>
  `${JSON.stringify({ model: 'm', message: { role: 'assistant', content }, done: false })}\n`;

describe('the meter of an NDJSON stream', () => {
  const metrics =
    '"total_duration":4000000,"load_duration":1000000,"prompt_eval_count":5,"prompt_eval_duration":2000000,"eval_count":2,"eval_duration":500000';

  it('finds the figures behind a context of any length', () => {
    for (const length of [0, 100, 300, 340, 341, 342, 343, 5_000]) {
      const context = JSON.stringify(Array.from({ length }, () => 12345));
      const last = `{"model":"m","response":"","done":true,"done_reason":"stop","context":${context},${metrics}}\n`;
      for (const step of [1_000_000, 4_096, 999, 64]) {
        const { ending, usage } = report(
          'ollama',
          'generate',
          NDJSON,
          `${'{"response":"x","done":false}\n'.repeat(3)}${last}`,
          step,
        );
        assert.equal(ending, 'complete', `${length} tokens in steps of ${step}`);
        assert.deepEqual(usage, {
          promptTokens: 5,
          outputTokens: 2,
          loadMs: 1,
          promptMs: 2,
          outputMs: 0.5,
          totalMs: 4,
        });
      }
    }
  });

  it('is not fooled by figures, errors and ends that the model says', () => {
    const said = ['"done":true}', '{"done":true}\n', '\n{"error":"x"}\n', `{${metrics}}`, 'data: [DONE]\n\n'];
    const answer = said.map((text) => chatLine(text)).join('');
    assert.deepEqual(report('ollama', 'chat', NDJSON, answer), {
      ending: 'missing',
      errorText: null,
      usage: { outputTokens: said.length },
      estimated: true,
    });
  });

  it('is not fooled by the arguments of a tool call', () => {
    const call = `{"message":{"role":"assistant","tool_calls":[{"function":{"name":"f","arguments":{"done":true,"pad":"${'x'.repeat(5_000)}",${metrics}}}}]},"done":false}\n`;
    assert.equal(report('ollama', 'chat', NDJSON, call).ending, 'missing');
    assert.equal(report('ollama', 'chat', NDJSON, call.repeat(2)).ending, 'missing');
  });

  it('sees an error on the last line, also one too long to keep', () => {
    const short = report('ollama', 'chat', NDJSON, `${chatLine('a')}{"error":"it \\"broke\\""}\n`);
    assert.deepEqual([short.ending, short.errorText], ['error', 'it "broke"']);
    const long = report('ollama', 'chat', NDJSON, `${chatLine('a')}{"error":"${'x'.repeat(5_000)}"}\n`, 64);
    assert.equal(long.ending, 'error');
    assert.match(long.errorText ?? '', /^\{"error":"x{200}/);
  });

  it('takes a last line without its newline, and blank lines after it', () => {
    const last = '{"message":{"role":"assistant","content":""},"done":true}';
    for (const end of ['', '\n', '\r\n', '\n\n', '\n\r\n\n']) {
      assert.equal(
        report('ollama', 'chat', NDJSON, chatLine('a') + last + end, 5).ending,
        'complete',
        JSON.stringify(end),
      );
    }
  });

  it('ends a pull with its success, and nothing else', () => {
    const progress = '{"status":"pulling manifest"}\n';
    assert.equal(report('ollama', 'pull', NDJSON, `${progress}{"status":"success"}\n`).ending, 'complete');
    assert.equal(report('ollama', 'pull', NDJSON, progress).ending, 'missing');
    assert.equal(report('ollama', 'pull', NDJSON, `${progress}{"error":"no"}\n`).ending, 'error');
    assert.equal(report('ollama', 'pull', NDJSON, `${progress}{"status":"x","done":true}\n`).ending, 'missing');
  });
});

describe('the meter of an SSE stream', () => {
  const chunk = (content: string) => `data: ${JSON.stringify({ choices: [{ delta: { content } }] })}\n\n`;

  it('wants [DONE] as a line of its own', () => {
    const ending = (answer: string) => report('openai', 'chat', SSE, answer).ending;
    assert.equal(ending(`${chunk('a')}data: [DONE]\n\n`), 'complete');
    assert.equal(ending(`${chunk('a').replaceAll('\n', '\r\n')}data: [DONE]\r\n\r\n`), 'complete');
    assert.equal(ending(chunk('data: [DONE]')), 'missing');
    assert.equal(ending(chunk('\n\ndata: [DONE]\n\n')), 'missing');
    assert.equal(ending(`${chunk('a')}data: [DONE`), 'missing');
    assert.equal(ending(''), 'missing');
  });

  it('sees an error in a frame of its own', () => {
    const seen = report(
      'openai',
      'chat',
      SSE,
      `${chunk('a')}data: {"error":{"message":"gone","type":"api_error"}}\n\n`,
    );
    assert.deepEqual([seen.ending, seen.errorText], ['error', 'gone']);
    assert.equal(report('openai', 'chat', SSE, chunk('{"error":{"message":"x"}}')).ending, 'missing');
    const messages = report(
      'anthropic',
      'messages',
      SSE,
      'event: error\ndata: {"type":"error","error":{"type":"api_error","message":"gone"}}\n\n',
    );
    assert.deepEqual([messages.ending, messages.errorText], ['error', 'gone']);
  });

  it('knows the end of a response by the type at either end of a long event', () => {
    const output = JSON.stringify('x'.repeat(9_000));
    const usage = '"usage":{"input_tokens":3,"input_tokens_details":{"cached_tokens":0},"output_tokens":4}';
    for (const [type, ending] of [
      ['response.completed', 'complete'],
      ['response.incomplete', 'complete'],
      ['response.failed', 'error'],
      ['response.output_item.done', 'missing'],
    ] as const) {
      for (const data of [
        `{"response":{"output":${output},${usage}},"sequence_number":9,"type":"${type}"}`,
        `{"type":"${type}","sequence_number":9,"response":{"output":${output},${usage}}}`,
      ]) {
        for (const step of [64, 5_000, 100_000]) {
          const seen = report('responses', 'responses', SSE, `event: ${type}\ndata: ${data}\n\n`, step);
          assert.equal(seen.ending, ending, `${type} in steps of ${step}`);
          assert.deepEqual(seen.usage, { promptTokens: 3, outputTokens: 4 });
        }
      }
    }
  });

  it('tells where a response is, so that its error can go on from there', () => {
    const { answer } = recording('crash.v1.responses');
    assert.deepEqual(report('responses', 'responses', SSE, answer.toString('utf8')).events, {
      responseId: 'resp_943457',
      lastSequence: 6,
    });
  });

  it('takes only what message_delta says for what was used', () => {
    const start =
      'event: message_start\ndata: {"type":"message_start","message":{"usage":{"input_tokens":5,"output_tokens":0}}}\n\n';
    assert.deepEqual(report('anthropic', 'messages', SSE, start).usage, { outputTokens: 0 });
    assert.equal(report('anthropic', 'messages', SSE, start).estimated, true);
  });
});

describe('the meter of a JSON answer', () => {
  const JSON_TYPE = 'application/json; charset=utf-8';

  it('takes a load for complete, although a stream was asked for', () => {
    assert.equal(
      report('ollama', 'chat', JSON_TYPE, recording('chat.load').answer.toString('utf8')).ending,
      'complete',
    );
  });

  it('finds the usage behind embeddings of any size', () => {
    const data = JSON.stringify(Array.from({ length: 20_000 }, () => 0.125));
    const v1 = report(
      'openai',
      'embeddings',
      'application/json',
      `{"data":[{"embedding":${data}}],"usage":{"prompt_tokens":6,"total_tokens":6}}\n`,
      4_096,
    );
    assert.deepEqual(v1.usage, { promptTokens: 6 });
    const native = report(
      'ollama',
      'embed',
      JSON_TYPE,
      `{"model":"m","embeddings":[${data}],"total_duration":2000000,"load_duration":1000000,"prompt_eval_count":9}`,
      4_096,
    );
    assert.deepEqual(native.usage, { totalMs: 2, loadMs: 1, promptTokens: 9 });
  });

  it('misses the end of one that was cut', () => {
    assert.equal(report('openai', 'embeddings', 'application/json', '{"data":[{"embedding":[0.1,').ending, 'missing');
    assert.equal(report('openai', 'embeddings', 'application/json', '').ending, 'missing');
  });

  it('says nothing of other types', () => {
    assert.equal(report('openai', 'transcriptions', 'text/plain', 'what was said').ending, 'complete');
  });
});

describe('a frame of its own', () => {
  it('begins after what the meter says must come first', () => {
    const cases: readonly (readonly [DialectName, string, string, string, string])[] = [
      ['ollama', 'chat', NDJSON, '', ''],
      ['ollama', 'chat', NDJSON, '{"a":1}\n', ''],
      ['ollama', 'chat', NDJSON, '{"a":1', '\n'],
      ['openai', 'chat', SSE, '', ''],
      ['openai', 'chat', SSE, 'data: {}\n\n', ''],
      ['openai', 'chat', SSE, 'data: {}\r\n\r\n', ''],
      ['openai', 'chat', SSE, 'data: {}\n', '\n'],
      ['openai', 'chat', SSE, 'data: {', '\n\n'],
      ['ollama', 'chat', 'application/json', '{"a":', ''],
    ];
    for (const [name, endpoint, type, answer, separator] of cases) {
      const watching = meter(name, endpoint, type);
      watching.push(Buffer.from(answer));
      assert.equal(watching.separator(), separator, JSON.stringify(answer));
    }
  });
});

describe('any meter', () => {
  it('reports the same of the same bytes, whatever they are and however they are cut', () => {
    const scraps = fc.constantFrom(
      '\n',
      '\r\n',
      '\n\n',
      '{',
      '}',
      '"',
      'data: ',
      '[DONE]',
      '{"done":true}',
      '{"error":"x"}',
      'é😀',
      'x'.repeat(700),
      '"usage":{"input_tokens":1}',
      '"type":"message_stop"}',
      ' ',
    );
    const kinds = fc.constantFrom(
      ['ollama', 'chat', NDJSON],
      ['ollama', 'pull', NDJSON],
      ['ollama', 'chat', 'application/json'],
      ['openai', 'chat', SSE],
      ['anthropic', 'messages', SSE],
      ['responses', 'responses', SSE],
    ) as fc.Arbitrary<readonly [DialectName, string, string]>;
    fc.assert(
      fc.property(
        kinds,
        fc.array(scraps, { maxLength: 30 }),
        fc.array(fc.nat(), { maxLength: 10 }),
        (kind, parts, cuts) => {
          const bytes = Buffer.from(parts.join(''));
          const whole = meter(...kind);
          whole.push(bytes);
          const pieces = meter(...kind);
          let from = 0;
          for (const cut of [...cuts.map((at) => at % (bytes.length + 1)).toSorted((a, b) => a - b), bytes.length]) {
            const piece = Buffer.from(bytes.subarray(from, cut));
            pieces.push(piece);
            piece.fill(0);
            from = cut;
          }
          assert.deepEqual(pieces.finish(), whole.finish());
          assert.equal(pieces.separator(), whole.separator());
        },
      ),
      { numRuns: 1_000 },
    );
  });
});
