import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { type FailureCode, GatewayError } from '../../src/core/errors.ts';
import type { Task } from '../../src/core/types.ts';
import type { Meter, MeterReport } from '../../src/dialects/dialect.ts';
import { unknownModelError } from '../../src/dialects/error-bodies.ts';
import { errorTextOf } from '../../src/dialects/failures.ts';
import { blankReading } from '../../src/dialects/reading.ts';
import { type Recording, recording, recordings } from './recordings.ts';

const context = { hash: (text: string | Uint8Array) => String(text) };

type Expected = readonly [
  modelText: string | null,
  task: Task,
  stream: boolean,
  runnerOptions: string,
  maxOutputTokens: number | null,
];

/** What each recorded request is read as; a request that is not here concerns no model. */
const readings: Readonly<Record<string, Expected>> = {
  'busy.generate': ['tiny', 'generate', true, '', null],
  'busy.v1.chat': ['tiny', 'chat', false, '', 8],
  'busy.v1.messages': ['tiny', 'chat', false, '', 8],
  'chat.load': ['tiny', 'load', true, '', null],
  'chat.missing-model': ['nope', 'chat', true, '', null],
  'chat.no-model': [null, 'chat', true, '', null],
  'chat.plain': ['tiny', 'chat', false, '', 8],
  'chat.stream': ['tiny', 'chat', true, '', 8],
  'chat.tools-unsupported': ['tiny', 'chat', true, '', null],
  copy: ['tiny', 'generate', false, '', null],
  'copy.missing': ['nope', 'generate', false, '', null],
  'crash.chat': ['tiny', 'chat', true, '', null],
  'crash.generate': ['tiny', 'generate', true, '', null],
  'crash.generate.plain': ['tiny', 'generate', false, '', null],
  'crash.v1.chat': ['tiny', 'chat', true, '', 8],
  'crash.v1.completions': ['tiny', 'generate', true, '', 8],
  'crash.v1.messages': ['tiny', 'chat', true, '', 8],
  'crash.v1.responses': ['tiny', 'chat', true, '', null],
  'create.from': ['tiny-clone', 'generate', false, '', null],
  'create.mid': ['mid:64m', 'generate', true, '', null],
  'create.missing-blob': ['bad', 'generate', true, '', null],
  'create.nothing': ['bad', 'generate', true, '', null],
  'create.stream': ['tiny', 'generate', true, '', null],
  delete: ['tiny-copy', 'generate', true, '', null],
  'delete.missing': ['nope', 'generate', true, '', null],
  'embed.array': ['tiny', 'embed', false, '', null],
  'embed.missing-model': ['nope', 'embed', false, '', null],
  'embed.string': ['tiny', 'embed', false, '', null],
  'embed.unsupported': ['tiny', 'embed', false, '', null],
  embeddings: ['tiny', 'embed', false, '', null],
  'embeddings.missing-model': ['nope', 'embed', false, '', null],
  'generate.bad-format': ['tiny', 'generate', false, '', null],
  'generate.bad-keep-alive': ['tiny', 'generate', true, '', null],
  'generate.bad-option-type': ['tiny', 'generate', true, '', null],
  'generate.duplicate-keys': ['tiny', 'generate', false, '', 4],
  'generate.form-typed': ['tiny', 'generate', false, '', 8],
  'generate.image-unsupported': ['tiny', 'generate', false, '', null],
  'generate.keep-alive-forever': ['tiny', 'generate', false, '', 8],
  'generate.load': ['tiny', 'load', true, '', null],
  'generate.long-prompt.cold': ['mid:64m', 'generate', false, 'num_ctx=8192', 8],
  'generate.long-prompt.warm': ['mid:64m', 'generate', false, 'num_ctx=8192', 8],
  'generate.missing-model': ['nope', 'generate', true, '', null],
  'generate.model-spelling': ['  registry.ollama.ai/library/TINY:latest ', 'generate', false, '', 8],
  'generate.no-model': [null, 'generate', true, '', null],
  'generate.num-ctx-back': ['tiny', 'generate', false, '', 8],
  'generate.num-ctx-reload': ['tiny', 'generate', false, 'num_ctx=2048', 8],
  'generate.plain': ['tiny', 'generate', false, '', 8],
  'generate.raw': ['tiny', 'generate', false, '', 8],
  'generate.stream': ['tiny', 'generate', true, '', 8],
  'generate.suffix-unsupported': ['tiny', 'generate', true, '', null],
  'generate.think-unsupported': ['tiny', 'generate', true, '', null],
  'generate.trailing-bytes': ['tiny', 'generate', false, '', 4],
  'generate.unload': ['tiny', 'unload', true, '', null],
  'generate.untyped': ['tiny', 'generate', false, '', 8],
  'pull.unreachable': ['llama3.2:1b', 'generate', true, '', null],
  'pull.unreachable.plain': ['llama3.2:1b', 'generate', false, '', null],
  'push.unreachable': ['tiny', 'generate', true, '', null],
  'runner-500.generate': ['tiny', 'generate', true, '', null],
  'runner-500.v1.chat': ['tiny', 'chat', false, '', 8],
  'runner-500.v1.messages': ['tiny', 'chat', false, '', 8],
  show: ['tiny', 'generate', true, '', null],
  'show.missing': ['nope', 'generate', true, '', null],
  'show.name-field': ['tiny', 'generate', true, '', null],
  'show.verbose': ['tiny', 'generate', true, '', null],
  'timed.chat.hot': ['tiny', 'chat', true, '', null],
  'timed.generate.cold': ['tiny', 'generate', true, '', null],
  'timed.generate.hot': ['tiny', 'generate', true, '', null],
  'timed.v1.chat.hot': ['tiny', 'chat', true, '', 8],
  'timed.v1.messages.hot': ['tiny', 'chat', true, '', 8],
  'v1.chat.missing-model': ['nope', 'chat', false, '', 8],
  'v1.chat.no-messages': ['tiny', 'chat', false, '', null],
  'v1.chat.plain': ['tiny', 'chat', false, '', 8],
  'v1.chat.stream-usage': ['tiny', 'chat', true, '', 8],
  'v1.chat.stream': ['tiny', 'chat', true, '', 8],
  'v1.completions.plain': ['tiny', 'generate', false, '', 8],
  'v1.completions.stream': ['tiny', 'generate', true, '', 8],
  'v1.embeddings.base64': ['tiny', 'embed', false, '', null],
  'v1.embeddings': ['tiny', 'embed', false, '', null],
  'v1.embeddings.unsupported': ['tiny', 'embed', false, '', null],
  'v1.messages.missing-model': ['nope', 'chat', false, '', 8],
  'v1.messages.no-max-tokens': ['tiny', 'chat', false, '', null],
  'v1.messages.plain': ['tiny', 'chat', false, '', 8],
  'v1.messages.stream': ['tiny', 'chat', true, '', 8],
  'v1.responses.missing-model': ['nope', 'chat', false, '', null],
  'v1.responses.plain': ['tiny', 'chat', false, '', 8],
  'v1.responses.stream': ['tiny', 'chat', true, '', 8],
};

const refused: Readonly<Record<string, string>> = {
  'generate.bad-json': "invalid character 'i' in literal true (expecting 'r')",
  'generate.empty-body': 'missing request body',
  'generate.gzip-body': "invalid character '\\x1f' looking for beginning of value",
  'v1.chat.bad-json': 'unexpected EOF',
};

/** Answers that end neither complete nor, by their status, as an error. */
const endings: Readonly<Record<string, MeterReport['ending']>> = {
  'crash.chat': 'error',
  'crash.generate': 'error',
  'crash.v1.chat': 'missing',
  'crash.v1.completions': 'missing',
  'crash.v1.messages': 'missing',
  'crash.v1.responses': 'missing',
  'create.missing-blob': 'error',
  'pull.unreachable': 'error',
  'push.unreachable': 'error',
};

const routed = recordings.filter((each) => each.route !== null);
const answered = routed.filter(({ method }) => method !== 'HEAD');
const isJson = ({ contentType }: Recording) => contentType.includes('json');
const isStream = ({ contentType }: Recording) => /ndjson|event-stream/.test(contentType);

function meterOf({ dialect, route, contentType }: Recording): Meter {
  assert.ok(route !== null);
  return dialect.meter(route, blankReading, contentType);
}

function metered(each: Recording, answer: Buffer, cuts: readonly number[] = []): MeterReport {
  const meter = meterOf(each);
  let from = 0;
  for (const cut of [...cuts.map((at) => at % (answer.length + 1)).toSorted((a, b) => a - b), answer.length]) {
    meter.push(answer.subarray(from, cut));
    from = cut;
  }
  return meter.finish();
}

/** The figures in the answer, found by decoding all of it. */
function statedUsage(each: Recording): MeterReport['usage'] {
  const text = each.answer.toString('utf8');
  const objects = isStream(each)
    ? text.split('\n').flatMap((line) => (/^(?:data: )?\{/.test(line) ? [JSON.parse(line.replace(/^data: /, ''))] : []))
    : [JSON.parse(text)];
  const last = objects.at(-1);
  const usage = last.usage ?? last.response?.usage ?? objects.at(-2)?.usage;
  const ms = (value: number | undefined) => (value === undefined ? undefined : value / 1e6);
  const all = {
    promptTokens: last.prompt_eval_count ?? usage?.prompt_tokens ?? usage?.input_tokens,
    outputTokens: last.eval_count ?? usage?.completion_tokens ?? usage?.output_tokens,
    loadMs: ms(last.load_duration),
    promptMs: ms(last.prompt_eval_duration),
    outputMs: ms(last.eval_duration),
    totalMs: ms(last.total_duration),
  };
  return Object.fromEntries(Object.entries(all).filter(([, value]) => value !== undefined));
}

describe('the recordings', () => {
  it('are all here', () => assert.equal(recordings.length, 125));

  it('use only routes that exist, but for those that Ollama refuses too', () => {
    assert.deepEqual(
      recordings.filter(({ route }) => route === null).map(({ name }) => name),
      [
        'preflight',
        'ps.head',
        'route.double-slash',
        'route.trailing-slash',
        'route.unknown',
        'route.wrong-method',
        'v1.messages.count-tokens',
        'v1.model.namespaced',
      ],
    );
  });
});

describe('a recorded request', () => {
  for (const { name, dialect, route, requestHeaders, requestBody } of routed) {
    it(`${name} is read as what it is`, () => {
      assert.ok(route !== null);
      const read = () => dialect.read(route, requestBody, { ...context, headers: requestHeaders });
      const message = refused[name];
      if (message !== undefined) {
        assert.throws(read, { code: 'bad-request', message });
        return;
      }
      const reading = read();
      const expected = readings[name] ?? [null, 'generate', reading.stream, '', null];
      const { modelText, task, stream, runnerOptions, maxOutputTokens } = reading;
      assert.deepEqual([modelText, task, stream, runnerOptions, maxOutputTokens], expected);
      assert.equal(reading.ambiguous, name === 'generate.duplicate-keys');
      assert.equal(reading.wantsUsage, name === 'v1.chat.stream-usage');
      assert.equal(
        reading.promptTokens > 0,
        ['chat', 'generate', 'embed'].includes(task) &&
          readings[name] !== undefined &&
          route.kind === 'infer' &&
          name !== 'v1.chat.no-messages',
      );
    });
  }

  it('with a long prompt is marked at its beginnings', () => {
    const { dialect, route, requestBody } = recording('generate.long-prompt.cold');
    const { prefix, promptTokens } = dialect.read(route!, requestBody, { ...context, headers: {} });
    assert.deepEqual(
      prefix.map(({ tokens }) => tokens),
      [256, 512, 1_024, promptTokens],
    );
  });
});

describe('a recorded answer', () => {
  for (const each of answered) {
    const ending = endings[each.name] ?? (each.status >= 400 && isJson(each) ? 'error' : 'complete');
    it(`${each.name} is ${ending}, however it is cut`, () => {
      const whole = metered(each, each.answer);
      assert.equal(whole.ending, ending);
      fc.assert(
        fc.property(fc.array(fc.nat(), { maxLength: 12 }), (cuts) => {
          assert.deepEqual(metered(each, each.answer, cuts), whole);
        }),
        { numRuns: 25 },
      );
    });
  }

  it('is metered as it says of itself', () => {
    for (const each of answered.filter(isJson).concat(answered.filter(isStream))) {
      const report = metered(each, each.answer);
      if (report.ending === 'complete' && !report.estimated) {
        assert.deepEqual(report.usage, statedUsage(each), each.name);
      }
    }
  });

  it('is counted in frames where it says nothing', () => {
    const outputTokens = (name: string) => metered(recording(name), recording(name).answer).usage.outputTokens;
    assert.equal(outputTokens('v1.chat.stream'), 8);
    assert.equal(outputTokens('v1.completions.stream'), 8);
    assert.equal(outputTokens('crash.chat'), 3);
    assert.equal(outputTokens('crash.v1.messages'), 3);
    assert.equal(outputTokens('crash.v1.responses'), 3);
  });

  it('says its error', () => {
    for (const each of answered.filter(isJson)) {
      const report = metered(each, each.answer);
      if (report.ending === 'error') {
        const last = each.answer.toString('utf8').trim().split('\n').at(-1)!;
        assert.equal(report.errorText, errorTextOf(last, each.dialect.name), each.name);
      }
    }
  });

  it('is not complete before its last byte, but for blank ones', () => {
    for (const each of answered.filter(isStream)) {
      const end = each.answer.toString('latin1').trimEnd().length;
      const meter = meterOf(each);
      for (let at = 0; at < end; at++) {
        assert.notEqual(meter.finish().ending, 'complete', `${each.name} at ${at}`);
        meter.push(each.answer.subarray(at, at + 1));
      }
    }
  });
});

describe('an error', () => {
  const codes: Readonly<Record<number, FailureCode>> = {
    400: 'bad-request',
    404: 'unknown-model',
    500: 'internal',
    503: 'queue-full',
  };
  /** Written by the code that streams, which sets the type itself. */
  const otherTypes = ['create.nothing', 'pull.unreachable.plain', 'runner-500.generate'];

  for (const each of recordings.filter(({ status, contentType }) => status in codes && /json/.test(contentType))) {
    const requestId = /"request_id":"([^"]+)"/.exec(each.answer.toString('utf8'))?.[1] ?? 'x';
    if (each.method !== 'HEAD') {
      it(`is rendered as ${each.name} was`, () => {
        const text = errorTextOf(each.answer.toString('utf8'), each.dialect.name);
        const rendered = each.dialect.renderError(new GatewayError(codes[each.status]!, text), requestId);
        assert.equal(rendered.status, each.status);
        assert.equal(rendered.body, each.answer.toString('utf8'));
        if (!otherTypes.includes(each.name)) {
          assert.equal(rendered.headers['content-type'], each.contentType);
        }
      });
    }
  }

  it('is what the router says on unknown routes and methods', () => {
    for (const [name, code] of [
      ['route.unknown', 'not-found'],
      ['v1.model.namespaced', 'not-found'],
      ['v1.messages.count-tokens', 'not-found'],
      ['route.wrong-method', 'method-not-allowed'],
    ] as const) {
      const { dialect, status, contentType, answer } = recording(name);
      const rendered = dialect.renderError(new GatewayError(code, 'whatever'), 'x');
      assert.deepEqual([rendered.status, rendered.body], [status, answer.toString('utf8')]);
      assert.equal(rendered.headers['content-type'], contentType);
    }
  });

  for (const each of answered.filter(({ status, name }) => status === 404 && name.includes('missing'))) {
    it(`says of an unknown model what ${each.name} said`, () => {
      const text = each.answer.toString('utf8');
      const modelText =
        each.path === '/v1/models/nope'
          ? 'nope'
          : each.dialect.read(each.route!, each.requestBody, { ...context, headers: {} }).modelText!;
      const rendered = unknownModelError(each.route!, modelText, /"request_id":"([^"]+)"/.exec(text)?.[1]);
      assert.deepEqual(rendered, { status: 404, headers: { 'content-type': each.contentType }, body: text });
    });
  }

  it('says of no model, and of a name that is none, what Ollama says', () => {
    const said = (name: string, modelText: string) => {
      const rendered = unknownModelError(recording(name).route!, modelText);
      return [rendered.status, errorTextOf(rendered.body, recording(name).dialect.name)];
    };
    for (const name of ['generate.no-model', 'chat.no-model', 'pull.no-model']) {
      const { status, answer, dialect } = recording(name);
      assert.deepEqual(said(name, ''), [status, errorTextOf(answer.toString('utf8'), dialect.name)]);
    }
    assert.deepEqual(said('chat.plain', 'no:such:name'), [400, 'invalid model name']);
    assert.deepEqual(said('v1.chat.plain', 'a/b/c/d'), [400, 'invalid model name']);
    assert.deepEqual(said('chat.plain', 'x:cloud:local'), [
      400,
      'use either :local or :cloud, not both: "x:cloud:local"',
    ]);
    assert.deepEqual(said('embed.string', ' No\tpe '), [400, 'invalid model name']);
    assert.deepEqual(said('embed.string', ' Nope '), [404, 'model " Nope " not found, try pulling it first']);
    assert.deepEqual(said('v1.embeddings', 'nope'), [404, 'model "nope" not found, try pulling it first']);
    assert.deepEqual(said('show', ' NS/Nope '), [404, "model 'NS/Nope:latest' not found"]);
  });
});
