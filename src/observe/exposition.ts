/** What a scraper reads: Prometheus text, or OpenMetrics when it asks for that. */
import { setImmediate } from 'node:timers/promises';
import { Counter, Registry, type Gauge, type Metric } from 'prom-client';
import type { LabelName, MetricSpec } from './catalogue.ts';
import type { StoredMetric } from './series.ts';

export interface Exposition {
  readonly contentType: string;
  readonly body: string;
}

/** A row of the catalogue with the metrics that hold its samples. */
export interface Row {
  readonly spec: MetricSpec;
  readonly metrics: readonly (StoredMetric | Gauge<LabelName>)[];
}

/** About a thousand lines, a millisecond: what may be rendered before other work gets its turn. */
const pauseAfterCharacters = 128 * 1024;

export type Format = 'text' | 'openmetrics';

/** OpenMetrics when the Accept header names it with at least the weight of plain text. */
export function formatFor(accept: string | undefined): Format {
  let openMetrics = 0;
  let text = 0;
  for (const range of (accept ?? '').split(',')) {
    const [type = '', ...parameters] = range.split(';').map((part) => part.trim().toLowerCase());
    const weight = Number(parameters.find((parameter) => parameter.startsWith('q='))?.slice(2) ?? 1);
    if (type === 'application/openmetrics-text') openMetrics = Math.max(openMetrics, weight || 0);
    if (type === 'text/plain' || type === 'text/*') text = Math.max(text, weight || 0);
  }
  return openMetrics > 0 && openMetrics >= text ? 'openmetrics' : 'text';
}

export async function expose(rows: Iterable<Row>, format: Format): Promise<Exposition> {
  const registry = new Registry(
    format === 'text' ? Registry.PROMETHEUS_CONTENT_TYPE : Registry.OPENMETRICS_CONTENT_TYPE,
  );
  const parts: string[] = [];
  let sincePause = 0;
  for (const { spec, metrics } of rows) {
    parts.push(headOf(spec, format));
    for (const metric of metrics) {
      const lines = await samplesOf(registry, metric, format);
      if (lines !== '') parts.push(lines);
      sincePause += lines.length;
      if (sincePause > pauseAfterCharacters) {
        sincePause = 0;
        await setImmediate();
      }
    }
  }
  if (format === 'openmetrics') parts.push('# EOF');
  return { contentType: registry.contentType, body: `${parts.join('\n')}\n` };
}

function headOf({ name, help, type }: MetricSpec, format: Format): string {
  const family = format === 'openmetrics' && type === 'counter' ? withoutTotal(name) : name;
  return `# HELP ${family} ${help}\n# TYPE ${family} ${type}`;
}

async function samplesOf(registry: Registry, metric: Metric<LabelName>, format: Format): Promise<string> {
  const text = await registry.getMetricsAsString(format === 'openmetrics' ? renamed(metric) : metric);
  // prom-client repeats the two head lines for each metric; a family may have them once.
  const end = text.indexOf('\n', text.indexOf('\n') + 1);
  return end === -1 ? '' : text.slice(end + 1);
}

/**
 * OpenMetrics names a counter's family without `_total` and its samples with it; prom-client appends what it expects to be
 * missing. Its own `metrics()` renames the metric for good, after which plain text would be wrong, so a stand-in is handed over.
 */
function renamed(metric: Metric<LabelName>): Metric<LabelName> {
  if (!(metric instanceof Counter)) return metric;
  const standIn = { get: async () => ({ ...(await metric.get()), name: withoutTotal((await metric.get()).name) }) };
  return standIn as unknown as Counter<LabelName>;
}

function withoutTotal(name: string): string {
  return name.replace(/_total$/, '');
}
