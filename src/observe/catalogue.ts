/**
 * Every metric the gateway has, as data: the registry is built from this table and docs/metrics.md is generated from it, so
 * neither can know a metric the other does not. Base units (seconds, bytes) throughout; no averages, they cannot be added up.
 */
import { resumeOutcomes } from '../core/events.ts';
import type { RewriteKind } from '../core/model-rules.ts';
import { seen, type SeenName } from './catalogue-seen.ts';

export type MetricType = 'counter' | 'gauge' | 'histogram';

export type LabelName =
  | 'route'
  | 'client'
  | 'model'
  | 'backend'
  | 'outcome'
  | 'priority'
  | 'stream'
  | 'warm'
  | 'type'
  | 'reason'
  | 'state'
  | 'from'
  | 'to'
  | 'phase'
  | 'cause'
  | 'version'
  | 'node'
  | 'simulated'
  | 'metric'
  | 'kind';

export type Labels = Readonly<Partial<Record<LabelName, string>>>;

export interface MetricSpec {
  readonly name: string;
  readonly type: MetricType;
  /** One sentence: what one sample says. It is the HELP text and the docs row. */
  readonly help: string;
  readonly labels: readonly LabelName[];
  /** Histograms only: which list of `metrics.buckets` holds the upper bounds. */
  readonly buckets?: BucketName;
  /** Label sets that exist from the start, so that the first event is a rise from 0 and not the birth of a series. */
  readonly zero?: readonly Labels[];
  /** Histograms only: whether observations carry the trace id of their request in OpenMetrics output. */
  readonly exemplars?: true;
}

export type BucketName =
  | 'duration'
  | 'firstToken'
  | 'perToken'
  | 'queueWait'
  | 'load'
  | 'tokenRate'
  | 'overhead'
  | 'garbageCollection';

/**
 * Upper bounds. Those of the first five rows are subsets of vLLM's, so that panels of both can be laid over each other:
 * a cold load of minutes is a normal sight here, and the last bounds leave room for it.
 */
export const defaultBuckets: Readonly<Record<BucketName, readonly number[]>> = {
  duration: [0.5, 1, 2.5, 5, 10, 20, 30, 60, 120, 240, 480, 960, 1920],
  firstToken: [0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 10, 20, 40, 80, 160, 640],
  perToken: [0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.5, 1, 2.5],
  queueWait: [0.01, 0.1, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300],
  load: [0.5, 1, 2.5, 5, 10, 20, 40, 80, 160, 640],
  tokenRate: [1, 2, 5, 10, 20, 30, 50, 75, 100, 150, 200, 300, 500],
  overhead: [0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1],
  garbageCollection: [0.001, 0.01, 0.1, 1],
};

const rewrites = ['alias', 'fallback', 'num-ctx', 'keep-alive'] as const satisfies readonly RewriteKind[];
const phases = ['receiving', 'queued', 'connecting', 'waiting', 'streaming'] as const;
const routeReasons = ['only', 'warm', 'sticky', 'least-busy', 'cold', 'policy', 'placement'] as const;
const rejections = [
  'queue-full',
  'queue-timeout',
  'too-many-waiting',
  'tokens-per-minute',
  'tokens-per-day',
  'no-backend',
  'unknown-model',
  'shutting-down',
] as const;

/** Counters and histograms fed by events. */
export const told = {
  requests: {
    name: 'llamero_requests_total',
    type: 'counter',
    help: 'Finished requests; outcome is ok, client-gone, client-error, backend-error or a code of errors.md.',
    labels: ['route', 'model', 'backend', 'outcome', 'stream'],
  },
  duration: {
    name: 'llamero_request_duration_seconds',
    type: 'histogram',
    help: 'From the arrival of a request to the close of its response.',
    labels: ['route', 'model', 'outcome'],
    buckets: 'duration',
    exemplars: true,
  },
  firstToken: {
    name: 'llamero_time_to_first_token_seconds',
    type: 'histogram',
    help: 'From the arrival of a request to the first bytes of its stream; warm says whether the model was in memory.',
    labels: ['route', 'model', 'backend', 'warm'],
    buckets: 'firstToken',
    exemplars: true,
  },
  perToken: {
    name: 'llamero_time_per_output_token_seconds',
    type: 'histogram',
    help: 'Mean time between the output tokens of one answer.',
    labels: ['model', 'backend'],
    buckets: 'perToken',
  },
  queueWait: {
    name: 'llamero_queue_wait_seconds',
    type: 'histogram',
    help: 'Time spent waiting for a slot, 0 when there was one; outcome is leased, timeout or client-gone.',
    labels: ['model', 'priority', 'outcome'],
    buckets: 'queueWait',
    exemplars: true,
  },
  tokens: {
    name: 'llamero_tokens_total',
    type: 'counter',
    help: 'Tokens as the backends count them; type is input or output.',
    labels: ['model', 'backend', 'type'],
  },
  clientTokens: {
    name: 'llamero_client_tokens_total',
    type: 'counter',
    help: 'Tokens by who used them; nothing unless metrics.clients allows it.',
    labels: ['client', 'type'],
  },
  clientRequests: {
    name: 'llamero_client_requests_total',
    type: 'counter',
    help: 'Finished requests by who asked; nothing unless metrics.clients allows it.',
    labels: ['client', 'outcome'],
  },
  modelLoad: {
    name: 'llamero_model_load_seconds',
    type: 'histogram',
    help: 'What requests that found their model cold waited for it (load_duration of Ollama, from 0.2 s on).',
    labels: ['model', 'backend'],
    buckets: 'load',
  },
  tokenRate: {
    name: 'llamero_generation_tokens_per_second',
    type: 'histogram',
    help: 'Output tokens per second of generation, by the clock of the backend.',
    labels: ['model', 'backend'],
    buckets: 'tokenRate',
  },
  overhead: {
    name: 'llamero_overhead_seconds',
    type: 'histogram',
    help: 'From the last byte of a request until a backend was asked, queue wait not counted: what the gateway itself took.',
    labels: ['route'],
    buckets: 'overhead',
  },
  circuitTransitions: {
    name: 'llamero_circuit_transitions_total',
    type: 'counter',
    help: 'Changes of state of a circuit breaker.',
    labels: ['backend', 'from', 'to'],
  },
  stateTransitions: {
    name: 'llamero_backend_state_transitions_total',
    type: 'counter',
    help: 'Changes of state of a backend.',
    labels: ['backend', 'from', 'to'],
  },
  modelLoads: {
    name: 'llamero_model_loads_total',
    type: 'counter',
    help: 'Models that came into memory on a backend, by what brought them.',
    labels: ['model', 'backend', 'reason'],
  },
  modelUnloads: {
    name: 'llamero_model_unloads_total',
    type: 'counter',
    help: 'Models that left the memory of a backend, by what removed them.',
    labels: ['model', 'backend', 'reason'],
  },
  attemptFailures: {
    name: 'llamero_attempt_failures_total',
    type: 'counter',
    help: 'Attempts that failed on a backend, whether or not another one saved the request.',
    labels: ['backend', 'reason'],
  },
  retries: {
    name: 'llamero_retries_total',
    type: 'counter',
    help: 'Failed attempts that were followed by another one, by failure.',
    labels: ['reason'],
  },
  failovers: {
    name: 'llamero_failovers_total',
    type: 'counter',
    help: 'Moves of a request to another backend, by how the request ended.',
    labels: ['outcome'],
    zero: [{ outcome: 'ok' }],
  },
  rejected: {
    name: 'llamero_rejected_total',
    type: 'counter',
    help: 'Requests turned away before any backend was asked, by code of errors.md.',
    labels: ['reason'],
    zero: rejections.map((reason) => ({ reason })),
  },
  clientDisconnects: {
    name: 'llamero_client_disconnects_total',
    type: 'counter',
    help: 'Clients that left before their answer was complete, by where the request was.',
    labels: ['phase'],
    zero: phases.map((phase) => ({ phase })),
  },
  streamAborted: {
    name: 'llamero_stream_aborted_total',
    type: 'counter',
    help: 'Answers cut off after their first byte by a failure, by cause.',
    labels: ['backend', 'cause'],
  },
  routingDecisions: {
    name: 'llamero_routing_decisions_total',
    type: 'counter',
    help: 'Requests sent to a backend, by why that one was chosen.',
    labels: ['reason'],
    zero: routeReasons.map((reason) => ({ reason })),
  },
  digestSkew: {
    name: 'llamero_digest_skew_total',
    type: 'counter',
    help: 'Times a model was found to have different contents on different backends.',
    labels: ['model'],
  },
  resumes: {
    name: 'llamero_resumes_total',
    type: 'counter',
    help: 'Streams lost in the middle while `resume.enabled`, by whether another backend went on with them.',
    labels: ['outcome'],
    zero: resumeOutcomes.map((outcome) => ({ outcome })),
  },
  rewritten: {
    name: 'llamero_requests_rewritten_total',
    type: 'counter',
    help: 'Requests that a rule of `models` has changed, by what was changed.',
    labels: ['kind'],
    zero: rewrites.map((kind) => ({ kind })),
  },
  quarantined: {
    name: 'llamero_quarantined_total',
    type: 'counter',
    help: 'Requests that broke so many backends that the same request is refused for a while.',
    labels: ['model'],
  },
  runnersWedged: {
    name: 'llamero_runners_wedged_total',
    type: 'counter',
    help: 'Models found hanging in the memory of a backend whose probes succeed; they get no requests until unloaded.',
    labels: ['backend', 'model'],
  },
  requiredPulls: {
    name: 'llamero_required_pulls_total',
    type: 'counter',
    help: 'Pulls of models that are required: `begun`, `done` or `failed`.',
    labels: ['backend', 'outcome'],
  },
  modelStandings: {
    name: 'llamero_model_standing_transitions_total',
    type: 'counter',
    help: 'Changes of how far a model is trusted on a backend: trusted, ejected, or on probation.',
    labels: ['backend', 'model', 'from', 'to'],
  },
  wakes: {
    name: 'llamero_backend_wakes_total',
    type: 'counter',
    help: 'Sleeping backends that were woken (`sent`, or `unsent` when the packet could not be), and how it ended: `awake`, `asleep`.',
    labels: ['backend', 'outcome'],
  },
  bugs: {
    name: 'llamero_bugs_total',
    type: 'counter',
    help: 'Failed assertions of the gateway; anything but 0 deserves a report.',
    labels: [],
    zero: [{}],
  },
  folded: {
    name: 'llamero_metrics_folded_total',
    type: 'counter',
    help: 'Observations recorded under other because metrics.seriesBudget was used up, by metric.',
    labels: ['metric'],
  },
  garbageCollection: {
    name: 'nodejs_gc_duration_seconds',
    type: 'histogram',
    help: 'Pauses for garbage collection; kind is major, minor, incremental or weakcb.',
    labels: ['kind'],
    buckets: 'garbageCollection',
  },
} as const satisfies Record<string, MetricSpec>;

export { seen, type SeenName };
export type ToldName = keyof typeof told;

export const catalogue: readonly MetricSpec[] = [...Object.values(told), ...Object.values(seen)];
