/** What the queue promises to clients that share slots. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { Queue, type Waiter } from '../../src/core/queue.ts';
import type { Charge } from '../../src/core/shares.ts';
import type { Job, Outcome } from '../../src/core/types.ts';
import { job } from '../support/build.ts';

interface Running {
  readonly job: Job;
  readonly charge: Charge;
}

const LONGEST = 2000;

/** One slot's worth of queue: jobs wait, the head goes, and answers tell what they took. */
class Line {
  readonly queue = new Queue<Waiter>();
  readonly had = new Map<string, number>();
  readonly running: Running[] = [];
  now = 0;

  constructor(ageing = Infinity) {
    this.queue.setAgeing(ageing);
    this.queue.setByRunner(true);
  }

  wait(overrides: Partial<Job>): void {
    this.queue.setNow(this.now);
    this.queue.push({ job: job(overrides), tried: [], since: this.now, deadline: Infinity });
  }

  /** The next to go; null when nobody may. */
  serve(): Job | null {
    this.queue.setNow(this.now);
    const [lane] = this.queue.lanes;
    if (lane === undefined) return null;
    const waiter = lane.head;
    this.running.push({ job: waiter.job, charge: this.queue.serve(waiter)! });
    return waiter.job;
  }

  end(outputTokens: number): void {
    const ended = this.running.shift();
    if (ended === undefined) return;
    const outcome: Outcome = {
      kind: 'done',
      usage: { promptTokens: ended.job.promptTokens, outputTokens },
      firstByteMs: 1,
    };
    this.queue.settle(ended.charge, ended.job, outcome);
    const tokens = ended.job.promptTokens + 2 * outputTokens;
    this.had.set(ended.job.client, (this.had.get(ended.job.client) ?? 0) + tokens);
  }
}

const lengths = fc.record({ promptTokens: fc.nat({ max: LONGEST }), outputTokens: fc.nat({ max: LONGEST }) });

describe('fair shares', () => {
  it('keep clients that always want more within a few requests of each other, by weight, whatever they ask for', () => {
    const draws = fc.array(lengths, { minLength: 60, maxLength: 200 });
    const weights = fc.tuple(fc.constantFrom(1, 2, 3), fc.constantFrom(1, 2, 3));
    fc.assert(
      fc.property(draws, weights, fc.integer({ min: 1, max: 4 }), (requests, [ofAlice, ofBob], slots) => {
        const line = new Line();
        const shares: Record<string, number> = { alice: ofAlice, bob: ofBob };
        const want = (client: string, promptTokens: number): void => {
          line.wait({ client, promptTokens, share: { weight: shares[client]! } });
        };
        for (const client of ['alice', 'bob']) for (let count = 0; count < 6; count += 1) want(client, 100);
        for (const { outputTokens, promptTokens } of requests) {
          const served = line.serve()!;
          want(served.client, promptTokens);
          if (line.running.length >= slots) line.end(outputTokens);
          const [alice, bob] = ['alice', 'bob'].map((client) => (line.had.get(client) ?? 0) / shares[client]!);
          // What runs is not settled yet, and nobody is stopped in the middle.
          assert.ok(Math.abs(alice! - bob!) <= 2 * (slots + 1) * 3 * LONGEST);
        }
      }),
      { numRuns: 200 },
    );
  });

  it('let equal clients have equal parts in the long run, although one asks for ten times as much at a time', () => {
    const line = new Line();
    for (let count = 0; count < 200; count += 1) {
      line.wait({ client: 'long', promptTokens: 1000 });
      line.wait({ client: 'short', promptTokens: 100 });
    }
    for (let count = 0; count < 150; count += 1) {
      const { client } = line.serve()!;
      line.end(client === 'long' ? 500 : 50);
    }
    const ratio = line.had.get('long')! / line.had.get('short')!;
    assert.ok(ratio > 0.9 && ratio < 1.1, String(ratio));
  });

  it('let whoever comes back start where the others are: nothing is saved up', () => {
    const line = new Line();
    line.wait({ client: 'guest' });
    line.serve();
    for (let count = 0; count < 100; count += 1) line.wait({ client: 'regular' });
    for (let count = 0; count < 50; count += 1) {
      line.serve();
      line.end(100);
    }
    for (let count = 0; count < 20; count += 1) line.wait({ client: 'guest' });
    const next = Array.from({ length: 10 }, () => {
      const { client } = line.serve()!;
      line.end(100);
      return client;
    });
    const guests = next.filter((client) => client === 'guest').length;
    assert.ok(guests >= 4 && guests <= 6, next.join(' '));
  });

  it('charge nothing for what nobody else wanted', () => {
    const line = new Line();
    for (let count = 0; count < 100; count += 1) {
      line.wait({ client: 'early' });
      line.serve();
      line.end(1000);
    }
    for (let count = 0; count < 10; count += 1) {
      line.wait({ client: 'early' });
      line.wait({ client: 'late' });
    }
    const next = Array.from({ length: 6 }, () => line.serve()!.client);
    assert.equal(next.filter((client) => client === 'early').length, 3, next.join(' '));
  });

  it('give a request of a client that asks for little its turn before the hundredth of one that floods', () => {
    const line = new Line();
    for (let count = 0; count < 100; count += 1) line.wait({ client: 'flood' });
    for (let count = 0; count < 4; count += 1) line.serve();
    line.wait({ client: 'light' });
    assert.equal(line.serve()!.client, 'light');
  });

  it('take back what a failed attempt was charged', () => {
    const line = new Line();
    for (const client of ['alice', 'bob']) for (let count = 0; count < 3; count += 1) line.wait({ client });
    const first = line.serve()!.client;
    const { charge, job: failed } = line.running.shift()!;
    line.queue.settle(charge, failed, {
      kind: 'failed',
      failure: 'backend-reset',
      against: 'backend',
      committed: false,
    });
    assert.equal(line.serve()!.client, first, 'it has had nothing yet');
  });

  it('forget nobody who still waits when slots come to be shared out otherwise', () => {
    const line = new Line();
    for (let count = 0; count < 6; count += 1) line.wait({ client: count < 3 ? 'alice' : 'bob', priority: count % 2 });
    line.queue.setByRunner(false);
    const served = Array.from({ length: 6 }, () => line.serve()!.priority);
    assert.deepEqual(served, [0, 0, 0, 1, 1, 1]);
  });
});

describe('bands', () => {
  it('are served strictly in order, but none that waits is passed over for longer than the bound', () => {
    const steps = fc.array(
      fc.oneof(
        { weight: 3, arbitrary: fc.record({ priority: fc.nat({ max: 2 }), client: fc.constantFrom('a', 'b', 'c') }) },
        { weight: 3, arbitrary: fc.constant('serve' as const) },
        { weight: 1, arbitrary: fc.integer({ min: 1, max: 60 }) },
      ),
      { size: 'max', maxLength: 100 },
    );
    fc.assert(
      fc.property(steps, (history) => {
        const line = new Line(100);
        const waiting: Job[] = [];
        // When each band was last served, or began to wait.
        const since = new Map<number, number>();
        for (const step of history) {
          if (typeof step === 'number') line.now += step;
          else if (step !== 'serve') {
            if (!waiting.some(({ priority }) => priority === step.priority)) since.set(step.priority, line.now);
            line.wait(step);
            waiting.push([...line.queue].at(-1)!.job);
          } else if (waiting.length > 0) {
            const first = Math.min(...waiting.map(({ priority }) => priority));
            const overdue = [...new Set(waiting.map(({ priority }) => priority))]
              .filter((priority) => priority !== first && line.now - since.get(priority)! >= 100)
              .sort((a, b) => since.get(a)! - since.get(b)!);
            const served = line.serve()!;
            line.end(10);
            waiting.splice(waiting.indexOf(served), 1);
            const longest = overdue.length === 0 ? null : since.get(overdue[0]!);
            if (longest === null) assert.equal(served.priority, first);
            else assert.equal(since.get(served.priority), longest, 'who was passed over for longest');
            since.set(served.priority, line.now);
          }
        }
      }),
      { numRuns: 300 },
    );
  });
});

describe('bounds of a client', () => {
  it('keep no more of its jobs with backends than it is granted, and hold up nobody else', () => {
    const line = new Line();
    const share = { weight: 1, concurrency: 2 };
    for (let count = 0; count < 5; count += 1) line.wait({ client: 'bounded', share });
    line.wait({ client: 'other' });
    const served = [line.serve(), line.serve(), line.serve(), line.serve()].map((one) => one?.client ?? null);
    assert.deepEqual(served, ['bounded', 'other', 'bounded', null]);
    assert.equal(line.queue.size, 3, 'the others wait');
    assert.ok(!line.queue.admits(job({ client: 'bounded', share })));
    line.end(10);
    assert.equal(line.serve()?.client, 'bounded', 'one has ended');
    assert.equal(line.serve(), null);
  });

  it('say which jobs may go only now, once there is room again', () => {
    const line = new Line();
    const share = { weight: 1, concurrency: 1 };
    line.wait({ client: 'bounded', share });
    line.wait({ client: 'bounded', share, model: 'other:latest' });
    line.serve();
    const { charge, job: ended } = line.running[0]!;
    const freed = line.queue.settle(charge, ended, { kind: 'neutral', reason: '' });
    assert.deepEqual(
      freed.map(({ model }) => model),
      ['other:latest'],
    );
  });
});
