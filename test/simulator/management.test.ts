import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { request } from 'node:http';
import { describe, it } from 'node:test';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import type { SimulatedOllama } from '../../src/simulator/server.ts';
import { createDownloads } from '../../src/simulator/transfers.ts';
import { jsonRequest, rawClient } from '../support/raw-client.ts';
import { simulatedOllama } from '../support/simulated.ts';
import { virtualClock } from '../support/virtual-clock.ts';

interface Status {
  readonly status?: string;
  readonly error?: string;
  readonly digest?: string;
  readonly total?: number;
  readonly completed?: number;
}

async function send(
  { url }: SimulatedOllama,
  path: string,
  body: unknown,
  method = 'POST',
): Promise<{ status: number; text: string }> {
  const answer = await fetch(url + path, { method, body: JSON.stringify(body) });
  return { status: answer.status, text: await answer.text() };
}

async function statuses(simulated: SimulatedOllama, path: string, body: unknown): Promise<Status[]> {
  const { text } = await send(simulated, path, body);
  return text
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as Status);
}

const digestOf = (bytes: Buffer): string => `sha256:${createHash('sha256').update(bytes).digest('hex')}`;

async function upload({ url }: SimulatedOllama, bytes: Buffer, digest = digestOf(bytes)): Promise<number> {
  const answer = await fetch(`${url}/api/blobs/${digest}`, { method: 'POST', body: new Uint8Array(bytes) });
  await answer.arrayBuffer();
  return answer.status;
}

setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc') as () => void;

const gguf = (size: number): Buffer => Buffer.concat([Buffer.from('GGUF'), randomBytes(size - 4)]);

describe('blobs', () => {
  it('are kept as digest and size once the digest is right', async (t) => {
    const simulated = await simulatedOllama(t, { models: [] });
    const bytes = gguf(5_000);
    assert.deepEqual([await upload(simulated, bytes), await upload(simulated, bytes)], [201, 200]);
    assert.deepEqual(simulated.control.library.blob(digestOf(bytes)), { size: 5_000, isGguf: true });
    assert.equal(await upload(simulated, bytes, digestOf(gguf(9))), 400);
    assert.equal(simulated.control.library.blobs(), 1);
  });

  it('leave nothing when the upload is cut', async (t) => {
    const simulated = await simulatedOllama(t, { models: [] });
    const bytes = gguf(50_000);
    const head = `POST /api/blobs/${digestOf(bytes)} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: ${bytes.length}\r\n\r\n`;
    const client = await rawClient(simulated.port, Buffer.concat([Buffer.from(head), bytes.subarray(0, 40_000)]));
    await simulated.control.journal.until(({ kind }) => kind === 'request');
    client.leave();
    await simulated.control.journal.until(({ kind }) => kind === 'client-left');
    assert.equal(simulated.control.library.blobs(), 0);
    assert.equal(await upload(simulated, bytes), 201);
  });

  it('stream through: memory does not grow with them', async (t) => {
    const simulated = await simulatedOllama(t, { models: [] });
    const piece = Buffer.alloc(1_048_576, 1);
    const pieces = 48;
    const hash = createHash('sha256');
    for (let i = 0; i < pieces; i++) hash.update(piece);
    const sent = request(`${simulated.url}/api/blobs/sha256:${hash.digest('hex')}`, { method: 'POST' });
    const answered = new Promise<number>((resolve) => sent.once('response', ({ statusCode }) => resolve(statusCode!)));
    const held = (): number => {
      collectGarbage();
      return process.memoryUsage().arrayBuffers;
    };
    const before = held();
    let most = 0;
    for (let i = 0; i < pieces; i++) {
      if (!sent.write(piece)) await new Promise((resolve) => sent.once('drain', resolve));
      if (i % 12 === 11) most = Math.max(most, held() - before);
    }
    sent.end();
    assert.equal(await answered, 201);
    assert.ok(most < 24 * piece.length, `${Math.round(most / piece.length)} MiB held`);
    sent.destroy();
  });

  it('that no model refers to are gone after a crash', async (t) => {
    const simulated = await simulatedOllama(t, { models: ['tiny'] });
    const bytes = gguf(100);
    await upload(simulated, bytes);
    const kept = simulated.control.library.find('tiny')!.weights.digest;
    simulated.control.crash(0);
    assert.equal(simulated.control.library.blob(digestOf(bytes)), undefined);
    assert.notEqual(simulated.control.library.blob(kept), undefined);
  });
});

describe('create', () => {
  it('from an upload: a model of its size that can be shown, run and deleted with its blobs', async (t) => {
    const simulated = await simulatedOllama(t, { models: [] });
    const bytes = gguf(457_280);
    await upload(simulated, bytes);
    const files = { 'a.gguf': digestOf(bytes) };
    const told = await statuses(simulated, '/api/create', { model: 'Mine', files, system: 'Be brief.' });
    assert.deepEqual(
      told.map(({ status }) => status!.replace(/sha256:\w+/, '…')),
      [
        'parsing GGUF',
        'verifying conversion',
        'creating new layer …',
        'using autodetected template chatml',
        'creating new layer …',
        'creating new layer …',
        'writing manifest',
        'success',
      ],
    );
    const shown = JSON.parse((await send(simulated, '/api/show', { model: 'mine' })).text) as Record<string, unknown>;
    assert.equal(shown['system'], 'Be brief.');
    assert.match(shown['modelfile'] as string, /^# FROM Mine:latest$/m);
    const run = await send(simulated, '/api/generate', { model: 'MINE', prompt: 'hi', stream: false });
    assert.equal(run.status, 200);
    const weights = simulated.control.library.find('mine')!.weights.digest;
    assert.equal((await send(simulated, '/api/delete', { name: 'mine' }, 'DELETE')).status, 200);
    assert.equal(simulated.control.library.blob(weights), undefined);
    assert.equal((await send(simulated, '/api/delete', { name: 'mine' }, 'DELETE')).status, 404);
  });

  it('from a model that is not there: pulls it first', async (t) => {
    const simulated = await simulatedOllama(t, { models: [], pullBytesPerSecond: 1e12 });
    const told = await statuses(simulated, '/api/create', { model: 'b', from: 'a', parameters: { num_ctx: 99 } });
    assert.deepEqual([told[0]!.status, told.at(-1)!.status], ['pulling manifest', 'success']);
    const parents = ['a', 'b'].map((name) => simulated.control.library.find(name)?.recipe.parentModel);
    assert.deepEqual(parents, ['', 'a:latest']);
  });

  it('refuses what it cannot use, and installs nothing', async (t) => {
    const simulated = await simulatedOllama(t, { models: [], registry: 'unreachable' });
    const plain = Buffer.from('not a model');
    await upload(simulated, plain);
    const missing = `sha256:${'1'.repeat(64)}`;
    const cases: readonly (readonly [body: object, status: number, error: string])[] = [
      [
        { model: 'a', files: { 'a.gguf': missing } },
        500,
        `open /root/.ollama/models/blobs/sha256-${'1'.repeat(64)}: no such file or directory`,
      ],
      [{ model: 'a', files: { a: missing } }, 400, 'unknown type'],
      [{ model: 'a', files: { 'a.gguf': digestOf(plain) } }, 400, 'supplied file was not in GGUF format'],
      [{ model: 'a', files: {} }, 400, 'no files provided to convert'],
      [{ model: 'a' }, 400, "neither 'from' or 'files' was specified"],
      [
        { model: 'a', from: 'b' },
        500,
        'pull model manifest: Get "https://registry.ollama.ai/v2/library/b/manifests/latest": dial tcp: lookup registry.ollama.ai on 127.0.0.53:53: no such host',
      ],
      [{ model: 'a/b/c/d' }, 400, 'invalid model name'],
    ];
    for (const [body, status, error] of cases) {
      const answer = await send(simulated, '/api/create', { ...body, stream: false });
      assert.deepEqual([answer.status, JSON.parse(answer.text)], [status, { error }]);
    }
    assert.deepEqual(simulated.control.library.list(), []);
  });

  it('twice at once: both end well, and the model is whole', async (t) => {
    const simulated = await simulatedOllama(t, { models: ['tiny'] });
    const create = (system: string) => statuses(simulated, '/api/create', { model: 'two', from: 'tiny', system });
    const ends = await Promise.all([create('one'), create('other')]);
    assert.deepEqual(
      ends.map((told) => told.at(-1)),
      [{ status: 'success' }, { status: 'success' }],
    );
    assert.match(simulated.control.library.find('two')!.recipe.system, /^(?:one|other)$/);
  });
});

describe('pull', () => {
  it('tells its progress, never backwards, and ends with success and the model', async (t) => {
    const simulated = await simulatedOllama(t, { models: [], speed: 100, pullBytesPerSecond: 4e9, pullLayers: 7 });
    const told = await statuses(simulated, '/api/pull', { name: 'llama3.2:3b' });
    assert.deepEqual(
      [told[0]!.status, ...told.slice(-3).map(({ status }) => status)],
      ['pulling manifest', 'verifying sha256 digest', 'writing manifest', 'success'],
    );
    const byDigest = Map.groupBy(
      told.filter(({ digest }) => digest !== undefined),
      ({ digest }) => digest!,
    );
    assert.equal(byDigest.size, 7);
    for (const [digest, lines] of byDigest) {
      const done = lines.map(({ completed = 0 }) => completed);
      assert.deepEqual(
        done,
        done.toSorted((a, b) => a - b),
      );
      assert.equal(done.at(-1), lines[0]!.total);
      assert.ok(lines.every(({ status }) => status === `pulling ${digest.slice(7, 19)}`));
    }
    const total = [...byDigest.values()].reduce((sum, [line]) => sum + line!.total!, 0);
    assert.equal(total, simulated.control.library.find('llama3.2:3b')!.sizeBytes);
  });

  it('is as long as its size and speed make it: a line each 60 ms', async () => {
    const clock = virtualClock();
    const downloads = createDownloads(clock, 1_000);
    const lines: number[] = [];
    const layer = { mediaType: '', digest: 'a', size: 30_000 };
    const followed = downloads.follow(layer, { onGone: () => undefined }, (completed) => lines.push(completed));
    await clock.advance(29_999);
    assert.deepEqual([lines.length, lines[1], lines.at(-1)], [500, 60, 29_940]);
    await clock.advance(1);
    assert.equal(await followed, true);
    assert.equal(lines.at(-1), 30_000);
  });

  it('does not go on while nobody waits for it', async () => {
    const clock = virtualClock();
    const downloads = createDownloads(clock, 1_000);
    const layer = { mediaType: '', digest: 'a', size: 30_000 };
    const seen: number[] = [];
    let leave = (): void => undefined;
    const cut = downloads.follow(layer, { onGone: (run) => void (leave = run) }, () => undefined);
    await clock.advance(5_000);
    leave();
    assert.equal(await cut, false);
    await clock.advance(60_000);
    void downloads.follow(layer, { onGone: () => undefined }, (completed) => seen.push(completed));
    await clock.advance(60);
    assert.deepEqual(seen, [5_000, 5_060]);
  });

  it('resumes where a cut one stopped, and is shared by all who ask for the same', async (t) => {
    const simulated = await simulatedOllama(t, { models: [], speed: 20, pullBytesPerSecond: 1e9, pullLayers: 5 });
    const first = await rawClient(simulated.port, jsonRequest('/api/pull', { model: 'llama3.2:3b' }));
    await first.receives('"completed":');
    while (!/"completed":\d{9}/.test(first.text())) await new Promise(setImmediate);
    first.leave();
    await simulated.control.journal.until(({ kind }) => kind === 'client-left');
    const both = await Promise.all([1, 2].map(() => statuses(simulated, '/api/pull', { model: 'llama3.2:3b' })));
    for (const told of both) {
      assert.ok(told[1]!.completed! >= 100_000_000, `resumed at ${told[1]!.completed}`);
      assert.equal(told.at(-1)!.status, 'success');
    }
    assert.ok(Math.max(...both.map((told) => told.length)) < 60);
  });
});

describe('push, copy and the account', () => {
  it('pushes what is there', async (t) => {
    const simulated = await simulatedOllama(t, { models: ['tiny'], pullBytesPerSecond: 1e12 });
    const told = await statuses(simulated, '/api/push', { model: 'tiny' });
    assert.deepEqual(
      told.slice(-2).map(({ status }) => status),
      ['pushing manifest', 'success'],
    );
    const missing = await statuses(simulated, '/api/push', { model: 'nope' });
    assert.deepEqual(missing.at(-1), { error: 'file does not exist' });
  });

  it('copies to another name with the same weights', async (t) => {
    const simulated = await simulatedOllama(t, { models: ['tiny'] });
    assert.equal((await send(simulated, '/api/copy', { source: 'TINY', destination: 'ns/Twin:v2' })).status, 200);
    const [twin, tiny] = ['ns/twin:v2', 'tiny'].map((name) => simulated.control.library.find(name)!);
    assert.deepEqual([twin!.name, twin!.weights], ['ns/Twin:v2', tiny!.weights]);
    const bad = await send(simulated, '/api/copy', { source: 'tiny', destination: 'a b' });
    assert.deepEqual([bad.status, bad.text], [400, '{"error":"destination \\"a b\\" is invalid"}']);
  });

  it('is signed in or not, and signs out', async (t) => {
    const [out, signedIn] = [
      await simulatedOllama(t, { models: [] }),
      await simulatedOllama(t, { models: [], account: 'lama' }),
    ];
    const nobody = await send(out, '/api/me', '');
    assert.equal(nobody.status, 401);
    assert.match(nobody.text, /^\{"error":"unauthorized","signin_url":"https:\/\/ollama\.com\/connect\?name=/);
    assert.equal((JSON.parse((await send(signedIn, '/api/me', '')).text) as { name: string }).name, 'lama');
    assert.deepEqual(await send(signedIn, '/api/signout', ''), { status: 200, text: 'null' });
    assert.equal((await send(signedIn, '/api/me', '')).status, 401);
    assert.equal((await send(signedIn, '/api/signout', '')).status, 401);
  });

  it('has its cloud switched off', async (t) => {
    const simulated = await simulatedOllama(t, { models: ['tiny'] });
    const disabled = (operation: string) => ({
      status: 403,
      text: `{"error":"ollama cloud is disabled: ${operation}"}`,
    });
    const messages = [{ role: 'user', content: 'hi' }];
    for (const path of ['/api/chat', '/v1/chat/completions']) {
      assert.deepEqual(
        await send(simulated, path, { model: 'gpt-oss:20b-cloud', messages }),
        disabled('remote model is unavailable'),
      );
    }
    assert.deepEqual(
      await send(simulated, '/api/experimental/web_search', { query: 'x' }),
      disabled('web search is unavailable'),
    );
    const both = await send(simulated, '/api/chat', { model: 'tiny:local:cloud', messages });
    assert.deepEqual(
      [both.status, both.text],
      [400, '{"error":"use either :local or :cloud, not both: \\"tiny:local:cloud\\""}'],
    );
  });
});
