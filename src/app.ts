/** The wiring: (Config, System) → App. The only file that knows every room; it contains no decision. */
import { hostname } from 'node:os';
import { createBackends, type Backends } from './backends/backends.ts';
import { createDiscovery, type Discovery, type Resolver } from './backends/discovery/dns.ts';
import { nodeResolver } from './backends/discovery/node-resolver.ts';
import { createUpkeep, type Upkeep } from './backends/upkeep.ts';
import { write } from './config/effective.ts';
import { isOwnAddress } from './config/exposure.ts';
import { configSchema, type Config } from './config/schema.ts';
import type { BackendSpec } from './core/backend.ts';
import { createCatalogue, type Catalogue } from './core/catalogue.ts';
import type { AuditEntry } from './core/audit-entry.ts';
import { isInUse } from './core/backend-view.ts';
import { createFleet, type BackendView, type Fleet } from './core/fleet.ts';
import { createPolicy, policyName } from './core/policies/choice.ts';
import { createRoster, type Roster } from './core/roster.ts';
import { createScheduler, type Scheduler } from './core/scheduler.ts';
import type { BackendId } from './core/types.ts';
import { watchLeases } from './core/wedge.ts';
import { dialects } from './dialects/index.ts';
import { createAdmin, type Admin } from './http/admin/create-admin.ts';
import type { ReloadResult } from './http/admin/handlers.ts';
import { createAuthenticate, type Authenticate } from './http/authenticate.ts';
import { createDoor } from './http/door.ts';
import type { Exchange } from './http/exchange.ts';
import { createHandling } from './http/handling.ts';
import { journey } from './http/journey.ts';
import { createEntrance } from './http/entrance.ts';
import { createLists } from './http/lists.ts';
import { probeRoutes } from './http/probes.ts';
import type { Listener } from './http/listener.ts';
import { TurnEnd } from './http/turn-end.ts';
import { createPressure, type Pressure } from './http/pressure.ts';
import { createAdminListener, createPublicListener, type Serve, type ServeUnknown } from './http/server.ts';
import { changingRoutes } from './http/scopes.ts';
import { createStop } from './http/stop.ts';
import { beginTrace } from './http/trace.ts';
import { createIdentity, type Identity } from './identity/identity.ts';
import { createAudit } from './observe/audit.ts';
import type { Log } from './observe/log.ts';
import { createObservers, type Observers } from './observe/observers.ts';
import { appendAudit } from './store/audit-file.ts';
import { createLearntFile, type LearntFile } from './store/learnt-file.ts';
import { createUsageFiles, type UsageFiles } from './store/usage-files.ts';
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
  /** Descriptors of sockets that listen already. */
  readonly inherited?: { readonly public?: number; readonly admin?: number };
  /** How names are resolved; the system's way when absent. */
  readonly resolver?: Resolver;
  /** Where traces are sent, the path included; they are off when absent. */
  readonly traceEndpoint?: string | null;
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
interface Rooms extends Observers {
  readonly config: Config;
  readonly context: AppContext;
  readonly system: System;
  readonly fleet: Fleet;
  readonly catalogue: Catalogue;
  readonly scheduler: Scheduler;
  readonly backends: Backends;
  readonly pressure: Pressure;
  readonly roster: Roster;
  readonly upkeep: Upkeep;
  readonly authenticate: Authenticate;
  readonly identity: Identity;
  readonly learntFile: LearntFile;
  readonly usage: UsageFiles;
}

export function createApp(config: Config, context: AppContext, system: System): App {
  const rooms = createRooms(config, context, system);
  const { backends, emit, fleet, identity, learntFile, log, metrics, pressure, roster, scheduler } = rooms;
  const { tracing, upkeep } = rooms;
  const state: State = { config, isStopping: false, discovery: discover(context.backends, config, rooms) };
  keepAudit(rooms, state);
  const { admin, publicListener, adminListener } = createListeners(rooms, state);
  roster.configure(context.backends);

  const close = async () => {
    state.discovery.close();
    pressure.close();
    scheduler.close();
    upkeep.close();
    admin.close();
    const files = [identity.close(), learntFile.close()];
    await Promise.all([publicListener.close(), adminListener.close(), backends.close(), ...files]);
    await tracing.close();
    await rooms.usage.close();
    fleet.close();
    metrics.close();
    await log.close();
  };
  const begin = () => {
    state.isStopping = true;
  };

  return {
    log,
    view: () => fleet.view(),
    async listen() {
      try {
        await identity.load();
        await state.discovery.resolveNow();
        await backends.probeNow();
        await learntFile.load();
        await rooms.usage.load();
        const shared = config.listen.reusePort;
        const { public: ours, admin: theirs } = context.inherited ?? {};
        const publicAddress = await publicListener.listen(config.listen.address, { inherited: ours, shared });
        const adminAddress = await adminListener.listen(config.admin.address, { inherited: theirs, shared });
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
      const fault = publicListener.renewCertificate();
      if (fault !== null) log.say('error', 'certificate not renewed', { reason: fault });
      roster.configure(specs);
      state.discovery.close();
      state.discovery = discover(specs, next, rooms);
      void state.discovery.resolveNow();
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
  discovery: Discovery;
}

/** Watches the names among the backends and tells the roster what is behind them. */
function discover(specs: readonly BackendSpec[], config: Config, { context, log, roster, system }: Rooms): Discovery {
  const { clock, rng } = system;
  return createDiscovery(
    specs,
    {
      resolver: context.resolver ?? nodeResolver,
      clock,
      rng,
      found(name, members) {
        log.say('info', 'backends found', { name, backends: members.map(({ id }) => id).join(' ') });
        roster.found(name, members);
      },
      failed: (name, reason) => log.say('warn', 'name not resolved', { name, reason }),
    },
    config.discovery,
  );
}

/** Adds to the audit file, while there is one, what is worth an entry. */
function keepAudit({ log, subscribe, system }: Rooms, state: State): void {
  const append = (entry: AuditEntry) => {
    const file = state.config.log.audit;
    if (file === undefined) return;
    appendAudit(file, entry).catch(({ message }: Error) => log.say('error', 'audit', { reason: message }));
  };
  const changes = changingRoutes(Object.values(dialects));
  subscribe(createAudit({ wallNow: system.wallNow, append, changes }));
}

/** What each room can change while it runs. */
function apply(config: Config, before: Config, rooms: Rooms): void {
  const { backends, fleet, identity, learntFile, log, scheduler, system, upkeep } = rooms;
  void learntFile.save();
  learntFile.setOptions(config.state);
  fleet.setOptions(config.health);
  // The same policy goes on with what it has learnt.
  if (differ(config.policy, before.policy)) scheduler.setPolicy(createPolicy(config.policy, system.rng));
  scheduler.setOptions(config.queue);
  upkeep.setOptions(config);
  backends.setOptions({ prober: config.probes, breaker: config.breaker });
  log.setOptions(config.log);
  identity.setOptions(config);
}

/** Sections of which a change is not seen until the next start. */
const fixedSections = [
  'admin',
  'metrics',
  'overload',
  'quarantine',
  'slowClients',
  'shutdown',
  'simulate',
  'usage',
] as const;

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
  const destination = context.logTo === undefined ? {} : { destination: context.logTo };
  const observers = createObservers(
    {
      ...destination,
      clock,
      wallNow: system.wallNow,
      version: context.version,
      isTerminal: context.isTerminal,
      traceEndpoint: context.traceEndpoint ?? null,
      isSimulated: (id) => context.simulated.has(id),
      view: () => ({
        backends: fleet.view(),
        queue: { limit: scheduler.view().limit, jobs: scheduler.waiting() },
        required: upkeep.required.view(),
        auth: authenticate.outcomes,
      }),
      urlOf: (id) => fleet.view().find((view) => view.id === id)?.spec.url ?? null,
      isKnownModel: (name) => catalogue.find(name) !== null,
    },
    config,
  );
  const { emit, log } = observers;

  const fleet = createFleet({ clock, rng, emit }, config.health);
  const catalogue = createCatalogue({ fleet, emit });
  const policy = createPolicy(config.policy, rng);
  const backends = createBackends(
    { clock, rng, observe: (id, observation) => fleet.observe(id, observation) },
    { prober: config.probes, breaker: config.breaker },
  );
  const upkeep = createUpkeep({ backends, clock, emit, fleet }, config);
  const { perform, wakes, wedges } = upkeep;
  const scheduler = watchLeases(
    createScheduler({ fleet, policy, clock, emit, perform, wake: wakes }, config.queue),
    wedges,
  );
  const learntFile = createLearntFile({ clock, scheduler, log }, config.state);
  const usage = createUsageFiles({ clock, wallNow: system.wallNow, log }, config.usage);
  observers.subscribe((event) => usage.observe(event));
  const roster = createRoster((specs) => {
    fleet.set(specs);
    backends.set(specs);
  });
  const pressure = createPressure(clock, system.measureLoad(), config.overload);
  const identity = createIdentity(
    { clock, wallNow: system.wallNow, complain: (message) => log.say('error', 'clients', { reason: message }) },
    config,
  );
  const authenticate = createAuthenticate(identity);
  const parts = { fleet, catalogue, scheduler, backends, pressure, roster, upkeep, identity, learntFile, usage };
  return { config, context, system, ...observers, ...parts, authenticate };
}

interface Listeners {
  readonly publicListener: Listener;
  readonly adminListener: Listener;
  readonly admin: Admin;
}

function createListeners(rooms: Rooms, state: State): Listeners {
  const { catalogue, emit, fleet, identity, metrics, system, tracing } = rooms;
  const { clock, rng } = system;
  const handling = createHandling({ ...rooms, ...system }, rooms.config.quarantine);
  const lists = createLists({
    aliases: () => handling(state.config).travel.book.rules.aliases,
    catalogue,
    clock,
    emit,
    fallbackVersion: '0.0.0',
  });
  const serve: Serve = (exchange, route, dialect, parameter) => {
    if (tracing.isOn) exchange.trace = beginTrace(exchange.headers, state.config.tracing.sample, rng.next());
    if (route.kind === 'local') lists.answer(exchange, route, dialect, parameter);
    else if (route.kind === 'infer') void journey(exchange, route, dialect, handling(state.config).travel);
    else handling(state.config).surface.serve(exchange, route, dialect, parameter);
  };
  const serveUnknown: ServeUnknown = (...unknown) => handling(state.config).surface.forward(...unknown);
  const notReady = () => (state.isStopping ? 'stopping' : fleet.view().some(takesRequests) ? null : 'no backend is up');
  const own = probeRoutes({
    notReady,
    backends: () => fleet.view().map(({ id, state: of, reason }) => ({ id, state: of, detail: reason })),
    metrics: (accept) => metrics.render(accept),
  });
  const { listen, overload, slowClients } = state.config;
  const options = {
    flow: {
      clock,
      turn: new TurnEnd(),
      perClient: slowClients.buffer,
      budget: { used: 0, limit: slowClients.bufferTotal },
      stallMs: slowClients.stall,
    },
    maxHeaderBytes: listen.headerLimit,
    maxFields: listen.headerFields,
    maxConnections: overload.connections,
    headersTimeoutMs: listen.headersTimeout,
    keepAliveTimeoutMs: listen.keepAliveTimeout,
  };
  const door = createDoor({ ...listen, hostname: hostname() });
  const entrance = createEntrance({
    authenticate: rooms.authenticate,
    bound: (own) => identity.bound(own),
    addressQuota: () => state.config.clients.requests,
    clock,
    emit,
  });
  const handlers = { serve, serveUnknown, door, entrance };
  const publicListener = createPublicListener(Object.values(dialects), own, handlers, { ...options, tls: listen.tls });
  const admin = createOperations(rooms, state, { exchanges: () => publicListener.open, notReady });
  const adminDoor = createDoor({ origins: [], hosts: listen.hosts, hostname: hostname() });
  return { publicListener, admin, adminListener: createAdminListener([...own, ...admin.routes], adminDoor, options) };
}

/** The admin API, under the rooms. `exchanges`: those of clients that have not closed yet. */
function createOperations(
  rooms: Rooms,
  state: State,
  { exchanges, notReady }: { readonly exchanges: () => Iterable<Exchange>; readonly notReady: () => string | null },
): Admin {
  const { backends, context, log, system } = rooms;
  const { address, token } = state.config.admin;
  const admin = createAdmin(
    {
      ...rooms,
      ...context,
      clock: system.clock,
      wallNow: system.wallNow,
      client: (id) => backends.client(id),
      refresh: backends.refresh.bind(backends),
      isSimulated: (id) => context.simulated.has(id),
      loadTimeout: () => state.config.timeouts.firstByte,
      settings: () => ({ policy: policyName(state.config.policy), queueLimit: state.config.queue.limit }),
      config: () => write(configSchema, state.config) as Record<string, unknown>,
      logLevel: { get: () => log.level, set: (level) => void (log.level = level) },
      exchanges,
      notReady,
    },
    { token: token ?? null, isLoopback: isOwnAddress(address) },
  );
  rooms.subscribe((event) => admin.observe(event));
  return admin;
}

/** One that sleeps does, too: a request is what wakes it. */
function takesRequests(view: BackendView): boolean {
  return isInUse(view) || (view.spec.wake !== undefined && view.state !== 'draining');
}
