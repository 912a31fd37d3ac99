import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { describe, it, type TestContext } from 'node:test';
import type { SimulatorOptions } from '../../src/simulator/options.ts';
import type { SimulatedOllama } from '../../src/simulator/server.ts';
import { probesOnce, startGateway, type Gateway } from '../support/gateway.ts';
import { jsonRequest, rawClient } from '../support/raw-client.ts';
import { simulatedOllamas } from '../support/simulated.ts';

interface Line {
  readonly status?: string;
  readonly digest?: string;
  readonly total?: number;
  readonly completed?: number;
  readonly error?: string;
}

/** Fast, and without probes after the first, so that what is known afterwards was learnt from the operation. */
async function house(
  t: TestContext,
  models: readonly (readonly string[])[],
  { config = '', ...options }: Partial<SimulatorOptions> & { readonly config?: string } = {},
): Promise<{ gateway: Gateway; sims: SimulatedOllama[] }> {
  const quick = { pullBytesPerSecond: 1e12, ...options };
  const sims = await Promise.all(
    models.map(async (list) => (await simulatedOllamas(t, 1, { ...quick, models: [...list] }))[0]!),
  );
  const backends = sims.map(({ url }, index) => ({ url, name: `gpu${index + 1}` }));
  return { gateway: await startGateway(t, backends, { config: probesOnce + config }), sims };
}

function send(
  { url }: Gateway,
  path: string,
  body: unknown,
  { method = 'POST', headers = {} }: { readonly method?: string; readonly headers?: Record<string, string> } = {},
): Promise<Response> {
  return fetch(url + path, { method, headers, body: JSON.stringify(body) });
}

async function linesOf(answer: Response): Promise<Line[]> {
  return (await answer.text())
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as Line);
}

const has = (sims: readonly SimulatedOllama[], model: string): boolean[] =>
  sims.map(({ control }) => control.library.find(model) !== undefined);

const asked = ({ control }: SimulatedOllama, path: string): number =>
  control.journal.requests.filter(({ target, method }) => target === path && method !== 'HEAD').length;

async function names({ url }: Gateway): Promise<string[]> {
  const { models } = (await (await fetch(`${url}/api/tags`)).json()) as { models: { name: string }[] };
  return models.map(({ name }) => name).sort();
}

const digestOf = (bytes: Buffer): string => `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
const gguf = (size: number): Buffer => Buffer.concat([Buffer.from('GGUF'), randomBytes(size - 4)]);

async function upload(gateway: Gateway, bytes: Buffer, digest = digestOf(bytes)): Promise<Response> {
  return fetch(`${gateway.url}/api/blobs/${digest}`, { method: 'POST', body: new Uint8Array(bytes) });
}

describe('a pull', () => {
  it('goes to the backend with the most room, byte for byte, and everybody knows the model at once', async (t) => {
    const { gateway, sims } = await house(t, [['big:70b'], []]);
    const answer = await send(gateway, '/api/pull', { model: 'tiny' });
    assert.equal(answer.headers.get('content-type'), 'application/x-ndjson');
    assert.equal(answer.headers.get('x-llamero-backend'), 'gpu2');
    const lines = await linesOf(answer);
    assert.deepEqual([lines[0], lines.at(-1)], [{ status: 'pulling manifest' }, { status: 'success' }]);
    assert.deepEqual(has(sims, 'tiny'), [false, true]);
    assert.deepEqual(await names(gateway), ['big:70b', 'tiny:latest']);
    const chat = await gateway.chat({ model: 'tiny', stream: false });
    assert.equal(chat.status, 200);
    assert.equal(chat.headers.get('x-llamero-backend'), 'gpu2');
  });

  it('of all tells their progress as one: bars that only grow and end full, one success, last', async (t) => {
    const { gateway, sims } = await house(t, [[], [], []], {
      config: 'placement: {pull: all}',
      pullBytesPerSecond: 2e10,
      pullLayers: 8,
    });
    const lines = await linesOf(await send(gateway, '/api/pull', { name: 'tiny' }));
    const bars = new Map<string, { total: number; completed: number }>();
    for (const { digest, total = 0, completed = 0 } of lines) {
      if (digest === undefined || completed === 0) continue;
      const bar = bars.get(digest);
      if (bar !== undefined) {
        assert.equal(total, bar.total);
        assert.ok(completed > bar.completed);
      }
      bars.set(digest, { total, completed });
    }
    assert.equal(bars.size, 8);
    for (const { total, completed } of bars.values()) assert.equal(completed, total);
    const words = lines.flatMap(({ status = '', digest }) => (digest === undefined ? [status] : []));
    assert.deepEqual(words, ['pulling manifest', 'verifying sha256 digest', 'writing manifest', 'success']);
    assert.deepEqual(has(sims, 'tiny'), [true, true, true]);
  });

  it('that fails on some succeeds, and names them before it says so', async (t) => {
    const { gateway, sims } = await house(t, [[], [], []], { config: 'placement: {pull: all}' });
    sims[1]!.control.faults.add({ kind: 'error-line', path: '/api/pull', afterChunks: 1, text: 'no space left' });
    sims[2]!.control.faults.add({ kind: 'status', path: '/api/pull', status: 500, text: 'broken' });
    const lines = await linesOf(await send(gateway, '/api/pull', { model: 'tiny' }));
    assert.deepEqual(lines.slice(-3), [
      { status: 'gpu2 failed: no space left' },
      { status: 'gpu3 failed: broken' },
      { status: 'success' },
    ]);
    assert.deepEqual(await names(gateway), ['tiny:latest']);
    assert.equal(await gateway.metric('llamero_requests_total', { outcome: 'partly-done' }), 1);
  });

  it('that fails everywhere is one error, and a cut stream is a failure', async (t) => {
    const { gateway, sims } = await house(t, [[], []], { config: 'placement: {pull: all}' });
    sims[0]!.control.faults.add({ kind: 'cut', path: '/api/pull', afterChunks: 1 });
    sims[1]!.control.faults.add({ kind: 'truncate', path: '/api/pull', afterChunks: 1 });
    const lines = await linesOf(await send(gateway, '/api/pull', { model: 'tiny' }));
    assert.equal(lines.filter(({ status }) => status === 'success').length, 0);
    assert.deepEqual(lines.at(-1), {
      error: 'gpu1: it was lost in the middle of its answer; gpu2: it ended its answer before it was complete',
    });
  });

  it('that its only backend breaks off is told so in the stream, which is cut', async (t) => {
    for (const [kind, text] of [
      ['cut', 'was lost in the middle of its answer'],
      ['truncate', 'ended its answer before it was complete'],
    ] as const) {
      const { gateway, sims } = await house(t, [[]]);
      sims[0]!.control.faults.add({ kind, path: '/api/pull', afterChunks: 1 });
      const client = await rawClient(gateway.port, jsonRequest('/api/pull', { model: 'tiny' }));
      await client.ended;
      assert.ok(client.text().includes(`{"error":"backend gpu1 ${text}"}\n`), client.text());
      assert.ok(!client.text().endsWith('0\r\n\r\n'));
    }
  });

  it('that its only backend refuses gets the refusal; that nobody answers is an error of ours', async (t) => {
    const { gateway, sims } = await house(t, [[]]);
    sims[0]!.control.faults.add({ kind: 'error-line', path: '/api/pull', afterChunks: 1, text: 'no space left' });
    const lines = await linesOf(await send(gateway, '/api/pull', { model: 'tiny' }));
    assert.deepEqual(lines.at(-1), { error: 'no space left' });
    await sims[0]!.close();
    assert.equal((await send(gateway, '/api/pull', { model: 'tiny' })).status, 502);
    const both = await house(t, [[], []], { config: 'placement: {pull: all}' });
    await Promise.all(both.sims.map((simulated) => simulated.close()));
    const answer = await send(both.gateway, '/api/pull', { model: 'tiny' });
    assert.equal(answer.status, 503);
    assert.match(((await answer.json()) as Line).error!, /refused the connection/);
  });

  it('that all refuse gets the refusal itself', async (t) => {
    const { gateway } = await house(t, [[], []], { registry: 'unreachable', config: 'placement: {pull: all}' });
    const answer = await send(gateway, '/api/pull', { model: 'tiny', stream: false });
    assert.equal(answer.status, 500);
    assert.match(((await answer.json()) as Line).error!, /^pull model manifest: Get "https:\/\/registry/);
    const lines = await linesOf(await send(gateway, '/api/pull', { model: 'tiny' }));
    assert.match(lines.at(-1)!.error!, /^pull model manifest: Get "https:\/\/registry/);
  });

  it('without a stream is one object, which names who failed', async (t) => {
    const { gateway, sims } = await house(t, [[], []]);
    sims[1]!.control.faults.add({ kind: 'status', path: '/api/pull', status: 500, text: 'broken', times: 1 });
    const headers = { 'x-llamero-placement': 'all' };
    const answer = await send(gateway, '/api/pull', { model: 'tiny', stream: false }, { headers });
    assert.equal(answer.headers.get('content-type'), 'application/json');
    assert.deepEqual(await answer.json(), { status: 'success', llamero_failed: { gpu2: 'broken' } });
    const again = await send(gateway, '/api/pull', { model: 'other', stream: false });
    assert.equal(await again.text(), '{"status":"success"}');
  });

  it('goes where a header says; a name that no backend has is a mistake', async (t) => {
    const { gateway, sims } = await house(t, [[], ['a'], ['a', 'b']]);
    const to = (where: string) =>
      send(gateway, '/api/pull', { model: 'tiny' }, { headers: { 'x-llamero-placement': where } });
    await linesOf(await to('gpu3'));
    assert.deepEqual(has(sims, 'tiny'), [false, false, true]);
    for (const where of ['gpu9', '???']) {
      const answer = await to(where);
      assert.equal(answer.status, 400);
      assert.match(((await answer.json()) as Line).error!, /gpu9|x-llamero-placement/);
    }
  });

  it('that its client cuts stops everywhere, and leaves nothing half-known', async (t) => {
    const { gateway, sims } = await house(t, [[], []], {
      config: 'placement: {pull: all}',
      pullBytesPerSecond: 1e6,
    });
    const client = await rawClient(gateway.port, jsonRequest('/api/pull', { model: 'tiny' }));
    await client.receives('"digest"');
    client.leave();
    await Promise.all(sims.map(({ control }) => control.journal.until(({ kind }) => kind === 'client-left')));
    assert.deepEqual(await names(gateway), []);
    assert.equal((await gateway.chat({ model: 'tiny' })).status, 404);
  });

  it('without a name is refused in Ollama’s words', async (t) => {
    const { gateway } = await house(t, [['a']]);
    const answer = await send(gateway, '/api/pull', {});
    assert.deepEqual([answer.status, await answer.text()], [400, '{"error":"invalid model name"}']);
  });
});

describe('delete and copy', () => {
  it('happen on every backend that has the model, and are known at once', async (t) => {
    const { gateway, sims } = await house(t, [['tiny'], ['other'], ['tiny', 'other']]);
    const copy = await send(gateway, '/api/copy', { source: 'tiny', destination: 'twin' });
    assert.deepEqual([copy.status, await copy.text()], [200, '']);
    assert.deepEqual(has(sims, 'twin'), [true, false, true]);
    assert.deepEqual(await names(gateway), ['other:latest', 'tiny:latest', 'twin:latest']);
    const gone = await send(gateway, '/api/delete', { name: 'TINY' }, { method: 'DELETE' });
    assert.deepEqual([gone.status, await gone.text()], [200, '']);
    assert.deepEqual(has(sims, 'tiny'), [false, false, false]);
    assert.deepEqual(await names(gateway), ['other:latest', 'twin:latest']);
    assert.equal(asked(sims[1]!, '/api/delete'), 0);
  });

  it('of a model that nobody has say so as Ollama does', async (t) => {
    const { gateway } = await house(t, [['tiny']]);
    const gone = await send(gateway, '/api/delete', { model: 'Nope' }, { method: 'DELETE' });
    assert.deepEqual([gone.status, await gone.text()], [404, `{"error":"model 'Nope' not found"}`]);
    const copy = await send(gateway, '/api/copy', { source: 'nope', destination: 'x' });
    assert.deepEqual([copy.status, await copy.text()], [404, '{"error":"model \\"nope\\" not found"}']);
  });

  it('that only some backends did are an error that says which', async (t) => {
    const { gateway, sims } = await house(t, [['tiny'], ['tiny']]);
    sims[1]!.control.faults.add({ kind: 'status', path: '/api/delete', status: 500, text: 'permission denied' });
    const answer = await send(gateway, '/api/delete', { model: 'tiny' }, { method: 'DELETE' });
    assert.deepEqual(
      [answer.status, await answer.json()],
      [502, { error: 'done on gpu1, but not on gpu2: permission denied' }],
    );
    assert.deepEqual(has(sims, 'tiny'), [false, true]);
  });

  it('do not mind a backend that has lost the model already', async (t) => {
    const { gateway, sims } = await house(t, [['tiny'], ['tiny']]);
    sims[1]!.control.library.remove('tiny');
    const answer = await send(gateway, '/api/delete', { model: 'tiny' }, { method: 'DELETE' });
    assert.equal(answer.status, 200);
  });

  it('that all refuse get the refusal itself', async (t) => {
    const { gateway } = await house(t, [['tiny'], ['tiny']]);
    const answer = await send(gateway, '/api/copy', { source: 'tiny', destination: '/' });
    assert.equal(answer.status, 400);
    assert.match(((await answer.json()) as Line).error!, /invalid/);
  });
});

describe('a create from uploaded files', () => {
  it('finds the backend that has them, whoever that is', async (t) => {
    const { gateway, sims } = await house(t, [['big:70b'], [], []]);
    const [weights, adapter] = [gguf(200_000), gguf(1000)];
    const uploaded = await Promise.all([upload(gateway, weights), upload(gateway, adapter)]);
    assert.deepEqual(
      uploaded.map(({ status }) => status),
      [201, 201],
    );
    const holders = sims.map(({ control }) => control.library.blobs());
    const files = { 'a.gguf': digestOf(weights), 'b.gguf': digestOf(adapter) };
    const lines = await linesOf(await send(gateway, '/api/create', { model: 'mine', files }));
    assert.deepEqual(lines.at(-1), { status: 'success' });
    assert.deepEqual(has(sims, 'mine'), [false, true, false]);
    assert.deepEqual(holders, [holders[0], 2, 0]);
    assert.ok((await names(gateway)).includes('mine:latest'));
    // Again, when it is there: as Ollama answers, and the backend need not read it.
    assert.equal((await upload(gateway, weights)).status, 200);
  });

  it('finds them when the gateway has forgotten, or never knew', async (t) => {
    const { gateway, sims } = await house(t, [[], [], []]);
    const bytes = gguf(5000);
    const direct = await fetch(`${sims[2]!.url}/api/blobs/${digestOf(bytes)}`, {
      method: 'POST',
      body: new Uint8Array(bytes),
    });
    assert.equal(direct.status, 201);
    const lines = await linesOf(
      await send(gateway, '/api/create', { model: 'mine', files: { 'a.gguf': digestOf(bytes) } }),
    );
    assert.deepEqual(lines.at(-1), { status: 'success' });
    assert.deepEqual(has(sims, 'mine'), [false, false, true]);
  });

  it('of a digest that nobody has gets Ollama’s own error', async (t) => {
    const { gateway } = await house(t, [[], []]);
    const digest = `sha256:${'1'.repeat(64)}`;
    const lines = await linesOf(await send(gateway, '/api/create', { model: 'bad', files: { 'x.gguf': digest } }));
    assert.equal(lines.length, 2);
    assert.match(lines[1]!.error!, /^open .*sha256-1{64}: no such file or directory$/);
  });

  it('everywhere sends each file to all backends, and creates on all', async (t) => {
    const { gateway, sims } = await house(t, [[], [], []], { config: 'placement: {create: all}' });
    const bytes = gguf(3_000_000);
    const answer = await upload(gateway, bytes);
    assert.deepEqual([answer.status, answer.headers.get('x-llamero-backend')], [201, 'gpu1,gpu2,gpu3']);
    assert.deepEqual(
      sims.map(({ control }) => control.library.blob(digestOf(bytes))?.size),
      [3_000_000, 3_000_000, 3_000_000],
    );
    const lines = await linesOf(
      await send(gateway, '/api/create', { model: 'mine', files: { 'a.gguf': digestOf(bytes) } }),
    );
    assert.deepEqual(lines.at(-1), { status: 'success' });
    assert.deepEqual(has(sims, 'mine'), [true, true, true]);
  });

  it('everywhere has a file only when all backends have it', async (t) => {
    const { gateway, sims } = await house(t, [[], []], { config: 'placement: {create: all}' });
    const bytes = gguf(1000);
    const head = async () => (await fetch(`${gateway.url}/api/blobs/${digestOf(bytes)}`, { method: 'HEAD' })).status;
    assert.equal(await head(), 404);
    await (
      await fetch(`${sims[0]!.url}/api/blobs/${digestOf(bytes)}`, { method: 'POST', body: new Uint8Array(bytes) })
    ).text();
    assert.equal(await head(), 404);
    await upload(gateway, bytes);
    assert.equal(await head(), 200);
  });

  it('everywhere names the backend that lost its file', async (t) => {
    const { gateway, sims } = await house(t, [[], []], { config: 'placement: {create: all}' });
    sims[1]!.control.faults.add({ kind: 'reset', path: '/api/blobs/*', method: 'POST' });
    const bytes = gguf(2_000_000);
    const answer = await upload(gateway, bytes);
    assert.deepEqual([answer.status, answer.headers.get('x-llamero-failed')], [201, 'gpu2']);
    const lines = await linesOf(
      await send(gateway, '/api/create', { model: 'mine', files: { 'a.gguf': digestOf(bytes) } }),
    );
    assert.deepEqual(lines.slice(-2), [
      { status: 'gpu2 failed: it does not have the uploaded files' },
      { status: 'success' },
    ]);
  });

  it('twice at once is two creates', async (t) => {
    const { gateway, sims } = await house(t, [[], []]);
    const bytes = gguf(5000);
    await upload(gateway, bytes);
    const files = { 'a.gguf': digestOf(bytes) };
    const both = await Promise.all(
      ['one', 'two'].map(async (model) => linesOf(await send(gateway, '/api/create', { model, files }))),
    );
    for (const lines of both) assert.deepEqual(lines.at(-1), { status: 'success' });
    assert.deepEqual(
      sims.map(({ control }) => control.library.list().length).sort((a, b) => a - b),
      [0, 2],
    );
  });

  it('from a model happens wherever that is', async (t) => {
    const { gateway, sims } = await house(t, [['base'], [], ['base']]);
    const answer = await send(gateway, '/api/create', {
      model: 'mine',
      from: 'base',
      system: 'Be kind.',
      stream: false,
    });
    assert.deepEqual(await answer.json(), { status: 'success' });
    assert.deepEqual(has(sims, 'mine'), [true, false, true]);
  });
});

describe('an upload', () => {
  it('that is not what its digest says is refused in Ollama’s words, and not remembered', async (t) => {
    const { gateway, sims } = await house(t, [[], []]);
    const wrong = `sha256:${'0'.repeat(64)}`;
    const answer = await upload(gateway, Buffer.from('hello'), wrong);
    assert.equal(answer.status, 400);
    assert.match(
      ((await answer.json()) as Line).error!,
      /^digest mismatch, expected "sha256:0{64}", got "sha256:2cf24/,
    );
    assert.equal((await fetch(`${gateway.url}/api/blobs/${wrong}`, { method: 'HEAD' })).status, 404);
    assert.deepEqual(
      sims.map(({ control }) => control.library.blobs()),
      [0, 0],
    );
  });

  it('of a digest that is none is refused without asking anybody', async (t) => {
    const { gateway, sims } = await house(t, [[]]);
    const answer = await upload(gateway, Buffer.from('hello'), 'sha256:xyz');
    assert.deepEqual([answer.status, await answer.text()], [400, '{"error":"invalid digest format"}']);
    assert.ok(!sims[0]!.control.journal.requests.some(({ target }) => target.startsWith('/api/blobs')));
  });

  it('that is cut leaves nothing anywhere', async (t) => {
    const { gateway, sims } = await house(t, [[]]);
    const bytes = gguf(500_000);
    const target = `/api/blobs/${digestOf(bytes)}`;
    const head = `POST ${target} HTTP/1.1\r\nHost: localhost\r\nContent-Length: ${bytes.length}\r\n\r\n`;
    const client = await rawClient(gateway.port, Buffer.concat([Buffer.from(head), bytes.subarray(0, 300_000)]));
    const { journal, library } = sims[0]!.control;
    await journal.until(
      ({ kind, request }) =>
        kind === 'request' && journal.requests.some(({ id, method }) => id === request && method === 'POST'),
    );
    client.leave();
    await journal.until(({ kind }) => kind === 'client-left');
    assert.equal(library.blobs(), 0);
    assert.equal((await fetch(gateway.url + target, { method: 'HEAD' })).status, 404);
    assert.equal((await upload(gateway, bytes)).status, 201);
    assert.equal((await fetch(gateway.url + target, { method: 'HEAD' })).status, 200);
  });

  it('goes where the client’s others went, whatever has become of the room there', async (t) => {
    const { gateway } = await house(t, [[], []]);
    const first = (await upload(gateway, gguf(1000))).headers.get('x-llamero-backend');
    assert.equal(first, 'gpu1');
    await linesOf(await send(gateway, '/api/pull', { model: 'tiny' }, { headers: { 'x-llamero-placement': 'gpu1' } }));
    assert.equal((await upload(gateway, gguf(1000))).headers.get('x-llamero-backend'), 'gpu1');
  });

  it('goes on elsewhere when the first choice does not answer', async (t) => {
    const { gateway, sims } = await house(t, [[], ['a']]);
    await sims[0]!.close();
    const answer = await upload(gateway, gguf(1000));
    assert.deepEqual([answer.status, answer.headers.get('x-llamero-backend')], [201, 'gpu2']);
  });

  it('to a backend that is lost in the middle is an error, and the client can go on', async (t) => {
    const { gateway, sims } = await house(t, [[]]);
    sims[0]!.control.faults.add({ kind: 'reset', path: '/api/blobs/*', method: 'POST', times: 1 });
    const bytes = gguf(1_000_000);
    const answer = await upload(gateway, bytes);
    assert.equal(answer.status, 502);
    assert.match(((await answer.json()) as Line).error!, /^backend gpu1 closed the connection/);
    assert.equal((await upload(gateway, bytes)).status, 201);
  });
});
