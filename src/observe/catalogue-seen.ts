/** The part of the catalogue that is looked at when somebody scrapes, and not told by events. */
import type { MetricSpec } from './catalogue.ts';

/** Gauges and counters read at scrape time from what the gateway and the process look like then. */
export const seen = {
  queueDepth: {
    name: 'llamero_queue_depth',
    type: 'gauge',
    help: 'Requests waiting for a slot.',
    labels: ['model'],
  },
  queueBytes: {
    name: 'llamero_queue_bytes',
    type: 'gauge',
    help: 'Memory the bodies of waiting requests take.',
    labels: ['model'],
  },
  queueBandDepth: {
    name: 'llamero_queue_band_depth',
    type: 'gauge',
    help: 'Requests waiting for a slot, by the band of the queue.',
    labels: ['priority'],
  },
  queueLimit: {
    name: 'llamero_queue_limit',
    type: 'gauge',
    help: 'Requests that may wait for a slot at once (queue.limit).',
    labels: [],
  },
  auth: {
    name: 'llamero_auth_total',
    type: 'counter',
    help: 'Requests by how their client was known (key, cli, token, user, anonymous) or why they were refused before they were served.',
    labels: ['outcome'],
  },
  inFlight: {
    name: 'llamero_inflight_requests',
    type: 'gauge',
    help: 'Requests a backend is working on.',
    labels: ['backend', 'model'],
  },
  slots: {
    name: 'llamero_backend_slots',
    type: 'gauge',
    help: 'Requests a backend is given at the same time; +Inf when it has no limit.',
    labels: ['backend'],
  },
  backendUp: {
    name: 'llamero_backend_up',
    type: 'gauge',
    help: '1 when the backend takes requests, else 0.',
    labels: ['backend'],
  },
  backendState: {
    name: 'llamero_backend_state',
    type: 'gauge',
    help: '1 for the state the backend is in, 0 for the others.',
    labels: ['backend', 'state'],
  },
  backendInfo: {
    name: 'llamero_backend_info',
    type: 'gauge',
    help: 'Always 1; the version of Ollama a backend runs, and whether it is one of the built-in simulated ones.',
    labels: ['backend', 'version', 'simulated'],
  },
  circuitState: {
    name: 'llamero_backend_circuit_state',
    type: 'gauge',
    help: 'State of the circuit breaker: 0 closed, 1 open, 2 half-open.',
    labels: ['backend'],
  },
  requiredMissing: {
    name: 'llamero_model_required_missing',
    type: 'gauge',
    help: 'Backends that a model of `models.required` is still missing on; 0 when it is on enough.',
    labels: ['model'],
  },
  modelsLoaded: {
    name: 'llamero_backend_models_loaded',
    type: 'gauge',
    help: 'Models in memory on the backend.',
    labels: ['backend'],
  },
  vram: {
    name: 'llamero_backend_vram_bytes',
    type: 'gauge',
    help: 'VRAM the models in memory take (size_vram of /api/ps).',
    labels: ['backend'],
  },
  modelResident: {
    name: 'llamero_model_resident',
    type: 'gauge',
    help: '1 while the model is in memory on the backend, 0 after it has left; absent when it never was.',
    labels: ['backend', 'model'],
  },
  reloadSuccessful: {
    name: 'llamero_config_last_reload_successful',
    type: 'gauge',
    help: '1 when the last attempt to load the configuration succeeded, 0 when the one before it is still in force.',
    labels: [],
  },
  reloadTimestamp: {
    name: 'llamero_config_last_reload_timestamp_seconds',
    type: 'gauge',
    help: 'When the configuration in force was loaded, in seconds since the epoch.',
    labels: [],
  },
  buildInfo: {
    name: 'llamero_build_info',
    type: 'gauge',
    help: 'Always 1; the version of the gateway and of the Node it runs on.',
    labels: ['version', 'node'],
  },
  series: {
    name: 'llamero_metrics_series',
    type: 'gauge',
    help: 'Label sets recorded from events; see metrics.seriesBudget.',
    labels: [],
  },
  seriesBudget: {
    name: 'llamero_metrics_series_budget',
    type: 'gauge',
    help: 'The value of metrics.seriesBudget.',
    labels: [],
  },
  cpu: {
    name: 'process_cpu_seconds_total',
    type: 'counter',
    help: 'User and system CPU time spent.',
    labels: [],
  },
  residentMemory: {
    name: 'process_resident_memory_bytes',
    type: 'gauge',
    help: 'Resident memory size.',
    labels: [],
  },
  openDescriptors: {
    name: 'process_open_fds',
    type: 'gauge',
    help: 'Open file descriptors, one for each connection among them; only where the system tells (Linux).',
    labels: [],
  },
  maxDescriptors: {
    name: 'process_max_fds',
    type: 'gauge',
    help: 'Most file descriptors the process may have open; only where the system tells (Linux).',
    labels: [],
  },
  startTime: {
    name: 'process_start_time_seconds',
    type: 'gauge',
    help: 'Start of the process, in seconds since the epoch.',
    labels: [],
  },
  heapUsed: {
    name: 'nodejs_heap_used_bytes',
    type: 'gauge',
    help: 'JavaScript heap in use.',
    labels: [],
  },
  externalMemory: {
    name: 'nodejs_external_memory_bytes',
    type: 'gauge',
    help: 'Memory of buffers and other things outside the JavaScript heap.',
    labels: [],
  },
  eventLoopUtilization: {
    name: 'nodejs_eventloop_utilization_ratio',
    type: 'gauge',
    help: 'Share of the time since the last scrape the event loop was busy; at 1 everything waits.',
    labels: [],
  },
  eventLoopLagMean: {
    name: 'nodejs_eventloop_lag_mean_seconds',
    type: 'gauge',
    help: 'Mean delay of the event loop since the last scrape.',
    labels: [],
  },
  eventLoopLag99: {
    name: 'nodejs_eventloop_lag_p99_seconds',
    type: 'gauge',
    help: '99th percentile of the delay of the event loop since the last scrape.',
    labels: [],
  },
  eventLoopLagMax: {
    name: 'nodejs_eventloop_lag_max_seconds',
    type: 'gauge',
    help: 'Longest delay of the event loop since the last scrape.',
    labels: [],
  },
} as const satisfies Record<string, MetricSpec>;

export type SeenName = keyof typeof seen;
