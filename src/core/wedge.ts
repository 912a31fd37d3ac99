/**
 * Runners that have stopped answering while their backend looks healthy: an Ollama may lose the slot of a request for good, and
 * then every later request for that model hangs in silence. Told from leases alone; nothing is probed for. Two steps: who owes an
 * answer for longer than is usual is suspected, and gets no more requests while others may have them, until it answers; who owes
 * it for long is taken for wedged.
 */
import { Type, type Static } from 'typebox';
import { Bag, type Member } from './bag.ts';
import { Recent } from './recent.ts';
import type { Emit } from './events.ts';
import type { Observation } from './observation.ts';
import { Duration } from './options.ts';
import type { Lease, Scheduler } from './scheduler.ts';
import type { BackendId, Clock, Job, Millis, ModelName, Timer } from './types.ts';

export const WedgeOptions = Type.Object(
  {
    suspect: Duration({
      description:
        'Silence of a model in memory that owes a stream its first token, with nothing answered there meanwhile, after which it ' +
        'gets no more requests while another backend may serve them, until it answers; longer where its streams take longer to ' +
        'begin. 0 turns this off.',
      default: '10s',
      minimum: 0,
    }),
    after: Duration({
      description:
        'Silence of a model in memory, with nothing answered there meanwhile, after which it is taken for wedged; longer where ' +
        'its answers take longer to begin. 0 turns this off.',
      default: '2m',
      minimum: 0,
    }),
    factor: Type.Number({
      description: 'How many times the slowest of its late answers the silence must have lasted as well.',
      minimum: 1,
      default: 4,
    }),
    heal: Type.Boolean({
      description: 'Unload a wedged model as soon as no request of ours is left in it; the next one loads it afresh.',
      default: true,
    }),
  },
  {
    additionalProperties: false,
    description: 'What happens to a model that hangs on a backend that is otherwise healthy.',
  },
);
export type WedgeOptions = Static<typeof WedgeOptions>;

export interface WedgeDependencies {
  readonly clock: Clock;
  readonly emit: Emit;
  readonly observe: (id: BackendId, observation: Observation) => void;
  /** Whether its probes succeed. */
  readonly isUp: (id: BackendId) => boolean;
  /** Whether another backend may serve the job, now or when it has a slot. */
  readonly hasOther: (job: Job, than: BackendId) => boolean;
  /** Unloads the model and calls back once: null when that failed. */
  readonly unload: (id: BackendId, model: ModelName, ended: (tookMs: Millis | null) => void) => void;
}

export interface WedgeWatch {
  /** The same lease, watched. */
  follow(job: Job, lease: Lease): Lease;
  setOptions(options: WedgeOptions): void;
  /** Cancels its timer. */
  close(): void;
}

/** One model on one backend. */
interface Row {
  readonly backend: BackendId;
  readonly model: ModelName;
  readonly silent: Bag<Silent>;
  /** Leases whose answer has begun. */
  answering: number;
  /** When it last showed life: a first byte, or the good end of an answer. */
  aliveAt: Millis;
  /** The slowest first byte of late, of all answers and of streams alone; null before the first. */
  slowestMs: Millis | null;
  slowestStreamMs: Millis | null;
  /** Runner options of the last answer; others may need a load first. Null before the first. */
  options: string | null;
  suspected: boolean;
  wedged: boolean;
}

/** A lease without an answer. */
interface Silent extends Member {
  readonly job: Job;
  readonly since: Millis;
  readonly warm: boolean;
  readonly streams: boolean;
  readonly options: string;
  /** Ends the attempt; null until somebody makes one that can be ended. */
  giveUp: (() => void) | null;
}

/** The slowest answer is forgotten by this much with each further one. */
const FORGETS = 0.95;

/** How often silence is looked at, as a part of `suspect` or `after`. */
const LOOKS = 8;

/** Rows that are kept; those without leases go first. */
const REMEMBERED = 4096;

export function createWedgeWatch(dependencies: WedgeDependencies, options: WedgeOptions): WedgeWatch {
  return new Watch(dependencies, options);
}

/** The scheduler, every lease of which is watched. */
export function watchLeases(scheduler: Scheduler, watch: WedgeWatch): Scheduler {
  return {
    acquire: async (job, tried, signal, waitedMs) =>
      watch.follow(job, await scheduler.acquire(job, tried, signal, waitedMs)),
    view: () => scheduler.view(),
    waiting: () => scheduler.waiting(),
    dismiss: (job, error) => scheduler.dismiss(job, error),
    decisions: () => scheduler.decisions(),
    learnt: () => scheduler.learnt(),
    restore: (learnt) => scheduler.restore(learnt),
    setPolicy: (policy) => scheduler.setPolicy(policy),
    setOptions: (options) => scheduler.setOptions(options),
    close: () => scheduler.close(),
  };
}

class Watch implements WedgeWatch {
  readonly #dependencies: WedgeDependencies;
  readonly #clock: Clock;
  #options: WedgeOptions;
  readonly #rows = new Recent<string, Row>(REMEMBERED, mayGo);
  #timer: Timer | null = null;
  #closed = false;

  constructor(dependencies: WedgeDependencies, options: WedgeOptions) {
    this.#dependencies = dependencies;
    this.#clock = dependencies.clock;
    this.#options = options;
  }

  follow(job: Job, lease: Lease): Lease {
    const { model, runnerOptions, streams = false, task } = job;
    if (model === null || task === 'unload') return lease;
    const { backend, queuedMs, reason, warm } = lease;
    const row = this.#row(backend, model);
    const since = this.#clock.now();
    const silent: Silent = { job, since, warm, streams, options: runnerOptions, giveUp: null, place: 0 };
    row.silent.add(silent);
    this.#arm();
    return {
      backend,
      warm,
      reason,
      queuedMs,
      whenHung: (giveUp) => {
        silent.giveUp = giveUp;
      },
      firstByte: (ms) => {
        if (row.silent.delete(silent)) this.#answered(row, silent);
        lease.firstByte(ms);
      },
      release: (outcome) => {
        if (!row.silent.delete(silent)) row.answering -= 1;
        if (outcome.kind === 'done') row.aliveAt = this.#clock.now();
        const isNews = lease.release(outcome);
        this.#left(row);
        return isNews;
      },
    };
  }

  setOptions(options: WedgeOptions): void {
    this.#options = options;
    this.#timer?.cancel();
    this.#timer = null;
    this.#arm();
  }

  close(): void {
    this.#closed = true;
    this.#timer?.cancel();
    this.#timer = null;
  }

  #row(backend: BackendId, model: ModelName): Row {
    const key = `${backend}\t${model}`;
    return (
      this.#rows.get(key) ??
      this.#rows.add(key, {
        backend,
        model,
        silent: new Bag(),
        answering: 0,
        aliveAt: Number.NEGATIVE_INFINITY,
        slowestMs: null,
        slowestStreamMs: null,
        options: null,
        suspected: false,
        wedged: false,
      })
    );
  }

  #answered(row: Row, { options, since, streams, warm }: Silent): void {
    const now = this.#clock.now();
    row.answering += 1;
    row.aliveAt = now;
    row.options = options;
    // The time a load takes says nothing of a model in memory.
    if (warm) row.slowestMs = Math.max(now - since, (row.slowestMs ?? 0) * FORGETS);
    if (warm && streams) row.slowestStreamMs = Math.max(now - since, (row.slowestStreamMs ?? 0) * FORGETS);
    if (row.wedged) this.#recovered(row);
    else this.#clear(row);
  }

  #left(row: Row): void {
    // Who owes nothing any more has paid, or has failed, which is counted elsewhere.
    if (row.silent.size === 0 || row.aliveAt === this.#clock.now()) this.#clear(row);
    if (!row.wedged || row.silent.size > 0 || row.answering > 0 || this.#closed) return;
    if (!this.#options.heal) {
      // The ejection of the model ends by itself, and a trial shows whether it has recovered.
      row.wedged = false;
      return;
    }
    this.#dependencies.unload(row.backend, row.model, (tookMs) => {
      // A model that could not be unloaded is looked at again when its ejection ends with a trial.
      if (tookMs === null) row.wedged = false;
      else this.#recovered(row);
    });
  }

  #clear(row: Row): void {
    if (!row.suspected) return;
    row.suspected = false;
    this.#dependencies.observe(row.backend, { kind: 'unsuspected', model: row.model });
  }

  #recovered(row: Row): void {
    row.wedged = false;
    this.#dependencies.observe(row.backend, { kind: 'unwedged', model: row.model });
  }

  #arm(): void {
    if (this.#timer !== null || this.#closed) return;
    const limits = [this.#options.suspect, this.#options.after].filter((limit) => limit > 0);
    if (limits.length === 0) return;
    this.#timer = this.#clock.after(Math.min(...limits) / LOOKS, () => {
      this.#timer = null;
      if (this.#look()) this.#arm();
    });
  }

  /** Whether there is anything to look at again. */
  #look(): boolean {
    let again = false;
    for (const row of this.#rows.values()) {
      if (row.silent.size === 0 || row.wedged) continue;
      again = true;
      this.#judge(row, this.#silence(row));
    }
    return again;
  }

  #judge(row: Row, silentMs: Millis): void {
    const { after, factor, suspect } = this.#options;
    if (!this.#dependencies.isUp(row.backend)) return;
    if (isTooLong(silentMs, after, factor, row.slowestMs)) this.#wedge(row, silentMs);
    else if (!row.suspected && owesStreamsOnly(row) && isTooLong(silentMs, suspect, factor, row.slowestStreamMs))
      this.#suspect(row, silentMs);
  }

  /** How long the runner has owed an answer without any sign of life; 0 while it may have a reason to be silent. */
  #silence(row: Row): Millis {
    // Who is being answered may hold the only slot.
    if (row.answering > 0) return 0;
    let oldest = Infinity;
    for (const { options, since, warm } of row.silent) {
      // It may be loading, and then everyone waits for that.
      if (!warm || (row.options !== null && options !== row.options)) return 0;
      oldest = Math.min(oldest, since);
    }
    return this.#clock.now() - Math.max(oldest, row.aliveAt);
  }

  #suspect(row: Row, silentMs: Millis): void {
    row.suspected = true;
    const reason = `owes an answer for ${Math.round(silentMs / 1000)} s`;
    this.#dependencies.observe(row.backend, { kind: 'suspected', model: row.model, reason });
  }

  #wedge(row: Row, silentMs: Millis): void {
    const { backend, model, silent } = row;
    row.wedged = true;
    row.suspected = false;
    const reason = `wedged: silent for ${Math.round(silentMs / 1000)} s`;
    this.#dependencies.emit({ kind: 'runner-wedged', backend, model, silentMs, inFlight: silent.size });
    this.#dependencies.observe(backend, { kind: 'wedged', model, reason });
    // Who waits there waits in vain; where nobody else has the model there is nothing to lose by it.
    for (const { giveUp, job } of silent) if (this.#dependencies.hasOther(job, backend)) giveUp?.();
  }
}

/** Nothing runs there, and nothing is known against it. */
function mayGo({ answering, silent, wedged }: Row): boolean {
  return answering === 0 && silent.size === 0 && !wedged;
}

/** An answer that comes whole may be half written although nothing is heard of it. */
function owesStreamsOnly({ silent }: Row): boolean {
  for (const { streams } of silent) if (!streams) return false;
  return true;
}

/** Whether a silence is longer than `limit` and what is usual there. Of one that has never answered little is known. */
function isTooLong(silentMs: Millis, limit: Millis, factor: number, slowestMs: Millis | null): boolean {
  return limit > 0 && silentMs >= (slowestMs === null ? 2 * limit : Math.max(limit, factor * slowestMs));
}
