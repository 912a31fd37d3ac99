import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { createFeed, TICK_MS, type Sink } from '../../../src/http/admin/feed.ts';
import { createHistory } from '../../../src/http/admin/history.ts';
import type { Fleet, FinishedRequest } from '../../../src/http/admin/shapes.ts';
import type { Views } from '../../../src/http/admin/views.ts';
import { finished } from '../../observe/samples.ts';
import { virtualClock } from '../../support/virtual-clock.ts';

interface Told {
  readonly queue?: { readonly waiting: number };
  readonly history?: readonly FinishedRequest[];
}

/** A watcher that notes what it is told. */
class Watcher implements Sink {
  readonly events: (readonly [string, Told])[] = [];
  comments = 0;
  writableLength = 0;
  isDestroyed = false;

  write(text: string): void {
    for (const event of text.split('\n\n')) {
      const [, name, data] = /^event: (\w+)\ndata: (.*)$/m.exec(event) ?? [];
      if (name !== undefined) this.events.push([name, JSON.parse(data!) as Told]);
      else if (event.startsWith(':')) this.comments += 1;
    }
  }

  destroy(): void {
    this.isDestroyed = true;
  }
}

function bench() {
  const clock = virtualClock();
  const queue = { waiting: 0, limit: 10, rows: [] };
  const history = createHistory(() => 0);
  let looks = 0;
  const fleet: Fleet = {
    now: 0,
    version: '1',
    policy: 'soonest',
    ready: true,
    not_ready_reason: null,
    uptime_ms: 0,
    waiting: 0,
    in_flight: 0,
    backends: [],
  };
  const views: Views = {
    history,
    rates: null,
    backends: () => [],
    fleet() {
      looks += 1;
      return fleet;
    },
    models: () => [],
    modelsRevision: 1,
    queue: () => ({ ...queue }),
    active: () => [],
    pulls: () => [],
    outputTokens: () => new Map(),
  };
  const feed = createFeed({ clock, views });
  return { clock, feed, history, queue, views, looks: () => looks };
}

describe('the feed of events', () => {
  it('does nothing while nobody watches, before and after', () => {
    const { clock, feed, looks, views } = bench();
    clock.tick(60_000);
    assert.equal(looks(), 0);
    const stop = feed.watch(new Watcher())!;
    clock.tick(TICK_MS);
    assert.ok(looks() > 0);
    stop();
    const before = looks();
    clock.tick(60_000);
    assert.deepEqual([looks(), views.rates, feed.watchers], [before, null, 0]);
  });

  it('tells everything at once, then only what has changed, however often it has, once a tick', () => {
    const { clock, feed, queue } = bench();
    const watcher = new Watcher();
    feed.watch(watcher);
    assert.deepEqual(
      watcher.events.map(([name]) => name),
      ['snapshot'],
    );
    for (let change = 1; change <= 100; change += 1) {
      queue.waiting = change;
      clock.tick(TICK_MS / 100);
    }
    assert.equal(watcher.events.length, 2);
    const [name, delta] = watcher.events[1]!;
    assert.deepEqual([name, delta.queue?.waiting, Object.keys(delta).sort()], ['delta', 100, ['now', 'queue']]);
    clock.tick(10 * TICK_MS);
    assert.equal(watcher.events.length, 2);
  });

  it('tells each request that has ended once, to those who came later too', () => {
    const { clock, feed, history } = bench();
    history.observe(finished({ requestId: 'a' }));
    const [first, second] = [new Watcher(), new Watcher()];
    feed.watch(first);
    history.observe(finished({ requestId: 'b' }));
    feed.watch(second);
    history.observe(finished({ requestId: 'c' }));
    clock.tick(TICK_MS);
    const seen = ({ events }: Watcher) => events.map(([, { history: told }]) => told?.map(({ id }) => id));
    assert.deepEqual(seen(first), [['a'], ['b'], ['c']]);
    assert.deepEqual(seen(second), [['b', 'a'], ['c']]);
  });

  it('says that it is still there when nothing happens', () => {
    const { clock, feed } = bench();
    const watcher = new Watcher();
    feed.watch(watcher);
    clock.tick(60_000);
    assert.deepEqual([watcher.events.length, watcher.comments], [1, 4]);
  });

  it('leaves out who does not keep up, tells it everything when it does again, and cuts who never does', () => {
    const { clock, feed, queue } = bench();
    const [slow, dead] = [new Watcher(), new Watcher()];
    feed.watch(slow);
    feed.watch(dead);
    slow.writableLength = dead.writableLength = 1024 * 1024;
    for (let tick = 1; tick <= 5; tick += 1) {
      queue.waiting = tick;
      clock.tick(TICK_MS);
    }
    assert.deepEqual([slow.events.length, dead.events.length], [1, 1]);
    slow.writableLength = 0;
    clock.tick(TICK_MS);
    assert.deepEqual([slow.events.length, slow.events[1]![0], slow.events[1]![1].queue?.waiting], [2, 'snapshot', 5]);
    clock.tick(30_000);
    assert.deepEqual([slow.isDestroyed, dead.isDestroyed], [false, true]);
  });

  it('takes no more watchers than it can serve, and none once it is closed', () => {
    const { feed } = bench();
    const watchers = Array.from({ length: 100 }, () => new Watcher());
    const taken = watchers.filter((watcher) => feed.watch(watcher) !== null);
    assert.equal(taken.length, 64);
    feed.close();
    assert.ok(taken.every(({ isDestroyed }) => isDestroyed));
    assert.equal(feed.watch(new Watcher()), null);
  });
});
