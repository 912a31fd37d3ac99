import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import * as fc from 'fast-check';
import { createOllamaScheduler, type OllamaScheduler } from '../../src/simulator/scheduler.ts';
import type {
  RequestFailure,
  RequestHandle,
  SchedulerOptions,
  SchedulerRequest,
  SimulatedModel,
  Timing,
} from '../../src/simulator/scheduler-types.ts';
import { EventLoop } from '../../bench/sim/event-loop.ts';
import { seededRng } from '../../src/simulator/luck.ts';

/** One slot, one place, loads of exactly 20 s, 1,000 prompt tokens and 10 output tokens a second, no fixed cost. */
const exact: Partial<SchedulerOptions> = {
  numParallel: 1,
  maxLoadedModels: 1,
  loadMs: 20_000,
  loadSpread: 0,
  prefillTokensPerSecond: 1000,
  decodeTokensPerSecond: 10,
  prefillFixedMs: 0,
};

function model(name: string, extra: Partial<SimulatedModel> = {}): SimulatedModel {
  return { name, blob: `sha256-${name}`, sizeBytes: 1e9, ...extra };
}

const a = model('a');
const b = model('b');
const c = model('c');

/** 1 s of prefill and 1 s of decoding at the rates of `exact`. */
function ask(target: SimulatedModel, extra: Partial<SchedulerRequest> = {}): SchedulerRequest {
  return {
    model: target,
    options: {},
    keepAliveMs: null,
    task: 'generate',
    promptTokens: 1000,
    outputTokens: 10,
    prefix: [],
    ...extra,
  };
}

interface Seen {
  grantedAt: number | null;
  firstAt: number | null;
  endedAt: number | null;
  timing: Timing | null;
  failure: RequestFailure | null;
  tokens: number[];
  handle: RequestHandle;
}

interface Bench {
  loop: EventLoop;
  ollama: OllamaScheduler;
  send: (request: SchedulerRequest) => Seen;
  sendAt: (ms: number, request: SchedulerRequest) => { seen: Seen | null };
}

function bench(overrides: Partial<SchedulerOptions> = {}, seed = 1): Bench {
  const loop = new EventLoop();
  const ollama = createOllamaScheduler({ ...exact, ...overrides }, loop, seededRng(seed));
  const send = (request: SchedulerRequest): Seen => {
    const seen: Omit<Seen, 'handle'> = {
      grantedAt: null,
      firstAt: null,
      endedAt: null,
      timing: null,
      failure: null,
      tokens: [],
    };
    const ended = (): void => {
      assert.equal(seen.endedAt, null, 'a request ends once');
      seen.endedAt = loop.now();
    };
    const handle = ollama.submit(request, {
      granted: () => {
        seen.grantedAt = loop.now();
      },
      firstToken: () => {
        seen.firstAt = loop.now();
      },
      token: () => {
        seen.tokens.push(loop.now());
      },
      done: (timing) => {
        ended();
        seen.timing = timing;
      },
      failed: (reason) => {
        ended();
        seen.failure = reason;
      },
    });
    return Object.assign(seen, { handle });
  };
  return {
    loop,
    ollama,
    send,
    sendAt(ms, request) {
      const box: { seen: Seen | null } = { seen: null };
      loop.after(ms - loop.now(), () => {
        box.seen = send(request);
      });
      return box;
    },
  };
}

function close(actual: number | null | undefined, expected: number): void {
  assert.ok(typeof actual === 'number' && Math.abs(actual - expected) < 0.01, `${actual} is not ${expected}`);
}

const names = (ollama: OllamaScheduler): string[] => ollama.resident().map((runner) => runner.model.name);

describe('a loaded model', () => {
  it('loads, processes the prompt, then answers, each at its rate', () => {
    const { loop, send, ollama } = bench();
    const seen = send(ask(a, { eachToken: true }));
    loop.runUntil(10_000);
    assert.deepEqual(names(ollama), [], 'a model being loaded is not shown');
    loop.runUntil(60_000);
    close(seen.grantedAt, 20_000);
    close(seen.firstAt, 21_000);
    close(seen.endedAt, 22_000);
    assert.equal(seen.tokens.length, 10);
    close(seen.tokens[1], 21_100);
    assert.deepEqual(seen.timing && { ...seen.timing, promptMs: 0, outputMs: 0, totalMs: 0 }, {
      loadMs: 20_000,
      slotWaitMs: 0,
      promptMs: 0,
      outputMs: 0,
      totalMs: 0,
      promptTokens: 1000,
      cachedTokens: 0,
      outputTokens: 10,
    });
    close(seen.timing?.totalMs, 22_000);
  });

  it('serves in order of arrival, without any limit on who waits', () => {
    const { loop, send } = bench({ maxQueue: 2 });
    send(ask(a));
    loop.runUntil(22_000);
    const later = Array.from({ length: 10 }, () => send(ask(a)));
    loop.runUntil(100_000);
    later.forEach((seen, index) => close(seen.endedAt, 22_000 + 2000 * (index + 1)));
    close(later[9]!.timing?.slotWaitMs, 18_000);
    close(later[9]!.timing?.loadMs, 0);
  });

  it('slows everybody in a runner down by the number of them to the power of 0.45', () => {
    const { loop, send } = bench({ numParallel: 4 });
    send(ask(a, { task: 'load' }));
    loop.runUntil(20_000);
    const first = send(ask(a));
    const second = send(ask(a));
    loop.runUntil(20_500);
    const third = send(ask(a, { outputTokens: 0 }));
    loop.runUntil(60_000);
    const two = 2 ** 0.45;
    const three = 3 ** 0.45;
    // 500 ms at the pace of two; then three until the third's second of prompt is done at the pace of three.
    const done = 500 / two;
    close(third.endedAt, 20_500 + 1000 * three);
    const left = 2000 - done - 1000;
    close(first.endedAt, 20_500 + 1000 * three + left * two);
    close(second.endedAt, 20_500 + 1000 * three + left * two);
  });

  it('gives embedding models one slot', () => {
    const { loop, send } = bench({ numParallel: 4 });
    const embedder = model('embedder', { oneSlot: true });
    const seen = [1, 2, 3].map(() => send(ask(embedder, { task: 'embed' })));
    loop.runUntil(60_000);
    assert.deepEqual(
      seen.map(({ endedAt }) => Math.round(endedAt!)),
      [21_000, 22_000, 23_000],
    );
    assert.equal(seen[0]!.firstAt, null);
  });

  it('is shared by its aliases, and shown under the name that loaded it', () => {
    const { loop, send, ollama } = bench();
    const alias = model('alias', { blob: a.blob });
    send(ask(a));
    const seen = send(ask(alias));
    loop.runUntil(60_000);
    assert.equal(ollama.snapshot().loadsStarted, 1);
    close(seen.endedAt, 24_000);
    assert.deepEqual(names(ollama), ['a']);
  });

  it('skips what it remembers of a prompt, until it is unloaded', () => {
    const { loop, send, ollama } = bench();
    const one = { hash: 'one', tokens: 1000 };
    const answered = { hash: 'one-answered', tokens: 1010 };
    send(ask(a, { prefix: [one], answerMark: answered }));
    loop.runUntil(30_000);
    const next = ask(a, { promptTokens: 1510, prefix: [one, answered, { hash: 'two', tokens: 1510 }] });
    const warm = send(next);
    loop.runUntil(40_000);
    close(warm.timing?.promptMs, 500);
    assert.equal(warm.timing?.cachedTokens, 1010);
    ollama.unload(a);
    const cold = send(next);
    loop.runUntil(80_000);
    close(cold.timing?.promptMs, 1510);
  });

  it('forgets the least recently used prompt first', () => {
    const { loop, send } = bench({ cachedPrompts: 2 });
    const prompt = (hash: string): SchedulerRequest => ask(a, { prefix: [{ hash, tokens: 1000 }] });
    for (const hash of ['x', 'y', 'x', 'z']) send(prompt(hash));
    loop.runUntil(60_000);
    const [x, y] = [send(prompt('x')), send(prompt('y'))];
    loop.runUntil(90_000);
    assert.equal(x.timing?.cachedTokens, 1000);
    assert.equal(y.timing?.cachedTokens, 0);
  });
});

describe('options that shape the runner', () => {
  const cases: readonly [string, SchedulerRequest['options'], SchedulerRequest['options'], boolean][] = [
    ['num_ctx', { num_ctx: 8192 }, { num_ctx: 4096 }, true],
    ['num_ctx absent after another explicit value', { num_ctx: 8192 }, {}, true],
    ['num_ctx absent after the explicit default', { num_ctx: 4096 }, {}, false],
    ['num_ctx explicit that matches the default', {}, { num_ctx: 4096 }, false],
    ['num_ctx beyond what the model was trained for', { num_ctx: 40_000 }, { num_ctx: 50_000 }, false],
    ['num_batch', {}, { num_batch: 256 }, true],
    ['num_batch that matches the default', {}, { num_batch: 512 }, false],
    ['num_thread', {}, { num_thread: 4 }, true],
    ['main_gpu', {}, { main_gpu: 1 }, true],
    ['use_mmap', {}, { use_mmap: false }, true],
    ['draft_num_predict', {}, { draft_num_predict: 4 }, true],
    ['num_gpu', {}, { num_gpu: 10 }, true],
    ['num_gpu negative, which is automatic', {}, { num_gpu: -1 }, false],
    ['shift', {}, { shift: false }, true],
  ];
  for (const [name, before, after, reloads] of cases) {
    it(`${reloads ? 'reloads for' : 'does not reload for'} ${name}`, () => {
      const { loop, send, ollama } = bench({ maxLoadedModels: 3 });
      const trained = model('trained', { trainedContext: 32_768 });
      send(ask(trained, { options: before }));
      loop.runUntil(30_000);
      const second = send(ask(trained, { options: after }));
      loop.runUntil(90_000);
      assert.equal(second.failure, null);
      assert.equal(ollama.snapshot().loadsStarted, reloads ? 2 : 1);
      assert.equal(ollama.resident().length, 1);
    });
  }
});

describe('the loader', () => {
  it('loads one model at a time, in order, and lets nothing overtake', () => {
    const { loop, send } = bench({ maxLoadedModels: 3 });
    const first = send(ask(a));
    const second = send(ask(b));
    const third = send(ask(a));
    loop.runUntil(90_000);
    close(first.grantedAt, 20_000);
    close(second.grantedAt, 40_000);
    close(third.grantedAt, 40_000);
  });

  it('refuses with busy once MAX_QUEUE requests wait, and still serves a loaded model', () => {
    const { loop, send } = bench({ maxQueue: 2 });
    send(ask(a));
    loop.runUntil(22_000);
    const inHand = send(ask(b));
    const waiting = [send(ask(b)), send(ask(c))];
    const refused = send(ask(b));
    assert.equal(refused.failure, 'busy');
    assert.deepEqual(
      [inHand, ...waiting].map((seen) => seen.failure),
      [null, null, null],
    );
    loop.runUntil(200_000);
    assert.ok([inHand, ...waiting].every((seen) => seen.timing !== null));
  });

  it('keeps a request that left in the queue until the loader comes to it', () => {
    const { loop, send, ollama } = bench({ maxQueue: 1 });
    send(ask(a));
    const left = send(ask(b));
    left.handle.cancel();
    assert.equal(send(ask(c)).failure, 'busy');
    loop.runUntil(90_000);
    assert.equal(left.endedAt, null);
    assert.deepEqual(names(ollama), ['a']);
  });

  it('starts a load from zero for the next in line when the one that asked for it leaves', () => {
    const { loop, send, ollama } = bench();
    const first = send(ask(a));
    const second = send(ask(a));
    loop.runUntil(15_000);
    first.handle.cancel();
    loop.runUntil(90_000);
    close(second.grantedAt, 35_000);
    assert.equal(ollama.snapshot().loadsAborted, 1);
    assert.equal(first.endedAt, null);
  });

  it('evicts the first idle runner in order of keep_alive, then path', () => {
    const { loop, send, ollama } = bench({ maxLoadedModels: 3, keepAliveMs: Infinity });
    send(ask(a, { keepAliveMs: 600_000 }));
    send(ask(c, { keepAliveMs: 500_000 }));
    send(ask(b, { keepAliveMs: 500_000 }));
    loop.runUntil(70_000);
    send(ask(model('d')));
    loop.runUntil(100_000);
    assert.deepEqual(names(ollama).sort(), ['a', 'c', 'd']);
    const busy = send(ask(c, { promptTokens: 50_000 }));
    send(ask(model('e')));
    loop.runUntil(130_000);
    assert.deepEqual(names(ollama).sort(), ['c', 'd', 'e'], 'c would be first, but is busy');
    assert.equal(busy.failure, null);
  });

  it('makes room in memory, and loads what is too large when nothing else is loaded', () => {
    const { loop, send, ollama } = bench({ maxLoadedModels: 3, memoryBytes: 10e9 });
    send(ask(a));
    send(ask(model('big', { sizeBytes: 7e9 })));
    loop.runUntil(60_000);
    assert.deepEqual(names(ollama), ['a', 'big']);
    send(ask(model('huge', { sizeBytes: 20e9 })));
    loop.runUntil(120_000);
    assert.deepEqual(names(ollama), ['huge']);
  });

  it('counts the context of every slot towards memory', () => {
    const { loop, send, ollama } = bench({ numParallel: 4, memoryBytes: 1e12 });
    send(ask(model('kv', { kvBytesPerToken: 1000 }), { options: { num_ctx: 8192 } }));
    loop.runUntil(60_000);
    assert.equal(ollama.resident()[0]!.sizeBytes, 1e9 + 1000 * 8192 * 4);
    assert.equal(ollama.resident()[0]!.contextLength, 8192);
  });

  it('draws the load time evenly from its spread', () => {
    const times = Array.from({ length: 200 }, (_, seed) => {
      const { loop, send } = bench({ loadSpread: 0.4 }, seed);
      const seen = send(ask(a));
      loop.runUntil(60_000);
      return seen.grantedAt!;
    });
    assert.ok(Math.min(...times) >= 12_000 && Math.max(...times) <= 28_000);
    assert.ok(Math.min(...times) < 12_500 && Math.max(...times) > 27_500);
    const mean = times.reduce((sum, time) => sum + time, 0) / times.length;
    assert.ok(Math.abs(mean - 20_000) < 1000, String(mean));
  });
});

describe('keep_alive', () => {
  it('ends a runner when it was idle for that long; the last request that states one decides', () => {
    const { loop, send, ollama } = bench({ keepAliveMs: 5000 });
    send(ask(a));
    loop.runUntil(26_900);
    close(ollama.resident()[0]!.expiresAt, 27_000);
    loop.runUntil(27_001);
    assert.deepEqual(names(ollama), []);
    send(ask(a, { keepAliveMs: Infinity }));
    loop.runUntil(1e9);
    assert.deepEqual(names(ollama), ['a']);
    send(ask(a, { keepAliveMs: 0 }));
    loop.runUntil(1e9 + 10_000);
    assert.deepEqual(names(ollama), []);
  });

  it('unloads at once when idle, and after the last request when not', () => {
    const { loop, send, ollama } = bench();
    assert.equal(ollama.unload(a), false);
    send(ask(a));
    loop.runUntil(21_000);
    assert.equal(ollama.unload(a), true);
    assert.deepEqual(names(ollama), ['a']);
    loop.runUntil(22_001);
    assert.deepEqual(names(ollama), []);
  });

  it('holds the place for as long as an unload takes', () => {
    const { loop, send } = bench({ unloadMs: 3000 });
    send(ask(a));
    loop.runUntil(30_000);
    const seen = send(ask(b));
    loop.runUntil(90_000);
    close(seen.grantedAt, 53_000);
  });
});

describe('upstream bugs', () => {
  /** Two overlapping clients on A for 12 s after its load; B arrives 2 s in. Returns when B was granted, from the load on. */
  function starve(keepAliveMs: number | null, starvation: boolean): number | null {
    const { loop, send, sendAt } = bench({ numParallel: 2, bugs: { slotLeak: true, starvation } });
    send(ask(a, { task: 'load' }));
    for (let at = 0; at < 12_000; at += 1000) sendAt(20_000 + at, ask(a, { keepAliveMs, outputTokens: 5 }));
    const late = sendAt(22_000, ask(b));
    loop.runUntil(200_000);
    const at = late.seen?.grantedAt ?? null;
    return at === null ? null : at - 40_000;
  }

  it('lets new requests join the runner a load waits for, so that the load starves', () => {
    const withoutKeepAlive = starve(null, true)!;
    assert.ok(withoutKeepAlive > 12_000 && withoutKeepAlive < 15_000, String(withoutKeepAlive));
    const withKeepAlive = starve(30_000, true)!;
    close(withKeepAlive - withoutKeepAlive, 30_000);
    assert.equal(starve(Infinity, true), null);
  });

  it('does not starve when that is mended', () => {
    const at = starve(Infinity, false)!;
    assert.ok(at < 5000, String(at));
  });

  it('blocks every load while it waits, even when nobody wants it any more', () => {
    const { loop, send } = bench({ maxLoadedModels: 1 });
    send(ask(a, { promptTokens: 60_000 }));
    loop.runUntil(21_000);
    const left = send(ask(b));
    left.handle.cancel();
    const behind = send(ask(c));
    loop.runUntil(200_000);
    close(behind.grantedAt, 101_000);
  });

  it('loses the slot of a reader that stalled and left, until the runner is unloaded', () => {
    const { loop, send, ollama } = bench();
    const stalled = send(ask(a));
    loop.runUntil(21_500);
    stalled.handle.pause();
    loop.runUntil(30_000);
    assert.equal(stalled.endedAt, null, 'it holds its slot');
    stalled.handle.cancel();
    const wedged = send(ask(a));
    loop.runUntil(1_000_000);
    assert.equal(wedged.firstAt, null);
    assert.equal(ollama.resident()[0]!.leaked, 1);
    wedged.handle.cancel();
    ollama.unload(a);
    const healed = send(ask(a));
    loop.runUntil(1_100_000);
    assert.ok(healed.timing !== null);
  });

  it('frees the slot of a stalled reader that left when that is mended, and always of one that was reading', () => {
    for (const pause of [true, false]) {
      const { loop, send } = bench({ bugs: { slotLeak: !pause, starvation: true } });
      const first = send(ask(a));
      loop.runUntil(21_500);
      if (pause) first.handle.pause();
      first.handle.cancel();
      const next = send(ask(a));
      loop.runUntil(60_000);
      close(next.endedAt, 23_500);
    }
  });

  it('goes on where it was when a stalled reader reads again', () => {
    const { loop, send } = bench();
    const seen = send(ask(a));
    loop.runUntil(21_500);
    seen.handle.pause();
    loop.runUntil(50_000);
    seen.handle.resume();
    loop.runUntil(90_000);
    close(seen.endedAt, 50_500);
  });

  it('takes two pings of 10 s to find out that a runner hangs, then reloads it', () => {
    const { loop, send, ollama } = bench();
    send(ask(a));
    loop.runUntil(30_000);
    assert.equal(ollama.hang(a), true);
    const seen = send(ask(a));
    loop.runUntil(200_000);
    close(seen.grantedAt, 70_000);
    assert.ok(seen.timing !== null);
  });

  it('fails the requests of a runner that crashes, and loads it afresh', () => {
    const { loop, send, ollama } = bench();
    const [active, waiting] = [send(ask(a)), send(ask(a))];
    loop.runUntil(21_000);
    assert.equal(ollama.crash(a), true);
    assert.deepEqual([active.failure, waiting.failure], ['crashed', 'crashed']);
    const next = send(ask(a));
    loop.runUntil(90_000);
    close(next.grantedAt, 41_000);
  });

  it('calls nobody back after it was closed', () => {
    const { loop, send, ollama } = bench();
    const seen = [send(ask(a)), send(ask(b))];
    loop.runUntil(20_500);
    ollama.close();
    loop.runUntil(1e9);
    assert.ok(seen.every(({ endedAt }) => endedAt === null));
  });
});

describe('whatever is sent', () => {
  const step = fc.record({
    gapMs: fc.integer({ min: 0, max: 15_000 }),
    model: fc.integer({ min: 0, max: 4 }),
    context: fc.constantFrom(undefined, 4096, 8192),
    keepAliveMs: fc.constantFrom(null, null, 0, 1000, 60_000, Infinity),
    task: fc.constantFrom('generate' as const, 'generate' as const, 'embed' as const, 'load' as const),
    promptTokens: fc.integer({ min: 0, max: 4000 }),
    outputTokens: fc.integer({ min: 0, max: 40 }),
    act: fc.constantFrom('none', 'none', 'none', 'cancel', 'pause', 'crash', 'unload'),
    actAfterMs: fc.integer({ min: 0, max: 40_000 }),
  });
  const setting = fc.record({
    numParallel: fc.integer({ min: 1, max: 4 }),
    maxLoadedModels: fc.integer({ min: 1, max: 3 }),
    maxQueue: fc.integer({ min: 1, max: 8 }),
    unloadMs: fc.constantFrom(0, 500),
    bugs: fc.record({ slotLeak: fc.constant(false), starvation: fc.boolean() }),
  });

  it('every request ends once or was cancelled, slots and places are never exceeded, and time adds up', () => {
    fc.assert(
      fc.property(setting, fc.array(step, { minLength: 1, maxLength: 25 }), fc.integer(), (overrides, steps, seed) => {
        const { loop, ollama, send } = bench({ ...overrides, loadSpread: 0.4, keepAliveMs: 60_000 }, seed);
        const models = Array.from({ length: 5 }, (_, index) => model(`m${index}`, { oneSlot: index === 4 }));
        const sent: { seen: Seen; cancelled: boolean }[] = [];
        const check = (): void => {
          const { runners, pending } = ollama.snapshot();
          assert.ok(runners.length <= overrides.maxLoadedModels);
          assert.ok(pending <= overrides.maxQueue);
          for (const runner of runners) {
            assert.ok(runner.active <= runner.slots);
            assert.ok(runner.waiting === 0 || runner.active + runner.leaked === runner.slots, 'no slot idles');
          }
        };
        for (const { gapMs, act, actAfterMs, context, ...rest } of steps) {
          loop.runUntil(loop.now() + gapMs);
          check();
          const target = models[rest.model]!;
          const options = context === undefined ? {} : { num_ctx: context };
          const entry = { seen: send(ask(target, { ...rest, model: target, options })), cancelled: false };
          sent.push(entry);
          loop.after(actAfterMs, () => {
            if (act === 'crash') ollama.crash(target);
            if (act === 'unload') ollama.unload(target);
            if (act === 'pause') entry.seen.handle.pause();
            if (act !== 'cancel' && act !== 'pause') return;
            loop.after(act === 'pause' ? 20_000 : 0, () => {
              entry.cancelled = entry.seen.endedAt === null;
              entry.seen.handle.cancel();
            });
          });
        }
        for (let round = 0; round < 50; round++) {
          loop.runUntil(loop.now() + 20_000);
          check();
        }
        // A runner that lives for ever may keep a load waiting only while somebody uses it.
        const held = sent.some(({ seen }) => seen.endedAt === null) && overrides.bugs.starvation;
        for (const { seen, cancelled } of sent) {
          assert.ok(cancelled || seen.endedAt !== null || held, 'an ending');
          assert.ok(!cancelled || seen.endedAt === null, 'nothing after a cancel');
          const timing = seen.timing;
          if (timing === null) continue;
          const parts = timing.loadMs + timing.slotWaitMs + timing.promptMs + timing.outputMs;
          assert.ok(Math.abs(parts - timing.totalMs) < 1e-3, 'the parts add up');
        }
      }),
      { numRuns: Number(process.env['PROPERTY_RUNS'] ?? 300) },
    );
  });

  it('does the same again for the same seed', () => {
    fc.assert(
      fc.property(fc.array(step, { minLength: 1, maxLength: 15 }), fc.integer(), (steps, seed) => {
        const run = (): string => {
          const { loop, send, ollama } = bench({ loadSpread: 0.4, maxLoadedModels: 2, numParallel: 2 }, seed);
          const seen = steps.map(({ gapMs, model: index, ...rest }) => {
            loop.runUntil(loop.now() + gapMs);
            return send(ask(model(`m${index}`), { ...rest, options: {}, model: model(`m${index}`) }));
          });
          loop.runUntil(loop.now() + 1e6);
          return JSON.stringify([seen, ollama.snapshot()]);
        };
        assert.equal(run(), run());
      }),
      { numRuns: 50 },
    );
  });
});
