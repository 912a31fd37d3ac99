/** What a running gateway knows that a look from outside does not show: what requests have taught it. */
import type { Config } from '../../config/schema.ts';
import { createAdminClient } from '../admin-client.ts';
import { ask } from './ask.ts';
import { formatAddress } from '../../config/units.ts';
import { reachable } from '../reachable.ts';
import type { GatewayFacts, RunnerFacts } from './facts.ts';

interface FleetAnswer {
  readonly uptime_ms: number;
  readonly backends: readonly {
    readonly name: string;
    readonly learnt: {
      readonly models: readonly {
        readonly model: string;
        readonly options: string;
        readonly slots_at_most: number | null;
      }[];
    } | null;
  }[];
}

export async function lookAtGateway(config: Config): Promise<GatewayFacts | null> {
  const fleet = await createAdminClient(config.admin).get<FleetAnswer>('/gateway/fleet');
  if (!fleet.ok) return null;
  const runners = fleet.value.backends.flatMap(({ learnt, name: backend }): RunnerFacts[] =>
    (learnt?.models ?? []).map(({ model, options, slots_at_most: slotsAtMost }) => ({
      backend,
      model,
      options,
      slotsAtMost,
    })),
  );
  const scrape = await ask(`http://${formatAddress(reachable(config.admin.address))}/metrics`);
  const loads = scrape.kind === 'answered' && scrape.status === 200 ? loadsIn(scrape.body) : [];
  return { uptimeMs: fleet.value.uptime_ms, runners, loads };
}

function loadsIn(exposition: string): GatewayFacts['loads'] {
  return [...exposition.matchAll(/^llamero_model_loads_total\{(.*)\} (\d+)/gm)].map(([, labels = '', count]) => ({
    backend: /backend="([^"]*)"/.exec(labels)?.[1] ?? '',
    model: /model="([^"]*)"/.exec(labels)?.[1] ?? '',
    count: Number(count),
  }));
}
