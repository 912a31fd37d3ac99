/** All backends as this room sees them: one client, one breaker and one prober each, kept in step with the configuration. */
import type { BackendSpec } from '../core/backend.ts';
import type { Observation } from '../core/observation.ts';
import type { BreakerState, Emit } from '../core/events.ts';
import type { BackendId, Clock, Rng } from '../core/types.ts';
import { createBreaker, createBreakerClock, type Breaker, type BreakerOptions } from './breaker.ts';
import { createClient, type BackendClient } from './client.ts';
import { createProber, type Prober, type ProberOptions, type Refreshed } from './prober.ts';

export interface Backends {
  /** Adds, keeps and removes; an unchanged backend keeps its connections. Running calls are never cut. */
  set(specs: readonly BackendSpec[]): void;
  /** The client of a backend that is configured, or still has calls running. */
  client(id: BackendId): BackendClient;
  has(id: BackendId): boolean;
  /** An attempt's verdict on the backend as a whole. */
  verdict(id: BackendId, ok: boolean): void;
  /** Looks at every backend once, now. */
  probeNow(): Promise<void>;
  /** Asks these, now, what they have or what they have in memory; resolves when all have answered or failed. */
  refresh(ids: readonly BackendId[], what: Refreshed): Promise<void>;
  close(): Promise<void>;
}

export interface BackendsDependencies {
  readonly clock: Clock;
  readonly rng: Rng;
  readonly emit: Emit;
  readonly observe: (id: BackendId, observation: Observation) => void;
}

export interface BackendsOptions {
  readonly prober: ProberOptions;
  readonly breaker: BreakerOptions;
}

interface Member {
  readonly spec: BackendSpec;
  readonly client: BackendClient;
  readonly breaker: Breaker;
  readonly prober: Prober;
}

export function createBackends(dependencies: BackendsDependencies, options: BackendsOptions): Backends {
  const { clock, rng, emit, observe } = dependencies;
  const members = new Map<BackendId, Member>();
  const breakerClock = createBreakerClock(options.breaker);

  function add(spec: BackendSpec): void {
    const client = createClient(spec, clock);
    const breaker = createBreaker(
      options.breaker,
      breakerClock,
      (from: BreakerState, to: BreakerState, reason: string) => {
        emit({ kind: 'breaker-state', backend: spec.id, from, to, reason });
        observe(spec.id, { kind: 'breaker', state: to, reason });
      },
    );
    const report = (observation: Observation) => {
      if (observation.kind === 'alive') breaker.probed(true);
      if (observation.kind === 'probe-failed') breaker.probed(false);
      observe(spec.id, observation);
    };
    const prober = createProber({ client, clock, rng, report }, options.prober);
    members.set(spec.id, { spec, client, breaker, prober });
  }

  function remove(member: Member): void {
    member.prober.close();
    member.breaker.close();
    members.delete(member.spec.id);
    // Ends when the last running call has ended.
    void member.client.close();
  }

  return {
    set(specs) {
      const wanted = new Map(specs.map((spec) => [spec.id, spec]));
      for (const member of members.values()) {
        const spec = wanted.get(member.spec.id);
        if (spec === undefined || !sameConnection(spec, member.spec)) remove(member);
      }
      for (const spec of specs) if (!members.has(spec.id)) add(spec);
    },
    client(id) {
      const member = members.get(id);
      if (member === undefined) throw new Error(`backend ${id} is not configured`);
      return member.client;
    },
    has: (id) => members.has(id),
    verdict: (id, ok) => members.get(id)?.breaker.verdict(ok),
    async probeNow() {
      await Promise.all([...members.values()].map((member) => member.prober.probeNow()));
    },
    async refresh(ids, what) {
      await Promise.all(ids.map((id) => members.get(id)?.prober.refresh(what)));
    },
    async close() {
      breakerClock.close();
      const closing = [...members.values()].map((member) => {
        member.prober.close();
        member.breaker.close();
        return member.client.destroy();
      });
      members.clear();
      await Promise.all(closing);
    },
  };
}

/** Whether two specs lead to the same connections; other fields are core's business. */
function sameConnection(a: BackendSpec, b: BackendSpec): boolean {
  const parts = ({ url, auth, tls }: BackendSpec) => JSON.stringify([url, auth, tls]);
  return parts(a) === parts(b);
}
