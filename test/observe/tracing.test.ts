import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { traceEndpoint } from '../../src/cli/trace-endpoint.ts';
import type { Exporter, ExporterOptions } from '../../src/observe/otlp.ts';
import { spansOf, type Span } from '../../src/observe/spans.ts';
import { createTracing, type TracingDependencies } from '../../src/observe/tracing.ts';
import { virtualClock } from '../support/virtual-clock.ts';
import { events, finished } from './samples.ts';

const place = { traceId: 'a'.repeat(32), spanId: 'b'.repeat(16), parentId: null };

function bench(open: (options: ExporterOptions) => Promise<Exporter>) {
  const said: string[] = [];
  const clock = virtualClock();
  const deps: TracingDependencies = {
    endpoint: 'http://127.0.0.1:4318/v1/traces',
    version: '1',
    clock,
    wallNow: () => 1_000_000,
    addressOf: () => ({ host: '10.0.0.2', port: 11434 }),
    say: (level, message, fields) => void said.push(`${level}: ${message} ${JSON.stringify(fields ?? {})}`),
    open,
  };
  return { said, clock, tracing: createTracing(deps) };
}

const settled = () => new Promise((resolve) => setImmediate(resolve));

describe('tracing', () => {
  it('says what to install when a package is missing, and goes on without', async () => {
    const { said, tracing } = bench(async () => {
      throw new Error("Cannot find package '@opentelemetry/api'\nimported from somewhere");
    });
    assert.equal(tracing.isOn, true);
    tracing.observe(finished({ place }));
    await settled();
    assert.equal(tracing.isOn, false);
    assert.equal(said.length, 1);
    assert.match(said[0]!, /^error: traces are off/);
    assert.match(said[0]!, /Cannot find package '@opentelemetry\/api'"/);
    assert.match(said[0]!, /npm install @opentelemetry\/api/);
    await tracing.close();
  });

  it('keeps what happens while the packages are loaded', async () => {
    const spans: Span[] = [];
    const { tracing } = bench(async () => ({ add: (span) => void spans.push(span), close: async () => {} }));
    tracing.observe(finished({ place }));
    assert.equal(spans.length, 0);
    await settled();
    assert.deepEqual(
      spans.map(({ name }) => name),
      ['POST /api/chat'],
    );
  });

  it('says once that nobody receives, and once that somebody does again', async () => {
    let sent: ExporterOptions['sent'] = () => {};
    const { said } = bench(async (options) => {
      sent = options.sent;
      return { add: () => {}, close: async () => {} };
    });
    for (const problem of ['connection refused', 'connection refused', null, null]) sent(problem);
    assert.deepEqual(said, [
      'warn: traces are not received {"reason":"connection refused"}',
      'info: traces are received again {}',
    ]);
  });

  it('does not let a receiver that never answers hold up a stop for more than two seconds', async () => {
    const { clock, tracing } = bench(async () => ({ add: () => {}, close: () => new Promise(() => {}) }));
    let closed = false;
    const closing = tracing.close().then(() => {
      closed = true;
    });
    await settled();
    await clock.advance(1999);
    await settled();
    assert.equal(closed, false);
    await clock.advance(1);
    await closing;
  });

  it('makes spans of requests whose trace is recorded, and of no others', () => {
    const context = { endedAt: 1e6, addressOf: () => null, newId: () => 'c'.repeat(16) };
    for (const [kind, event] of Object.entries(events))
      assert.equal(spansOf(event, context).length > 0, kind === 'attempt-traced', kind);
    assert.equal(spansOf(finished({ place }), context).length, 1);
  });

  it('draws what the backend did inside the attempt, whatever the backend claims', () => {
    const context = { endedAt: 1e6, addressOf: () => null, newId: () => 'c'.repeat(16) };
    const event = { ...events['attempt-traced'], usage: { loadMs: 1e9, promptMs: 1e9 } };
    const [queue, attempt, ...parts] = spansOf(event, context);
    assert.deepEqual([queue!.name, queue!.startedAt, queue!.endedAt], ['queue', 1e6 - 1160, 1e6 - 1120]);
    assert.deepEqual(
      parts.map(({ name }) => name),
      ['load', 'prefill', 'stream'],
    );
    for (const part of parts) {
      assert.ok(part.startedAt >= attempt!.startedAt && part.endedAt <= attempt!.endedAt, part.name);
      assert.ok(part.startedAt <= part.endedAt, part.name);
    }
  });

  it('calls an error what the gateway or a backend did, and not what a client did', () => {
    const context = { endedAt: 1e6, addressOf: () => null, newId: () => 'c'.repeat(16) };
    const failed = (outcome: string) => spansOf(finished({ place, outcome }), context)[0]!.failed;
    for (const outcome of ['ok', 'client-gone', 'client-error', 'bad-request', 'unknown-model', 'shutting-down'])
      assert.equal(failed(outcome), false, outcome);
    for (const outcome of ['backend-error', 'backend-lost', 'queue-full', 'internal'])
      assert.equal(failed(outcome), true, outcome);
  });
});

describe('where traces go', () => {
  it('is what the variables of OpenTelemetry say', () => {
    const base = { OTEL_EXPORTER_OTLP_ENDPOINT: 'http://collector:4318/' };
    assert.equal(traceEndpoint({}), null);
    assert.equal(traceEndpoint(base), 'http://collector:4318/v1/traces');
    assert.equal(traceEndpoint({ ...base, OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: 'http://t/x' }), 'http://t/x');
    assert.equal(traceEndpoint({ ...base, OTEL_SDK_DISABLED: 'TRUE' }), null);
    assert.equal(traceEndpoint({ ...base, OTEL_TRACES_EXPORTER: 'none' }), null);
  });
});
