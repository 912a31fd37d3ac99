/** What the gateway is at this moment, as the admin API and the page's events show it. */
import type { Fleet } from '../../core/fleet.ts';
import type { Scheduler } from '../../core/scheduler.ts';
import type { BackendId, Clock, Millis } from '../../core/types.ts';
import type { Exchange } from '../exchange.ts';
import type { History } from './history.ts';
import type { ModelWork } from './model-work.ts';
import { showActive, showBackend, showModels, showQueue } from './show.ts';
import type { ActiveRequest, Backend, Fleet as FleetShape, Model, Pull, Queue } from './shapes.ts';

export interface Views {
  backends(): readonly Backend[];
  fleet(): FleetShape;
  models(): readonly Model[];
  /** Counts up whenever `models` may have changed but for what is in memory. */
  readonly modelsRevision: number;
  queue(): Queue;
  /** Oldest first. */
  active(): readonly ActiveRequest[];
  pulls(): readonly Pull[];
  readonly history: History;
  /** What each backend has put out so far, requests under way included. */
  outputTokens(): ReadonlyMap<BackendId, number>;
  /** Told by whoever counts while somebody watches; null when nobody does. */
  rates: ReadonlyMap<BackendId, number> | null;
}

export interface ViewsDependencies {
  readonly fleet: Pick<Fleet, 'view' | 'revision'>;
  readonly scheduler: Pick<Scheduler, 'view' | 'waiting' | 'learnt'>;
  readonly history: History;
  readonly work: Pick<ModelWork, 'pulls'>;
  readonly clock: Clock;
  readonly wallNow: () => number;
  readonly isSimulated: (id: BackendId) => boolean;
  /** Those that have not closed yet. */
  readonly exchanges: () => Iterable<Pick<Exchange, 'account'>>;
  /** Null when it takes requests, else why not. */
  readonly notReady: () => string | null;
  readonly settings: () => { readonly policy: string; readonly queueLimit: number };
  readonly version: string;
}

export function createViews(dependencies: ViewsDependencies): Views {
  const { clock, exchanges, fleet, history, isSimulated, notReady, scheduler, settings, version, wallNow, work } =
    dependencies;
  const startedAt: Millis = clock.now();

  function accounts() {
    return [...exchanges()].flatMap(({ account }) => (account === null ? [] : [account]));
  }

  const views: Views = {
    history,
    rates: null,
    backends() {
      const learnt = new Map(scheduler.learnt()?.backends.map((one) => [one.id, one]));
      return fleet.view().map((view) =>
        showBackend(view, {
          isSimulated: isSimulated(view.id),
          learnt: learnt.get(view.id),
          tokensPerSecond: views.rates === null ? null : (views.rates.get(view.id) ?? 0),
        }),
      );
    },
    fleet() {
      const backends = views.backends();
      const reason = notReady();
      return {
        now: wallNow(),
        version,
        policy: settings().policy,
        ready: reason === null,
        not_ready_reason: reason,
        uptime_ms: Math.round(clock.now() - startedAt),
        waiting: scheduler.view().waiting,
        in_flight: backends.reduce((sum, { in_flight }) => sum + in_flight, 0),
        backends: [...backends],
      };
    },
    models: () => showModels(fleet.view()),
    get modelsRevision() {
      return fleet.revision.inventory;
    },
    queue: () => ({
      waiting: scheduler.view().waiting,
      limit: settings().queueLimit,
      rows: [...showQueue(scheduler.waiting())],
    }),
    active() {
      const now = clock.now();
      return accounts()
        .sort((a, b) => a.startedAt - b.startedAt)
        .map((account) => showActive(account, now));
    },
    pulls: () => work.pulls(),
    outputTokens() {
      const tokens = new Map(history.tokens);
      for (const { backend, meter } of accounts()) {
        if (backend !== null && meter !== null) tokens.set(backend, (tokens.get(backend) ?? 0) + meter.outputSoFar());
      }
      return tokens;
    },
  };
  return views;
}
