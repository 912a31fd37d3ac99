/**
 * What happens, told to those who watch: a snapshot, then what has changed, at most twice a second. Nothing is done while nobody
 * watches, what a slow watcher is owed stays bounded, and one that takes nothing at all is cut.
 */
import type { BackendId, Clock, Millis, Timer } from '../../core/types.ts';
import type { Backend, FinishedRequest } from './shapes.ts';
import type { Views } from './views.ts';

/** Where events go: the part of a ServerResponse that is needed. */
export interface Sink {
  write(text: string): unknown;
  /** Bytes that have not left yet. */
  readonly writableLength: number;
  destroy(): void;
}

export interface Feed {
  /** Tells the snapshot at once. Returns the way to stop; null when there are too many watchers already. */
  watch(sink: Sink): (() => void) | null;
  readonly watchers: number;
  close(): void;
}

export const TICK_MS = 500;
const HEARTBEAT_TICKS = 30;
const WATCHERS = 64;
/** What one watcher may be owed before it is left out, and how long. */
const OWED_BYTES = 512 * 1024;
const OWED_TICKS = 60;
/** Rows of each list in one message. */
const ROWS = 100;
/** Points of the spark lines that a new watcher is told: a minute. */
const POINTS = 120;
/** The share of the newest tick in a rate: tokens come in bursts. */
const NEWEST = 0.35;

interface Watcher {
  readonly sink: Sink;
  /** For how many ticks it has been left out; 0 when it keeps up. */
  behind: number;
}

/** A message, before it is told which parts have changed. */
interface Message {
  readonly now: number;
  readonly uptime_ms: Millis;
  readonly gateway: object;
  readonly backends: ReadonlyMap<BackendId, Omit<Backend, 'models'>>;
  readonly queue: object;
  readonly requests: object;
  readonly pulls: object;
  readonly models_revision: number;
}

const parts = ['gateway', 'queue', 'requests', 'pulls', 'models_revision'] as const;

export function createFeed({ clock, views }: { readonly clock: Clock; readonly views: Views }): Feed {
  return new Ticker(clock, views);
}

class Ticker implements Feed {
  readonly #clock: Clock;
  readonly #views: Views;
  readonly #watchers = new Set<Watcher>();
  readonly #points = new Map<BackendId, number[]>();
  #timer: Timer | null = null;
  #ticks = 0;
  /** Each part as it was told last, as JSON. */
  #told = new Map<string, string>();
  #toldBackends = new Map<BackendId, string>();
  #toldRequests = 0;
  #counted: { readonly at: Millis; readonly tokens: ReadonlyMap<BackendId, number> } | null = null;
  #closed = false;

  constructor(clock: Clock, views: Views) {
    this.#clock = clock;
    this.#views = views;
  }

  get watchers(): number {
    return this.#watchers.size;
  }

  watch(sink: Sink): (() => void) | null {
    if (this.#closed || this.#watchers.size >= WATCHERS) return null;
    if (this.#timer === null) this.#begin();
    // The others first: then what the new one is told now is what the next delta is about.
    else this.#tell();
    const watcher: Watcher = { sink, behind: 0 };
    this.#watchers.add(watcher);
    sink.write(`retry: 1000\n${this.#snapshot()}`);
    return () => {
      this.#watchers.delete(watcher);
      if (this.#watchers.size === 0) this.#rest();
    };
  }

  close(): void {
    this.#closed = true;
    this.#rest();
    for (const { sink } of this.#watchers) sink.destroy();
    this.#watchers.clear();
  }

  #begin(): void {
    this.#count();
    this.#changes();
    this.#arm();
  }

  #rest(): void {
    this.#timer?.cancel();
    this.#timer = null;
    this.#counted = null;
    this.#views.rates = null;
    this.#points.clear();
    this.#told.clear();
    this.#toldBackends.clear();
  }

  #arm(): void {
    this.#timer = this.#clock.after(TICK_MS, () => {
      this.#ticks += 1;
      this.#count();
      this.#tell();
      this.#arm();
    });
  }

  #tell(): void {
    const changes = this.#changes();
    const text =
      changes !== null ? event('delta', changes) : this.#ticks % HEARTBEAT_TICKS === 0 ? ': still here\n\n' : null;
    let snapshot: string | null = null;
    for (const watcher of this.#watchers) {
      const { sink } = watcher;
      if (sink.writableLength > OWED_BYTES) {
        watcher.behind += 1;
        if (watcher.behind > OWED_TICKS) sink.destroy();
      } else if (watcher.behind > 0) {
        watcher.behind = 0;
        sink.write((snapshot ??= this.#snapshot()));
      } else if (text !== null) sink.write(text);
    }
  }

  #message(): Message {
    const { backends, now, uptime_ms, ...gateway } = this.#views.fleet();
    const queue = this.#views.queue();
    return {
      now,
      uptime_ms,
      gateway,
      backends: new Map(backends.map(({ models: _models, ...backend }) => [backend.name, backend])),
      queue: { ...queue, rows: queue.rows.slice(0, ROWS) },
      requests: this.#views.active().slice(0, ROWS),
      pulls: this.#views.pulls(),
      models_revision: this.#views.modelsRevision,
    };
  }

  #snapshot(): string {
    const { backends, ...rest } = this.#message();
    const history = this.#views.history.list().slice(0, ROWS);
    const rates = Object.fromEntries(this.#points);
    return event('snapshot', {
      ...rest,
      backends: Object.fromEntries(backends),
      history,
      rates,
      tick_ms: TICK_MS,
    });
  }

  /** What is new since the last call; null when nothing is. */
  #changes(): object | null {
    const message = this.#message();
    const changed: Record<string, unknown> = {};
    for (const part of parts) if (isNew(this.#told, part, message[part])) changed[part] = message[part];
    const backends: Record<BackendId, object | null> = {};
    for (const [id, backend] of message.backends) if (isNew(this.#toldBackends, id, backend)) backends[id] = backend;
    for (const id of this.#toldBackends.keys()) {
      if (message.backends.has(id)) continue;
      this.#toldBackends.delete(id);
      backends[id] = null;
    }
    if (Object.keys(backends).length > 0) changed['backends'] = backends;
    const history = this.#newlyFinished();
    if (history.length > 0) changed['history'] = history;
    return Object.keys(changed).length === 0 ? null : { now: message.now, ...changed };
  }

  #newlyFinished(): readonly FinishedRequest[] {
    const { history } = this.#views;
    const fresh = history.since(this.#toldRequests).slice(0, ROWS);
    this.#toldRequests = history.count;
    return fresh;
  }

  /** Tokens a second of each backend, smoothed. */
  #count(): void {
    const now = this.#clock.now();
    const tokens = this.#views.outputTokens();
    const before = this.#counted;
    this.#counted = { at: now, tokens };
    if (before === null || now <= before.at) {
      this.#views.rates = new Map();
      return;
    }
    const rates = new Map<BackendId, number>();
    for (const { name } of this.#views.backends()) {
      const more = Math.max(0, (tokens.get(name) ?? 0) - (before.tokens.get(name) ?? 0));
      const newest = (more / (now - before.at)) * 1000;
      const usual = this.#views.rates?.get(name) ?? 0;
      const rate = usual + NEWEST * (newest - usual);
      rates.set(name, rate < 0.05 ? 0 : Math.round(rate * 10) / 10);
    }
    this.#views.rates = rates;
    for (const id of this.#points.keys()) if (!rates.has(id)) this.#points.delete(id);
    for (const [id, rate] of rates) this.#points.set(id, [...(this.#points.get(id) ?? []), rate].slice(-POINTS));
  }
}

function isNew(told: Map<string, string>, key: string, value: unknown): boolean {
  const text = JSON.stringify(value);
  if (told.get(key) === text) return false;
  told.set(key, text);
  return true;
}

function event(name: string, data: object): string {
  return `event: ${name}\ndata: ${JSON.stringify(data)}\n\n`;
}
