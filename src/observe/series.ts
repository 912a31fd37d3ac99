/**
 * Where what events tell is counted: one prom-client metric per row of the catalogue and backend. A metric per backend, because
 * a backend that is removed then takes its series along, and because a scrape may pause between them.
 */
import { Counter, Histogram } from 'prom-client';
import { told, type BucketName, type LabelName, type Labels, type MetricSpec, type ToldName } from './catalogue.ts';

/** The label value for whatever is outside of the closed set, or beyond the budget. */
export const other = 'other';

const foldable: ReadonlySet<LabelName> = new Set(['route', 'model', 'backend']);

export type StoredMetric = Counter<LabelName> | Histogram<LabelName>;

export interface SeriesOptions {
  /** Most label sets over all metrics before new ones are folded into `other`. */
  readonly budget: number;
  readonly exemplars: boolean;
  /** Ascending upper bounds. */
  readonly buckets: Readonly<Record<BucketName, readonly number[]>>;
}

export interface Series {
  /**
   * Counters rise by `value`, histograms observe it. Values outside of finite, non-negative numbers are ignored: a backend
   * reported them. A trace id becomes an exemplar where the metric has them.
   */
  add(name: ToldName, labels: Labels, value: number, traceId?: string | null): void;
  /** What adds to one label set, without looking it up again; good until `keepOnly`. Nothing is recorded by asking for it. */
  adder(name: ToldName, labels: Labels): Add;
  /** Forgets the series of every backend that is not among these. */
  keepOnly(backends: ReadonlySet<string>): void;
  /** Label sets at the moment. */
  readonly size: number;
  /** The metrics of one row; all of them have its name. */
  metrics(name: ToldName): readonly StoredMetric[];
}

/** Takes what `add` takes. */
export type Add = (value: number, traceId: string | null) => void;

interface Shard {
  readonly metric: StoredMetric;
  readonly adds: Map<string, Add>;
}

export function createSeries(options: SeriesOptions): Series {
  return new SeriesStore(options);
}

class SeriesStore implements Series {
  readonly #options: SeriesOptions;
  readonly #shards = new Map<ToldName, Map<string, Shard>>();
  #size = 0;

  constructor(options: SeriesOptions) {
    this.#options = options;
    for (const [name, spec] of Object.entries(told) as [ToldName, MetricSpec][]) {
      this.#shards.set(name, new Map());
      if (!spec.labels.includes('backend')) this.#shardOf(name, spec, '');
      for (const labels of spec.zero ?? []) this.add(name, labels, 0);
    }
  }

  get size(): number {
    return this.#size;
  }

  metrics(name: ToldName): readonly StoredMetric[] {
    return [...this.#shards.get(name)!.values()].map(({ metric }) => metric);
  }

  add(name: ToldName, labels: Labels, value: number, traceId: string | null = null): void {
    if (!(value >= 0) || value === Infinity) return;
    const spec: MetricSpec = told[name];
    const shard = this.#shardOf(name, spec, labels.backend ?? '');
    const key = keyOf(spec, labels);
    const add = shard.adds.get(key) ?? this.#admit(name, spec, labels);
    add(value, traceId);
  }

  adder(name: ToldName, labels: Labels): Add {
    const spec: MetricSpec = told[name];
    const shards = this.#shards.get(name)!;
    const shardKey = spec.labels.includes('backend') ? (labels.backend ?? '') : '';
    const key = keyOf(spec, labels);
    let known: Add | undefined;
    return (value, traceId) => {
      // A label set that was folded is not known, and is told as folded each time.
      known ??= shards.get(shardKey)?.adds.get(key);
      if (known === undefined) this.add(name, labels, value, traceId);
      else if (value >= 0 && value !== Infinity) known(value, traceId);
    };
  }

  keepOnly(backends: ReadonlySet<string>): void {
    for (const shards of this.#shards.values()) {
      for (const [backend, shard] of shards) {
        if (backend === '' || backend === other || backends.has(backend)) continue;
        shards.delete(backend);
        this.#size -= shard.adds.size;
      }
    }
  }

  /** A label set seen for the first time: as it is while the budget lasts, folded after that. */
  #admit(name: ToldName, spec: MetricSpec, labels: Labels): Add {
    let admitted = labels;
    if (this.#size >= this.#options.budget && spec.labels.some((label) => foldable.has(label))) {
      admitted = folded(spec, labels);
      if (name !== 'folded') this.add('folded', { metric: spec.name }, 1);
    }
    const shard = this.#shardOf(name, spec, admitted.backend ?? '');
    const key = keyOf(spec, admitted);
    const known = shard.adds.get(key);
    if (known !== undefined) return known;
    const add = bind(shard.metric, admitted);
    shard.adds.set(key, add);
    this.#size += 1;
    return add;
  }

  #shardOf(name: ToldName, spec: MetricSpec, backend: string): Shard {
    const shards = this.#shards.get(name)!;
    const key = spec.labels.includes('backend') ? backend : '';
    const known = shards.get(key);
    if (known !== undefined) return known;
    const shard = { metric: this.#create(spec), adds: new Map<string, Add>() };
    shards.set(key, shard);
    return shard;
  }

  #create(spec: MetricSpec): StoredMetric {
    // No registry: those refuse two metrics of one name, and exposition.ts asks each metric for its lines itself.
    const common = { name: spec.name, help: spec.help, labelNames: [...spec.labels], registers: [] };
    if (spec.buckets === undefined) return new Counter(common);
    return new Histogram({
      ...common,
      buckets: [...this.#options.buckets[spec.buckets]],
      enableExemplars: spec.exemplars === true && this.#options.exemplars,
    });
  }
}

function bind(metric: StoredMetric, labels: Labels): Add {
  if (metric instanceof Counter) {
    const child = metric.labels(labels);
    return (value) => child.inc(value);
  }
  const child = metric.labels(labels);
  return (value, traceId) => {
    if (traceId === null) child.observe(value);
    else observeTraced(metric, labels, value, traceId);
  };
}

function observeTraced(metric: Histogram<LabelName>, labels: Labels, value: number, traceId: string): void {
  const { enableExemplars } = metric as unknown as { readonly enableExemplars: boolean };
  if (!enableExemplars) metric.observe(labels, value);
  else metric.observe({ labels, value, exemplarLabels: { trace_id: traceId } as Labels });
}

function keyOf(spec: MetricSpec, labels: Labels): string {
  let key = '';
  for (const label of spec.labels) key += `${labels[label] ?? ''}\n`;
  return key;
}

/** Only what the label set already has and is not empty is folded, so that "no backend was asked" stays distinct. */
function folded(spec: MetricSpec, labels: Labels): Labels {
  const result: Partial<Record<LabelName, string>> = { ...labels };
  for (const label of spec.labels) {
    if (foldable.has(label) && result[label] !== undefined && result[label] !== '') result[label] = other;
  }
  return result;
}
