import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { SimulatedOllama } from '../../src/simulator/server.ts';
import { realSystem, type System } from '../../src/system.ts';
import { jsonRequest, rawClient } from '../support/raw-client.ts';
import { simulatedOllama, simulatedOllamas } from '../support/simulated.ts';
import { virtualClock } from '../support/virtual-clock.ts';

async function post({ url }: SimulatedOllama, path: string, body: unknown): Promise<{ status: number; json: unknown }> {
  const answer = await fetch(url + path, { method: 'POST', body: JSON.stringify(body) });
  const text = await answer.text();
  return { status: answer.status, json: text === '' ? null : (JSON.parse(text) as unknown) };
}

interface Loaded {
  readonly models: { name: string; context_length: number; expires_at: string; size_vram: number; size: number }[];
}

async function ps({ url }: SimulatedOllama): Promise<Loaded['models']> {
  return ((await (await fetch(`${url}/api/ps`)).json()) as Loaded).models;
}

/** Time that passes only when a test lets it. */
function virtualSystem() {
  const clock = virtualClock();
  const system: System = { ...realSystem, clock, wallNow: () => 1.8e12 };
  /** Lets time pass until the promise is settled. */
  async function during<T>(promise: Promise<T>): Promise<T> {
    const settled = new AbortController();
    const settle = (): void => settled.abort();
    promise.then(settle, settle);
    while (!settled.signal.aborted) await clock.advance(10);
    return promise;
  }
  return { clock, system, during };
}

const generate = (model: string, more: object = {}) => ({ model, prompt: 'hi', stream: false, ...more });

describe('a simulated Ollama’s scheduling, seen from outside', () => {
  it('loads a model once, keeps it, and says how long', async (t) => {
    const simulated = await simulatedOllama(t, { models: ['tiny'] });
    assert.deepEqual(await ps(simulated), []);
    for (let i = 0; i < 3; i++) assert.equal((await post(simulated, '/api/generate', generate('tiny'))).status, 200);
    const [loaded] = await ps(simulated);
    assert.equal(loaded!.name, 'tiny:latest');
    const minutes = (Date.parse(loaded!.expires_at) - Date.now()) / 60_000;
    assert.ok(minutes > 4 && minutes < 5);
    assert.deepEqual(simulated.control.journal.counters.models, { 'tiny:latest': { requests: 3, loads: 1 } });
  });

  it('gives names of one blob one runner, listed under the name that loaded it', async (t) => {
    const simulated = await simulatedOllama(t, { models: ['tiny'] });
    await post(simulated, '/api/copy', { source: 'tiny', destination: 'alias' });
    await post(simulated, '/api/generate', generate('alias'));
    await post(simulated, '/api/generate', generate('tiny'));
    assert.equal(simulated.control.journal.counters.loads, 1);
    assert.deepEqual(
      (await ps(simulated)).map(({ name }) => name),
      ['alias:latest'],
    );
  });

  it('loads again for another num_ctx, and back again for none', async (t) => {
    const simulated = await simulatedOllama(t, { models: ['tiny'] });
    const contexts: number[] = [];
    for (const options of [{}, { num_ctx: 8_192 }, { num_ctx: 8_192, temperature: 0 }, {}]) {
      await post(simulated, '/api/generate', generate('tiny', { options }));
      contexts.push((await ps(simulated))[0]!.context_length);
    }
    assert.deepEqual([contexts, simulated.control.journal.counters.loads], [[4_096, 8_192, 8_192, 4_096], 3]);
  });

  it('unloads at once when asked to, and after keep_alive when idle', async (t) => {
    const simulated = await simulatedOllama(t, { models: ['tiny'] });
    await post(simulated, '/api/generate', { model: 'tiny', keep_alive: -1 });
    assert.match((await ps(simulated))[0]!.expires_at, /^2319-/);
    const unloaded = await post(simulated, '/api/chat', { model: 'tiny', messages: [], keep_alive: 0 });
    assert.equal((unloaded.json as { done_reason: string }).done_reason, 'unload');
    assert.deepEqual(await ps(simulated), []);
    await post(simulated, '/api/generate', generate('tiny', { keep_alive: '20ms' }));
    await simulated.control.journal.until(({ kind }) => kind === 'expired');
    assert.deepEqual(await ps(simulated), []);
  });

  it('serves as many at a time as it has slots, the rest in order', async (t) => {
    const simulated = await simulatedOllama(t, { models: ['tiny'], slots: 2, answerTokens: 5 });
    await post(simulated, '/api/generate', { model: 'tiny' });
    await Promise.all([1, 2, 3, 4, 5, 6].map(() => post(simulated, '/api/generate', generate('tiny'))));
    // Requests 2 and 3 end first, then 4 and 5, then 6 and 7.
    const finished = simulated.control.journal.requests.slice(1).map(({ id, endedAt }) => ({ id, endedAt: endedAt! }));
    assert.deepEqual(
      finished.toSorted((a, b) => a.endedAt - b.endedAt).map(({ id }) => Math.floor(id / 2)),
      finished.map(({ id }) => Math.floor(id / 2)),
    );
  });

  it('makes room for another model when there are as many as there may be', async (t) => {
    const simulated = await simulatedOllama(t, { models: ['a', 'b'], maxLoaded: 1 });
    for (const model of ['a', 'b', 'a']) await post(simulated, '/api/generate', generate(model));
    const { loads, evictions } = simulated.control.journal.counters;
    assert.deepEqual([loads, evictions, (await ps(simulated)).map(({ name }) => name)], [3, 2, ['a:latest']]);
  });

  it('takes the memory it has, and the CPU’s when there is none', async (t) => {
    const [gpu, cpu] = await Promise.all(
      [16, 0].map((gib) => simulatedOllama(t, { models: ['tiny'], vramBytes: gib * 2 ** 30 })),
    );
    for (const simulated of [gpu!, cpu!]) await post(simulated, '/api/generate', generate('tiny'));
    const [onGpu] = await ps(gpu!);
    assert.equal(onGpu!.size_vram, onGpu!.size);
    assert.equal((await ps(cpu!))[0]!.size_vram, 0);
  });

  it('finds a prompt it has seen in its cache: the same count in less time', async (t) => {
    const { system, during } = virtualSystem();
    const simulated = await simulatedOllama(t, { models: ['tiny'], prefillTokensPerSecond: 1_000 }, system);
    const prompt = 'water '.repeat(2_000);
    const spent: { count: number; ns: number }[] = [];
    for (let i = 0; i < 2; i++) {
      const { json } = await during(post(simulated, '/api/generate', generate('tiny', { prompt })));
      const { prompt_eval_count: count, prompt_eval_duration: ns } = json as Record<string, number>;
      spent.push({ count: count!, ns: ns! });
    }
    assert.equal(spent[0]!.count, spent[1]!.count);
    assert.ok(spent[0]!.ns >= 3e9 && spent[1]!.ns < 1e8, JSON.stringify(spent));
  });
});

describe('a client that leaves', () => {
  it('frees its slot, and is noted with the time', async (t) => {
    const simulated = await simulatedOllama(t, { models: ['tiny'], slots: 1, tokensPerSecond: 20 });
    const client = await rawClient(
      simulated.port,
      jsonRequest('/api/chat', { model: 'tiny', messages: [{ role: 'user', content: 'hi' }] }),
    );
    await client.receives('"done":false');
    const { counters } = simulated.control.journal;
    assert.deepEqual([counters.inFlight, simulated.control.machine.resident()[0]!.active], [1, 1]);
    const before = performance.now();
    client.leave();
    const { at, request } = await simulated.control.journal.until(({ kind }) => kind === 'client-left');
    assert.ok(at >= before && request === 1);
    assert.deepEqual([counters.inFlight, counters.aborted, simulated.control.machine.resident()[0]!.active], [0, 1, 0]);
  });

  it('takes the load it started with it', async (t) => {
    const simulated = await simulatedOllama(t, { models: ['tiny'], loadMs: 60_000 });
    const client = await rawClient(simulated.port, jsonRequest('/api/generate', { model: 'tiny' }));
    await simulated.control.journal.until(({ kind }) => kind === 'load-started');
    client.leave();
    await simulated.control.journal.until(({ kind }) => kind === 'load-aborted');
    assert.equal(simulated.control.journal.counters.loadsAborted, 1);
  });

  it('after it has stopped reading, takes its slot for good when that bug is on', async (t) => {
    for (const slotLeak of [false, true]) {
      const simulated = await simulatedOllama(t, { models: ['tiny'], slots: 1, slotLeak });
      // More than a connection holds.
      simulated.control.scripts.add({ content: ['x'.repeat(30_000_000), 'y'] });
      const client = await rawClient(simulated.port, jsonRequest('/api/generate', { model: 'tiny', prompt: 'hi' }));
      client.stall();
      await simulated.control.journal.until(({ kind }) => kind === 'stalled');
      client.leave();
      await simulated.control.journal.until(({ kind }) => kind === 'client-left');
      const [runner] = simulated.control.machine.resident();
      assert.deepEqual([runner!.active, runner!.leaked], slotLeak ? [0, 1] : [0, 0]);
    }
  });
});

describe('the control API', () => {
  const call = async ({ url }: SimulatedOllama, method: string, path: string, body?: unknown) => {
    const init = body === undefined ? { method } : { method, body: JSON.stringify(body) };
    const answer = await fetch(`${url}/__sim${path}`, init);
    const text = await answer.text();
    return { status: answer.status, json: text === '' ? null : (JSON.parse(text) as Record<string, unknown>) };
  };

  it('tells what the simulator is, what it has seen, and of what', async (t) => {
    const [first, second] = await simulatedOllamas(t, 2, { models: ['tiny'] });
    await post(first!, '/api/generate', generate('  TINY '));
    const overview = (await call(first!, 'GET', '')).json!;
    assert.deepEqual([overview['simulated'], overview['name']], [true, 'sim-1']);
    const requests = (await call(first!, 'GET', '/requests')).json as unknown as Record<string, unknown>[];
    assert.equal(requests.length, 1);
    const { method, target, model, body, status, ending, headers } = requests[0]!;
    assert.deepEqual([method, target, model, status, ending], ['POST', '/api/generate', '  TINY ', 200, 'complete']);
    assert.equal(body, JSON.stringify(generate('  TINY ')));
    assert.ok((headers as string[][]).some(([name]) => name!.toLowerCase() === 'content-length'));
    const events = (await call(first!, 'GET', '/events')).json as unknown as { kind: string; at: number }[];
    assert.deepEqual(
      events.map(({ kind }) => kind),
      ['listening', 'request', 'load-started', 'load-finished', 'answered', 'complete'],
    );
    assert.deepEqual(
      events.map(({ at }) => at),
      events.map(({ at }) => at).toSorted((a, b) => a - b),
    );
    assert.equal((await call(second!, 'GET', '/counters')).json!['requests'], 0);
    await call(first!, 'DELETE', '/journal');
    assert.equal((await call(first!, 'GET', '/counters')).json!['requests'], 0);
  });

  it('takes faults and scripts, and says what is wrong with one', async (t) => {
    const simulated = await simulatedOllama(t, { models: ['tiny'] });
    assert.equal((await call(simulated, 'POST', '/faults', [{ kind: 'status', status: 500, times: 1 }])).status, 204);
    assert.equal((await post(simulated, '/api/generate', generate('tiny'))).status, 500);
    await call(simulated, 'POST', '/scripts', { content: 'Aye.', model: 'tiny' });
    const said = (await post(simulated, '/api/generate', generate('tiny'))).json as { response: string };
    assert.equal(said.response, 'Aye.');
    assert.equal((await call(simulated, 'POST', '/faults', { kind: 'hang-before-head' })).status, 204);
    assert.deepEqual((await call(simulated, 'GET', '/faults')).json, [{ kind: 'hang-before-head' }]);
    await call(simulated, 'DELETE', '/faults');
    assert.deepEqual((await call(simulated, 'GET', '/faults')).json, []);
    assert.deepEqual(await call(simulated, 'POST', '/faults', { kind: 'status', status: 'no' }), {
      status: 400,
      json: { error: 'status/status: must be integer' },
    });
    const unknown = (await call(simulated, 'POST', '/faults', { kind: 'explode' })).json!;
    assert.match(unknown['error'] as string, /^no such kind of fault; there are hang-before-head, /);
    assert.match(
      (await call(simulated, 'GET', '/nope')).json!['error'] as string,
      /^no such control; there are GET \/,/,
    );
  });

  it('makes runners and the server fail, and has upstream’s bugs on request', async (t) => {
    const simulated = await simulatedOllama(t, { models: ['tiny'], slots: 1, tokensPerSecond: 20 });
    assert.equal((await call(simulated, 'POST', '/actions', { action: 'dance' })).status, 400);
    assert.equal((await call(simulated, 'POST', '/actions', { action: 'crash-runner', model: 'tiny' })).status, 409);
    const client = await rawClient(simulated.port, jsonRequest('/api/generate', { model: 'tiny', prompt: 'hi' }));
    await client.receives('"done":false');
    assert.equal((await call(simulated, 'POST', '/actions', { action: 'crash-runner', model: 'tiny' })).status, 204);
    await client.receives('{"error":"an error was encountered while running the model: unexpected EOF"}\n');
    client.leave();
    assert.deepEqual((await call(simulated, 'POST', '/bugs', { starvation: true })).json, {
      slotLeak: false,
      starvation: true,
    });
    assert.equal((await call(simulated, 'POST', '/actions', { action: 'refuse', forMs: 30 })).status, 204);
    const { journal } = simulated.control;
    const { at: since } = await journal.until(({ kind }) => kind === 'refusing');
    await journal.until(({ kind, at }) => kind === 'listening' && at > since);
    assert.equal((await call(simulated, 'POST', '/actions', { action: 'crash', downMs: 1 })).status, 204);
    await simulated.control.journal.until(({ kind }) => kind === 'crashed');
  });
});

describe('a runner that hangs', () => {
  it('holds /api/ps and its requests for two pings, then is loaded anew', async (t) => {
    const { system, clock, during } = virtualSystem();
    const simulated = await simulatedOllama(t, { models: ['tiny'] }, system);
    await during(post(simulated, '/api/generate', { model: 'tiny' }));
    const { journal, library, machine } = simulated.control;
    assert.equal(machine.hangRunner(library.find('tiny')!), true);
    assert.equal((await ps(simulated)).length, 1);
    const asked = post(simulated, '/api/generate', generate('tiny'));
    await journal.until(({ kind, request }) => kind === 'request' && request === 3);
    await post(simulated, '/api/show', { model: 'tiny' });
    const looked = ps(simulated);
    await journal.until(({ kind, request }) => kind === 'request' && request === 5);
    await post(simulated, '/api/show', { model: 'tiny' });
    await clock.advance(19_000);
    await post(simulated, '/api/show', { model: 'tiny' });
    assert.equal(journal.requests[4]!.answeredAt, null);
    await clock.advance(1_100);
    await looked;
    assert.equal((await during(asked)).status, 200);
    assert.equal(journal.counters.loads, 2);
  });
});

describe('several simulated Ollamas', () => {
  it('have the same digests for the same model, and another for another revision', async (t) => {
    const pair = await simulatedOllamas(t, 2, { models: ['tiny'] });
    const stale = await simulatedOllama(t, { models: [{ name: 'tiny', revision: 'old' }] });
    const digests = [...pair, stale].map(({ control }) => control.library.find('tiny')!.digest);
    assert.equal(digests[0], digests[1]);
    assert.notEqual(digests[0], digests[2]);
  });
});
