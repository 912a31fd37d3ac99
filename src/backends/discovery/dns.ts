/**
 * Backends behind a name: one for each address of an A/AAAA record (`discover: addresses`), or for each target of an SRV record
 * (`discover: srv`). Resolved again and again; an address that has gone is drained by whoever is told.
 */
import { Type, type Static } from 'typebox';
import { hostOf, isSpecialAddress } from '../address-guard.ts';
import type { BackendSpec } from '../../core/backend.ts';
import { Duration } from '../../core/options.ts';
import type { Clock, Millis, Rng, Timer } from '../../core/types.ts';

export const DiscoveryOptions = Type.Object(
  {
    interval: Duration({
      description: 'How often names are resolved again; jittered by 20 %.',
      default: '15s',
      minimum: '100ms',
    }),
  },
  { additionalProperties: false, description: 'Backends that are found by name (`discover`).' },
);
export type DiscoveryOptions = Static<typeof DiscoveryOptions>;

/** The resolver as a value; node:dns in production. Both reject when the name can't be resolved. */
export interface Resolver {
  addresses(host: string): Promise<readonly string[]>;
  services(name: string): Promise<readonly { readonly host: string; readonly port: number; readonly weight: number }[]>;
}

export interface Discovery {
  /** Resolves every name once, now; names that fail keep what they had. */
  resolveNow(): Promise<void>;
  close(): void;
}

export interface DiscoveryDependencies {
  readonly resolver: Resolver;
  readonly clock: Clock;
  readonly rng: Rng;
  /** Called with all backends of a name whenever they have changed, sorted by id. */
  readonly found: (name: string, specs: readonly BackendSpec[]) => void;
  readonly failed: (name: string, reason: string) => void;
}

/** Watches the names among the specs; specs that name no name are not its business. */
export function createDiscovery(
  specs: readonly BackendSpec[],
  dependencies: DiscoveryDependencies,
  options: DiscoveryOptions,
): Discovery {
  const { clock, rng, resolver, found, failed } = dependencies;
  const names = specs.filter((spec) => spec.discover !== undefined);
  const known = new Map<string, string>();
  let timer: Timer | null = null;
  let isClosed = false;

  async function resolveOne(spec: BackendSpec): Promise<void> {
    try {
      const members = await membersOf(spec, resolver);
      // An empty answer is more often a fault of the resolver than an empty fleet.
      if (members.length === 0) throw new Error('the name has no address');
      const text = JSON.stringify(members.map(({ id, url, weight }) => [id, url, weight]));
      if (isClosed || known.get(spec.id) === text) return;
      known.set(spec.id, text);
      found(spec.id, members);
    } catch (error) {
      if (!isClosed) failed(spec.id, (error as Error).message);
    }
  }

  async function resolveNow(): Promise<void> {
    timer?.cancel();
    await Promise.all(names.map(resolveOne));
    if (!isClosed && names.length > 0) timer = clock.after(jittered(options.interval, rng), () => void resolveNow());
  }

  return {
    resolveNow,
    close() {
      isClosed = true;
      timer?.cancel();
    },
  };
}

async function membersOf(spec: BackendSpec, resolver: Resolver): Promise<BackendSpec[]> {
  const url = new URL(spec.url);
  const members =
    spec.discover === 'srv'
      ? (await resolver.services(url.hostname)).map(({ host, port, weight }) =>
          memberOf(spec, url, { host, port, weight }),
        )
      : (await resolver.addresses(url.hostname)).map((host) => memberOf(spec, url, { host, port: null, weight: 0 }));
  // What such a name of a service resolves to is looked at when it is connected to.
  if (spec.specialAddress !== true && members.some(({ url: found }) => isSpecialAddress(hostOf(found)))) {
    throw new Error('the name has an address that no backend may have (`specialAddress`)');
  }
  return members.sort((a, b) => (a.id < b.id ? -1 : 1));
}

/** A backend of its own, named after the name and its address; over TLS it is still verified as the name. */
function memberOf(
  spec: BackendSpec,
  url: URL,
  { host, port, weight }: { readonly host: string; readonly port: number | null; readonly weight: number },
): BackendSpec {
  const { discover: _discover, ...rest } = spec;
  const at = new URL(url);
  at.hostname = host.includes(':') ? `[${host}]` : host;
  if (port !== null) at.port = String(port);
  const label = `${host}${port === null ? '' : `-${port}`}`.replace(/[^A-Za-z0-9.-]/g, '-');
  const tls =
    url.protocol === 'https:'
      ? { tls: { insecureSkipVerify: false, ...spec.tls, servername: spec.tls?.servername ?? url.hostname } }
      : {};
  return {
    ...rest,
    ...tls,
    id: `${spec.id}-${label}`.slice(-63).replace(/^[^A-Za-z0-9]+/, ''),
    url: at.href.replace(/\/+$/, ''),
    weight: weight > 0 ? spec.weight * weight : spec.weight,
  };
}

function jittered(ms: Millis, rng: Rng): Millis {
  return ms * (0.8 + 0.4 * rng.next());
}
