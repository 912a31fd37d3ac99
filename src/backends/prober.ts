/**
 * The loop that looks at one backend: `/api/version` says that it lives, `/api/tags` what it has, `/api/ps` what is in memory.
 * A probe never loads a model. A slow `/api/ps` means that a runner is unloading, not that the backend is down
 * (ollama-wire §2.5), so only the version decides about life.
 */
import { Type, type Static } from 'typebox';
import { Duration } from '../core/options.ts';
import { canonicalModelName } from '../core/model-name.ts';
import type { Observation } from '../core/observation.ts';
import type { Clock, InstalledModel, Millis, ResidentModel, Rng, Timer } from '../core/types.ts';
import type { Ask, BackendClient } from './client.ts';

export const ProberOptions = Type.Object(
  {
    interval: Duration({
      description: 'How often `/api/version` is asked; jittered by 20 %.',
      default: '2s',
      minimum: '50ms',
    }),
    timeout: Duration({ description: 'How long `/api/version` may take.', default: '1s', minimum: '50ms' }),
    recoveryInterval: Duration({
      description:
        'How often it is asked of a backend that did not answer, or that has just failed a request, until it has answered three ' +
        'times in a row.',
      default: '250ms',
      minimum: '50ms',
    }),
    inventoryInterval: Duration({ description: 'How often `/api/tags` is asked.', default: '10s', minimum: '50ms' }),
    residencyInterval: Duration({ description: 'How often `/api/ps` is asked.', default: '4s', minimum: '50ms' }),
    inventoryTimeout: Duration({
      description: 'How long `/api/tags` and `/api/ps` may take; a backend that unloads a model answers late.',
      default: '12s',
      minimum: '50ms',
    }),
  },
  { additionalProperties: false, description: 'Active probes of each backend.' },
);
export type ProberOptions = Static<typeof ProberOptions>;

/** What it has (`/api/tags`), or what is in memory (`/api/ps`). */
export type Refreshed = 'installed' | 'resident';

export interface Prober {
  /** Looks at once, and resolves when version, tags and ps have been answered or have failed. */
  probeNow(): Promise<void>;
  /** Asks one question beside the loop, when the answer is known to have changed. Resolves when it was answered or has failed. */
  refresh(what: Refreshed): Promise<void>;
  /** A request to it has failed: looks soon, and more often for a while. */
  suspect(): void;
  close(): void;
}

/** Probes that have to succeed in a row before a backend is left in peace again. */
const REASSURANCES = 3;

export interface ProberDependencies {
  readonly client: BackendClient;
  readonly clock: Clock;
  readonly rng: Rng;
  readonly report: (observation: Observation) => void;
}

export function createProber(dependencies: ProberDependencies, options: ProberOptions): Prober {
  return new Loop(dependencies, options);
}

class Loop implements Prober {
  readonly #dependencies: ProberDependencies;
  readonly #options: ProberOptions;
  #timer: Timer | null = null;
  #closed = false;
  #inventoryAt: Millis = Number.NEGATIVE_INFINITY;
  #residencyAt: Millis = Number.NEGATIVE_INFINITY;
  #round: Promise<void> | null = null;
  /** How many more probes have to succeed in a row until it is asked at the usual interval. */
  #doubts = 0;
  readonly #inventories = new Latest();
  readonly #residencies = new Latest();

  constructor(dependencies: ProberDependencies, options: ProberOptions) {
    this.#dependencies = dependencies;
    this.#options = options;
    this.#schedule(0);
  }

  probeNow(): Promise<void> {
    this.#inventoryAt = Number.NEGATIVE_INFINITY;
    this.#residencyAt = Number.NEGATIVE_INFINITY;
    this.#timer?.cancel();
    const running = this.#round;
    return running === null ? this.#run() : running.then(() => this.#run());
  }

  async refresh(what: Refreshed): Promise<void> {
    if (!this.#closed) await (what === 'installed' ? this.#inventory() : this.#residency());
  }

  suspect(): void {
    if (this.#doubts > 0) return;
    this.#doubts = REASSURANCES;
    if (this.#round === null) this.#schedule(this.#pause());
  }

  close(): void {
    this.#closed = true;
    this.#timer?.cancel();
  }

  #pause(): Millis {
    const { interval, recoveryInterval } = this.#options;
    const usual = this.#doubts > 0 ? Math.min(interval, recoveryInterval) : interval;
    return usual * (0.8 + 0.4 * this.#dependencies.rng.next());
  }

  #schedule(delay: Millis): void {
    this.#timer?.cancel();
    this.#timer = this.#closed ? null : this.#dependencies.clock.after(delay, () => void this.#run());
  }

  #run(): Promise<void> {
    if (this.#closed) return Promise.resolve();
    this.#round ??= this.#look().finally(() => {
      this.#round = null;
      this.#schedule(this.#pause());
    });
    return this.#round;
  }

  async #look(): Promise<void> {
    const alive = await this.#version();
    if (!alive || this.#closed) return;
    const now = this.#dependencies.clock.now();
    const due: Promise<void>[] = [];
    if (now >= this.#inventoryAt) {
      this.#inventoryAt = now + this.#options.inventoryInterval;
      due.push(this.#inventory());
    }
    if (now >= this.#residencyAt) {
      this.#residencyAt = now + this.#options.residencyInterval;
      due.push(this.#residency());
    }
    // The first look waits, so that a backend is known whole before anybody decides on it; later ones don't hold up the
    // liveness probe behind a runner that is unloading.
    if (due.length > 0) await Promise.all(due);
  }

  async #version(): Promise<boolean> {
    const { report } = this.#dependencies;
    try {
      const body = await this.#json('/api/version', this.#options.timeout);
      const version = (body as { version?: unknown } | null)?.version;
      if (typeof version !== 'string')
        throw new Error('/api/version did not answer with a version; is this an Ollama?');
      report({ kind: 'alive', version });
      this.#doubts = Math.max(0, this.#doubts - 1);
      return true;
    } catch (error) {
      if (!this.#closed) report({ kind: 'probe-failed', reason: (error as Error).message });
      this.#doubts = REASSURANCES;
      // What it has may have changed when it comes back.
      this.#inventoryAt = Number.NEGATIVE_INFINITY;
      this.#residencyAt = Number.NEGATIVE_INFINITY;
      return false;
    }
  }

  async #inventory(): Promise<void> {
    const asked = this.#inventories.ask();
    try {
      const models = modelList(await this.#json('/api/tags', this.#options.inventoryTimeout)).map(installed);
      if (!this.#closed && this.#inventories.isNews(asked))
        this.#dependencies.report({ kind: 'inventory', models: models.filter((model) => model !== null) });
    } catch {
      // The last known inventory stays; liveness is judged by the version alone.
      this.#inventoryAt = Number.NEGATIVE_INFINITY;
    }
  }

  async #residency(): Promise<void> {
    const asked = this.#residencies.ask();
    try {
      const models = modelList(await this.#json('/api/ps', this.#options.inventoryTimeout)).map(resident);
      if (!this.#closed && this.#residencies.isNews(asked))
        this.#dependencies.report({ kind: 'resident', models: models.filter((model) => model !== null) });
    } catch {
      this.#residencyAt = Number.NEGATIVE_INFINITY;
    }
  }

  async #json(path: string, timeout: Millis): Promise<unknown> {
    const ask: Ask = {
      method: 'GET',
      path,
      headers: ['Accept', 'application/json'],
      body: null,
      repeatable: true,
      timeouts: { connect: timeout, firstByte: timeout, idle: timeout, total: timeout },
    };
    const { status, body } = await this.#dependencies.client.fetch(ask);
    if (status === 403) {
      throw new Error(
        `${path} answered 403: that Ollama refuses this Host; set OLLAMA_HOST=0.0.0.0 there, or use an address it accepts`,
      );
    }
    if (status === 401) throw new Error(`${path} answered 401: set this backend's \`auth\``);
    if (status !== 200) throw new Error(`${path} answered ${status}`);
    return JSON.parse(body.toString('utf8')) as unknown;
  }
}

/** Tells which of several answers that overlap is news: one to an earlier question than the last one used is not. */
class Latest {
  #asked = 0;
  #used = 0;

  ask(): number {
    this.#asked += 1;
    return this.#asked;
  }

  isNews(asked: number): boolean {
    if (asked < this.#used) return false;
    this.#used = asked;
    return true;
  }
}

function modelList(body: unknown): Record<string, unknown>[] {
  const models = (body as { models?: unknown } | null)?.models;
  if (!Array.isArray(models)) throw new Error('no list of models');
  return models.filter((model): model is Record<string, unknown> => typeof model === 'object' && model !== null);
}

function installed(raw: Record<string, unknown>): InstalledModel | null {
  const name = canonicalModelName(text(raw['model']) || text(raw['name']));
  if (name === null) return null;
  return { name, digest: text(raw['digest']), sizeBytes: count(raw['size']), raw };
}

function resident(raw: Record<string, unknown>): ResidentModel | null {
  const name = canonicalModelName(text(raw['model']) || text(raw['name']));
  if (name === null) return null;
  const expires = Date.parse(text(raw['expires_at']));
  return {
    name,
    digest: text(raw['digest']),
    sizeBytes: count(raw['size']),
    vramBytes: count(raw['size_vram']),
    contextLength: typeof raw['context_length'] === 'number' ? raw['context_length'] : null,
    expiresAt: Number.isNaN(expires) ? null : expires,
    raw,
  };
}

function text(value: unknown): string {
  return typeof value === 'string' ? value : '';
}

function count(value: unknown): number {
  return typeof value === 'number' && Number.isFinite(value) ? value : 0;
}
