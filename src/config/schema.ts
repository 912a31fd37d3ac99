/** The whole configuration as one schema, put together from what each room exports for its options. */
import { Type, type Static, type TSchema } from 'typebox';
import { BreakerOptions } from '../backends/breaker.ts';
import { ProberOptions } from '../backends/prober.ts';
import { BackendOptions } from '../core/backend.ts';
import { HealthOptions } from '../core/health.ts';
import { ModelRulesOptions } from '../core/model-rules.ts';
import { PlacementOptions } from '../core/placement.ts';
import { PolicyOptions } from '../core/policies/choice.ts';
import { ProfilesOptions } from '../core/profiles.ts';
import { QuarantineOptions } from '../core/quarantine.ts';
import { RetryOptions } from '../core/retry.ts';
import { SchedulerOptions } from '../core/scheduler-options.ts';
import { WedgeOptions } from '../core/wedge.ts';
import { DiscoveryOptions } from '../backends/discovery/dns.ts';
import { AuthOption, ClientsOptions } from '../identity/options.ts';
import { OverloadOptions } from '../http/pressure.ts';
import { ShutdownOptions } from '../http/stop.ts';
import { SlowClientOptions } from '../http/exchange.ts';
import { SurfaceOptions } from '../http/proxy.ts';
import { ResumeOptions } from '../http/resume.ts';
import { StreamOptions } from '../http/streams.ts';
import { TimeoutOptions } from '../http/timeouts.ts';
import { LogOptions } from '../observe/log.ts';
import { MetricsOptions } from '../observe/metrics.ts';
import { TracingOptions } from '../observe/tracing.ts';
import { StateOptions } from '../store/learnt-file.ts';
import { UsageOptions } from '../store/usage-files.ts';
import { AdminOptions, ListenOptions, SimulateOptions } from './sections.ts';
import { schemaNode, type SchemaNode } from './schema-node.ts';

function describe(schema: TSchema): { description: string } {
  return { description: schemaNode(schema).description ?? '' };
}

// The file's checks of a URL say more than the pattern it has by itself.
const url = Type.String({ ...describe(BackendOptions.properties.url), format: 'uri' });
const Backend = Type.Object(
  { ...BackendOptions.properties, url },
  { additionalProperties: false, ...describe(BackendOptions), short: 'backend-spec' },
);

export const ConfigSchema = Type.Object(
  {
    listen: ListenOptions,
    auth: AuthOption,
    clients: ClientsOptions,
    profiles: ProfilesOptions,
    admin: AdminOptions,
    backends: Type.Array(Backend, {
      description:
        'The Ollamas to send requests to. A plain string is the short form `[name=]URL[#weight=2,slots=4]`. With none, a ' +
        'local Ollama is looked for.',
      default: [],
    }),
    policy: PolicyOptions,
    models: ModelRulesOptions,
    queue: SchedulerOptions,
    timeouts: TimeoutOptions,
    streams: StreamOptions,
    slowClients: SlowClientOptions,
    placement: PlacementOptions,
    surface: SurfaceOptions,
    retry: RetryOptions,
    resume: ResumeOptions,
    quarantine: QuarantineOptions,
    health: HealthOptions,
    wedge: WedgeOptions,
    probes: ProberOptions,
    breaker: BreakerOptions,
    discovery: DiscoveryOptions,
    usage: UsageOptions,
    overload: OverloadOptions,
    log: LogOptions,
    metrics: MetricsOptions,
    tracing: TracingOptions,
    state: StateOptions,
    shutdown: ShutdownOptions,
    simulate: SimulateOptions,
  },
  { additionalProperties: false },
);

/** What every room's factory is handed its part of: defaults filled in, durations in ms, sizes in bytes. */
export type Config = Static<typeof ConfigSchema>;

export const configSchema: SchemaNode = schemaNode(ConfigSchema);
