/** The wiring: (Config, System) → App. The only file that knows every room; it contains no decision. */
import { createHmac, randomBytes } from 'node:crypto';
import { createBackends } from './backends/backends.ts';
import type { Config } from './config/schema.ts';
import type { BackendSpec } from './core/backend.ts';
import { createCatalogue } from './core/catalogue.ts';
import type { Event } from './core/events.ts';
import { createFleet, type BackendView } from './core/fleet.ts';
import { createPolicy } from './core/policies/choice.ts';
import { createRetry } from './core/retry.ts';
import { createScheduler } from './core/scheduler.ts';
import type { BackendId } from './core/types.ts';
import { dialects } from './dialects/index.ts';
import { journey } from './http/journey.ts';
import { createLists } from './http/lists.ts';
import { probeRoutes } from './http/probes.ts';
import { createAdminListener, createPublicListener, type Serve } from './http/server.ts';
import { createStop } from './http/stop.ts';
import { createLog } from './observe/log.ts';
import { createMetrics } from './observe/metrics.ts';
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
  readonly log: ReturnType<typeof createLog>;
}

export function createApp(config: Config, context: AppContext, system: System): App {
  const { clock, rng } = system;
  const isSimulated = (id: BackendId) => context.simulated.has(id);
  const log = createLog(
    {
      isTerminal: context.isTerminal,
      isSimulated,
      ...(context.logTo === undefined ? {} : { destination: context.logTo }),
    },
    config.log,
  );
  const observers: ((event: Event) => void)[] = [log.observe];
  const emit = (event: Event) => {
    for (const observe of observers) observe(event);
  };

  const fleet = createFleet({ clock, rng, emit }, config.health);
  const catalogue = createCatalogue({ fleet, emit });
  const policy = createPolicy(config.policy, rng);
  const scheduler = createScheduler({ fleet, policy, clock, emit }, config.queue);
  const backends = createBackends(
    { clock, rng, emit, observe: fleet.observe.bind(fleet) },
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
  observers.push(metrics.observe);

  const key = randomBytes(32);
  const hash = (text: string | Uint8Array) => createHmac('sha256', key).update(text).digest('base64url').slice(0, 22);
  const travel = {
    scheduler,
    client: backends.client,
    verdict: backends.verdict,
    retry: createRetry({ rng }, config.retry),
    clock,
    emit,
    hash,
    limits: { size: config.listen.bodyLimit, timeout: config.listen.bodyTimeout, minimumRate: 1024 },
    timeouts: config.timeouts,
  };
  const lists = createLists({ catalogue, clock, emit, fallbackVersion: '0.0.0' });
  const serve: Serve = (exchange, route, dialect, parameter) => {
    if (route.kind === 'local') lists.answer(exchange, route, dialect, parameter);
    else void journey(exchange, route, dialect, travel);
  };

  const stopping = { now: false };
  const own = probeRoutes({
    notReady: () =>
      stopping.now ? 'stopping' : fleet.view().some(({ state }) => state === 'up') ? null : 'no backend is up',
    backends: () => fleet.view().map(({ id, state, reason }) => ({ id, state, detail: reason })),
    metrics: (accept) => metrics.render(accept),
  });
  const listenerOptions = {
    maxHeaderBytes: 64 * 1024,
    headersTimeoutMs: config.listen.headersTimeout,
    keepAliveTimeoutMs: config.listen.keepAliveTimeout,
  };
  const publicListener = createPublicListener(Object.values(dialects), own, serve, listenerOptions);
  const adminListener = createAdminListener(own, listenerOptions);
  fleet.set(context.backends);
  backends.set(context.backends);

  const close = async () => {
    publicListener.closeAll();
    adminListener.closeAll();
    await Promise.all([publicListener.close(), adminListener.close(), backends.close()]);
    scheduler.close();
    fleet.close();
    metrics.close();
    log.close();
  };

  const begin = () => {
    stopping.now = true;
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
      { listener: publicListener, clock, begin, giveUp: () => scheduler.close(), close },
      config.shutdown,
    ),
    close,
  };
}
