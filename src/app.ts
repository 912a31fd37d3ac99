/** The wiring: (Config, System) → App. The only file that knows every room; it contains no decision. */
import { createHmac, randomBytes } from 'node:crypto';
import { createBackends, type Backends } from './backends/backends.ts';
import type { Config } from './config/schema.ts';
import type { BackendSpec } from './core/backend.ts';
import { createCatalogue, type Catalogue } from './core/catalogue.ts';
import type { Emit, Event } from './core/events.ts';
import { createFleet, type BackendView, type Fleet } from './core/fleet.ts';
import { createPolicy } from './core/policies/choice.ts';
import { createQuarantine } from './core/quarantine.ts';
import { createRetry } from './core/retry.ts';
import { createRoster, type Roster } from './core/roster.ts';
import { createScheduler, type Scheduler } from './core/scheduler.ts';
import type { BackendId } from './core/types.ts';
import { dialects } from './dialects/index.ts';
import { adminRoutes, type AdminDependencies, type ReloadResult } from './http/admin.ts';
import { journey, type JourneyDependencies } from './http/journey.ts';
import { createLists } from './http/lists.ts';
import { probeRoutes } from './http/probes.ts';
import { createAdminListener, createPublicListener, type Listener, type Serve } from './http/server.ts';
import { createStop } from './http/stop.ts';
import { timeoutsFor } from './http/timeouts.ts';
import { createLog, type Log } from './observe/log.ts';
import { createMetrics, type Metrics } from './observe/metrics.ts';
import type { System } from './system.ts';

export interface AppContext {
  readonly version: string;
  readonly backends: readonly BackendSpec[];
  /** Names of the built-in simulated backends. */
  readonly simulated: ReadonlySet<BackendId>;
  readonly isTerminal: boolean;
  /** Reads and applies the configuration again (`App.reload`); what POST /gateway/reload does. */
  readonly reload: () => Promise<ReloadResult>;
  /** Checks the fields of one backend as the configuration would. */
  readonly readBackend: (fields: Readonly<Record<string, unknown>>) => Promise<BackendSpec | string>;
  /** Where log lines go; standard output when absent. */
  readonly logTo?: { write(line: string): void };
}

export interface App {
  /** Looks at every backend once and then listens. Rejects when an address can't be had; nothing is left running then. */
  listen(): Promise<{ readonly publicAddress: string; readonly adminAddress: string }>;
  view(): readonly BackendView[];
  /**
   * Applies another configuration: requests under way keep theirs, and what was learnt of a backend stays. Returns what takes
   * effect only after a restart.
   */
  reload(config: Config, backends: readonly BackendSpec[]): readonly string[];
  /** Tells log and metrics that a configuration was refused, and that the old one stays. */
  refused(message: string): void;
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
  const { backends, emit, fleet, log, metrics, scheduler } = rooms;
  const roster = createRoster((specs) => {
    fleet.set(specs);
    backends.set(specs);
  });
  const state: State = { config, isStopping: false };
  const { publicListener, adminListener } = createListeners(rooms, roster, state);
  roster.configure(context.backends);

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
    state.isStopping = true;
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
    reload(next, specs) {
      const later = needRestart(state.config, next);
      apply(next, state.config, rooms);
      state.config = next;
      roster.configure(specs);
      emit({
        kind: 'config-reloaded',
        ok: true,
        message: later.length === 0 ? 'reloaded' : `reloaded; after a restart: ${later.join(', ')}`,
      });
      return later;
    },
    refused: (message) => emit({ kind: 'config-reloaded', ok: false, message }),
    stop: createStop(
      { listener: publicListener, clock: system.clock, begin, giveUp: () => scheduler.close(), close },
      config.shutdown,
    ),
    close,
  };
}

interface State {
  config: Config;
  isStopping: boolean;
}

/** What each room can change while it runs. */
function apply(config: Config, before: Config, { backends, fleet, log, scheduler, system }: Rooms): void {
  fleet.setOptions(config.health);
  // The same policy goes on with what it has learnt.
  if (differ(config.policy, before.policy)) scheduler.setPolicy(createPolicy(config.policy, system.rng));
  scheduler.setOptions(config.queue);
  backends.setOptions({ prober: config.probes, breaker: config.breaker });
  log.setOptions(config.log);
}

/** Sections of which a change is not seen until the next start. */
const fixedSections = ['admin', 'metrics', 'quarantine', 'slowClients', 'shutdown', 'simulate'] as const;

function differ(a: unknown, b: unknown): boolean {
  return JSON.stringify(a) !== JSON.stringify(b);
}

function needRestart(before: Config, after: Config): string[] {
  const later: string[] = fixedSections.filter((section) => differ(before[section], after[section]));
  const { bodyLimit: _a, bodyTimeout: _b, ...listenBefore } = before.listen;
  const { bodyLimit: _c, bodyTimeout: _d, ...listenAfter } = after.listen;
  if (differ(listenBefore, listenAfter)) later.push('listen');
  return later;
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
    { clock, rng, observe: (id, observation) => fleet.observe(id, observation) },
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
  roster: Roster,
  state: State,
): { publicListener: Listener; adminListener: Listener } {
  const { catalogue, emit, fleet, metrics, system } = rooms;
  const { clock } = system;
  const travel = createTravel(rooms);
  const lists = createLists({ catalogue, clock, emit, fallbackVersion: '0.0.0' });
  const serve: Serve = (exchange, route, dialect, parameter) => {
    if (route.kind === 'local') lists.answer(exchange, route, dialect, parameter);
    else void journey(exchange, route, dialect, travel(state.config));
  };
  const isUp = ({ state: of }: BackendView) => of === 'up' || of === 'probation';
  const own = probeRoutes({
    notReady: () => (state.isStopping ? 'stopping' : fleet.view().some(isUp) ? null : 'no backend is up'),
    backends: () => fleet.view().map(({ id, state: of, reason }) => ({ id, state: of, detail: reason })),
    metrics: (accept) => metrics.render(accept),
  });
  const { admin, listen, slowClients } = state.config;
  const options = {
    flow: {
      clock,
      perClient: slowClients.buffer,
      budget: { used: 0, limit: slowClients.bufferTotal },
      stallMs: slowClients.stall,
    },
    maxHeaderBytes: 64 * 1024,
    headersTimeoutMs: listen.headersTimeout,
    keepAliveTimeoutMs: listen.keepAliveTimeout,
  };
  const operate = adminRoutes({
    ...operations(rooms, roster),
    token: admin.token ?? null,
    isLoopback: /^(?:127\..*|localhost|::1)$/.test(admin.address.host),
  });
  return {
    publicListener: createPublicListener(Object.values(dialects), own, serve, options),
    adminListener: createAdminListener([...own, ...operate], options),
  };
}

/** What the admin API can do, in core's words. */
function operations({ context, fleet }: Rooms, roster: Roster): Omit<AdminDependencies, 'token' | 'isLoopback'> {
  return {
    backends: () => fleet.view(),
    setDraining: (id, draining) => fleet.observe(id, { kind: 'admin', state: draining ? 'draining' : 'active' }),
    async add(fields) {
      const spec = await context.readBackend(fields);
      if (typeof spec === 'string') return spec;
      return roster.add(spec) ? null : `there is a backend \`${spec.id}\` already`;
    },
    remove: (id) => roster.remove(id),
    change: (id, change) => roster.change(id, change),
    reload: context.reload,
  };
}

/** The journey's dependencies under a configuration; a request keeps those it started with. */
function createTravel(rooms: Rooms): (config: Config) => JourneyDependencies {
  const { backends, emit, scheduler, system } = rooms;
  const { clock, rng } = system;
  const hash = keyedHash();
  const quarantine = createQuarantine(rooms.config.quarantine);
  let last: { readonly config: Config; readonly travel: JourneyDependencies } | null = null;
  return (config) => {
    if (last?.config === config) return last.travel;
    const travel = {
      scheduler,
      client: (id: BackendId) => backends.client(id),
      verdict: (id: BackendId, ok: boolean) => backends.verdict(id, ok),
      retry: createRetry({ rng }, config.retry),
      clock,
      emit,
      hash,
      limits: { size: config.listen.bodyLimit, timeout: config.listen.bodyTimeout, minimumRate: 1024 },
      timeouts: timeoutsFor(config.timeouts),
      quarantine,
      wallNow: system.wallNow,
    };
    last = { config, travel };
    return travel;
  };
}

/** Under a key of this process, so that hashes of prompts mean nothing elsewhere. */
function keyedHash(): (text: string | Uint8Array) => string {
  const key = randomBytes(32);
  return (text) => createHmac('sha256', key).update(text).digest('base64url').slice(0, 22);
}
