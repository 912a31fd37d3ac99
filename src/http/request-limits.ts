/**
 * How many requests in a window: @fastify/rate-limit's counters, asked by us and not by its hooks. Those run before ours, when it is not
 * known yet who asks, and answer in a shape that no dialect has.
 */
import type { FastifyInstance, FastifyRequest } from 'fastify';
import rateLimit from '@fastify/rate-limit';
import type { Millis } from '../core/types.ts';

export interface RequestQuota {
  readonly limit: number;
  readonly window: Millis;
}

export interface Counted {
  readonly remaining: number;
  /** Until the window ends. */
  readonly resetMs: Millis;
  readonly isExceeded: boolean;
}

/** Counts one more request under the key. */
export type CountRequest = (key: string, quota: RequestQuota) => Promise<Counted>;

/** Keys remembered; the one that was not seen for longest is forgotten first. */
const MOST_KEYS = 20_000;

/** What the counters look at of a request. */
type Subject = RequestQuota & { readonly key: string; readonly routeOptions: object };

export function limitRequests(app: FastifyInstance): CountRequest {
  let count: ReturnType<FastifyInstance['createRateLimit']> | null = null;
  void app.register(rateLimit, { global: false, cache: MOST_KEYS });
  app.after(() => {
    count = app.createRateLimit({
      keyGenerator: (request) => asSubject(request).key,
      max: (request) => asSubject(request).limit,
      timeWindow: (request) => asSubject(request).window,
    });
  });
  return async (key, { limit, window }) => {
    const subject: Subject = { key, limit, window, routeOptions: {} };
    const counted = await count!(subject as unknown as FastifyRequest);
    // Its other shape is for keys on a list of exceptions; there is none.
    if (counted.isAllowed) return { remaining: limit, resetMs: 0, isExceeded: false };
    const { isExceeded, remaining, ttl } = counted;
    return { remaining, resetMs: ttl, isExceeded };
  };
}

function asSubject(request: FastifyRequest): Subject {
  return request as unknown as Subject;
}
