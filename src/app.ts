/** The wiring: (Config, System) → App. The only file that knows every room; it contains no decision. */
import { createHmac, randomBytes } from 'node:crypto';
import { createBackends, type Backends } from './backends/backends.ts';
import type { Config } from './config/schema.ts';
import type { BackendSpec } from './core/backend.ts';
import { createCatalogue, type Catalogue } from './core/catalogue.ts';
import type { Emit, Event } from './core/events.ts';
import { createFleet, type BackendView, type Fleet } from './core/fleet.ts';
import { createPolicy } from './core/policies/choice.ts';
import { createRetry } from './core/retry.ts';
import { createScheduler, type Scheduler } from './core/scheduler.ts';
import type { BackendId } from './core/types.ts';
import { dialects } from './dialects/index.ts';
import { journey } from './http/journey.ts';
import { createLists } from './http/lists.ts';
import { probeRoutes } from './http/probes.ts';
import { createAdminListener, createPublicListener, type Listener, type Serve } from './http/server.ts';
import { createStop } from './http/stop.ts';
import { createLog, type Log } from './observe/log.ts';
import { createMetrics, type Metrics } from './observe/metrics.ts';
import type { System } from './system.ts';

export interface AppContext {
  readonly version: string;
  readonly backends: readonly BackendSpec[];
  /** Names of the built-in simulated backends. */
  readonly simulated: ReadonlySet<BackendId>;
  readonly isTerminal: boolean;
  /** Where log lines go; standard output when absent. */
  readonly logTo?: { write(line: string): void };
}

export interface App {
  /** Looks at every backend once and then listens. Rejects when an address can't be had; nothing is left running then. */
  listen(): Promise<{ readonly publicAddress: string; readonly adminAddress: string }>;
  view(): readonly BackendView[];
  /** Stops as SIGTERM does; resolves when the last answer has ended or its grace is over. */
  stop(): Promise<void>;
  /** Stops now. */
  close(): Promise<void>;
  readonly log: Log;
}

/** The rooms, made and connected; nothing listens yet. */
interface Rooms {
  readonly config: Config;
  readonly context: AppContext;
  readonly system: System;
  readonly emit: Emit;
  readonly log: Log;
  readonly fleet: Fleet;
  readonly catalogue: Catalogue;
  readonly scheduler: Scheduler;
  readonly backends: Backends;
  readonly metrics: Metrics;
}

export function createApp(config: Config, context: AppContext, system: System): App {
  const rooms = createRooms(config, context, system);
  const { backends, fleet, log, metrics, scheduler } = rooms;
  let isStopping = false;
  const { publicListener, adminListener } = createListeners(rooms, () => isStopping);
  fleet.set(context.backends);
  backends.set(context.backends);

  const close = async () => {
    scheduler.close();
    publicListener.closeAll();
    adminListener.closeAll();
    await Promise.all([publicListener.close(), adminListener.close(), backends.close()]);
    fleet.close();
    metrics.close();
    log.close();
  };
  const begin = () => {
    isStopping = true;
  };

  return {
    log,
    view: () => fleet.view(),
    async listen() {
      try {
        await backends.probeNow();
        const publicAddress = await publicListener.listen(config.listen.address);
        const adminAddress = await adminListener.listen(config.admin.address);
        return { publicAddress, adminAddress };
      } catch (error) {
        await close();
        throw error;
      }
    },
    stop: createStop(
      { listener: publicListener, clock: system.clock, begin, giveUp: () => scheduler.close(), close },
      config.shutdown,
    ),
    close,
  };
}

function createRooms(config: Config, context: AppContext, system: System): Rooms {
  const { clock, rng } = system;
  const isSimulated = (id: BackendId) => context.simulated.has(id);
  const destination = context.logTo === undefined ? {} : { destination: context.logTo };
  const log = createLog({ isTerminal: context.isTerminal, isSimulated, ...destination }, config.log);
  const observers: ((event: Event) => void)[] = [(event) => log.observe(event)];
  const emit = (event: Event) => {
    for (const observe of observers) observe(event);
  };

  const fleet = createFleet({ clock, rng, emit }, config.health);
  const catalogue = createCatalogue({ fleet, emit });
  const policy = createPolicy(config.policy, rng);
  const scheduler = createScheduler({ fleet, policy, clock, emit }, config.queue);
  const backends = createBackends(
    { clock, rng, emit, observe: (id, observation) => fleet.observe(id, observation) },
    { prober: config.probes, breaker: config.breaker },
  );
  const metrics = createMetrics(
    {
      view: () => ({ backends: fleet.view(), waiting: scheduler.view().waitingByModel }),
      isSimulated,
      isKnownModel: (name) => catalogue.find(name) !== null,
      wallNow: system.wallNow,
      version: context.version,
    },
    config.metrics,
  );
  observers.push((event) => metrics.observe(event));
  return { config, context, system, emit, log, fleet, catalogue, scheduler, backends, metrics };
}

function createListeners(
  rooms: Rooms,
  isStopping: () => boolean,
): { publicListener: Listener; adminListener: Listener } {
  const { backends, catalogue, config, emit, fleet, metrics, scheduler, system } = rooms;
  const { clock, rng } = system;
  const travel = {
    scheduler,
    client: (id: BackendId) => backends.client(id),
    verdict: (id: BackendId, ok: boolean) => backends.verdict(id, ok),
    retry: createRetry({ rng }, config.retry),
    clock,
    emit,
    hash: keyedHash(),
    limits: { size: config.listen.bodyLimit, timeout: config.listen.bodyTimeout, minimumRate: 1024 },
    timeouts: config.timeouts,
  };
  const lists = createLists({ catalogue, clock, emit, fallbackVersion: '0.0.0' });
  const serve: Serve = (exchange, route, dialect, parameter) => {
    if (route.kind === 'local') lists.answer(exchange, route, dialect, parameter);
    else void journey(exchange, route, dialect, travel);
  };
  const isUp = ({ state }: BackendView) => state === 'up' || state === 'probation';
  const own = probeRoutes({
    notReady: () => (isStopping() ? 'stopping' : fleet.view().some(isUp) ? null : 'no backend is up'),
    backends: () => fleet.view().map(({ id, state, reason }) => ({ id, state, detail: reason })),
    metrics: (accept) => metrics.render(accept),
  });
  const options = {
    flow: {
      clock,
      perClient: config.slowClients.buffer,
      budget: { used: 0, limit: config.slowClients.bufferTotal },
      stallMs: config.slowClients.stall,
    },
    maxHeaderBytes: 64 * 1024,
    headersTimeoutMs: config.listen.headersTimeout,
    keepAliveTimeoutMs: config.listen.keepAliveTimeout,
  };
  return {
    publicListener: createPublicListener(Object.values(dialects), own, serve, options),
    adminListener: createAdminListener(own, options),
  };
}

/** Under a key of this process, so that hashes of prompts mean nothing elsewhere. */
function keyedHash(): (text: string | Uint8Array) => string {
  const key = randomBytes(32);
  return (text) => createHmac('sha256', key).update(text).digest('base64url').slice(0, 22);
}
