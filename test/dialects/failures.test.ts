import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { attemptFailures, type AttemptFailure, type FailureRule } from '../../src/core/retry.ts';
import type { DialectName } from '../../src/dialects/dialect.ts';
import { classify, classifyInBand, errorTextOf } from '../../src/dialects/failures.ts';
import { recordings } from './recordings.ts';

/** What each recorded error answer means; those that are not here are clients' mistakes. */
const recorded: Readonly<Record<string, AttemptFailure>> = {
  'busy.generate': 'backend-busy',
  'busy.v1.chat': 'backend-busy',
  'busy.v1.messages': 'backend-busy',
  'chat.missing-model': 'model-missing',
  'copy.missing': 'model-missing',
  'crash.generate.plain': 'runner-failed',
  'delete.missing': 'model-missing',
  'embed.missing-model': 'model-missing',
  'embeddings.missing-model': 'model-missing',
  'generate.missing-model': 'model-missing',
  'generate.no-model': 'model-missing',
  'host.foreign': 'backend-unavailable',
  'origin.foreign': 'backend-unavailable',
  'route.unknown': 'route-missing',
  'runner-500.generate': 'runner-failed',
  'runner-500.v1.chat': 'runner-failed',
  'runner-500.v1.messages': 'runner-failed',
  'show.missing': 'model-missing',
  'v1.chat.missing-model': 'model-missing',
  'v1.messages.count-tokens': 'route-missing',
  'v1.messages.missing-model': 'model-missing',
  'v1.model.missing': 'model-missing',
  'v1.model.namespaced': 'route-missing',
  'v1.responses.missing-model': 'model-missing',
};

/** Texts that Ollama's source or its threads tell of, as a native answer. */
const told: readonly (readonly [status: number, text: string, failure: AttemptFailure])[] = [
  [500, 'llama-server process has terminated: exit status 1: CUDA error: out of memory', 'runner-failed'],
  [500, 'timed out waiting for llama-server to start - progress 0.00 - ', 'runner-failed'],
  [500, 'error starting llama-server: fork/exec: no such file', 'runner-failed'],
  [500, 'unable to load full model on GPU', 'runner-failed'],
  [500, 'model requires more system memory (8.0 GiB) than is available (4.0 GiB)', 'runner-failed'],
  [
    500,
    'model runner has unexpectedly stopped, this may be due to resource limitations or an internal error, check ollama server logs for details',
    'runner-failed',
  ],
  [500, 'an error was encountered while running the model: unexpected EOF', 'runner-failed'],
  [500, 'something nobody has seen yet', 'runner-failed'],
  [500, 'option "num_ctx" must be of type integer', 'client-mistake'],
  [500, 'invalid format: "\\"xml\\""; expected "json" or a valid JSON Schema object', 'client-mistake'],
  [500, 'template: :1:2: executing "" at <.Foo>: can\'t evaluate field Foo', 'client-mistake'],
  [500, 'failed to parse grammar', 'client-mistake'],
  [500, 'the input length exceeds the context length', 'client-mistake'],
  [500, 'pull model manifest: Get "https://registry.ollama.ai/v2/": dial tcp: no such host', 'client-mistake'],
  [400, 'the prompt is longer than the context length currently available to the model; x', 'client-mistake'],
  [401, 'unauthorized', 'cloud-unavailable'],
  [403, 'ollama cloud is disabled: remote model is unavailable', 'cloud-unavailable'],
  [403, 'forbidden for some reason', 'client-mistake'],
  [502, 'Post "https://ollama.com:443/api/chat?ts=1": dial tcp: lookup ollama.com: no such host', 'cloud-unavailable'],
  [502, 'bad gateway', 'backend-unavailable'],
  [503, 'Server overloaded, please retry shortly (ref: 1234)', 'rate-limited'],
  [503, 'loading', 'backend-unavailable'],
  [503, 'proxy: server busy, maximum pending requests exceeded', 'backend-unavailable'],
  [504, '', 'backend-unavailable'],
  [429, 'too many requests', 'rate-limited'],
  [529, 'overloaded', 'rate-limited'],
  [404, '', 'client-mistake'],
  [413, 'too large', 'client-mistake'],
  [499, 'request canceled', 'client-mistake'],
];

describe('classify', () => {
  for (const { name, dialect, status, answer, method } of recordings) {
    if (status >= 400 && method !== 'HEAD') {
      const failure = recorded[name] ?? 'client-mistake';
      it(`takes ${name} (${status}) for ${failure}`, () => {
        assert.equal(classify(status, answer.toString('utf8'), dialect.name), failure);
      });
    }
  }

  for (const [status, text, failure] of told) {
    it(`takes ${status} "${text.slice(0, 50)}" for ${failure} in every dialect`, () => {
      const bodies: Readonly<Record<DialectName, unknown>> = {
        ollama: { error: text },
        openai: { error: { message: text, type: 'api_error', param: null, code: null } },
        responses: { error: { message: text, type: 'api_error', param: null, code: null } },
        anthropic: { type: 'error', error: { type: 'api_error', message: text }, request_id: 'req_1' },
      };
      for (const dialect of Object.keys(bodies) as DialectName[]) {
        assert.equal(classify(status, JSON.stringify(bodies[dialect]), dialect), failure, dialect);
      }
    });
  }

  it('is not led by a text that a client made Ollama quote', () => {
    const quoted = 'server busy, please try again.  maximum pending requests exceeded';
    for (const [status, text] of [
      [500, `invalid format: "${quoted}"; expected "json" or a valid JSON Schema object`],
      [500, `option "${quoted}" must be of type integer`],
      [400, quoted],
      [400, `time: invalid duration "model runner has unexpectedly stopped"`],
    ] as const) {
      assert.equal(classify(status, JSON.stringify({ error: text }), 'ollama'), 'client-mistake', text);
    }
  });

  it('speaks against the backend or the model only where the answer is theirs', () => {
    for (const { name, dialect, status, answer, method } of recordings) {
      if (status >= 400 && method !== 'HEAD') {
        const rule: FailureRule = attemptFailures[classify(status, answer.toString('utf8'), dialect.name)];
        const isTheirs = /^(?:busy|runner-500|crash|host|origin)/.test(name);
        assert.equal(rule.against !== null, isTheirs, name);
      }
    }
  });
});

describe('classifyInBand', () => {
  it('takes an error in a stream for the runner, unless it tells of a mistake', () => {
    assert.equal(classifyInBand('an error was encountered while running the model: unexpected EOF'), 'runner-failed');
    assert.equal(classifyInBand('server busy, please try again.  maximum pending requests exceeded'), 'runner-failed');
    assert.equal(
      classifyInBand('{"error":{"code":400,"message":"x","type":"invalid_request_error"}}'),
      'client-mistake',
    );
  });
});

describe('errorTextOf', () => {
  it('finds the sentence in each shape, and gives what has none as it is', () => {
    assert.equal(errorTextOf('{"error":"a"}', 'ollama'), 'a');
    assert.equal(errorTextOf('{"error":{"message":"a"}}', 'openai'), 'a');
    assert.equal(errorTextOf('{"type":"error","error":{"message":"a"}}', 'anthropic'), 'a');
    assert.equal(errorTextOf('{"error":"a"}', 'openai'), 'a');
    assert.equal(errorTextOf('<html>no</html>\n', 'ollama'), '<html>no</html>');
    assert.equal(errorTextOf('{"error":{"code":7}}', 'ollama'), '{"code":7}');
    assert.equal(errorTextOf('null', 'ollama'), 'null');
  });
});
