import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { plain } from '../../src/cli/paint.ts';
import { bar, createProgress } from '../../src/cli/progress.ts';
import { cut, duration, size, table } from '../../src/cli/table.ts';
import { ordered, orders, screen, type View } from '../../src/cli/top/screen.ts';
import { after, type Seen, type SeenBackend } from '../../src/cli/top/state.ts';
import { seenAnswer, seenBackend } from '../support/seen.ts';

const backend = (name: string, changes: Partial<SeenBackend> = {}): SeenBackend =>
  seenBackend(name, {
    resident: [{ name: 'llama3.2:3b', size_bytes: 3e9, vram_bytes: 3e9, context_length: 4096, expires_at: null }],
    tokens_per_second: 12.34,
    ...changes,
  });

const running = (id: string) => ({
  id,
  route: '/api/chat',
  model: 'llama3.2:3b',
  client: '10.0.0.9',
  phase: 'streaming' as const,
  backend: 'gpu1',
  reason: 'warm',
  stream: true,
  attempts: 1,
  age_ms: 1500,
  first_byte_ms: 200,
  output_tokens: 17,
});

const seen: Seen = {
  gateway: {
    version: '0.1.0',
    policy: 'soonest',
    ready: true,
    not_ready_reason: null,
    waiting: 2,
    in_flight: 3,
  },
  uptimeMs: 7_380_000,
  backends: [
    backend('gpu1', { in_flight: 3 }),
    backend('gpu2', { state: 'down', reason: 'connection refused', resident: null, tokens_per_second: null }),
    backend('a-backend-with-a-very-long-name', { state: 'draining', slots: null, simulated: true }),
  ],
  queue: {
    waiting: 2,
    limit: 512,
    rows: [
      { model: 'qwen3:8b', client: '10.0.0.9', priority: 0, waiting: 2, longest_ms: 4200, soonest_refusal_ms: 115_800 },
    ],
  },
  requests: [running('r1')],
  history: [
    seenAnswer('gpu1', 300),
    seenAnswer('gpu1', 500),
    seenAnswer('gpu2', 9000, { outcome: 'backend-lost', status: 502 }),
  ],
};

const view: View = { columns: 80, rows: null, order: 'name', selected: null, notice: '', elapsedMs: 0 };

describe('the screen of top', () => {
  it('shows fleet, queue and requests in 80 columns', () => {
    assert.deepEqual(screen(seen, view, plain), [
      'llamero 0.1.0 · ready · up 2h 3m · 3 running · 2/512 waiting · 24.7 tok/s',
      '',
      'BACKEND           STATE       BUSY    TTFT  TOK/S  ERR    VRAM  IN MEMORY',
      'a-backend-with-…  draining  0/auto       -   12.3    -  3.0 GB  SIMULATED llama…',
      'gpu1              up           3/4  400 ms   12.3    -  3.0 GB  llama3.2:3b',
      'gpu2              down         0/4   8.9 s      -    1       -  connection refu…',
      '',
      'MODEL     CLIENT    WAITING  LONGEST  UNTIL REFUSED',
      'qwen3:8b  10.0.0.9        2    4.2 s         1m 55s',
      '',
      'MODEL        BACKEND  PHASE        AGE  TOKENS  CLIENT',
      'llama3.2:3b  gpu1     streaming  1.5 s      17  10.0.0.9',
    ]);
  });

  it('is never wider or higher than the terminal, however much there is to show', () => {
    const many: Seen = {
      ...seen,
      backends: Array.from({ length: 30 }, (_, index) => backend(`gpu${index}`)),
      requests: Array.from({ length: 50 }, (_, index) => running(`r${index}`)),
      queue: { ...seen.queue, rows: Array.from({ length: 20 }, () => seen.queue.rows[0]!) },
    };
    fc.assert(
      fc.property(
        fc.constantFrom(seen, many),
        fc.integer({ min: 1, max: 200 }),
        fc.integer({ min: 6, max: 80 }),
        fc.constantFrom(...orders),
        (fleet, columns, rows, order) => {
          const lines = screen(fleet, { ...view, columns, rows, order, selected: 'gpu1' }, plain);
          assert.ok(lines.length <= rows, `${lines.length} lines of ${rows}`);
          for (const line of lines) assert.ok(line.length <= columns, line);
        },
      ),
    );
  });

  it('sorts by each of its orders', () => {
    const fleet: Seen = {
      ...seen,
      backends: [backend('c', { in_flight: 1 }), backend('a', { tokens_per_second: 99 }), backend('b')],
      history: [seenAnswer('b', 4000), seenAnswer('c', 1000, { outcome: 'backend-lost', status: 502 })],
    };
    const first = (order: View['order']) =>
      ordered(fleet, order)
        .map(({ name }) => name)
        .join('');
    assert.deepEqual(
      orders.map((order) => `${order} ${first(order)}`),
      ['name abc', 'busy cab', 'tokens acb', 'ttft bca', 'errors cab'],
    );
  });

  it('says what the keys do, or what one has done', () => {
    const last = (changes: Partial<View>) => screen(seen, { ...view, selected: 'gpu1', ...changes }, plain).at(-1);
    assert.match(last({})!, /d drain {2}r resume {2}s sort \(name\) {2}q quit/);
    assert.equal(last({ notice: 'gpu1 is draining' }), 'gpu1 is draining');
  });

  it('says why a gateway is not ready', () => {
    const gateway = { ...seen.gateway, ready: false, not_ready_reason: 'no backend is up' };
    assert.match(screen({ ...seen, gateway }, view, plain)[0]!, /NOT READY: no backend is up/);
  });
});

describe('what top knows', () => {
  const snapshot = {
    now: 1,
    uptime_ms: 5,
    gateway: seen.gateway,
    backends: { gpu1: backend('gpu1'), gpu2: backend('gpu2') },
    queue: seen.queue,
    requests: seen.requests,
    history: seen.history,
  };

  it('begins with a snapshot and goes on with what changes', () => {
    assert.equal(after(null, 'delta', { now: 1 }), null);
    const first = after(null, 'snapshot', snapshot)!;
    assert.deepEqual(
      first.backends.map(({ name }) => name),
      ['gpu1', 'gpu2'],
    );
    const changes = { gpu1: null, gpu2: backend('gpu2', { state: 'down' }), gpu3: backend('gpu3') };
    const second = after(first, 'delta', { now: 2, backends: changes, history: [seenAnswer('gpu3', 1)] })!;
    assert.deepEqual(
      second.backends.map(({ name, state }) => `${name} ${state}`),
      ['gpu2 down', 'gpu3 up'],
    );
    assert.equal(second.history[0]?.backend, 'gpu3');
    assert.equal(second.history.length, 4);
    assert.equal(second.queue, first.queue);
    assert.equal(after(second, 'something-new', {}), second);
  });

  it('does not grow with time', () => {
    let state = after(null, 'snapshot', snapshot)!;
    for (let index = 0; index < 500; index += 1)
      state = after(state, 'delta', { history: [seenAnswer('gpu1', index)] })!;
    assert.equal(state.history.length, 200);
    assert.equal(state.history[0]?.first_byte_ms, 499);
  });
});

describe('figures', () => {
  it('are written as people say them', () => {
    assert.deepEqual([0, 999, 1500, 2_000_000_000, 12_300_000_000].map(size), [
      '0 B',
      '999 B',
      '1.5 KB',
      '2.0 GB',
      '12 GB',
    ]);
    const durations = [0, 340, 1234, 42_000, 190_000, 7_500_000, 273_600_000].map(duration);
    assert.deepEqual(durations, ['0 ms', '340 ms', '1.2 s', '42 s', '3m 10s', '2h 5m', '3d 4h']);
    assert.deepEqual([cut('abc', 3), cut('abcd', 3), cut('abcd', 0)], ['abc', 'ab…', '…'.slice(0, 1)]);
  });

  it('stand in columns', () => {
    const lines = table(
      [{ title: 'A' }, { title: 'N', align: 'right' }, { title: 'REST' }],
      [['x', '10', 'long text']],
      12,
    );
    assert.deepEqual(lines, ['A   N  REST', 'x  10  long…']);
  });
});

describe('progress', () => {
  it('is a bar as wide as there is room, and never wider', () => {
    const half = bar({ status: 'pulling 6a0746a1ec1a', completed: 1e9, total: 2e9 }, 80);
    assert.match(half, /^pulling 6a0746a1ec1a {4}█+░+ {3}50 % {2}1\.0 GB of 2\.0 GB$/);
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 200 }), fc.double({ min: 0, max: 1, noNaN: true }), (width, share) => {
        const text = bar({ status: 'pulling 6a0746a1ec1a', completed: share * 1e9, total: 1e9 }, width);
        assert.ok(text.length <= width, `${text.length} of ${width}`);
      }),
    );
  });

  it('is drawn over itself on a terminal, and a line for each tenth elsewhere', () => {
    const written: string[] = [];
    const output = (isTTY: boolean) => ({ isTTY, columns: 60, write: (text: string) => written.push(text) });
    const piped = createProgress(['a', 'bb'], output(false));
    for (const share of [0, 1, 9, 10, 11, 20]) piped.at('a', 'pulling x', share, 100);
    piped.done('a', 'done');
    assert.deepEqual(written, [
      'a   pulling x 0 % of 100 B\n',
      'a   pulling x 10 % of 100 B\n',
      'a   pulling x 20 % of 100 B\n',
      'a   done\n',
    ]);
    written.length = 0;
    const seenOnes = createProgress(['a', 'bb'], output(true));
    seenOnes.at('a', 'asking', 0, 0);
    seenOnes.done('bb', 'done');
    assert.deepEqual(written, [
      'a   asking\u001B[K\nbb  \u001B[K\n',
      '\u001B[2Aa   asking\u001B[K\nbb  done\u001B[K\n',
    ]);
  });
});
