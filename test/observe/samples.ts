/** One event of every kind, and what createMetrics wants, for the tests of observe. */
import { defaultBuckets } from '../../src/observe/catalogue.ts';
import type { BackendView, FleetView } from '../../src/observe/fleet-view.ts';
import {
  createMetrics,
  type Metrics,
  type MetricsDependencies,
  type MetricsOptions,
} from '../../src/observe/metrics.ts';
import type { Event, RequestFinished } from '../../src/core/events.ts';

export function finished(changes: Partial<RequestFinished> = {}): RequestFinished {
  return {
    kind: 'request-finished',
    requestId: 'request-1',
    traceId: null,
    client: '192.0.2.7',
    address: '192.0.2.7',
    userAgent: 'ollama-python/0.6.1 (x86_64 linux) Python/3.12',
    method: 'POST',
    route: '/api/chat',
    model: 'llama3.2:3b',
    stream: true,
    backend: 'gpu1',
    reason: 'warm',
    attempts: 1,
    failovers: 0,
    status: 200,
    outcome: 'ok',
    gonePhase: null,
    warm: true,
    queueMs: 0,
    overheadMs: 0.3,
    firstByteMs: 120,
    durationMs: 1120,
    bytesIn: 200,
    bytesOut: 4000,
    usage: { promptTokens: 7, outputTokens: 50, outputMs: 1000, promptMs: 20, loadMs: 15, totalMs: 1100 },
    ...changes,
  };
}

type OfKind<E, Kind> = E extends { readonly kind: infer Own } ? (Kind extends Own ? E : never) : never;

/** The type asks for a new kind as soon as core has one. */
export const events: { readonly [Kind in Event['kind']]: OfKind<Event, Kind> } = {
  'request-finished': finished(),
  'attempt-traced': {
    kind: 'attempt-traced',
    place: { traceId: 'a'.repeat(32), spanId: 'c'.repeat(16), parentId: 'b'.repeat(16) },
    requestId: 'request-1',
    route: '/api/chat',
    model: 'llama3.2:3b',
    backend: 'gpu1',
    reason: 'warm',
    warm: true,
    attempt: 1,
    stream: true,
    status: 200,
    outcome: 'ok',
    waitedMs: 40,
    durationMs: 1120,
    firstByteMs: 120,
    usage: { promptTokens: 7, outputTokens: 50, outputMs: 1000, promptMs: 20, loadMs: 15, totalMs: 1100 },
  },
  'attempt-failed': {
    kind: 'attempt-failed',
    requestId: 'r',
    backend: 'gpu1',
    failure: 'backend-reset',
    retried: true,
  },
  queued: { kind: 'queued', model: 'llama3.2:3b', depth: 3 },
  dequeued: { kind: 'dequeued', model: 'llama3.2:3b', waitedMs: 10, how: 'leased' },
  'first-token': {
    kind: 'first-token',
    route: '/api/chat',
    model: 'llama3.2:3b',
    backend: 'gpu1',
    ms: 120,
    warm: true,
  },
  'backend-state': { kind: 'backend-state', backend: 'gpu1', from: 'up', to: 'down', reason: 'connection refused' },
  'breaker-state': { kind: 'breaker-state', backend: 'gpu1', from: 'closed', to: 'open', reason: '5 of 6 failed' },
  'model-loaded': { kind: 'model-loaded', backend: 'gpu1', model: 'llama3.2:3b', reason: 'seen in memory' },
  'model-unloaded': { kind: 'model-unloaded', backend: 'gpu1', model: 'llama3.2:3b', reason: 'no longer in memory' },
  'digest-skew': { kind: 'digest-skew', model: 'llama3.2:3b', digests: ['a'.repeat(64), 'b'.repeat(64)] },
  'stream-lost': {
    kind: 'stream-lost',
    requestId: 'r',
    model: 'llama3.2:3b',
    from: 'gpu1',
    to: 'gpu2',
    outcome: 'resumed',
    reason: '',
  },
  'request-rewritten': { kind: 'request-rewritten', model: 'llama3.2:3b', rewrites: ['alias', 'num-ctx'] },
  quarantined: { kind: 'quarantined', requestId: 'r', model: 'llama3.2:3b', failure: 'backend-reset' },
  'runner-wedged': { kind: 'runner-wedged', backend: 'gpu1', model: 'llama3.2:3b', silentMs: 120_000, inFlight: 2 },
  'model-required': { kind: 'model-required', model: 'llama3.2:3b', wanted: 2, have: 1 },
  'model-pull': { kind: 'model-pull', backend: 'gpu1', model: 'llama3.2:3b', state: 'failed', reason: 'no space left' },
  'model-standing': {
    kind: 'model-standing',
    backend: 'gpu1',
    model: 'llama3.2:3b',
    from: 'trusted',
    to: 'ejected',
    reason: 'backend-error',
  },
  'backend-woken': { kind: 'backend-woken', backend: 'gpu1', model: 'llama3.2:3b', error: null },
  operated: { kind: 'operated', what: 'POST /gateway/backends', target: null, outcome: 'ok', address: '10.0.0.9' },
  'config-reloaded': { kind: 'config-reloaded', ok: false, message: 'llamero.yaml:3:5 expected a number' },
  bug: { kind: 'bug', message: 'a lease is released once', stack: 'AssertionError: …' },
};

export function backend(changes: Partial<BackendView> = {}): BackendView {
  return {
    id: 'gpu1',
    state: 'up',
    breaker: 'closed',
    slots: 4,
    inFlight: 0,
    inFlightByModel: new Map(),
    resident: [],
    version: '0.13.0',
    ...changes,
  };
}

export function fleet(...backends: BackendView[]): FleetView {
  return { backends, auth: { key: 3, missing: 0 }, queue: { limit: 1000, jobs: [] } };
}

const { garbageCollection: _, ...buckets } = defaultBuckets;
export const metricsOptions: MetricsOptions = {
  seriesBudget: 5000,
  clients: 0,
  exemplars: true,
  buckets: Object.fromEntries(
    Object.entries(buckets).map(([name, list]) => [name, [...list]]),
  ) as MetricsOptions['buckets'],
};

/** Knows the model of the sample events only, unless told otherwise. */
export function metricsWith(deps: Partial<MetricsDependencies> = {}, options: Partial<MetricsOptions> = {}): Metrics {
  return createMetrics(
    {
      view: () => fleet(backend()),
      isKnownModel: (name) => name === 'llama3.2:3b',
      isSimulated: () => false,
      wallNow: () => 1_700_000_000_000,
      version: '0.1.0',
      ...deps,
    },
    { ...metricsOptions, ...options },
  );
}
