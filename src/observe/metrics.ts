/** Counts what events tell, looks at the fleet when scraped, and renders both. Never throws, never waits, never changes anything. */
import { version as nodeVersion } from 'node:process';
import { Type, type Static } from 'typebox';
import type { Event } from '../core/events.ts';
import type { BackendId, ModelName } from '../core/types.ts';
import { defaultBuckets, told, type BucketName, type ToldName } from './catalogue.ts';
import { expose, formatFor, type Exposition, type Format, type Row } from './exposition.ts';
import type { FleetView } from './fleet-view.ts';
import { createGauges } from './gauges.ts';
import { ClientCounts } from './client-counts.ts';
import { watchProcess } from './process-watch.ts';
import { RequestCounts } from './request-counts.ts';
import { createSeries, other, type Series } from './series.ts';

function bounds(name: BucketName, unit: string) {
  return Type.Array(Type.Number({ exclusiveMinimum: 0 }), {
    description: `Upper bounds of the ${name} histogram, in ${unit}.`,
    default: [...defaultBuckets[name]],
    minItems: 1,
    maxItems: 40,
  });
}

export const MetricsOptions = Type.Object(
  {
    seriesBudget: Type.Integer({
      description:
        'Most label sets recorded from events; beyond it new ones are recorded as `other`, and `llamero_metrics_folded_total` tells.',
      default: 5000,
      minimum: 100,
      maximum: 1_000_000,
    }),
    clients: Type.Integer({
      description:
        'How many clients are told apart in `llamero_client_tokens_total` and `llamero_client_requests_total`, first come, first ' +
        'served; 0 keeps both empty. Names of keys and users then stand in the metrics, addresses never do.',
      default: 0,
      minimum: 0,
      maximum: 10_000,
    }),
    exemplars: Type.Boolean({
      description: 'Whether OpenMetrics output links durations to trace ids.',
      default: true,
    }),
    buckets: Type.Object(
      {
        duration: bounds('duration', 'seconds'),
        firstToken: bounds('firstToken', 'seconds'),
        perToken: bounds('perToken', 'seconds'),
        queueWait: bounds('queueWait', 'seconds'),
        load: bounds('load', 'seconds'),
        tokenRate: bounds('tokenRate', 'tokens per second'),
        overhead: bounds('overhead', 'seconds'),
      },
      { description: 'Histogram buckets.', additionalProperties: false },
    ),
  },
  { description: 'What `/metrics` records.', additionalProperties: false },
);
export type MetricsOptions = Static<typeof MetricsOptions>;

export interface MetricsDependencies {
  readonly view: () => FleetView;
  /** Whether some backend has the model; every other name is counted as `other`. */
  readonly isKnownModel: (name: ModelName) => boolean;
  /** Whether a backend is one of the built-in simulated ones. */
  readonly isSimulated: (backend: BackendId) => boolean;
  /** Epoch milliseconds. */
  readonly wallNow: () => number;
  /** The gateway's own version. */
  readonly version: string;
}

export interface Metrics {
  observe(event: Event): void;
  /** The answer to a scrape with this Accept header. Scrapes of one format that overlap share one rendering. */
  render(accept: string | undefined): Promise<Exposition>;
  close(): void;
}

export function createMetrics(deps: MetricsDependencies, options: MetricsOptions): Metrics {
  const buckets = { ...options.buckets, garbageCollection: defaultBuckets.garbageCollection };
  const ascending = Object.fromEntries(
    Object.entries(buckets).map(([name, list]) => [name, [...new Set(list)].sort((a, b) => a - b)]),
  ) as Record<BucketName, number[]>;
  const series = createSeries({ budget: options.seriesBudget, exemplars: options.exemplars, buckets: ascending });
  const requests = new RequestCounts(series);
  const clients = new ClientCounts(series, options.clients);
  const modelLabel = (model: ModelName | null) =>
    model === null || model === '' ? '' : deps.isKnownModel(model) ? model : other;
  const gauges = createGauges({ modelLabel, isSimulated: deps.isSimulated });
  const watch = watchProcess((kind, seconds) => series.add('garbageCollection', { kind }, seconds));
  const startedAt = deps.wallNow() / 1000;
  const build = { version: deps.version, node: nodeVersion };
  const rendering = new Map<Format, Promise<Exposition>>();
  let reload = { ok: true, at: startedAt };

  function* rows(): Iterable<Row> {
    for (const name of Object.keys(told) as ToldName[]) yield { spec: told[name], metrics: series.metrics(name) };
    yield* gauges.rows();
  }

  async function scrape(format: Format): Promise<Exposition> {
    const fleet = deps.view();
    requests.forget();
    series.keepOnly(new Set(fleet.backends.map(({ id }) => id)));
    const usage = { size: series.size, budget: options.seriesBudget };
    gauges.read({ fleet, sample: await watch.sample(), startedAt, reload, build, series: usage });
    return expose(rows(), format);
  }

  return {
    observe(event) {
      try {
        if (event.kind === 'config-reloaded')
          reload = { ok: event.ok, at: event.ok ? deps.wallNow() / 1000 : reload.at };
        else if (event.kind === 'request-finished') {
          requests.count(event, modelLabel(event.model));
          clients.count(event);
        } else if (isAboutStanding(event)) countStanding(series, modelLabel, event);
        else count(series, modelLabel, event);
      } catch {
        // Whoever emits must not learn that counting failed; that it did is itself counted.
        series.add('bugs', {}, 1);
      }
    },
    render(accept) {
      const format = formatFor(accept);
      const running = rendering.get(format);
      if (running !== undefined) return running;
      const started = scrape(format).finally(() => rendering.delete(format));
      rendering.set(format, started);
      return started;
    },
    close: () => watch.close(),
  };
}

type ModelLabel = (model: ModelName | null) => string;

function count(
  series: Series,
  modelLabel: ModelLabel,
  event: Exclude<Event, StandingEvent | { kind: 'config-reloaded' | 'request-finished' }>,
): void {
  switch (event.kind) {
    case 'first-token': {
      const { route, backend } = event;
      const labels = { route, backend, model: modelLabel(event.model), warm: String(event.warm) };
      series.add('firstToken', labels, event.ms / 1000, event.traceId);
      return;
    }
    case 'attempt-failed':
      countFailure(series, event);
      return;
    case 'model-loaded':
    case 'model-unloaded':
      countResidency(series, event, modelLabel(event.model));
      return;
    case 'stream-lost':
      series.add('resumes', { outcome: event.outcome }, 1);
      return;
    case 'request-rewritten':
      event.rewrites.forEach((kind) => series.add('rewritten', { kind }, 1));
      return;
    case 'quarantined':
      series.add('quarantined', { model: modelLabel(event.model) }, 1);
      return;
    case 'digest-skew':
      series.add('digestSkew', { model: modelLabel(event.model) }, 1);
      return;
    case 'bug':
      series.add('bugs', {}, 1);
      return;
    case 'operated':
    case 'attempt-traced':
    case 'queued':
    case 'dequeued':
    case 'model-required':
      // The depth is read at the scrape, and the wait is part of the finished request: a wait of 0 counts there too.
      return;
  }
}

const standing = [
  'backend-state',
  'backend-woken',
  'breaker-state',
  'model-pull',
  'model-standing',
  'runner-wedged',
] as const;
type StandingEvent = Extract<Event, { kind: (typeof standing)[number] }>;

function isAboutStanding(event: Event): event is StandingEvent {
  return standing.some((kind) => kind === event.kind);
}

/** What tells of the standing of a backend, or of a model there. */
function countStanding(series: Series, modelLabel: ModelLabel, event: StandingEvent): void {
  const { backend } = event;
  switch (event.kind) {
    case 'backend-state': {
      const { from, to } = event;
      series.add('stateTransitions', { backend, from, to }, 1);
      if (from === 'waking' && to !== 'draining') {
        series.add('wakes', { backend, outcome: to === 'down' ? 'asleep' : 'awake' }, 1);
      }
      return;
    }
    case 'backend-woken':
      series.add('wakes', { backend, outcome: event.error === null ? 'sent' : 'unsent' }, 1);
      return;
    case 'breaker-state':
      series.add('circuitTransitions', { backend, from: event.from, to: event.to }, 1);
      return;
    case 'model-pull':
      series.add('requiredPulls', { backend, outcome: event.state }, 1);
      return;
    case 'model-standing': {
      const { from, to } = event;
      series.add('modelStandings', { backend, model: modelLabel(event.model), from, to }, 1);
      return;
    }
    case 'runner-wedged':
      series.add('runnersWedged', { backend, model: modelLabel(event.model) }, 1);
      return;
  }
}

function countFailure(series: Series, { backend, failure, retried }: Extract<Event, { kind: 'attempt-failed' }>): void {
  const reason = word(failure);
  series.add('attemptFailures', { backend, reason }, 1);
  if (retried) series.add('retries', { reason }, 1);
}

function countResidency(
  series: Series,
  { backend, kind, reason }: Extract<Event, { kind: 'model-loaded' | 'model-unloaded' }>,
  model: string,
): void {
  series.add(kind === 'model-loaded' ? 'modelLoads' : 'modelUnloads', { backend, model, reason: word(reason) }, 1);
}

/** Reasons reach events as text. They are the gateway's own words; a sentence among them becomes a word. */
function word(reason: string): string {
  return reason.replace(/[^\w-]+/g, '-').slice(0, 48);
}
