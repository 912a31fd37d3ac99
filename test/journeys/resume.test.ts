import assert from 'node:assert/strict';
import { describe, it, type TestContext } from 'node:test';
import fc from 'fast-check';
import { fakeOllama, startStream, type Asked, type FakeOllama, type FakeOptions } from '../support/fake-ollama.ts';
import { startGateway, type Gateway } from '../support/gateway.ts';
import { simulatedOllamas } from '../support/simulated.ts';

/** No backend is thought ill of for being cut so often. */
const config = `
resume: {enabled: true}
policy: round-robin
health: {ejectAfter: 100000, ejectRatio: 1, ejectMinimum: 100000}
breaker: {failureRatio: 1, minimumVerdicts: 100000}
quarantine: {after: 0}
retry: {budget: 1, budgetFloor: 100000}
`;

const tokens = ['Ein ', '🦙', ' trägt ', '"zwölf"\n', ' Körbe', ' <hinauf> & ', '山', ' hinab.'];
const whole = tokens.join('');
const at = '2026-11-22T14:29:35.53Z';

type Path = '/api/chat' | '/api/generate' | '/v1/chat/completions';
const paths: readonly Path[] = ['/api/chat', '/api/generate', '/v1/chat/completions'];

type Json = Record<string, unknown>;

interface Body extends Json {
  readonly prompt?: string;
  readonly raw?: boolean;
  readonly messages?: readonly { readonly role: string; readonly content: string }[];
  readonly options?: { readonly num_predict?: number };
  readonly stream?: boolean;
  readonly _debug_render_only?: boolean;
}

const bodyOf = ({ body }: Asked) => JSON.parse(body) as Body;

/** How a backend's model takes a message of its own at the end: goes on with it, or closes it. */
type Prefill = 'open' | 'closed';

function render(
  { prompt = '', messages = [{ role: 'user', content: prompt }], raw }: Body,
  prefill: Talk['prefill'],
): string {
  if (raw === true) return prompt;
  const written = messages.map(({ role, content }) => `<${role}>${content}</>`).join('');
  const isOpen = messages.at(-1)?.role === 'assistant' && prefill === 'open';
  return isOpen ? written.slice(0, -'</>'.length) : `${written}<assistant>`;
}

const begunOf = (prompt: string) => prompt.slice(prompt.lastIndexOf('<assistant>') + '<assistant>'.length);

/** What is still to be said; the whole text when the prompt has begun no answer, or another. */
function restOf(begun: string): readonly string[] {
  for (let said = 1; said <= tokens.length; said += 1) {
    if (tokens.slice(0, said).join('') === begun) return tokens.slice(said);
  }
  return tokens;
}

function frames(path: Path, said: readonly string[], prompt = 5): string {
  const figures = { done_reason: 'stop', total_duration: 3e6, prompt_eval_count: prompt, eval_count: said.length };
  const head = { model: 'tiny', created_at: at };
  const line = (value: Json) => `${JSON.stringify(value)}\n`;
  if (path === '/api/chat') {
    const message = (content: string) => ({ ...head, message: { role: 'assistant', content } });
    return [
      ...said.map((token) => line({ ...message(token), done: false })),
      line({ ...message(''), done: true, ...figures }),
    ].join('');
  }
  if (path === '/api/generate') {
    return [
      ...said.map((response) => line({ ...head, response, done: false })),
      line({ ...head, response: '', done: true, ...figures, context: [1, 2, 3] }),
    ].join('');
  }
  const chunk = (delta: Json, finish: string | null) => {
    const known = { id: 'chatcmpl-7', object: 'chat.completion.chunk', created: 1234567890, model: 'tiny' };
    return `data: ${line({ ...known, choices: [{ index: 0, delta, finish_reason: finish }] })}\n`;
  };
  const deltas = said.map((content, index) => (index === 0 ? { role: 'assistant', content } : { content }));
  return `${deltas.map((delta) => chunk(delta, null)).join('')}${chunk({}, 'stop')}data: [DONE]\n\n`;
}

interface Talk {
  /** Bytes of the first answer before it is cut. */
  cut: number;
  how: 'lost' | 'ended' | 'silent';
  prefill: Prefill | 'refused';
  /** Bytes of the answer that goes on, before it is cut too. */
  cutAgain: number;
}

const endings: Readonly<Record<Talk['how'], (response: Asked['response']) => void>> = {
  lost: (response) => void response.destroy(),
  ended: (response) => void response.end(),
  silent: () => {},
};

const usual: Talk = { cut: 200, how: 'lost', prefill: 'open', cutAgain: Number.POSITIVE_INFINITY };

/** A model that always says the same: its answer is cut, unless the prompt has begun it already. */
function talker(talk: Talk): (asked: Asked) => void {
  return (asked) => {
    const { path, response } = asked;
    const body = bodyOf(asked);
    const rendered = render(body, talk.prefill);
    if (talk.prefill === 'refused' && body.messages?.at(-1)?.role === 'assistant') {
      response.writeHead(400).end('{"error":"the last message has to be the user’s"}');
      return;
    }
    if (body._debug_render_only === true) {
      response.setHeader('Content-Type', 'application/json');
      response.end(JSON.stringify({ model: 'tiny', created_at: at, _debug_info: { rendered_template: rendered } }));
      return;
    }
    const begun = begunOf(rendered);
    const isRest = (begun !== '' && whole.startsWith(begun)) || asked.headers['x-request-id'] === repeated;
    repeated = asked.headers['x-request-id'];
    const bytes = Buffer.from(frames(path as Path, restOf(begun)));
    startStream(asked);
    response.flushHeaders();
    const limit = isRest ? talk.cutAgain : talk.cut;
    if (limit >= bytes.length) response.end(bytes);
    else response.write(bytes.subarray(0, limit), () => endings[talk.how](response));
  };
}

/** The request that was answered last: with nothing said yet it comes again as it was. */
let repeated: string | string[] | undefined;

const asks: Readonly<Record<Path, Json>> = {
  '/api/chat': { model: 'tiny', messages: [{ role: 'user', content: 'hi' }] },
  '/api/generate': { model: 'tiny', prompt: 'hi' },
  '/v1/chat/completions': { model: 'tiny', messages: [{ role: 'user', content: 'hi' }], stream: true },
};

interface Heard {
  readonly text: string;
  readonly values: readonly Json[];
  readonly isWhole: boolean;
  readonly error: unknown;
}

/** Reads the stream to its end, which may be a cut, and fails on what is no frame of its dialect. */
async function hear({ url }: { readonly url: string }, path: Path, more: Json = {}): Promise<Heard> {
  const signal = AbortSignal.timeout(10_000);
  const init = { method: 'POST', body: JSON.stringify({ ...asks[path], ...more }), signal };
  const answer = await fetch(url + path, init);
  assert.equal(answer.status, 200);
  const chunks: Uint8Array[] = [];
  let isWhole = true;
  try {
    for await (const chunk of answer.body!) chunks.push(chunk);
  } catch {
    isWhole = false;
  }
  const raw = Buffer.concat(chunks).toString('utf8');
  const values = raw
    .split(path.startsWith('/v1/') ? '\n\n' : '\n')
    .filter((frame) => frame !== '')
    .map((frame) => frame.replace(/^data: /, ''))
    .map((frame) => (frame === '[DONE]' ? { marker: true } : parsed(frame)));
  const error = values.find((value) => value['error'] !== undefined)?.['error'];
  return { text: values.map(contentOf).join(''), values, isWhole, error };
}

/** Half a frame is what a backend that dies leaves behind, when nobody goes on. */
function parsed(frame: string): Json {
  try {
    return JSON.parse(frame) as Json;
  } catch {
    return { half: true };
  }
}

function contentOf(value: Json): string {
  const choice = (value['choices'] as readonly { readonly delta: Json }[] | undefined)?.[0];
  const said = choice?.delta ?? (value['message'] as Json | undefined) ?? value;
  return String(said['content'] ?? said['response'] ?? '');
}

const isMarker = (value: Json) => value['marker'] === true || value['done'] === true;

async function pair(
  t: TestContext,
  talk: Talk,
  other: FakeOptions = {},
): Promise<{ all: FakeOllama[]; gateway: Gateway }> {
  const all = [
    await fakeOllama(t, { handler: talker(talk) }),
    await fakeOllama(t, { handler: talker(talk), ...other }),
  ];
  return { all, gateway: await startGateway(t, all, { config }) };
}

const rests = (all: readonly FakeOllama[]) => all.flatMap(({ asked }) => asked).slice(1);

describe('a stream whose backend is lost in the middle, with resume on', () => {
  for (const path of paths) {
    it(`${path}: goes on elsewhere, whatever the byte it was cut at, with nothing doubled or missing`, async (t) => {
      const talk = { ...usual };
      const { gateway } = await pair(t, talk);
      const bytes = Buffer.from(frames(path, tokens));
      const finish = bytes.indexOf('"finish_reason":"stop"');
      const lastFrame = finish === -1 ? bytes.length - 1 : bytes.indexOf('\n', finish);
      // The multi-byte characters, and the ends of lines, are where it goes wrong if it does.
      const odd = [...bytes.keys()].filter((index) => bytes[index]! >= 0x80 || bytes[index] === 0x0a);
      const cut = fc.oneof(
        fc.integer({ min: 0, max: lastFrame }),
        fc.constantFrom(...odd.filter((i) => i <= lastFrame)),
      );
      const how = fc.constantFrom('lost' as const, 'ended' as const);
      const prefill = fc.constantFrom('open' as const, 'closed' as const);
      const property = fc.asyncProperty(cut, how, prefill, async (cutAt, howCut, prefillOf) => {
        Object.assign(talk, { cut: cutAt, how: howCut, prefill: prefillOf });
        const { text, values, isWhole, error } = await hear(gateway, path);
        assert.equal(error, undefined);
        assert.equal(text, whole);
        assert.ok(isWhole && !values.some((value) => value['half'] === true));
        assert.equal(values.filter(isMarker).length, 1);
        assert.ok(isMarker(values.at(-1)!));
      });
      await fc.assert(property, { numRuns: 60 });
    });
  }

  it('ends an NDJSON stream with the figures of both parts, and says that it was resumed', async (t) => {
    const talk = {
      ...usual,
      cut: Buffer.byteLength(frames('/api/chat', tokens).split('\n').slice(0, 3).join('\n')) + 1,
    };
    const { all, gateway } = await pair(t, talk);
    const { values } = await hear(gateway, '/api/chat');
    assert.equal(values.length, tokens.length + 1);
    const { done_reason: reason, eval_count: count, llamero, model } = values.at(-1)!;
    assert.deepEqual(
      { reason, count, llamero, model },
      { reason: 'stop', count: 8, llamero: { resumed: 1 }, model: 'tiny' },
    );
    const line = gateway.log.findLast(({ msg }) => msg === 'request')!;
    assert.deepEqual([line['resumed'], line['attempts'], line['outcome']], [1, 2, 'ok']);
    assert.equal(await gateway.metric('llamero_resumes_total', { outcome: 'resumed' }), 1);
    const [render_, rest] = rests(all).map(bodyOf);
    assert.equal(render_!._debug_render_only, true);
    assert.deepEqual(rest!.messages!.at(-1), { role: 'assistant', content: tokens.slice(0, 3).join('') });
  });

  it('goes on with an SSE stream under its id, with one role and one marker, and with usage if that was asked for', async (t) => {
    const { gateway } = await pair(t, { ...usual, cut: 700 });
    const { values } = await hear(gateway, '/v1/chat/completions', { stream_options: { include_usage: true } });
    const chunks = values.slice(0, -1) as { id: string; created: number; choices: { delta: Json }[] }[];
    assert.deepEqual(new Set(chunks.map(({ id, created }) => `${id} ${created}`)), new Set(['chatcmpl-7 1234567890']));
    assert.equal(chunks.filter(({ choices }) => choices[0]?.delta['role'] !== undefined).length, 1);
    assert.equal((chunks.at(-1) as unknown as { usage: Json }).usage['completion_tokens'], tokens.length);
    assert.equal(chunks.filter((chunk) => 'llamero' in chunk).length, 1);
  });

  it('takes what has been said off num_predict and max_tokens', async (t) => {
    for (const [path, limit] of [
      ['/api/chat', { options: { num_predict: 50, top_k: 3 } }],
      ['/v1/chat/completions', { max_tokens: 50 }],
    ] as const) {
      const { all, gateway } = await pair(t, { ...usual, cut: 400, prefill: 'closed' });
      const { text } = await hear(gateway, path, limit);
      assert.equal(text, whole);
      const rest = bodyOf(rests(all).at(-1)!);
      assert.equal(rest.raw, true);
      const said = tokens.length - restOf(begunOf(rest.prompt!)).length;
      assert.ok(said > 0);
      assert.equal(rest.options!.num_predict, 50 - said);
    }
  });

  it('goes on when a backend has fallen silent, and with one that takes no last message of the assistant’s', async (t) => {
    const talk: Talk = { ...usual, how: 'silent', prefill: 'refused', cut: 400 };
    const all = [await fakeOllama(t, { handler: talker(talk) }), await fakeOllama(t, { handler: talker(talk) })];
    const gateway = await startGateway(t, all, { config: `${config}timeouts: {idle: 100ms}\n` });
    const { text, error } = await hear(gateway, '/api/chat');
    assert.deepEqual([text, error], [whole, undefined]);
    assert.equal(bodyOf(rests(all).at(-1)!).raw, true);
  });

  it('goes on with a simulated model, by its own words', async (t) => {
    const simulated = await simulatedOllamas(t, 2, { models: ['tiny'], seed: 3, tokensPerSecond: 100_000, loadMs: 0 });
    const gateway = await startGateway(t, simulated, { config });
    const of = (path: Path, prompt: string) =>
      path === '/api/generate' ? { prompt } : { messages: [{ role: 'user', content: prompt }] };
    const [doomed, other] = simulated as [(typeof simulated)[0], (typeof simulated)[0]];
    const property = fc.asyncProperty(fc.nat(20), fc.constantFrom(...paths), fc.uuid(), async (cut, path, prompt) => {
      const oracle = await hear(other, path, of(path, prompt));
      doomed.control.faults.clear();
      doomed.control.faults.add({ kind: 'cut', afterChunks: cut });
      const { error, text } = await hear(gateway, path, of(path, prompt));
      assert.equal(error, undefined);
      assert.equal(text, oracle.text);
    });
    await fc.assert(property, { numRuns: 20 });
    assert.ok((await gateway.metric('llamero_resumes_total', { outcome: 'resumed' })) >= 5);
  });
});

describe('a lost stream that is not gone on with', () => {
  const chat = (message: Json) => ({ messages: [{ role: 'user', content: 'hi', ...message }] });
  const excluded: readonly (readonly [string, Path, Json])[] = [
    ['tools', '/api/chat', { tools: [{ type: 'function', function: { name: 'f', description: '', parameters: {} } }] }],
    ['a format', '/api/chat', { format: 'json' }],
    ['logprobs', '/api/chat', { logprobs: true }],
    ['an image', '/api/chat', chat({ images: ['aGk='] })],
    ['a beginning of its own', '/api/chat', { messages: [{ role: 'assistant', content: 'I' }] }],
    ['a tool’s answer', '/api/chat', chat({ role: 'tool' })],
    ['a number that can’t be kept', '/api/chat', { options: { seed: 1.2345678901234567e19 } }],
    ['fewer tokens than were said', '/api/chat', { options: { num_predict: 1 } }],
    ['another spelling', '/api/chat', { Format: 'json' }],
    ['raw mode', '/api/generate', { raw: true }],
    ['a suffix', '/api/generate', { suffix: 'x' }],
    ['a template', '/api/generate', { template: 'x' }],
    ['a context', '/api/generate', { context: [1] }],
    ['images', '/api/generate', { images: ['aGk='] }],
    ['a response format', '/v1/chat/completions', { response_format: { type: 'json_object' } }],
    ['two answers', '/v1/chat/completions', { n: 2 }],
    ['an image', '/v1/chat/completions', chat({ content: [{ type: 'image_url', image_url: 'data:,' }] })],
    ['a field nobody knows', '/v1/chat/completions', { novelty: 1 }],
  ];

  it('is one whose request asks for more than plain text; nothing is asked elsewhere', async (t) => {
    const { all, gateway } = await pair(t, { ...usual, cut: 400 });
    for (const [what, path, more] of excluded) {
      const before = all.flatMap(({ asked }) => asked).length;
      const { error, isWhole, text } = await hear(gateway, path, more);
      assert.ok(error !== undefined && !isWhole, what);
      assert.ok(whole.startsWith(text) && text !== whole, what);
      assert.equal(all.flatMap(({ asked }) => asked).length, before + 1, what);
    }
    assert.equal(await gateway.metric('llamero_resumes_total', { outcome: 'ineligible' }), excluded.length);
    assert.equal(await gateway.metric('llamero_resumes_total', { outcome: 'resumed' }), 0);
  });

  it('is one that has thought, called a tool, or said too much', async (t) => {
    const said: readonly Json[] = [
      { role: 'assistant', content: 'a', thinking: 'hm' },
      { role: 'assistant', content: 'a', tool_calls: [{ function: { name: 'f', arguments: {} } }] },
      { role: 'assistant', content: 'a'.repeat(17 * 1024) },
    ];
    let turn = 0;
    const handler = (asked: Asked) => {
      startStream(asked);
      const line = JSON.stringify({ model: 'tiny', created_at: at, message: said[turn++ % said.length], done: false });
      asked.response.write(`${line}\n`, () => asked.response.destroy());
    };
    const all = [await fakeOllama(t, { handler }), await fakeOllama(t, { handler })];
    const gateway = await startGateway(t, all, { config });
    for (let index = 0; index < said.length; index += 1) {
      assert.notEqual((await hear(gateway, '/api/chat')).error, undefined);
    }
    assert.equal(rests(all).length, said.length - 1);
    assert.equal(await gateway.metric('llamero_resumes_total', { outcome: 'ineligible' }), said.length);
  });

  it('is one whose model is another everywhere else', async (t) => {
    const { all, gateway } = await pair(t, { ...usual, cut: 300 }, { digest: 'e'.repeat(64) });
    const { error, isWhole } = await hear(gateway, '/api/chat');
    assert.match(String(error), /backend b\d/);
    assert.equal(isWhole, false);
    assert.equal(rests(all).length, 0);
  });

  it('is one for which the other backend proves nothing: it generates, or ends the message', async (t) => {
    const generates = (asked: Asked) => {
      const isRender = bodyOf(asked)._debug_render_only === true;
      if (!isRender) return talker({ ...usual, cut: 300 })(asked);
      asked.response.end(JSON.stringify({ model: 'tiny', message: { role: 'assistant', content: 'Ein' }, done: true }));
    };
    const all = [await fakeOllama(t, { handler: generates }), await fakeOllama(t, { handler: generates })];
    const gateway = await startGateway(t, all, { config });
    const { error, text } = await hear(gateway, '/api/chat');
    assert.notEqual(error, undefined);
    assert.ok(whole.startsWith(text));
    assert.deepEqual(
      rests(all).map((asked) => bodyOf(asked).options),
      [{ num_predict: 1 }],
    );
    assert.equal(await gateway.metric('llamero_resumes_total', { outcome: 'failed' }), 1);
  });

  it('is one that is lost a second time: it has its error, after what both had said', async (t) => {
    const talk = { ...usual, cut: 300, cutAgain: 250 };
    const all = [];
    for (let index = 0; index < 3; index += 1) all.push(await fakeOllama(t, { handler: talker(talk) }));
    const gateway = await startGateway(t, all, { config });
    const { error, text, values, isWhole } = await hear(gateway, '/api/chat');
    assert.notEqual(error, undefined);
    assert.equal(isWhole, false);
    assert.ok(whole.startsWith(text) && text.length > 0);
    assert.equal(values.filter(isMarker).length, 0);
    assert.equal(rests(all).length, 2);
    assert.ok(gateway.app.view().every(({ inFlight }) => inFlight === 0));
  });

  it('is one whose client leaves, or whose gateway stops, while the rest is waited for', async (t) => {
    const held: Asked[] = [];
    const handler = (asked: Asked) => {
      if (bodyOf(asked)._debug_render_only === true) held.push(asked);
      else talker({ ...usual, cut: 300 })(asked);
    };
    const all = [await fakeOllama(t, { handler }), await fakeOllama(t, { handler })];
    const gateway = await startGateway(t, all, { config: `${config}shutdown: {grace: 100ms}\n` });
    const leaving = new AbortController();
    const stream = await gateway.chat({}, { signal: leaving.signal });
    while (held.length === 0) await new Promise((resolve) => setImmediate(resolve));
    const finished = gateway.finished();
    leaving.abort();
    await stream.text().catch(() => {});
    await held[0]!.aborted;
    assert.equal((await finished)['outcome'], 'client-gone');
    const ending = hear(gateway, '/api/chat');
    while (held.length === 1) await new Promise((resolve) => setImmediate(resolve));
    await gateway.app.stop();
    assert.match(String((await ending).error), /stopping/);
    assert.ok(gateway.app.view().every(({ inFlight }) => inFlight === 0));
  });

  it('is any one while retries are spent, or resume is off', async (t) => {
    for (const other of ['retry: {budget: 0, budgetFloor: 0}', 'resume: {enabled: false}']) {
      const section = other.split(':')[0]!;
      const talk = { ...usual, cut: 300 };
      const all = [await fakeOllama(t, { handler: talker(talk) }), await fakeOllama(t, { handler: talker(talk) })];
      const without = config.split('\n').filter((line) => !line.startsWith(`${section}:`));
      const gateway = await startGateway(t, all, { config: `${[...without, other].join('\n')}\n` });
      assert.notEqual((await hear(gateway, '/api/chat')).error, undefined);
      assert.equal(rests(all).length, 0);
    }
  });
});
