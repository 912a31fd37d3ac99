/**
 * How long a scrape keeps the event loop from everything else: `npm run bench:scrape [-- --scrapes 50]`. 64 backends with 50 models
 * each, all of them in memory, at work and waited for, and as many series of requests as `metrics.seriesBudget` has by default, and
 * four times that for comparison. A stretch without a turn is measured in CPU time of the thread, so that other programs of a busy machine don't
 * count, and by the clock. Exits with 1 when the longest stretch of a scrape is above 20 ms of CPU time in the median, with the default.
 */
import { performance } from 'node:perf_hooks';
import { threadCpuUsage } from 'node:process';
import { parseArgs } from 'node:util';
import type { BackendView } from '../src/observe/fleet-view.ts';
import { createMetrics, MetricsOptions, type Metrics } from '../src/observe/metrics.ts';
import { finished } from '../test/observe/samples.ts';
import { Value } from 'typebox/value';

const LIMIT_MS = 20;
const BACKENDS = 64;
const MODELS = 50;

const { values } = parseArgs({ options: { scrapes: { type: 'string', default: '50' } } });
const models = Array.from({ length: MODELS }, (_, index) => `family${index}:8b-instruct-q4_K_M`);
const backends = Array.from({ length: BACKENDS }, (_, index) => backend(`gpu-rack${index}`));

function backend(id: string): BackendView {
  const resident = models.map((name) => ({
    name,
    digest: 'd'.repeat(64),
    sizeBytes: 5e9,
    vramBytes: 5e9,
    contextLength: 8192,
    expiresAt: null,
    raw: {},
  }));
  return {
    id,
    state: 'up',
    breaker: 'closed',
    slots: 4,
    inFlight: MODELS,
    inFlightByModel: new Map(models.map((model) => [model, 1])),
    resident,
    version: '0.13.0',
  };
}

function metricsWith(seriesBudget: number): Metrics {
  const options = { ...Value.Create(MetricsOptions), seriesBudget };
  const queue = {
    limit: 1000,
    jobs: Array.from({ length: 1000 }, (_, index) => ({ model: models[index % MODELS]!, bytes: 5000, priority: 1 })),
  };
  const metrics = createMetrics(
    {
      view: () => ({ auth: {}, backends, queue }),
      isKnownModel: () => true,
      isSimulated: () => false,
      wallNow: () => 0,
      version: '0.0.0',
    },
    options,
  );
  for (const model of models) for (const { id } of backends) use(metrics, id, model);
  return metrics;
}

/** What a working gateway learns of a model on a backend. */
function use(metrics: Metrics, id: string, model: string): void {
  const traceId = '0af7651916cd43dd8448eb211c80319c';
  metrics.observe({ kind: 'model-loaded', backend: id, model, reason: 'request' });
  metrics.observe({ kind: 'first-token', route: '/api/chat', model, backend: id, ms: 300, warm: true, traceId });
  const client = 'key:team';
  const usage = { promptTokens: 100, outputTokens: 200, outputMs: 3000, promptMs: 200, loadMs: 2000 };
  metrics.observe(
    finished({ traceId, client, model, backend: id, queueMs: 20, firstByteMs: 300, durationMs: 4000, usage }),
  );
}

interface Stretch {
  readonly cpuMs: number;
  readonly wallMs: number;
}

/** The longest stretch without a turn while one scrape is answered, and the size of the answer. */
async function scrape(metrics: Metrics, accept: string): Promise<Stretch & { readonly bytes: number }> {
  let longest: Stretch = { cpuMs: 0, wallMs: 0 };
  let isOver = false;
  let cpu = threadCpuUsage();
  let wall = performance.now();
  const look = () => {
    const used = threadCpuUsage(cpu);
    const stretch = { cpuMs: (used.user + used.system) / 1000, wallMs: performance.now() - wall };
    if (stretch.cpuMs > longest.cpuMs) longest = stretch;
    cpu = threadCpuUsage();
    wall = performance.now();
    if (!isOver) setImmediate(look);
  };
  setImmediate(look);
  const { body } = await metrics.render(accept);
  // As it is sent.
  const { length: bytes } = Buffer.from(body);
  await new Promise((resolve) => setImmediate(resolve));
  isOver = true;
  return { ...longest, bytes };
}

function median(numbers: readonly number[]): number {
  return numbers.toSorted((a, b) => a - b)[Math.floor(numbers.length / 2)]!;
}

let isWithin = true;
const usual = Value.Create(MetricsOptions).seriesBudget;
for (const budget of [usual, usual * 4]) {
  for (const accept of ['text/plain', 'application/openmetrics-text']) {
    const metrics = metricsWith(budget);
    const stretches: (Stretch & { readonly bytes: number })[] = [];
    // The first ones teach the compiler.
    for (let i = 0; i < 5; i++) await scrape(metrics, accept);
    for (let i = 0; i < Number(values.scrapes); i++) stretches.push(await scrape(metrics, accept));
    metrics.close();
    const cpu = stretches.map(({ cpuMs }) => cpuMs);
    const wall = stretches.map(({ wallMs }) => wallMs);
    if (budget === usual && median(cpu) > LIMIT_MS) isWithin = false;
    console.log(
      `${BACKENDS} backends x ${MODELS} models, budget ${budget}, ${accept}: ${(stretches[0]!.bytes / 1e6).toFixed(1)} MB, longest stretch ` +
        `${median(cpu).toFixed(1)} ms of CPU in the median, ${Math.max(...cpu).toFixed(1)} at most; ` +
        `${median(wall).toFixed(1)} and ${Math.max(...wall).toFixed(1)} ms by the clock`,
    );
  }
}
process.exitCode = isWithin ? 0 : 1;
