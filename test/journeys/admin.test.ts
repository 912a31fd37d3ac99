import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Value } from 'typebox/value';
import { endpoints, type AnswerOf, type Endpoint, type EndpointName } from '../../src/http/admin/endpoints.ts';
import { Problem, type Backend, type FinishedRequest, type Queue } from '../../src/http/admin/shapes.ts';
import { createSseSplitter, parseSseEvent } from '../../src/dialects/frames.ts';
import type { Closer } from '../support/closer.ts';
import { chatLine, fakeOllama, startStream } from '../support/fake-ollama.ts';
import { probesOnce, startGateway, type Gateway } from '../support/gateway.ts';
import { simulatedOllamas } from '../support/simulated.ts';

interface Answer<N extends EndpointName> {
  readonly status: number;
  /** Of a good answer; an empty object of a problem. */
  readonly body: AnswerOf<(typeof endpoints)[N]>;
  /** What is wrong; '' when nothing is. */
  readonly detail: string;
}

/** Calls an endpoint by name, and holds its answer to what the list says. */
async function call<N extends EndpointName>(
  { adminUrl }: Pick<Gateway, 'adminUrl'>,
  name: N,
  {
    body,
    headers = {},
    query = '',
    ...params
  }: { body?: unknown; headers?: Record<string, string>; query?: string; [parameter: string]: unknown } = {},
): Promise<Answer<N>> {
  const endpoint: Endpoint = endpoints[name];
  const path = endpoint.path.replace(/:(\w+)/g, (_, parameter: string) =>
    encodeURIComponent(String(params[parameter])),
  );
  const answer = await fetch(`${adminUrl}${path}${query}`, {
    method: endpoint.method,
    headers: body === undefined ? headers : { 'content-type': 'application/json', ...headers },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  const text = await answer.text();
  const told: unknown = text === '' ? {} : JSON.parse(text);
  if (answer.ok) {
    assert.equal(answer.status, endpoint.status ?? 200);
    if (typeof endpoint.answer === 'object' && endpoint.answer !== null) {
      assert.deepEqual([...Value.Errors(endpoint.answer, told)], [], name);
    }
    return { status: answer.status, body: told as Answer<N>['body'], detail: '' };
  }
  assert.match(answer.headers.get('content-type') ?? '', /^application\/problem\+json/);
  assert.ok(Value.Check(Problem, told), text);
  assert.equal(told.status, answer.status);
  return { status: answer.status, body: {} as Answer<N>['body'], detail: told.detail };
}

/** Resolves with the first answer that passes. */
async function until<N extends EndpointName>(
  ask: () => Promise<Answer<N>>,
  passes: (body: Answer<N>['body']) => boolean,
): Promise<Answer<N>['body']> {
  for (;;) {
    const { body } = await ask();
    if (passes(body)) return body;
  }
}

describe('the admin API', () => {
  it('shows the fleet, the models, the queue and the requests as it promises', async (t) => {
    const [one, two] = await simulatedOllamas(t, 2, { models: ['tiny', 'nomic-embed-text'] });
    const gateway = await startGateway(t, [{ url: one!.url }, { url: two!.url }], { simulated: ['b2'] });
    const answered = await (await gateway.chat({ stream: false }, { headers: { 'x-request-id': 'first' } })).json();
    assert.equal((answered as { done: boolean }).done, true);
    const { body: fleet } = await call(gateway, 'getFleet');
    assert.deepEqual([fleet.ready, fleet.policy, fleet.version], [true, 'soonest', '0.0.0-test']);
    assert.deepEqual(
      fleet.backends.map(({ name, simulated, state }) => [name, simulated, state]),
      [
        ['b1', false, 'up'],
        ['b2', true, 'up'],
      ],
    );
    const { models } = (await call(gateway, 'listModels')).body;
    assert.deepEqual(
      models.map(({ name }) => name),
      ['nomic-embed-text:latest', 'tiny:latest'],
    );
    assert.deepEqual((await call(gateway, 'getQueue')).body, { waiting: 0, limit: 1000, rows: [] });
    const { requests } = (await call(gateway, 'listHistory', { query: '?model=tiny:latest&limit=5' })).body;
    assert.equal(requests.length, 1);
    assert.deepEqual([requests[0]!.id, requests[0]!.outcome, requests[0]!.status], ['first', 'ok', 200]);
    const detail = (await call(gateway, 'getRequest', { id: 'first' })).body;
    assert.equal(detail.active, null);
    const [decision] = detail.decisions;
    assert.ok(decision?.kind === 'sent' && decision.candidates.length > 0);
    assert.equal((await call(gateway, 'getRequest', { id: 'nobody' })).status, 404);
    assert.equal((await call(gateway, 'getBackend', { id: 'nobody' })).status, 404);
    assert.ok((await call(gateway, 'listDecisions', { query: '?job=first' })).body.decisions.length > 0);
  });

  it('tells where a name is another model, and where a model may not go', async (t) => {
    const usual = [await fakeOllama(t), await fakeOllama(t)];
    const other = await fakeOllama(t, { digest: 'e'.repeat(64) });
    const gateway = await startGateway(t, [...usual, other]);
    const { models } = (await call(gateway, 'listModels')).body;
    assert.equal(models[0]!.digests, 2);
    assert.deepEqual([models[0]!.on['b1']!.differs, models[0]!.on['b3']!.differs], [false, true]);
    assert.equal(models[0]!.on['b1']!.state, 'resident');
  });

  it('loads, unloads, pulls and deletes a model on one backend', async (t) => {
    const [one] = await simulatedOllamas(t, 1, { models: ['tiny', 'nomic-embed-text'] });
    const gateway = await startGateway(t, [{ url: one!.url }], { config: probesOnce });
    const resident = ({ resident: list }: Backend) => list?.map(({ name }) => name) ?? [];
    const loaded = await call(gateway, 'loadModel', { id: 'b1', body: { model: 'tiny', keep_alive: '1h' } });
    assert.deepEqual(resident(loaded.body), ['tiny:latest']);
    const both = await call(gateway, 'loadModel', { id: 'b1', body: { model: 'nomic-embed-text' } });
    assert.ok(resident(both.body).includes('nomic-embed-text:latest'));
    const without = await call(gateway, 'unloadModel', { id: 'b1', body: { model: 'tiny' } });
    assert.ok(!resident(without.body).includes('tiny:latest'));
    const missing = await call(gateway, 'loadModel', { id: 'b1', body: { model: 'nobody' } });
    assert.equal(missing.status, 404);
    assert.match(missing.detail, /^b1: model 'nobody' not found/);

    const pull = await call(gateway, 'pullModel', { id: 'b1', body: { model: 'ns/small:1b' } });
    assert.equal(pull.body.state, 'running');
    const pulls = await until(
      () => call(gateway, 'listPulls'),
      ({ pulls: [first] }) => first!.state !== 'running',
    );
    assert.equal(pulls.pulls[0]!.state, 'succeeded');
    assert.ok((await call(gateway, 'getBackend', { id: 'b1' })).body.models?.includes('ns/small:1b'));
    assert.equal((await call(gateway, 'deleteModel', { id: 'b1', model: 'ns/small:1b' })).status, 204);
    assert.ok(!(await call(gateway, 'getBackend', { id: 'b1' })).body.models?.includes('ns/small:1b'));
    assert.equal((await call(gateway, 'deleteModel', { id: 'b1', model: 'ns/small:1b' })).status, 404);
  });

  it('shows how far a pull is, and stops it', async (t) => {
    const ollama = await fakeOllama(t);
    const gateway = await startGateway(t, [ollama], { config: probesOnce });
    ollama.handler = ({ response }) => {
      response.writeHead(200, { 'Content-Type': 'application/x-ndjson' });
      response.write('{"status":"pulling abc","digest":"sha256:abc","total":200,"completed":50}\n');
    };
    const coming = ollama.next();
    const { body: first } = await call(gateway, 'pullModel', { id: 'b1', body: { model: 'big' } });
    const same = await call(gateway, 'pullModel', { id: 'b1', body: { model: 'big' } });
    assert.equal(same.body.id, first.id);
    const { aborted } = await coming;
    const told = await until(
      () => call(gateway, 'listPulls'),
      ({ pulls }) => pulls[0]!.completed_bytes > 0,
    );
    assert.deepEqual([told.pulls[0]!.completed_bytes, told.pulls[0]!.total_bytes], [50, 200]);
    assert.equal((await call(gateway, 'cancelPull', { id: first.id })).status, 204);
    await aborted;
    assert.equal((await call(gateway, 'listPulls')).body.pulls[0]!.state, 'cancelled');
    assert.equal((await call(gateway, 'cancelPull', { id: 'nobody' })).status, 404);
    ollama.handler = ({ response }) => void response.writeHead(200).end('{"error":"no space left"}\n');
    await call(gateway, 'pullModel', { id: 'b1', body: { model: 'big' } });
    const failed = await until(
      () => call(gateway, 'listPulls'),
      ({ pulls }) => pulls[0]!.state === 'failed',
    );
    assert.equal(failed.pulls[0]!.status, 'no space left');
  });

  it('ends a request that waits, one that was not answered yet and one that streams, each in the words of its API', async (t) => {
    const ollama = await fakeOllama(t);
    ollama.handler = () => {};
    const gateway = await startGateway(t, [{ ...ollama, slots: 1 }], { config: 'policy: round-robin\n' });
    const send = (id: string, path: string) =>
      fetch(gateway.url + path, {
        method: 'POST',
        headers: { 'x-request-id': id },
        body: JSON.stringify({
          model: 'tiny',
          max_tokens: 9,
          stream: true,
          messages: [{ role: 'user', content: 'hi' }],
        }),
      });
    const phase = (id: string, wanted: string) =>
      until(
        () => call(gateway, 'listRequests'),
        ({ requests }) => requests.some((request) => request.id === id && request.phase === wanted),
      );

    const asked = ollama.next();
    const running = send('running', '/api/chat');
    const { aborted } = await asked;
    const waiting = send('waiting', '/v1/messages');
    await phase('waiting', 'queued');
    const { rows } = (await call(gateway, 'getQueue')).body;
    assert.deepEqual([rows[0]!.model, rows[0]!.client, rows[0]!.waiting], ['tiny:latest', '127.0.0.1', 1]);
    assert.equal((await call(gateway, 'cancelRequest', { id: 'waiting' })).status, 204);
    const refused = await waiting;
    assert.equal(refused.status, 403);
    assert.deepEqual(
      ((await refused.json()) as { error: { message: string } }).error.message,
      'the request was ended by an operator',
    );

    await phase('running', 'waiting');
    assert.equal((await call(gateway, 'cancelRequest', { id: 'running' })).status, 204);
    const ended = await running;
    assert.deepEqual([ended.status, await ended.json()], [403, { error: 'the request was ended by an operator' }]);
    await aborted;

    ollama.handler = (next) => {
      startStream(next);
      next.response.write(chatLine('a').repeat(3));
    };
    const streaming = await send('streaming', '/api/chat');
    const seen = await until(
      () => call(gateway, 'listRequests'),
      ({ requests }) => requests[0]?.output_tokens === 3,
    );
    assert.equal(seen.requests[0]!.backend, 'b1');
    const rest = streaming.text();
    assert.equal((await call(gateway, 'cancelRequest', { id: 'streaming' })).status, 204);
    // The connection is cut after the error, so that nobody takes the answer for whole.
    await assert.rejects(rest);
    const line = gateway.log.find((one) => one['request_id'] === 'streaming');
    assert.equal(line?.['outcome'], 'cancelled');
    assert.equal((await call(gateway, 'cancelRequest', { id: 'streaming' })).status, 404);
    assert.equal((await call(gateway, 'getBackend', { id: 'b1' })).body.state, 'up');
  });

  it('shows the configuration without secrets, and changes the log level', async (t) => {
    const gateway = await startGateway(t, [await fakeOllama(t)], {
      config: 'admin: {address: "127.0.0.1:0", token: hunter2hunter2}\n',
    });
    const { config } = (await call(gateway, 'getConfig')).body;
    assert.equal((config['admin'] as { token: string }).token, '[redacted]');
    assert.equal((config['queue'] as { timeout: string }).timeout, '2m');
    assert.ok(!JSON.stringify(config).includes('hunter2'));
    const headers = { authorization: 'Bearer hunter2hunter2' };
    assert.deepEqual((await call(gateway, 'getLogLevel')).body, { level: 'info' });
    assert.equal((await call(gateway, 'setLogLevel', { body: { level: 'debug' } })).status, 401);
    assert.deepEqual((await call(gateway, 'setLogLevel', { headers, body: { level: 'debug' } })).body, {
      level: 'debug',
    });
    assert.deepEqual((await call(gateway, 'getLogLevel')).body, { level: 'debug' });
    for (const body of [{ level: 'loud' }, {}, [], 'debug', { level: 'info', colour: 'red' }]) {
      assert.equal((await call(gateway, 'setLogLevel', { headers, body })).status, 400);
    }
    const text = await fetch(`${gateway.adminUrl}/gateway/log`, {
      method: 'PUT',
      headers: { ...headers, 'content-type': 'application/x-www-form-urlencoded' },
      body: 'level=debug',
    });
    assert.equal(text.status, 415);
    assert.match(text.headers.get('content-type') ?? '', /^application\/problem\+json/);
  });

  it('refuses names and pages of others, so that no page elsewhere looks or acts', async (t) => {
    const gateway = await startGateway(t, [await fakeOllama(t)]);
    const { status } = await new Promise<{ status: number }>((resolve, reject) => {
      import('node:http').then(({ get }) => {
        get(`${gateway.adminUrl}/gateway/fleet`, { headers: { host: 'rebound.example' } }, (answer) => {
          answer.resume();
          resolve({ status: answer.statusCode! });
        }).on('error', reject);
      }, reject);
    });
    assert.equal(status, 403);
    assert.equal((await call(gateway, 'getFleet', { headers: { origin: 'http://evil.example' } })).status, 403);
    const crossSite = { 'sec-fetch-site': 'cross-site' };
    assert.equal((await call(gateway, 'drainBackend', { id: 'b1', headers: crossSite })).status, 403);
    const same = { origin: gateway.adminUrl, 'sec-fetch-site': 'same-origin' };
    assert.equal((await call(gateway, 'drainBackend', { id: 'b1', headers: same })).status, 200);
  });
});

describe('what a client says', () => {
  it('is nowhere in the admin API: neither prompt nor answer, image, key, cookie or query', async (t) => {
    const canary = 'canary7f3a';
    const ollama = await fakeOllama(t);
    ollama.handler = (asked) => {
      startStream(asked);
      asked.response.write(chatLine(canary));
      if (!asked.path.startsWith('/api/generate')) asked.response.end(chatLine(canary, true));
    };
    const gateway = await startGateway(t, [ollama], { config: probesOnce });
    const events = await watch(t, gateway);
    const headers = {
      authorization: `Bearer ${canary}`,
      'x-api-key': canary,
      cookie: `session=${canary}`,
      'user-agent': canary,
      'x-session-id': canary,
    };
    const messages = [
      { role: 'system', content: canary },
      { role: 'user', content: canary, images: [Buffer.from(canary).toString('base64')] },
    ];
    const send = (path: string, body: object) =>
      fetch(`${gateway.url}${path}?token=${canary}`, { method: 'POST', headers, body: JSON.stringify(body) });
    await (await send('/api/chat', { model: 'tiny', messages, options: { stop: [canary] } })).text();
    // In the words of another API: an answer that fails is told of too.
    const broken = (await send('/v1/chat/completions', { model: 'tiny', messages, user: canary })).text();
    await broken.catch(() => {});
    await (await send(`/api/${canary}`, { model: 'tiny' })).text();
    const running = await send('/api/generate', { model: 'tiny', prompt: canary, system: canary, suffix: canary });
    const told = [
      JSON.stringify(await events.until(({ history }) => history !== undefined && history.length > 0)),
      JSON.stringify(
        await call(gateway, 'getRequest', { id: (await call(gateway, 'listHistory')).body.requests[0]!.id }),
      ),
    ];
    for (const [name, endpoint] of Object.entries<Endpoint>(endpoints)) {
      if (endpoint.method !== 'GET' || endpoint.path.includes(':') || name === 'watch') continue;
      told.push(await (await fetch(gateway.adminUrl + endpoint.path)).text());
    }
    assert.ok(
      told.length > 10 && told.some((text) => text.includes('"output_tokens":1')),
      'there is something to look at',
    );
    const encoded = Buffer.from(canary).toString('base64').slice(0, 12);
    for (const text of told) assert.ok(!text.includes(canary) && !text.includes(encoded), text.slice(0, 400));
    await running.body?.cancel();
  });
});

describe('the events of the admin API', () => {
  it('are a snapshot, and then what has changed', async (t) => {
    const ollama = await fakeOllama(t);
    const gateway = await startGateway(t, [ollama], { config: probesOnce });
    const events = await watch(t, gateway);
    const [kind, snapshot] = await events.next();
    assert.equal(kind, 'snapshot');
    assert.deepEqual(Object.keys(snapshot.backends!), ['b1']);
    assert.equal(snapshot.history?.length, 0);
    const change = events.until(({ backends }) => backends?.b1 !== undefined);
    await call(gateway, 'drainBackend', { id: 'b1' });
    const drained = await change;
    assert.equal(drained.backends?.['b1']?.state, 'draining');
    assert.equal(drained.queue, undefined);
    await call(gateway, 'resumeBackend', { id: 'b1' });
    const finished = events.until(({ history }) => history !== undefined);
    await (await gateway.chat({}, { headers: { 'x-request-id': 'seen' } })).text();
    assert.equal((await finished).history?.[0]?.id, 'seen');
    const added = events.until(({ backends }) => backends?.b2 !== undefined);
    await call(gateway, 'addBackend', { body: { name: 'b2', url: ollama.url } });
    assert.equal((await added).backends?.['b2']?.name, 'b2');
    const gone = events.until(({ backends }) => backends?.b2 === null);
    await call(gateway, 'removeBackend', { id: 'b2' });
    await gone;
  });
});

/** What a delta may hold; a snapshot has all of it. */
interface Told {
  readonly backends?: Readonly<Record<string, Backend | null>>;
  readonly history?: readonly FinishedRequest[];
  readonly queue?: Queue;
}

/** The events, taken apart as they come. */
async function watch(t: Closer, { adminUrl }: Gateway) {
  const stop = new AbortController();
  t.after(() => stop.abort());
  const { body } = await fetch(`${adminUrl}/gateway/events`, { signal: stop.signal });
  const reader = body!.getReader();
  const splitter = createSseSplitter(1024 * 1024);
  const events: [string, Told][] = [];
  async function next(): Promise<[string, Told]> {
    while (events.length === 0) {
      const { value, done } = await reader.read();
      if (done) throw new Error('the events have ended');
      for (const { bytes } of splitter.push(value)) {
        const { data, event } = parseSseEvent(bytes);
        if (event !== null && data !== null) events.push([event, JSON.parse(data)]);
      }
    }
    return events.shift()!;
  }
  return {
    next,
    async until(passes: (data: Told) => boolean): Promise<Told> {
      for (;;) {
        const [, data] = await next();
        if (passes(data)) return data;
      }
    },
  };
}
