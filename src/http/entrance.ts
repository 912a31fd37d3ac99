/** Lets a request in as somebody, or says to the client, in its own dialect, why not; and leaves a line about it. */
import { GatewayError } from '../core/errors.ts';
import type { Emit } from '../core/events.ts';
import type { Client } from '../core/grants.ts';
import type { Clock } from '../core/types.ts';
import { dialectOfPath } from '../dialects/dialect-of-path.ts';
import type { Route } from '../dialects/dialect.ts';
import { dialects } from '../dialects/index.ts';
import { openAccount } from './account.ts';
import type { Authenticate, Identified } from './authenticate.ts';
import { answerError } from './errors.ts';
import type { NodeExchange } from './exchange.ts';
import type { Counted, CountRequest, RequestQuota } from './request-limits.ts';

export interface EntranceDependencies {
  readonly authenticate: Authenticate;
  /** Told whether only this machine can reach the listener, once that is known. */
  readonly bound: (isLoopback: boolean) => void;
  /** How often one address may ask; a limit of 0 is none. */
  readonly addressQuota: () => RequestQuota;
  readonly clock: Clock;
  readonly emit: Emit;
}

export interface Entrance {
  /**
   * Notes who asks. False when they were refused, or have left meanwhile: then the exchange is over. `where` is the route, or the
   * plain path where there is none. `count` counts requests; it is asked only where a limit is configured.
   */
  enter(exchange: NodeExchange, where: Route | string, count: CountRequest): boolean | Promise<boolean>;
  /** The listener has its address: whether only this machine can reach it. */
  bound(isLoopback: boolean): void;
}

export function createEntrance(dependencies: EntranceDependencies): Entrance {
  return new Gatekeeper(dependencies);
}

class Gatekeeper implements Entrance {
  readonly #deps: EntranceDependencies;

  constructor(dependencies: EntranceDependencies) {
    this.#deps = dependencies;
  }

  bound(isLoopback: boolean): void {
    this.#deps.bound(isLoopback);
  }

  enter(exchange: NodeExchange, where: Route | string, count: CountRequest): boolean | Promise<boolean> {
    const quota = this.#deps.addressQuota();
    if (quota.limit > 0) return this.#enterCounted(exchange, where, { count, quota });
    const identified = this.#identify(exchange, where);
    if (identified instanceof Promise || hasQuota(identified))
      return this.#admit(exchange, where, { identified, count });
    return this.#settle(exchange, where, identified);
  }

  /** The address first, so that whoever guesses keys learns nothing more once it has asked too often. */
  async #enterCounted(
    exchange: NodeExchange,
    where: Route | string,
    { count, quota }: { readonly count: CountRequest; readonly quota: RequestQuota },
  ): Promise<boolean> {
    const counted = await count(`address ${exchange.address}`, quota);
    const identified = counted.isExceeded
      ? this.#exceeded(counted, 'this address has asked too often')
      : this.#identify(exchange, where);
    return this.#admit(exchange, where, { identified, count });
  }

  async #admit(
    exchange: NodeExchange,
    where: Route | string,
    { count, identified }: { readonly identified: Identified | Promise<Identified>; readonly count: CountRequest },
  ): Promise<boolean> {
    const found = await identified;
    if (!hasQuota(found)) return this.#settle(exchange, where, found);
    const quota = found.grant.requests;
    const counted = await count(`client ${found.id}`, quota);
    exchange.ownFields = quotaFields(quota, counted);
    return this.#settle(exchange, where, counted.isExceeded ? this.#exceeded(counted, 'too many requests') : found);
  }

  #identify({ request }: NodeExchange, where: Route | string): Identified | Promise<Identified> {
    return this.#deps.authenticate.identify(request, typeof where === 'string' ? null : where);
  }

  #exceeded({ resetMs }: Counted, what: string): GatewayError {
    this.#deps.authenticate.outcomes['rate-limited'] += 1;
    const seconds = Math.max(1, Math.ceil(resetMs / 1000));
    return new GatewayError('rate-limited', `${what}; try again in ${seconds} s`, { retryAfterMs: seconds * 1000 });
  }

  #settle(exchange: NodeExchange, where: Route | string, identified: Identified): boolean {
    if (exchange.hasLeft) return false;
    if (!(identified instanceof GatewayError)) {
      exchange.client = identified;
      return true;
    }
    const { clock, emit } = this.#deps;
    const isRoute = typeof where !== 'string';
    // In logs and metrics every path without a route is one: they are a client's text.
    const account = openAccount(exchange, isRoute ? where.path : 'other', clock, emit);
    answerError(exchange, dialects[isRoute ? where.dialect : dialectOfPath(where)], identified, account);
    return false;
  }
}

type Limited = Client & { readonly grant: { readonly requests: RequestQuota } };

function hasQuota(identified: Identified | Promise<Identified>): identified is Limited {
  return 'grant' in identified && identified.grant.requests !== undefined;
}

function quotaFields({ limit }: RequestQuota, { remaining, resetMs }: Counted): readonly string[] {
  const fields = { Limit: limit, Remaining: remaining, Reset: Math.ceil(resetMs / 1000) };
  return Object.entries(fields).flatMap(([name, value]) => [`X-RateLimit-${name}`, String(value)]);
}
