/** The admin API put together: what it shows, what it does, who may, and the page. */
import type { BackendSpec } from '../../core/backend.ts';
import type { Event, Emit } from '../../core/events.ts';
import type { UsageRow } from '../../core/ledger.ts';
import type { Fleet } from '../../core/fleet.ts';
import type { Roster } from '../../core/roster.ts';
import type { Scheduler } from '../../core/scheduler.ts';
import type { Clock } from '../../core/types.ts';
import { createPage } from '../page/page.ts';
import type { OwnRoute } from '../server.ts';
import { createFeed } from './feed.ts';
import { createGuard, type GuardOptions } from './guard.ts';
import { createHandlers, type Controls } from './handlers.ts';
import { createHistory } from './history.ts';
import { createModelWork, type ModelWorkDependencies } from './model-work.ts';
import { adminRoutes } from './routes.ts';
import { showDecision } from './show.ts';
import { createViews, type ViewsDependencies } from './views.ts';

export interface AdminDependencies
  extends Pick<ViewsDependencies, 'isSimulated' | 'notReady' | 'settings' | 'version' | 'wallNow'>,
    Pick<ModelWorkDependencies, 'client' | 'refresh' | 'loadTimeout'>,
    Pick<Controls, 'config' | 'exchanges' | 'logLevel' | 'reload'> {
  readonly clock: Clock;
  readonly emit: Emit;
  readonly fleet: Fleet;
  readonly roster: Roster;
  readonly scheduler: Scheduler;
  readonly usage: { rows(since?: string): readonly UsageRow[] };
  /** Checks the fields of a backend as the configuration would: the spec, or what is wrong. */
  readonly readBackend: (fields: Readonly<Record<string, unknown>>) => Promise<BackendSpec | string>;
}

export interface Admin {
  readonly routes: readonly OwnRoute[];
  /** Hears of every event. */
  observe(event: Event): void;
  close(): void;
}

export function createAdmin(dependencies: AdminDependencies, options: GuardOptions): Admin {
  const { clock, emit, fleet, readBackend, roster, scheduler, version, wallNow } = dependencies;
  const history = createHistory(wallNow);
  const work = createModelWork(dependencies);
  const views = createViews({ ...dependencies, history, work });
  const feed = createFeed({ clock, views });
  const controls: Controls = {
    ...dependencies,
    setDraining: (id, draining) => fleet.observe(id, { kind: 'admin', state: draining ? 'draining' : 'active' }),
    async add(fields) {
      if ('specialAddress' in fields) return '`specialAddress` can be said in the configuration only';
      const spec = await readBackend(fields);
      if (typeof spec === 'string') return spec;
      return roster.add(spec) ? null : `there is a backend \`${spec.id}\` already`;
    },
    remove: (id) => roster.remove(id),
    change: (id, change) => roster.change(id, change),
    decisions() {
      const now = clock.now();
      return scheduler.decisions().map((decision) => showDecision(decision, now));
    },
    usage: (since) => dependencies.usage.rows(since),
    dismiss: (id, error) => scheduler.dismiss(id, error),
  };
  const handlers = createHandlers({ controls, version, views, work });
  return {
    routes: adminRoutes({ guard: createGuard(options), handlers, feed, emit, page: createPage() }),
    observe: (event) => history.observe(event),
    close() {
      feed.close();
      work.close();
    },
  };
}
