/** Go's mux and gin's router, as far as a client can tell them apart: redirects, 404, 405, and then the handler. */
import { checkHost, checkOrigin } from './gate.ts';
import type { Exchange, Headers } from './wire.ts';

export type Method = 'GET' | 'HEAD' | 'POST' | 'DELETE';

export interface Route {
  readonly methods: readonly Method[];
  /** A last segment that begins with `:` takes one segment of any text. */
  readonly path: string;
  /** `parameter` is the text of the last segment when the path has one, else empty. */
  handle(exchange: Exchange, parameter: string): void | Promise<void>;
}

/** The order in which gin names them in `Allow`: that of their first registration. */
const methodOrder: readonly Method[] = ['HEAD', 'GET', 'POST', 'DELETE'];

const plainText: Headers = [['Content-Type', 'text/plain']];

export interface RouterOptions {
  readonly onLoopback: boolean;
}

export type Router = (exchange: Exchange) => Promise<void>;

export function createRouter(routes: readonly Route[], { onLoopback }: RouterOptions): Router {
  const exact = new Map<string, Route>();
  const withParameter = new Map<string, Route>();
  for (const route of routes) {
    const colon = route.path.indexOf('/:');
    for (const method of route.methods) {
      if (colon < 0) exact.set(`${method} ${route.path}`, route);
      else withParameter.set(`${method} ${route.path.slice(0, colon + 1)}`, route);
    }
  }

  function find(method: string, path: string): { readonly route: Route; readonly parameter: string } | null {
    const route = exact.get(`${method} ${path}`);
    if (route !== undefined) return { route, parameter: '' };
    const slash = path.lastIndexOf('/') + 1;
    const open = withParameter.get(`${method} ${path.slice(0, slash)}`);
    return open === undefined || slash === path.length ? null : { route: open, parameter: path.slice(slash) };
  }

  /** gin serves a path that differs from a route by a trailing slash only with a redirect. */
  function redirected(exchange: Exchange): boolean {
    const { method, path, query } = exchange;
    const clean = cleanPath(path);
    if (clean !== path) {
      redirect(exchange, 301, `${clean}${query}`);
      return true;
    }
    const other = path.endsWith('/') ? path.slice(0, -1) : `${path}/`;
    if (path === '/' || find(method, path) !== null || find(method, other) === null) return false;
    redirect(exchange, method === 'GET' ? 301 : 307, `${other}${query}`);
    return true;
  }

  return async (exchange) => {
    if (redirected(exchange)) return;
    const { method, path } = exchange;
    const found = find(method, path);
    const allowed = found === null ? methodOrder.filter((other) => find(other, path) !== null) : [];
    exchange.early = allowed.length === 0 ? [] : [['Allow', allowed.join(', ')]];
    for (const verdict of [checkOrigin(exchange), checkHost(exchange, onLoopback)]) {
      exchange.early = [...exchange.early, ...verdict.headers];
      if (verdict.kind === 'stop') return exchange.sendEmpty(verdict.status);
    }
    if (found !== null) return found.route.handle(exchange, found.parameter);
    const [status, body] = allowed.length === 0 ? [404, '404 page not found'] : [405, '405 method not allowed'];
    exchange.send(status, { headers: plainText, body });
  };
}

/** What http.ServeMux redirects to: no empty, `.` or `..` segments; a trailing slash stays. */
function cleanPath(path: string): string {
  const segments: string[] = [];
  for (const segment of path.split('/')) {
    if (segment === '..') segments.pop();
    else if (segment !== '' && segment !== '.') segments.push(segment);
  }
  const clean = `/${segments.join('/')}`;
  return path.endsWith('/') && clean !== '/' ? `${clean}/` : clean;
}

/** As http.Redirect: a GET or HEAD is told in HTML too. */
function redirect(exchange: Exchange, status: number, location: string): void {
  const { method } = exchange;
  const encoded = encodeURI(location);
  const reason = status === 301 ? 'Moved Permanently' : 'Temporary Redirect';
  const headers: Headers = [['Location', encoded]];
  if (method !== 'GET' && method !== 'HEAD') return exchange.send(status, { headers, body: '' });
  const body = method === 'GET' ? `<a href="${encoded.replaceAll('&', '&amp;')}">${reason}</a>.\n\n` : '';
  exchange.send(status, { headers: [...headers, ['Content-Type', 'text/html; charset=utf-8']], body });
}
