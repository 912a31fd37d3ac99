/** What each route needs. A route that nobody thought of here needs the right to change things. */
import type { Scope } from '../core/grants.ts';
import type { Dialect, Route } from '../dialects/dialect.ts';

const endpoints: Readonly<Record<string, Scope>> = {
  tags: 'models:read',
  ps: 'models:read',
  models: 'models:read',
  model: 'models:read',
  show: 'models:read',
  status: 'models:read',
  'model-recommendations': 'models:read',
  // They are billed to, or act for, the account a backend is signed in with.
  'web-search': 'inference',
  'web-fetch': 'inference',
};

/** What may be on a path that is passed on unknown. */
export const unknownPathScope: Scope = 'models:write';

/** Null for the version, which anybody who may come in may have, and where there is no route: nothing is done there. */
export function scopeOf(route: Route | null): Scope | null {
  if (route === null) return null;
  if (route.kind === 'infer') return 'inference';
  if (route.endpoint === 'version') return null;
  return endpoints[route.endpoint] ?? 'models:write';
}

/** Whether the route is somebody else's computer's, whatever the model. */
export function needsCloud(route: Route | null): boolean {
  return route?.endpoint === 'web-search' || route?.endpoint === 'web-fetch';
}

/** Those that change something, by method and template: what is worth an entry in the audit. */
export function changingRoutes(dialects: readonly Dialect[]): ReadonlySet<string> {
  const changing = dialects.flatMap(({ routes }) => routes.filter((route) => scopeOf(route) === 'models:write'));
  return new Set(changing.filter(({ method }) => method !== 'HEAD').map(({ method, path }) => `${method} ${path}`));
}
