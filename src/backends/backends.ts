/** All backends as this room sees them: one client, one breaker and one prober each, kept in step with the configuration. */
import type { BackendSpec } from '../core/backend.ts';
import type { Observation } from '../core/observation.ts';
import type { BreakerState } from '../core/events.ts';
import type { BackendId, Clock, Rng, Timer } from '../core/types.ts';
import { createBreaker, createBreakerClock, type Breaker, type BreakerClock, type BreakerOptions } from './breaker.ts';
import { createClient, type BackendClient } from './client.ts';
import { createProber, type Prober, type ProberOptions, type Refreshed } from './prober.ts';

export interface Backends {
  /** Adds, keeps and removes; an unchanged backend keeps its connections. Running calls are never cut. */
  set(specs: readonly BackendSpec[]): void;
  /** Probes and breakers start afresh when their options have changed; connections stay. */
  setOptions(options: BackendsOptions): void;
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
  return new Members(dependencies, options);
}

class Members implements Backends {
  readonly #dependencies: BackendsDependencies;
  readonly #members = new Map<BackendId, Member>();
  /** Removed or replaced, with calls that may still be running or about to be sent. */
  readonly #leaving = new Map<BackendId, { readonly client: BackendClient; readonly timer: Timer }>();
  #options: BackendsOptions;
  #breakerClock: BreakerClock;

  constructor(dependencies: BackendsDependencies, options: BackendsOptions) {
    this.#dependencies = dependencies;
    this.#options = options;
    this.#breakerClock = createBreakerClock(options.breaker);
  }

  set(specs: readonly BackendSpec[]): void {
    const wanted = new Map(specs.map((spec) => [spec.id, spec]));
    for (const member of this.#members.values()) {
      const spec = wanted.get(member.spec.id);
      if (spec === undefined || !sameConnection(spec, member.spec)) this.#remove(member);
    }
    for (const spec of specs) if (!this.#members.has(spec.id)) this.#members.set(spec.id, this.#start(spec, null));
  }

  setOptions(options: BackendsOptions): void {
    if (JSON.stringify(options) === JSON.stringify(this.#options)) return;
    this.#options = options;
    this.#breakerClock.close();
    this.#breakerClock = createBreakerClock(options.breaker);
    for (const member of this.#members.values()) {
      member.prober.close();
      member.breaker.close();
      this.#members.set(member.spec.id, this.#start(member.spec, member.client));
    }
  }

  client(id: BackendId): BackendClient {
    const client = this.#members.get(id)?.client ?? this.#leaving.get(id)?.client;
    if (client === undefined) throw new Error(`backend ${id} is not configured`);
    return client;
  }

  has(id: BackendId): boolean {
    return this.#members.has(id);
  }

  verdict(id: BackendId, ok: boolean): void {
    const member = this.#members.get(id);
    member?.breaker.verdict(ok);
    if (!ok) member?.prober.suspect();
  }

  async probeNow(): Promise<void> {
    await Promise.all([...this.#members.values()].map((member) => member.prober.probeNow()));
  }

  async refresh(ids: readonly BackendId[], what: Refreshed): Promise<void> {
    await Promise.all(ids.map(async (id) => this.#members.get(id)?.prober.refresh(what)));
  }

  async close(): Promise<void> {
    this.#breakerClock.close();
    const clients = [...this.#members.values()].map(({ client, breaker, prober }) => {
      prober.close();
      breaker.close();
      return client;
    });
    for (const { client, timer } of this.#leaving.values()) {
      timer.cancel();
      clients.push(client);
    }
    this.#members.clear();
    this.#leaving.clear();
    await Promise.all(clients.map((client) => client.destroy()));
  }

  /** A member with a new prober and breaker, and a new client unless it keeps its connections. */
  #start(spec: BackendSpec, kept: BackendClient | null): Member {
    const { clock, observe, rng } = this.#dependencies;
    const client = kept ?? createClient(spec, clock);
    const changed = (to: BreakerState, reason: string) => {
      observe(spec.id, { kind: 'breaker', state: to, reason });
    };
    const breaker = createBreaker(this.#options.breaker, this.#breakerClock, changed);
    const report = (observation: Observation) => {
      if (observation.kind === 'alive') breaker.probed(true);
      if (observation.kind === 'probe-failed') breaker.probed(false);
      observe(spec.id, observation);
    };
    const prober = createProber({ client, clock, rng, report }, this.#options.prober);
    return { spec, client, breaker, prober };
  }

  #remove({ spec, client, breaker, prober }: Member): void {
    prober.close();
    breaker.close();
    this.#members.delete(spec.id);
    // A request that has just been given this backend sends in the next turn; then the client ends with its last call.
    const timer = this.#dependencies.clock.after(lastSendMs, () => void this.#letGo(spec.id, client));
    const earlier = this.#leaving.get(spec.id);
    earlier?.timer.cancel();
    if (earlier !== undefined) void earlier.client.close();
    this.#leaving.set(spec.id, { client, timer });
  }

  async #letGo(id: BackendId, client: BackendClient): Promise<void> {
    await client.close();
    if (this.#leaving.get(id)?.client === client) this.#leaving.delete(id);
  }
}

/** How long after its removal a backend may still be sent a request that was given to it before. */
const lastSendMs = 1000;

/** Whether two specs lead to the same connections; other fields are core's business. */
function sameConnection(a: BackendSpec, b: BackendSpec): boolean {
  const parts = ({ url, auth, tls, specialAddress }: BackendSpec) => JSON.stringify([url, auth, tls, specialAddress]);
  return parts(a) === parts(b);
}
