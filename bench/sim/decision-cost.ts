/**
 * What a decision costs at scale: 64 backends, 1,000 models, 100,000 conversations. Real time, on one core.
 *
 *   node bench/sim/decision-cost.ts
 */
import { performance } from 'node:perf_hooks';
import { createFleet } from '../../src/core/fleet.ts';
import type { Placement } from '../../src/core/planner.ts';
import { Queue, type Waiter } from '../../src/core/queue.ts';
import { Soonest } from '../../src/core/routing/soonest.ts';
import type { InstalledModel, Job, ResidentModel } from '../../src/core/types.ts';
import { seededRng } from '../../src/simulator/luck.ts';
import { health } from './core-router.ts';
import { EventLoop } from './event-loop.ts';
import { zipf } from './luck.ts';
import { percentile } from './measure.ts';

const BACKENDS = 64;
const MODELS = 1000;
const CONVERSATIONS = 100_000;
const PLACES = 16;
const PARALLEL = 4;
const WARM_UP = 20_000;
const MEASURED = 50_000;

const clock = new EventLoop();
const rng = seededRng('decision-cost');
const models = Array.from({ length: MODELS }, (_, index) => `model-${index}:latest`);
const fleet = createFleet({ clock, rng, emit: () => {} }, health);
const planner = new Soonest(
  { patience: 45_000, headroom: 0.0625, prompts: Math.ceil(CONVERSATIONS / BACKENDS), decisions: 256 },
  rng,
);
planner.begin({ performs: true });
fleet.setAutoSlots(Infinity);
const ids = Array.from({ length: BACKENDS }, (_, index) => `backend-${index}`);
fleet.set(
  ids.map((id) => ({
    id,
    url: `http://${id}`,
    weight: 1,
    models: null,
    slots: 'auto',
    parallel: PARALLEL,
    places: PLACES,
  })),
);
const installed = models.map((name): InstalledModel => ({ name, digest: name, sizeBytes: 1e9, raw: {} }));
for (const [index, id] of ids.entries()) {
  fleet.observe(id, { kind: 'alive', version: '0.33.0' });
  fleet.observe(id, { kind: 'inventory', models: installed });
  // The 24 hottest models have many replicas; the others share what is left.
  const held = Array.from({ length: PLACES }, (_, place) =>
    place < 8 ? models[(index * 8 + place) % 24]! : models[24 + ((index * 8 + place - 8) % (MODELS - 24))]!,
  );
  fleet.observe(id, { kind: 'resident', models: held.map(residentOf) });
}
const queue = new Queue<Waiter>();
let jobs = 0;

const seedTimes: number[] = [];
for (let conversation = 0; conversation < CONVERSATIONS; conversation++) decide(conversation, seedTimes);
console.log(`${BACKENDS} backends, ${MODELS} models, ${CONVERSATIONS} conversations remembered\n`);
measure('a job comes and a slot is free', (times) => decide(Math.floor(rng.next() * CONVERSATIONS), times));

// Now everybody waits: one job for each model that is in memory nowhere, and one slot comes free at a time.
const held = fill();
const cold = Math.min(queue.size, MODELS);
measure(`a slot comes free while jobs of ${cold} models wait`, releaseOne);

/** One decision with what surrounds it: the lease is taken, and ends. */
function decide(conversation: number, times: number[]): void {
  const job = jobOf(zipf(rng, 24, 1), conversation);
  const started = performance.now();
  const now = clock.now();
  planner.came(job, [], now);
  if (fleet.outlook(job, []) !== 'free') throw new Error('every backend is full');
  const placement = planner.place({ job, tried: [], since: now }, fleet, now);
  times.push(1000 * (performance.now() - started));
  if (placement === null) return;
  end(job, placement);
}

function end(job: Job, placement: Placement): void {
  const hold = fleet.take(placement.backend, job);
  const watch = planner.leased(job, placement, clock.now());
  clock.runUntil(clock.now() + 1);
  watch.answered(clock.now());
  const usage = { promptTokens: job.promptTokens, promptMs: 400, outputMs: 100, loadMs: 1, totalMs: 501 };
  watch.released({ kind: 'done', usage, firstByteMs: 1 }, clock.now());
  fleet.give(hold, { kind: 'done', usage, firstByteMs: 1 });
}

interface Held {
  readonly job: Job;
  readonly hold: ReturnType<typeof fleet.take>;
  readonly watch: ReturnType<typeof planner.leased>;
}

/** Takes every slot of the hot models, then lets one job wait for each of the models. */
function fill(): Held[] {
  const all: Held[] = [];
  for (const id of ids) {
    for (const { model, phase } of planner.knowledge.backend(id).runners.values()) {
      if (phase !== 'ready') continue;
      for (let slot = 0; slot < PARALLEL; slot++) {
        const job = { ...jobOf(0, all.length), model };
        const watch = planner.leased(job, { backend: id, reason: 'warm' }, clock.now());
        all.push({ job, hold: fleet.take(id, job), watch });
      }
    }
  }
  for (let model = 0; model < MODELS; model++) wait({ ...jobOf(0, model), model: models[model]! });
  return all;
}

function wait(job: Job): void {
  const now = clock.now();
  queue.push({ job, tried: [], since: now, deadline: Infinity });
  planner.queued(job, now);
}

/** A lease ends; the scheduler's round follows: who goes, and what is to be loaded. Whoever goes takes the slot again. */
function releaseOne(times: number[]): void {
  const index = Math.floor(rng.next() * held.length);
  const { job, hold, watch } = held[index]!;
  clock.runUntil(clock.now() + 5);
  const now = clock.now();
  const started = performance.now();
  watch.released({ kind: 'done', usage: {}, firstByteMs: 1 }, now);
  fleet.give(hold, { kind: 'done', usage: {}, firstByteMs: 1 });
  const dispatch = planner.next(queue, fleet, now);
  const intents = planner.intents(queue, fleet, now);
  times.push(1000 * (performance.now() - started));
  for (const intent of intents) if (intent.kind === 'load') planner.performed(intent, 1000, now);
  const next = dispatch === null ? job : dispatch.waiter.job;
  const backend = dispatch?.backend ?? hold.backend;
  if (dispatch !== null) queue.remove(dispatch.waiter);
  held[index] = {
    job: next,
    watch: planner.leased(next, { backend, reason: 'warm' }, now),
    hold: fleet.take(backend, next),
  };
  if (dispatch !== null) wait({ ...next, id: String(jobs++) });
}

function measure(what: string, step: (times: number[]) => void): void {
  const times: number[] = [];
  for (let round = 0; round < WARM_UP; round++) step(times);
  times.length = 0;
  const before = process.cpuUsage();
  for (let round = 0; round < MEASURED; round++) step(times);
  const { user, system } = process.cpuUsage(before);
  times.sort((a, b) => a - b);
  const at = (share: number): string => percentile(times, share).toFixed(1).padStart(7);
  console.log(
    `${what}\n  µs: p50 ${at(0.5)}  p90 ${at(0.9)}  p99 ${at(0.99)}  p99.9 ${at(0.999)}  processor time, with the lease ${((user + system) / MEASURED).toFixed(1)}\n`,
  );
}

function jobOf(model: number, conversation: number): Job {
  return {
    id: String(jobs++),
    client: 'client',
    address: '192.0.2.1',
    model: models[model]!,
    task: 'chat',
    runnerOptions: '',
    promptTokens: 1200,
    maxOutputTokens: null,
    session: null,
    prefix: [
      { hash: `${conversation}.0`, tokens: 400 },
      { hash: `${conversation}.1`, tokens: 800 },
      { hash: `${conversation}.2`, tokens: 1200 },
    ],
    priority: 0,
  };
}

function residentOf(name: string): ResidentModel {
  return { name, digest: name, sizeBytes: 1e9, vramBytes: 1e9, contextLength: 4096, expiresAt: null, raw: {} };
}
