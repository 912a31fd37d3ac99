/**
 * Llamero for a live run: the whole gateway in a process of its own, on a clock as fast as that of the simulated Ollamas, so that
 * its times (what it expects of a load, how often it probes) stand to theirs as they do at speed 1. Argument: `GatewayOrder` as JSON.
 */
import { createApp } from '../../src/app.ts';
import { loadConfig } from '../../src/config/load.ts';
import { backendSpecs } from '../../src/core/backend.ts';
import { scaledClock } from '../../src/simulator/clock.ts';
import { realSystem } from '../../src/system.ts';
import type { Case } from '../sim/cases.ts';
import { cachedPrompts } from '../sim/workload.ts';

export interface GatewayOrder {
  readonly of: Case;
  readonly scale: number;
  readonly ports: readonly number[];
}

export interface GatewayReady {
  readonly port: number;
}

async function run({ of, ports, scale }: GatewayOrder): Promise<void> {
  const text = gatewayConfig(of, ports);
  const loaded = await loadConfig({
    file: 'league',
    env: {},
    flags: null,
    files: { read: async () => Buffer.from(text) },
  });
  if (!loaded.ok) throw new Error(JSON.stringify(loaded.problems));
  const { config } = loaded;
  const app = createApp(
    config,
    {
      version: 'league',
      backends: backendSpecs(config.backends),
      simulated: new Set(),
      isTerminal: false,
      reload: async () => ({ ok: false, messages: [] }),
      readBackend: async () => 'the backends of a league stay as they are',
    },
    { ...realSystem, clock: scaledClock(realSystem.clock, scale) },
  );
  const { publicAddress } = await app.listen();
  process.on('SIGTERM', () => void app.close().then(() => process.exit()));
  process.send!({ port: Number(publicAddress.split(':').at(-1)) } satisfies GatewayReady);
}

/** As an operator would write it who knows his backends; nobody gives up, and a slow machine is not taken for a dead backend. */
export function gatewayConfig(of: Case, ports: readonly number[]): string {
  const backends = ports.map((port, index) => ({
    name: `backend-${index}`,
    url: `http://127.0.0.1:${port}`,
    parallel: of.slots,
    places: of.places,
  }));
  return JSON.stringify({
    listen: { address: '127.0.0.1:0', keepAliveTimeout: '10h', bodyTimeout: '10m', headersTimeout: '10m' },
    admin: { address: '127.0.0.1:0' },
    backends,
    policy: { name: 'soonest', prompts: cachedPrompts(of) },
    queue: { limit: 1_000_000, timeout: '10h', refuseEarly: false },
    timeouts: { connect: '10m', firstByte: '10h', firstByteWarm: '10h', idle: '10h' },
    slowClients: { stall: '10h' },
    probes: { timeout: '5m', inventoryTimeout: '5m' },
    health: { fallAfter: 100, slowStart: 0 },
    wedge: { suspect: 0, after: 0 },
    overload: { loopDelay: 0 },
    log: { level: 'warn', format: 'json' },
  });
}

if (import.meta.main) await run(JSON.parse(process.argv[2]!) as GatewayOrder);
