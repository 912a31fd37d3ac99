/** What is true at the moment of a scrape: the fleet, the queue, the process, the configuration. */
import { bands } from '../core/grants.ts';
import { Counter, Gauge } from 'prom-client';
import { backendStates, type BackendState, type BreakerState } from '../core/events.ts';
import type { BackendId, ModelName } from '../core/types.ts';
import { seen, type LabelName, type Labels, type MetricSpec, type SeenName } from './catalogue.ts';
import type { Row } from './exposition.ts';
import type { BackendView, FleetView } from './fleet-view.ts';
import type { ProcessSample } from './process-watch.ts';

export interface Snapshot {
  readonly fleet: FleetView;
  readonly sample: ProcessSample;
  /** Seconds since the epoch. */
  readonly startedAt: number;
  readonly reload: { readonly ok: boolean; readonly at: number };
  readonly build: { readonly version: string; readonly node: string };
  readonly series: { readonly size: number; readonly budget: number };
}

export interface GaugesDependencies {
  /** A model name as a label value. */
  readonly modelLabel: (model: ModelName | null) => string;
  readonly isSimulated: (backend: BackendId) => boolean;
}

export interface Gauges {
  read(snapshot: Snapshot): void;
  rows(): Iterable<Row>;
}

type Put = (name: SeenName, labels: Labels, value: number) => void;

const serving: ReadonlySet<BackendState> = new Set(['up', 'probation']);
const breakerNumbers: Readonly<Record<BreakerState, number>> = { closed: 0, open: 1, 'half-open': 2 };

export function createGauges(deps: GaugesDependencies): Gauges {
  const metrics = new Map<SeenName, Gauge<LabelName> | Counter<LabelName>>();
  for (const [name, spec] of Object.entries(seen) as [SeenName, MetricSpec][]) {
    const config = { name: spec.name, help: spec.help, labelNames: [...spec.labels], registers: [] };
    metrics.set(name, spec.type === 'counter' ? new Counter(config) : new Gauge(config));
  }
  const onceResident = new Map<BackendId, Set<string>>();

  // Additive, since several names may share the label `other`.
  const add: Put = (name, labels, value) => metrics.get(name)!.inc(labels, value);

  return {
    read(snapshot) {
      for (const metric of metrics.values()) metric.reset();
      readFleet(snapshot.fleet, add, deps);
      readResidents(snapshot.fleet, onceResident, add, deps.modelLabel);
      readSelf(snapshot, add);
    },
    *rows() {
      for (const [name, metric] of metrics) yield { spec: seen[name], metrics: [metric] };
    },
  };
}

function readFleet(fleet: FleetView, add: Put, { modelLabel, isSimulated }: GaugesDependencies): void {
  // Named by the operator, so a label even where no backend has it yet.
  for (const { holders, model, wanted } of fleet.required ?? []) {
    add('requiredMissing', { model }, Math.max(0, wanted - holders.length));
  }
  // The series without a model are always there, so that the sum over an empty queue is 0 and not nothing.
  add('queueDepth', { model: '' }, 0);
  add('queueBytes', { model: '' }, 0);
  for (const priority of bands) add('queueBandDepth', { priority }, 0);
  for (const { bytes, model, priority } of fleet.queue.jobs) {
    add('queueBandDepth', { priority: bands[priority] ?? bands[0] }, 1);
    add('queueDepth', { model: modelLabel(model) }, 1);
    add('queueBytes', { model: modelLabel(model) }, bytes);
  }
  add('queueLimit', {}, fleet.queue.limit);
  for (const [outcome, count] of Object.entries(fleet.auth)) add('auth', { outcome }, count);
  for (const view of fleet.backends) {
    const backend = view.id;
    let withoutModel = view.inFlight;
    for (const [model, count] of view.inFlightByModel) {
      add('inFlight', { backend, model: modelLabel(model) }, count);
      withoutModel -= count;
    }
    // Always there, so that the sum over the models of an idle backend is 0 and not nothing.
    add('inFlight', { backend, model: '' }, withoutModel);
    add('slots', { backend }, view.slots);
    add('backendUp', { backend }, serving.has(view.state) ? 1 : 0);
    for (const state of backendStates) add('backendState', { backend, state }, state === view.state ? 1 : 0);
    add('backendInfo', { backend, version: versionLabel(view), simulated: String(isSimulated(backend)) }, 1);
    add('circuitState', { backend }, breakerNumbers[view.breaker]);
    const resident = view.resident ?? [];
    add('modelsLoaded', { backend }, resident.length);
    let vramBytes = 0;
    for (const model of resident) vramBytes += model.vramBytes;
    add('vram', { backend }, vramBytes);
  }
}

/** 1 for what is in memory, 0 for what was: a series that just ended would keep its last value in many a panel. */
function readResidents(
  fleet: FleetView,
  once: Map<BackendId, Set<string>>,
  add: Put,
  modelLabel: (model: ModelName | null) => string,
): void {
  const present = new Set(fleet.backends.map(({ id }) => id));
  for (const id of once.keys()) if (!present.has(id)) once.delete(id);
  for (const { id, resident } of fleet.backends) {
    const now = new Set((resident ?? []).map(({ name }) => modelLabel(name)));
    const before = once.get(id) ?? new Set<string>();
    const known = new Set([...before].filter((model) => now.has(model) || modelLabel(model) === model));
    for (const model of now) known.add(model);
    once.set(id, known);
    for (const model of known) add('modelResident', { backend: id, model }, now.has(model) ? 1 : 0);
  }
}

/** A backend's own words, so bounded like a client's: at most 32 characters of a version number. */
function versionLabel({ version }: BackendView): string {
  return version !== null && /^[\w.+-]{1,32}$/.test(version) ? version : '';
}

function readSelf({ sample, startedAt, reload, build, series }: Snapshot, add: Put): void {
  add('reloadSuccessful', {}, reload.ok ? 1 : 0);
  add('reloadTimestamp', {}, reload.at);
  add('buildInfo', { version: build.version, node: build.node }, 1);
  add('series', {}, series.size);
  add('seriesBudget', {}, series.budget);
  add('cpu', {}, sample.cpuSeconds);
  add('residentMemory', {}, sample.residentBytes);
  if (sample.openDescriptors !== null) add('openDescriptors', {}, sample.openDescriptors);
  if (sample.maxDescriptors !== null) add('maxDescriptors', {}, sample.maxDescriptors);
  add('startTime', {}, startedAt);
  add('heapUsed', {}, sample.heapUsedBytes);
  add('externalMemory', {}, sample.externalBytes);
  add('eventLoopUtilization', {}, sample.loopUtilization);
  add('eventLoopLagMean', {}, sample.loopLag.mean);
  add('eventLoopLag99', {}, sample.loopLag.p99);
  add('eventLoopLagMax', {}, sample.loopLag.max);
}
