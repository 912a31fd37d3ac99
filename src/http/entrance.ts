/** Lets a request in as somebody, or says to the client, in its own dialect, why not; and leaves a line about it. */
import { GatewayError } from '../core/errors.ts';
import type { Emit } from '../core/events.ts';
import type { Clock } from '../core/types.ts';
import { dialectOfPath } from '../dialects/dialect-of-path.ts';
import type { Route } from '../dialects/dialect.ts';
import { dialects } from '../dialects/index.ts';
import { openAccount } from './account.ts';
import type { Authenticate, Identified } from './authenticate.ts';
import { answerError } from './errors.ts';
import type { NodeExchange } from './exchange.ts';

export interface EntranceDependencies {
  readonly authenticate: Authenticate;
  /** Told whether only this machine can reach the listener, once that is known. */
  readonly bound: (isLoopback: boolean) => void;
  readonly clock: Clock;
  readonly emit: Emit;
}

export interface Entrance {
  /**
   * Notes who asks. False when they were refused, or have left meanwhile: then the exchange is over. `where` is the route, or the
   * plain path where there is none.
   */
  enter(exchange: NodeExchange, where: Route | string): boolean | Promise<boolean>;
  /** The listener has its address: whether only this machine can reach it. */
  bound(isLoopback: boolean): void;
}

export function createEntrance({ authenticate, bound, clock, emit }: EntranceDependencies): Entrance {
  const settle = (exchange: NodeExchange, where: Route | string, identified: Identified): boolean => {
    if (exchange.hasLeft) return false;
    if (!(identified instanceof GatewayError)) {
      exchange.client = identified;
      return true;
    }
    const isRoute = typeof where !== 'string';
    // In logs and metrics every path without a route is one: they are a client's text.
    const account = openAccount(exchange, isRoute ? where.path : 'other', clock, emit);
    answerError(exchange, dialects[isRoute ? where.dialect : dialectOfPath(where)], identified, account);
    return false;
  };
  return {
    enter(exchange, where) {
      const identified = authenticate.identify(exchange.request, typeof where === 'string' ? null : where);
      if (!(identified instanceof Promise)) return settle(exchange, where, identified);
      return identified.then((later) => settle(exchange, where, later));
    },
    bound,
  };
}
