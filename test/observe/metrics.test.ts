import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import * as fc from 'fast-check';
import { catalogue } from '../../src/observe/catalogue.ts';
import type { Metrics } from '../../src/observe/metrics.ts';
import { readExposition, seriesOf, valueOf, type Family } from './exposition-reader.ts';
import { backend, events, finished, fleet, metricsWith } from './samples.ts';

const openMetrics = 'application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3';

async function scrape(metrics: Metrics): Promise<Map<string, Family>> {
  return readExposition((await metrics.render(undefined)).body, 'text');
}

/** The histogram's garbage collection comes when it comes; everything else follows from what the test does. */
function ours(families: ReadonlyMap<string, Family>): Set<string> {
  return new Set([...seriesOf(families)].filter((series) => !series.startsWith('nodejs_gc_')));
}

describe('metrics', () => {
  it('count every kind of event without failing at one', async (t) => {
    const metrics = metricsWith();
    t.after(() => metrics.close());
    for (const event of Object.values(events)) metrics.observe(event);
    assert.equal(valueOf(await scrape(metrics), 'llamero_bugs_total'), 1, 'only the bug that was told');
  });

  it('count a failure of their own as a bug, and keep it to themselves', async (t) => {
    const metrics = metricsWith({
      isKnownModel: () => {
        throw new Error('no catalogue');
      },
    });
    t.after(() => metrics.close());
    metrics.observe(finished());
    assert.equal(valueOf(await scrape(metrics), 'llamero_bugs_total'), 1);
  });

  it('expose every family of the catalogue, and no other', async (t) => {
    const metrics = metricsWith();
    t.after(() => metrics.close());
    const families = await scrape(metrics);
    assert.deepEqual([...families.keys()].sort(), catalogue.map(({ name }) => name).sort());
    for (const { name, type } of catalogue) assert.equal(families.get(name)?.type, type, name);
  });

  it('have base units, and names by which a linter knows their type', () => {
    for (const { name, type } of catalogue) {
      assert.match(name, /^(llamero|process|nodejs)_[a-z0-9_]+$/);
      assert.equal(name.endsWith('_total'), type === 'counter', `${name} is a ${type}`);
      assert.doesNotMatch(name, /_(ms|milliseconds|percent|avg|kib|histogram|gauge|counter)(_|$)/);
    }
  });

  it('tell of one finished request everything an operator asks', async (t) => {
    const metrics = metricsWith();
    t.after(() => metrics.close());
    metrics.observe(events['first-token']);
    metrics.observe(
      finished({
        warm: false,
        queueMs: 250,
        usage: { promptTokens: 7, outputTokens: 50, outputMs: 1000, loadMs: 3000 },
      }),
    );
    const families = await scrape(metrics);
    const where = { model: 'llama3.2:3b', backend: 'gpu1' };
    const value = (name: string, labels: Record<string, string> = {}) => valueOf(families, `llamero_${name}`, labels);
    assert.equal(value('requests_total', { ...where, route: '/api/chat', outcome: 'ok', stream: 'true' }), 1);
    assert.equal(value('request_duration_seconds_sum', { route: '/api/chat', outcome: 'ok' }), 1.12);
    assert.equal(value('time_to_first_token_seconds_sum', { ...where, warm: 'true' }), 0.12);
    assert.equal(value('time_per_output_token_seconds_sum', where), 0.02);
    assert.equal(value('queue_wait_seconds_sum', { outcome: 'leased', priority: 'standard' }), 0.25);
    assert.equal(value('tokens_total', { ...where, type: 'input' }), 7);
    assert.equal(value('tokens_total', { ...where, type: 'output' }), 50);
    assert.equal(value('model_load_seconds_sum', where), 3);
    assert.equal(value('generation_tokens_per_second_sum', where), 50);
    assert.equal(value('overhead_seconds_sum', { route: '/api/chat' }), 0.0003);
    assert.equal(value('routing_decisions_total', { reason: 'warm' }), 1);
  });

  it('tell the bands of the queue apart', async (t) => {
    const metrics = metricsWith();
    t.after(() => metrics.close());
    metrics.observe(finished({ queueMs: 100, priority: 'interactive' }));
    metrics.observe(finished({ queueMs: 900, priority: 'batch' }));
    metrics.observe(
      finished({ queueMs: 5000, priority: 'batch', outcome: 'queue-timeout', backend: null, attempts: 0 }),
    );
    const families = await scrape(metrics);
    const sum = (labels: Record<string, string>) => valueOf(families, 'llamero_queue_wait_seconds_sum', labels);
    assert.equal(sum({ priority: 'interactive' }), 0.1);
    assert.equal(sum({ priority: 'batch', outcome: 'leased' }), 0.9);
    assert.equal(sum({ priority: 'batch', outcome: 'timeout' }), 5);
  });

  it('take the time per token from their own clock when the backend tells none', async (t) => {
    const metrics = metricsWith();
    t.after(() => metrics.close());
    metrics.observe(finished({ firstByteMs: 100, durationMs: 1100, usage: { outputTokens: 11 } }));
    assert.equal(valueOf(await scrape(metrics), 'llamero_time_per_output_token_seconds_sum'), 0.1);
  });

  it('take a load for one only when something was loaded', async (t) => {
    const metrics = metricsWith();
    t.after(() => metrics.close());
    metrics.observe(finished({ warm: false, usage: { loadMs: 60 } }));
    assert.equal(valueOf(await scrape(metrics), 'llamero_model_load_seconds_count'), undefined);
    metrics.observe(finished({ warm: true, usage: { loadMs: 2500 } }));
    assert.equal(valueOf(await scrape(metrics), 'llamero_model_load_seconds_sum'), 2.5);
  });

  it('tell a rejection, a departure, a cut and a failover apart', async (t) => {
    const metrics = metricsWith();
    t.after(() => metrics.close());
    const asked = { backend: null, reason: null, attempts: 0, firstByteMs: null, usage: {} };
    metrics.observe(finished({ ...asked, outcome: 'queue-timeout', status: 503, queueMs: 60_000 }));
    metrics.observe(finished({ ...asked, outcome: 'client-gone', status: 499, gonePhase: 'queued', queueMs: 500 }));
    metrics.observe(finished({ outcome: 'backend-lost', usage: {} }));
    metrics.observe(finished({ outcome: 'backend-refused', status: 502, firstByteMs: null, usage: {} }));
    metrics.observe(finished({ attempts: 2, failovers: 1 }));
    metrics.observe(events['attempt-failed']);
    const families = await scrape(metrics);
    const value = (name: string, labels: Record<string, string> = {}) => valueOf(families, `llamero_${name}`, labels);
    assert.equal(value('rejected_total', { reason: 'queue-timeout' }), 1);
    assert.equal(value('rejected_total', { reason: 'queue-full' }), 0);
    assert.equal(value('rejected_total', { reason: 'backend-refused' }), undefined);
    assert.equal(value('client_disconnects_total', { phase: 'queued' }), 1);
    assert.equal(value('stream_aborted_total', { backend: 'gpu1', cause: 'backend-lost' }), 1);
    assert.equal(value('failovers_total', { outcome: 'ok' }), 1);
    assert.equal(value('retries_total', { reason: 'backend-reset' }), 1);
    assert.equal(value('attempt_failures_total', { backend: 'gpu1', reason: 'backend-reset' }), 1);
    assert.equal(value('queue_wait_seconds_sum', { outcome: 'timeout' }), 60);
    assert.equal(value('queue_wait_seconds_sum', { outcome: 'client-gone' }), 0.5);
  });

  it('ignore numbers a backend can only have made up', async (t) => {
    const metrics = metricsWith();
    t.after(() => metrics.close());
    metrics.observe(
      finished({ usage: { promptTokens: -1, outputTokens: Number.NaN, outputMs: -5, loadMs: Infinity }, warm: false }),
    );
    const families = await scrape(metrics);
    assert.equal(valueOf(families, 'llamero_tokens_total'), undefined);
    assert.equal(valueOf(families, 'llamero_model_load_seconds_count'), undefined);
    assert.equal(valueOf(families, 'llamero_bugs_total'), 0);
  });

  it('remember whether the last reload worked, and when the one in force was made', async (t) => {
    let now = 1_000_000;
    const metrics = metricsWith({ wallNow: () => now });
    t.after(() => metrics.close());
    const read = async () => {
      const families = await scrape(metrics);
      return ['successful', 'timestamp_seconds'].map((name) => valueOf(families, `llamero_config_last_reload_${name}`));
    };
    assert.deepEqual(await read(), [1, 1000]);
    now = 2_000_000;
    metrics.observe({ kind: 'config-reloaded', ok: false, message: 'no' });
    assert.deepEqual(await read(), [0, 1000]);
    now = 3_000_000;
    metrics.observe({ kind: 'config-reloaded', ok: true, message: 'yes' });
    assert.deepEqual(await read(), [1, 3000]);
  });
});

describe('metrics by client', () => {
  const value = async (metrics: Metrics, name: string, labels: Record<string, string>) =>
    valueOf(await scrape(metrics), `llamero_client_${name}_total`, labels);

  it('are empty until they are asked for', async (t) => {
    const metrics = metricsWith();
    t.after(() => metrics.close());
    metrics.observe(finished({ client: 'key:lab' }));
    assert.equal(await value(metrics, 'tokens', {}), undefined);
  });

  it('tell apart as many as are allowed, and never an address', async (t) => {
    const metrics = metricsWith({}, { clients: 2 });
    t.after(() => metrics.close());
    const clients = ['key:lab', 'user:ann', 'token:bob', 'cli:carl', '2001:db8::1', '192.0.2.7', 'key:lab'];
    for (const client of clients) metrics.observe(finished({ client, usage: { promptTokens: 7, outputTokens: 50 } }));
    assert.equal(await value(metrics, 'tokens', { client: 'key:lab', type: 'output' }), 100);
    assert.equal(await value(metrics, 'tokens', { client: 'user:ann', type: 'input' }), 7);
    assert.equal(await value(metrics, 'tokens', { client: 'other', type: 'input' }), 14);
    assert.equal(await value(metrics, 'requests', { client: 'address', outcome: 'ok' }), 2);
    const text = (await metrics.render(undefined)).body;
    for (const hidden of ['token:bob', 'carl', '2001:db8', '192.0.2']) assert.ok(!text.includes(hidden), hidden);
  });
});

describe('gauges', () => {
  it('show the fleet as it is at the scrape', async (t) => {
    const view = {
      backends: [
        backend({
          state: 'ejected',
          breaker: 'open',
          inFlight: 3,
          inFlightByModel: new Map([['llama3.2:3b', 2]]),
          resident: [
            {
              name: 'llama3.2:3b',
              vramBytes: 2e9,
              digest: 'd',
              sizeBytes: 3e9,
              contextLength: 4096,
              expiresAt: null,
              raw: {},
            },
          ],
        }),
        backend({ id: 'gpu2', resident: null, version: null, slots: Infinity }),
      ],
      auth: { key: 3, missing: 1 },
      queue: {
        limit: 30,
        jobs: [
          ...Array.from({ length: 5 }, () => ({ model: 'llama3.2:3b', bytes: 100, priority: 1 })),
          { model: null, bytes: 7, priority: 1 },
        ],
      },
    };
    const metrics = metricsWith({ view: () => view, isSimulated: (id) => id === 'gpu2' });
    t.after(() => metrics.close());
    const families = await scrape(metrics);
    const value = (name: string, labels: Record<string, string> = {}) => valueOf(families, `llamero_${name}`, labels);
    assert.equal(value('auth_total', { outcome: 'key' }), 3);
    assert.equal(value('inflight_requests', { backend: 'gpu1', model: 'llama3.2:3b' }), 2);
    assert.equal(value('inflight_requests', { backend: 'gpu1', model: '' }), 1);
    assert.equal(value('inflight_requests', { backend: 'gpu2' }), 0);
    assert.equal(value('queue_depth', { model: 'llama3.2:3b' }), 5);
    assert.equal(value('queue_depth', { model: '' }), 1);
    assert.equal(value('queue_bytes', { model: 'llama3.2:3b' }), 500);
    assert.equal(value('queue_bytes', { model: '' }), 7);
    assert.equal(value('queue_limit'), 30);
    assert.equal(value('backend_up', { backend: 'gpu1' }), 0);
    assert.equal(value('backend_up', { backend: 'gpu2' }), 1);
    assert.equal(value('backend_state', { backend: 'gpu1', state: 'ejected' }), 1);
    assert.equal(value('backend_state', { backend: 'gpu1', state: 'up' }), 0);
    assert.equal(value('backend_circuit_state', { backend: 'gpu1' }), 1);
    assert.equal(value('backend_models_loaded', { backend: 'gpu1' }), 1);
    assert.equal(value('backend_models_loaded', { backend: 'gpu2' }), 0);
    assert.equal(value('backend_vram_bytes', { backend: 'gpu1' }), 2e9);
    assert.equal(value('backend_slots', { backend: 'gpu2' }), Infinity);
    assert.equal(value('backend_info', { backend: 'gpu2', simulated: 'true', version: '' }), 1);
  });

  it('keep a model that left memory at 0, and forget it with its backend or its catalogue entry', async (t) => {
    const model = {
      name: 'llama3.2:3b',
      vramBytes: 1,
      digest: 'd',
      sizeBytes: 1,
      contextLength: null,
      expiresAt: null,
      raw: {},
    };
    let view = fleet(backend({ resident: [model] }), backend({ id: 'gpu2', resident: [model] }));
    let known = true;
    const metrics = metricsWith({ view: () => view, isKnownModel: () => known });
    t.after(() => metrics.close());
    const resident = async (id: string) => valueOf(await scrape(metrics), 'llamero_model_resident', { backend: id });
    assert.equal(await resident('gpu1'), 1);
    view = fleet(backend());
    assert.equal(await resident('gpu1'), 0);
    assert.equal(await resident('gpu2'), undefined);
    view = fleet(backend(), backend({ id: 'gpu2' }));
    assert.equal(await resident('gpu2'), undefined, 'a backend that comes back starts anew');
    known = false;
    assert.equal(await resident('gpu1'), undefined);
  });

  it('refuse a version that is not one', async (t) => {
    const metrics = metricsWith({
      view: () => fleet(backend({ version: 'x'.repeat(33) }), backend({ id: 'gpu2', version: '1\n"2' })),
    });
    t.after(() => metrics.close());
    const families = await scrape(metrics);
    assert.equal(valueOf(families, 'llamero_backend_info', { backend: 'gpu1', version: '' }), 1);
    assert.equal(valueOf(families, 'llamero_backend_info', { backend: 'gpu2', version: '' }), 1);
  });
});

describe('labels', () => {
  it('never come from a client: 10,000 model names add no series', async (t) => {
    const metrics = metricsWith();
    t.after(() => metrics.close());
    const observe = (model: string) => {
      metrics.observe(finished({ model }));
      metrics.observe({ ...events['first-token'], model });
      metrics.observe({ ...events['model-loaded'], model });
      metrics.observe({ ...events['digest-skew'], model });
    };
    observe('nobody-has-this');
    const before = ours(await scrape(metrics));
    for (const name of fc.sample(fc.string({ minLength: 1, unit: 'binary' }), 10_000)) observe(name);
    assert.deepEqual(ours(await scrape(metrics)), before);
  });

  it('stay within the budget whatever the fleet has, and lose detail but no request', async (t) => {
    const seriesBudget = 200;
    const metrics = metricsWith({ isKnownModel: () => true }, { seriesBudget });
    t.after(() => metrics.close());
    for (let i = 0; i < 1000; i++) metrics.observe(finished({ model: `model-${i}` }));
    const families = await scrape(metrics);
    const requests = families.get('llamero_requests_total')!.samples;
    assert.equal(
      requests.reduce((sum, { value }) => sum + value, 0),
      1000,
    );
    assert.ok(requests.some(({ labels }) => labels['model'] === 'other'));
    assert.ok((valueOf(families, 'llamero_metrics_folded_total', { metric: 'llamero_requests_total' }) ?? 0) > 900);
    const size = valueOf(families, 'llamero_metrics_series')!;
    // Above the budget only what closed sets allow: one folded label set for each metric, and the counters that say so.
    assert.ok(size >= seriesBudget && size <= seriesBudget + 2 * catalogue.length, `${size} label sets`);
  });

  it('of a removed backend go at the next scrape, and those of the others stay', async (t) => {
    let view = fleet(backend(), backend({ id: 'gpu2' }));
    const metrics = metricsWith({ view: () => view });
    t.after(() => metrics.close());
    for (const id of ['gpu1', 'gpu2']) {
      for (let i = 0; i < 3; i++) metrics.observe(finished({ backend: id }));
      metrics.observe({ ...events['first-token'], backend: id });
    }
    const size = valueOf(await scrape(metrics), 'llamero_metrics_series')!;
    view = fleet(backend());
    const families = await scrape(metrics);
    assert.ok(![...ours(families)].some((series) => series.includes('gpu2')));
    assert.equal(valueOf(families, 'llamero_requests_total', { backend: 'gpu1' }), 3);
    assert.ok(valueOf(families, 'llamero_metrics_series')! < size);
    // One of the same name that comes later begins anew.
    view = fleet(backend(), backend({ id: 'gpu2' }));
    metrics.observe(finished({ backend: 'gpu2' }));
    assert.equal(valueOf(await scrape(metrics), 'llamero_requests_total', { backend: 'gpu2' }), 1);
  });
});

describe('exposition', () => {
  it('is OpenMetrics for a scraper that asks for it, with the trace id as exemplar', async (t) => {
    const metrics = metricsWith();
    t.after(() => metrics.close());
    for (const event of Object.values(events)) metrics.observe(event);
    const traceId = '0af7651916cd43dd8448eb211c80319c';
    metrics.observe(finished({ traceId }));
    metrics.observe({ ...events['first-token'], traceId });
    const { contentType, body } = await metrics.render(openMetrics);
    assert.equal(contentType, 'application/openmetrics-text; version=1.0.0; charset=utf-8');
    const families = readExposition(body, 'openmetrics');
    assert.equal(valueOf(families, 'llamero_requests_total'), 2);
    const linked = [...families.values()].flatMap(({ name, samples }) =>
      samples.flatMap(({ exemplar }) => (exemplar === null ? [] : [{ name, exemplar }])),
    );
    const expected = ['request_duration', 'time_to_first_token', 'queue_wait'];
    assert.deepEqual(
      linked,
      expected.map((name) => ({ name: `llamero_${name}_seconds`, exemplar: { trace_id: traceId } })),
    );
  });

  it('has no exemplars when they are off', async (t) => {
    const metrics = metricsWith({}, { exemplars: false });
    t.after(() => metrics.close());
    metrics.observe(finished({ traceId: '0af7651916cd43dd8448eb211c80319c' }));
    const { body } = await metrics.render(openMetrics);
    assert.ok(!body.includes('trace_id'));
    assert.equal(valueOf(readExposition(body, 'openmetrics'), 'llamero_request_duration_seconds_count'), 1);
  });

  it('is right in both formats when they are asked for at once', async (t) => {
    const metrics = metricsWith();
    t.after(() => metrics.close());
    for (const event of Object.values(events)) metrics.observe(event);
    const [text, open, again] = await Promise.all([
      metrics.render('*/*'),
      metrics.render(openMetrics),
      metrics.render('text/plain'),
    ]);
    const plain = readExposition(text.body, 'text');
    const strip = (families: ReadonlyMap<string, Family>) => [...ours(families)].sort();
    assert.deepEqual(strip(readExposition(open.body, 'openmetrics')), strip(plain));
    assert.equal(again, text, 'scrapes of one format share a rendering');
  });

  it('is plain text for everybody else', async (t) => {
    const metrics = metricsWith();
    t.after(() => metrics.close());
    const accepts = [
      undefined,
      '',
      '*/*',
      'text/html,*/*;q=0.8',
      'text/plain',
      'application/openmetrics-text;q=0',
      'application/openmetrics-text;q=0.1,text/plain',
    ];
    for (const accept of accepts) {
      const { contentType, body } = await metrics.render(accept);
      assert.equal(contentType, 'text/plain; version=0.0.4; charset=utf-8', String(accept));
      readExposition(body, 'text');
    }
  });

  it('survives any name a backend may have in its catalogue', async (t) => {
    const metrics = metricsWith({ isKnownModel: () => true });
    t.after(() => metrics.close());
    const names = ['a"b', 'a\\b', 'a\nb', '', 'ü', '{}', 'a=b,c'];
    for (const model of names) metrics.observe(finished({ model }));
    for (const accept of ['text/plain', openMetrics]) {
      const { body } = await metrics.render(accept);
      const requests = readExposition(body, accept === openMetrics ? 'openmetrics' : 'text').get(
        accept === openMetrics ? 'llamero_requests' : 'llamero_requests_total',
      )!;
      assert.equal(requests.samples.length, names.length);
    }
  });
});
