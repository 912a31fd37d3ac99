/**
 * Who has had how much: virtual token counters (Sheng et al., "Fairness in Serving Large Language Models", OSDI 2024). Whoever
 * has had the least, by its weight, is served next. Who comes back after an absence starts where the others are, so that nobody saves
 * up and nobody pays for having used what nobody else wanted. A request is charged with an estimate when it goes and settled
 * when its answer tells what it took.
 */
import type { ClientId, Job, Millis, Outcome } from './types.ts';

/** A token of an answer takes its slot for longer than one of a prompt. */
const OUTPUT_WEIGHT = 2;

/** Output tokens expected before any answer has told. */
const FIRST_GUESS = 256;

/** The weight of the newest answer in the mean: about the last twenty count. */
const NEWEST = 0.1;

/** Tabs of a pool that are kept before those that no longer matter are looked for. */
const KEPT = 256;

/** Whoever has more than so many times its part of what runs has most of it. */
const MOST = 1.5;

/** How long it is remembered that somebody came who had nothing waiting. */
const LATELY_MS = 60_000;

/** What one client has had of a pool. */
export interface Tab {
  readonly client: ClientId;
  readonly pool: Pool;
  weight: number;
  /** Tokens by weight, from a start that is the same for all tabs of the pool. */
  counter: number;
  waiting: number;
  running: number;
}

/** Slots that are shared out as one: those of a runner, or of the whole fleet, in one band. */
export interface Pool {
  readonly priority: number;
  readonly group: Group;
  readonly tabs: Map<ClientId, Tab>;
  /** The counter of whoever was served last; who comes starts here at the least. Never falls. */
  level: number;
  meanOutput: number;
  /** Tabs with jobs that wait or run, and their weights. */
  inUse: number;
  weight: number;
  running: number;
  /** The last who came with nothing waiting, and the last before that was somebody else. */
  visits: readonly [Visit, Visit];
  sweepAt: number;
}

/** The pools of the same slots, one a band. */
interface Group {
  readonly key: string;
  readonly pools: Map<number, Pool>;
}

interface Visit {
  readonly client: ClientId;
  readonly at: Millis;
}

const never: Visit = { client: '', at: -Infinity };

/** What a job was charged. */
export interface Charge {
  readonly tab: Tab;
  readonly tokens: number;
}

export class Shares {
  /** Only those in use: when nobody wants anything of a pool, everybody is even. */
  readonly #groups = new Map<string, Group>();
  #byRunner = false;

  /** Whether slots belong to a runner each, or to the fleet. Changes forget what everybody has had. */
  setByRunner(byRunner: boolean): void {
    this.#byRunner = byRunner;
    this.#groups.clear();
  }

  /** The job waits. */
  join(job: Job, now: Millis): Tab {
    const tab = this.#tabFor(job);
    if (tab.waiting === 0) visit(tab, now);
    tab.waiting += 1;
    return tab;
  }

  /** It no longer does. */
  leave(tab: Tab): void {
    tab.waiting -= 1;
    this.#mayBeIdle(tab);
  }

  /** The job goes to a backend at once. */
  admit(job: Job, now: Millis): Charge {
    const tab = this.#tabFor(job);
    visit(tab, now);
    return charge(tab, job);
  }

  /** It goes there after it has waited. */
  charge(job: Job): Charge {
    return charge(this.#tabFor(job), job);
  }

  settle({ tab, tokens }: Charge, job: Job, outcome: Outcome): void {
    const { pool } = tab;
    tab.counter += (taken(job, outcome, tokens) - tokens) / tab.weight;
    tab.running -= 1;
    pool.running -= 1;
    const output = outcome.kind === 'done' ? outcome.usage.outputTokens : undefined;
    if (output !== undefined) pool.meanOutput += NEWEST * (output - pool.meanOutput);
    this.#mayBeIdle(tab);
  }

  /** Whether others should find a free slot before the client gets its next. */
  yields({ client, pool, running, weight }: Tab, now: Millis): boolean {
    for (const { priority, visits } of pool.group.pools.values()) {
      if (priority < pool.priority && now - visits[0].at < LATELY_MS) return true;
    }
    const other = pool.visits.find((visit) => visit.client !== client);
    if (other === undefined || now - other.at >= LATELY_MS) return false;
    const isInUse = isUsed(pool.tabs.get(other.client));
    const weights = pool.weight + (isInUse ? 0 : 1);
    return running > MOST * pool.running * (weight / weights);
  }

  #tabFor(job: Job): Tab {
    const pool = this.#poolFor(job);
    let tab = pool.tabs.get(job.client);
    if (tab === undefined) {
      sweep(pool);
      tab = { client: job.client, pool, weight: 1, counter: pool.level, waiting: 0, running: 0 };
      pool.tabs.set(job.client, tab);
    }
    const weight = job.share?.weight ?? 1;
    if (isUsed(tab)) {
      pool.weight += weight - tab.weight;
    } else {
      pool.inUse += 1;
      pool.weight += weight;
    }
    tab.weight = weight;
    if (tab.waiting === 0) tab.counter = Math.max(tab.counter, pool.level);
    return tab;
  }

  #poolFor({ model, priority, runnerOptions }: Job): Pool {
    const key = this.#byRunner ? `${model ?? ''}\t${runnerOptions}` : '';
    let group = this.#groups.get(key);
    if (group === undefined) {
      group = { key, pools: new Map() };
      this.#groups.set(key, group);
    }
    let pool = group.pools.get(priority);
    if (pool === undefined) {
      const nobody = { inUse: 0, weight: 0, running: 0, visits: [never, never] as const };
      pool = { priority, group, tabs: new Map(), level: 0, meanOutput: FIRST_GUESS, sweepAt: KEPT, ...nobody };
      group.pools.set(priority, pool);
    }
    return pool;
  }

  #mayBeIdle(tab: Tab): void {
    if (isUsed(tab)) return;
    const { pool } = tab;
    const { group } = pool;
    pool.inUse -= 1;
    pool.weight -= tab.weight;
    for (const { inUse } of group.pools.values()) if (inUse > 0) return;
    if (this.#groups.get(group.key) === group) this.#groups.delete(group.key);
  }
}

function charge(tab: Tab, job: Job): Charge {
  const { pool } = tab;
  const tokens = expectedTokens(job, pool);
  pool.level = Math.max(pool.level, tab.counter);
  tab.counter += tokens / tab.weight;
  tab.running += 1;
  pool.running += 1;
  return { tab, tokens };
}

function isUsed(tab: Tab | undefined): boolean {
  return tab !== undefined && (tab.waiting > 0 || tab.running > 0);
}

function visit({ client, pool }: Tab, at: Millis): void {
  const [last, before] = pool.visits;
  pool.visits = [{ client, at }, last.client === client ? before : last];
}

/** What the job will probably take. */
export function expectedTokens({ maxOutputTokens, promptTokens }: Job, { meanOutput }: Pool): number {
  return promptTokens + OUTPUT_WEIGHT * Math.min(maxOutputTokens ?? Infinity, meanOutput);
}

/** A backend that fails has served nobody; of who leaves, at least the prompt was worked on. */
function taken(job: Job, outcome: Outcome, estimate: number): number {
  switch (outcome.kind) {
    case 'done': {
      const { promptTokens = job.promptTokens, outputTokens } = outcome.usage;
      return outputTokens === undefined ? estimate : promptTokens + OUTPUT_WEIGHT * outputTokens;
    }
    case 'client-gone':
      return job.promptTokens + OUTPUT_WEIGHT * (outcome.usage.outputTokens ?? 0);
    case 'neutral':
    case 'busy':
    case 'failed':
      return 0;
  }
}

/** A tab that is not in use and not ahead of the others is as good as a new one. */
function sweep(pool: Pool): void {
  if (pool.tabs.size < pool.sweepAt) return;
  for (const [client, { counter, running, waiting }] of pool.tabs) {
    if (waiting === 0 && running === 0 && counter <= pool.level) pool.tabs.delete(client);
  }
  pool.sweepAt = Math.max(KEPT, 2 * pool.tabs.size);
}
