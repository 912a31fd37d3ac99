/** Traces as a receiver gets them: which spans there are, whose children they are, and what docs/tracing.md says is on them. */
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { describe, it, type TestContext } from 'node:test';
import { parseTraceparent } from '../../src/core/trace-context.ts';
import { fakeOllama } from '../support/fake-ollama.ts';
import { probesOnce, startGateway } from '../support/gateway.ts';
import { otlpReceiver, type ReceivedSpan } from '../support/otlp-receiver.ts';
import { simulatedOllama } from '../support/simulated.ts';

const traceId = '4bf92f3577b34da6a3ce929d0e0e4736';
const callersSpan = '00f067aa0ba902b7';
const sampled = `00-${traceId}-${callersSpan}-01`;

async function traced(t: TestContext, backends: Parameters<typeof startGateway>[1], config: string = probesOnce) {
  const receiver = await otlpReceiver(t);
  const gateway = await startGateway(t, backends, { config, traceEndpoint: `${receiver.url}/v1/traces` });
  return { receiver, gateway };
}

function named(spans: readonly ReceivedSpan[], name: string): ReceivedSpan {
  const found = spans.filter((span) => span.name === name);
  assert.equal(found.length, 1, `one span \`${name}\` among ${spans.map((span) => span.name).join(', ')}`);
  return found[0]!;
}

/** The attributes a table of docs/tracing.md lists, by its heading; those of which it says that they are always there apart. */
async function documented(heading: string): Promise<{ readonly all: string[]; readonly always: string[] }> {
  const page = await readFile(new URL('../../docs/tracing.md', import.meta.url), 'utf8');
  const section = page.split(`### ${heading}\n`)[1]?.split('\n#')[0] ?? '';
  const rows = [...section.matchAll(/^\| (`[^|]+) \| ([^|]*) \|/gm)].map(([, names, when]) => ({
    names: [...names!.matchAll(/`([\w.]+)`/g)].map(([, name]) => name!),
    always: when!.trim() === 'always',
  }));
  return {
    all: rows.flatMap(({ names }) => names),
    always: rows.filter(({ always }) => always).flatMap(({ names }) => names),
  };
}

async function holdsAsDocumented(span: ReceivedSpan, heading: string): Promise<void> {
  const { all, always } = await documented(heading);
  const there = Object.keys(span.attributes);
  assert.deepEqual(
    there.filter((name) => !all.includes(name)),
    [],
    `${span.name}: not documented`,
  );
  assert.deepEqual(
    always.filter((name) => !there.includes(name)),
    [],
    `${span.name}: documented and absent`,
  );
}

describe('a trace', () => {
  it('goes from the client to the backend, with the phases of its attempt, as documented', async (t) => {
    const ollama = await simulatedOllama(t, { loadMs: 60 });
    const { gateway, receiver } = await traced(t, [{ url: ollama.url, name: 'gpu1' }]);
    const done = gateway.finished();
    const answer = await fetch(`${gateway.url}/api/chat`, {
      method: 'POST',
      headers: {
        traceparent: sampled,
        tracestate: 'vendor=1',
        'x-request-id': 'r-1',
        'user-agent': 'tests/1.0 (secret)',
      },
      body: JSON.stringify({ model: 'llama3.2:3b', messages: [{ role: 'user', content: 'why?' }] }),
    });
    await answer.text();
    const line = await done;
    await gateway.app.close();

    assert.equal(receiver.posts[0]?.path, '/v1/traces');
    assert.equal(receiver.resource['service.name'], 'llamero');
    const { spans } = receiver;
    assert.ok(
      spans.every((span) => span.traceId === traceId),
      'one trace',
    );
    assert.ok(spans.every(({ startedAt, endedAt }) => startedAt <= endedAt));
    const server = named(spans, 'POST /api/chat');
    const attempt = named(spans, 'chat llama3.2:3b');
    assert.deepEqual(
      spans.map(({ name, kind, parentId }) => ({ name, kind, parentId })).sort((a, b) => a.name.localeCompare(b.name)),
      [
        { name: 'chat llama3.2:3b', kind: 'client', parentId: server.spanId },
        { name: 'load', kind: 'internal', parentId: attempt.spanId },
        { name: 'POST /api/chat', kind: 'server', parentId: callersSpan },
        { name: 'prefill', kind: 'internal', parentId: attempt.spanId },
        { name: 'queue', kind: 'internal', parentId: server.spanId },
        { name: 'stream', kind: 'internal', parentId: attempt.spanId },
      ],
    );
    // The gateway loads a cold model itself; the request waits for that as for a slot.
    assert.ok(named(spans, 'queue').endedAt <= attempt.startedAt + 1);
    for (const part of ['load', 'prefill', 'stream']) {
      const { startedAt, endedAt } = named(spans, part);
      assert.ok(attempt.startedAt <= startedAt && endedAt <= attempt.endedAt + 1, `${part} is within its attempt`);
    }
    assert.equal(line['trace_id'], traceId, 'the log names the same trace');

    await holdsAsDocumented(server, 'The request');
    await holdsAsDocumented(attempt, 'An attempt');
    assert.equal(server.attributes['llamero.request_id'], 'r-1');
    assert.equal(server.attributes['http.route'], '/api/chat');
    assert.equal(server.attributes['http.response.status_code'], 200);
    assert.equal(server.attributes['user_agent.name'], 'tests/1.0');
    assert.equal(attempt.attributes['gen_ai.operation.name'], 'chat');
    assert.equal(attempt.attributes['gen_ai.provider.name'], 'ollama');
    assert.equal(attempt.attributes['gen_ai.request.model'], 'llama3.2:3b');
    assert.equal(attempt.attributes['gen_ai.usage.output_tokens'], line['output_tokens']);
    assert.equal(attempt.attributes['server.port'], Number(new URL(ollama.url).port));
    assert.equal(attempt.attributes['llamero.backend'], 'gpu1');
  });

  it('tells each backend of the attempt that asks it, and the caller of all of them', async (t) => {
    const bad = await fakeOllama(t, { handler: ({ response }) => void response.writeHead(503).end('busy') });
    const good = await fakeOllama(t);
    const { gateway, receiver } = await traced(
      t,
      [
        { url: bad.url, name: 'bad', weight: 100 },
        { url: good.url, name: 'good' },
      ],
      `${probesOnce}policy: weighted\n`,
    );
    const done = gateway.finished();
    await (await gateway.chat({}, { headers: { traceparent: sampled, tracestate: 'vendor=1' } })).text();
    await done;
    await gateway.app.close();

    const attempts = receiver.spans.filter(({ kind }) => kind === 'client');
    const server = named(receiver.spans, 'POST /api/chat');
    assert.equal(attempts.length, 2);
    for (const [name, fake] of [
      ['bad', bad],
      ['good', good],
    ] as const) {
      const span = attempts.find(({ attributes }) => attributes['llamero.backend'] === name)!;
      const { headers } = fake.asked[0]!;
      assert.equal(parseTraceparent(headers['traceparent'])?.spanId, span.spanId, `${name} is told of its attempt`);
      assert.equal(parseTraceparent(headers['traceparent'])?.traceId, traceId);
      assert.equal(headers['tracestate'], 'vendor=1');
      assert.equal(span.parentId, server.spanId);
      await holdsAsDocumented(span, 'An attempt');
    }
    const [first, second] = attempts.sort((a, b) => a.startedAt - b.startedAt);
    assert.deepEqual([first!.failed, second!.failed, server.failed], [true, false, false]);
    assert.equal(first!.attributes['error.type'], '503');
    assert.equal(second!.attributes['http.request.resend_count'], 1);
    assert.equal(server.attributes['llamero.failovers'], 1);
  });

  it('shows the wait in the queue before the attempt that ended it', async (t) => {
    const ollama = await fakeOllama(t, { handler: () => {} });
    const { gateway, receiver } = await traced(t, [{ url: ollama.url, slots: 1 }]);
    const first = ollama.next();
    const answers = [gateway.chat({}, { headers: { 'x-request-id': 'first' } })];
    const holder = await first;
    const second = ollama.next();
    answers.push(gateway.chat({}, { headers: { 'x-request-id': 'second' } }));
    await waitingFor(gateway, 1);
    for (const asked of [holder, null]) {
      const { response } = asked ?? (await second);
      response.end('{"model":"tiny","message":{"content":"x"},"done":true}\n');
    }
    const done = gateway.finished((line) => line['request_id'] === 'second');
    for (const answer of answers) await (await answer).text();
    await done;
    await gateway.app.close();

    const servers = receiver.spans.filter(({ kind }) => kind === 'server');
    const waiter = servers.find(({ attributes }) => attributes['llamero.request_id'] === 'second')!;
    const queue = named(receiver.spans, 'queue');
    assert.equal(queue.parentId, waiter.spanId);
    assert.ok(queue.endedAt > queue.startedAt);
    assert.equal(waiter.parentId, '', 'without a caller it is the first of its trace');
    assert.notEqual(servers[0]!.traceId, servers[1]!.traceId);
  });

  it('is not recorded when its caller does not record it, and is passed on as it came', async (t) => {
    const ollama = await fakeOllama(t);
    const { gateway, receiver } = await traced(t, [{ url: ollama.url }]);
    const unsampled = `00-${traceId}-${callersSpan}-00`;
    const done = gateway.finished();
    await (await gateway.chat({}, { headers: { traceparent: unsampled } })).text();
    const line = await done;
    await gateway.app.close();
    assert.equal(ollama.asked[0]!.headers['traceparent'], unsampled);
    assert.equal(line['trace_id'], traceId);
    assert.deepEqual(receiver.posts, []);
  });

  it('is not begun for more than the configured share of requests', async (t) => {
    const ollama = await fakeOllama(t);
    const { gateway, receiver } = await traced(t, [{ url: ollama.url }], `${probesOnce}tracing: {sample: 0}\n`);
    const done = gateway.finished();
    await (await gateway.chat()).text();
    await done;
    await gateway.app.close();
    assert.equal(ollama.asked[0]!.headers['traceparent'], undefined);
    assert.deepEqual(receiver.posts, []);
  });

  it('has one span for what runs no model, which is what backends are told of', async (t) => {
    const ollama = await fakeOllama(t, { handler: ({ response }) => void response.end('{"details":{}}') });
    const { gateway, receiver } = await traced(t, [{ url: ollama.url }]);
    const done = gateway.finished();
    const body = JSON.stringify({ model: 'tiny' });
    await (await fetch(`${gateway.url}/api/show`, { method: 'POST', body, headers: { traceparent: sampled } })).text();
    await done;
    await gateway.app.close();
    const span = named(receiver.spans, 'POST /api/show');
    assert.equal(receiver.spans.length, 1);
    assert.equal(parseTraceparent(ollama.asked[0]!.headers['traceparent'])?.spanId, span.spanId);
    await holdsAsDocumented(span, 'The request');
  });
});

describe('with traces off', () => {
  it('passes the context on unchanged, and drops one that is malformed with its state', async (t) => {
    const ollama = await fakeOllama(t);
    const gateway = await startGateway(t, [{ url: ollama.url }], { config: probesOnce });
    for (const traceparent of [sampled, '00-zz-1-01'])
      await (await gateway.chat({}, { headers: { traceparent, tracestate: 'vendor=1' } })).text();
    const [good, bad] = ollama.asked.map(({ headers }) => headers);
    assert.deepEqual([good!['traceparent'], good!['tracestate']], [sampled, 'vendor=1']);
    assert.deepEqual([bad!['traceparent'], bad!['tracestate']], [undefined, undefined]);
  });
});

async function waitingFor(gateway: { metric(name: string): Promise<number> }, count: number): Promise<void> {
  while ((await gateway.metric('llamero_queue_depth')) !== count) await new Promise((next) => setImmediate(next));
}
