/** Whatever strangers ask for, the metrics stay as many as they were. */
import assert from 'node:assert/strict';
import { Agent, METHODS, request } from 'node:http';
import { describe, it } from 'node:test';
import type { Rng } from '../../src/core/types.ts';
import { readExposition, seriesOf } from '../observe/exposition-reader.ts';
import { fakeOllama } from '../support/fake-ollama.ts';
import { probesOnce, startGateway, type Gateway } from '../support/gateway.ts';
import { below, seededRng } from '../support/random.ts';

const asked = 10_000;
const atOnce = 8;

/** All that Node's parser lets through, but for the one that opens a tunnel and has another kind of answer. */
const methods = METHODS.filter((method) => method !== 'CONNECT');
const routes = ['/api/chat', '/api/generate', '/api/show', '/v1/chat/completions', '/v1/responses', '/v1/messages'];

interface Asked {
  readonly method: string;
  readonly path: string;
  readonly body: string;
}

function word(rng: Rng): string {
  return Array.from({ length: 1 + below(rng, 20) }, () => String.fromCharCode(97 + below(rng, 26))).join('');
}

/** A model nobody has, a path nobody serves, a method nobody expects: one of them, or all. */
function strange(rng: Rng): Asked {
  const what = below(rng, 4);
  const known = routes[below(rng, routes.length)]!;
  const path = what === 1 || what === 3 ? `/${word(rng)}/${word(rng)}?${word(rng)}=${word(rng)}` : known;
  const method = what >= 2 ? methods[below(rng, methods.length)]! : 'POST';
  const messages = [{ role: 'user', content: word(rng) }];
  return { method, path, body: JSON.stringify({ model: `${word(rng)}:${word(rng)}`, messages, max_tokens: 5 }) };
}

/** One of each kind, so that every series that closed sets allow is there. */
function everyKind(): Asked[] {
  const body = JSON.stringify({ model: 'nobody:has-this', messages: [{ role: 'user', content: 'hi' }], max_tokens: 5 });
  return [...routes, '/nobody/serves/this'].flatMap((path) => methods.map((method) => ({ method, path, body })));
}

async function series(gateway: Gateway): Promise<string[]> {
  const text = await (await fetch(`${gateway.url}/metrics`)).text();
  // Garbage is collected when it is.
  return [...seriesOf(readExposition(text, 'text'))].filter((name) => !name.startsWith('nodejs_gc_')).sort();
}

describe('label values', () => {
  it('never come from a client: 10,000 models, paths and methods add no series', { timeout: 60_000 }, async (t) => {
    const gateway = await startGateway(t, [await fakeOllama(t)], { config: `${probesOnce}log: {level: error}\n` });
    const agent = new Agent({ keepAlive: true, maxSockets: atOnce });
    t.after(() => agent.destroy());
    const ask = ({ method, path, body }: Asked) =>
      new Promise<void>((resolve, reject) => {
        const headers = { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) };
        request({ agent, host: '127.0.0.1', port: gateway.port, method, path, headers }, (response) => {
          response.resume().once('close', resolve);
        })
          .once('error', reject)
          .end(body);
      });
    const askAll = async (each: Iterator<Asked>) => {
      const next = async (): Promise<void> => {
        for (let one = each.next(); one.done !== true; one = each.next()) await ask(one.value);
      };
      await Promise.all(Array.from({ length: atOnce }, next));
    };

    await askAll(everyKind().values());
    const before = await series(gateway);
    const counted = await gateway.metric('llamero_requests_total');
    const rng = seededRng(6);
    await askAll(Array.from({ length: asked }, () => strange(rng)).values());
    const known = new Set(before);
    const added = (await series(gateway)).filter((name) => !known.has(name));
    assert.deepEqual(added.slice(0, 5), [], `${added.length} new series`);
    assert.ok(
      (await gateway.metric('llamero_requests_total')) - counted > asked / 5,
      'those that reached the journey were counted',
    );
  });
});

describe('the queue in the metrics', () => {
  it('is as long and as heavy as what waits', async (t) => {
    const ollama = await fakeOllama(t, { handler: () => undefined });
    const gateway = await startGateway(t, [{ ...ollama, slots: 1 }], { config: `${probesOnce}log: {level: error}\n` });
    const left = new AbortController();
    t.after(() => left.abort());
    const ask = (content: string) => {
      const body = JSON.stringify({ model: 'tiny', messages: [{ role: 'user', content }] });
      fetch(`${gateway.url}/api/chat`, { method: 'POST', body, signal: left.signal }).catch(() => undefined);
      return body.length;
    };
    const first = ollama.next();
    ask('this one is being answered');
    await first;
    const bytes = ask('x'.repeat(5000)) + ask('y');
    while ((await gateway.metric('llamero_queue_depth')) < 2);
    assert.equal(await gateway.metric('llamero_queue_bytes', { model: 'tiny:latest' }), bytes);
  });
});
