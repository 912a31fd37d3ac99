import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { BackendSpec } from '../../src/core/backend.ts';
import type { Event } from '../../src/core/events.ts';
import { createRequired, type RequiredOptions } from '../../src/core/required.ts';
import { backend, fleetOf, installed, type FleetBench } from '../support/build.ts';

interface Bench extends FleetBench {
  /** `backend model` of every pull so far. */
  readonly pulls: string[];
  /** Ends the oldest running pull of a backend; without an error the model is there then. */
  end(id: string, error: string | null): void;
  has(id: string, ...models: string[]): void;
  told(): string[];
  readonly watch: ReturnType<typeof createRequired>;
}

const required = (backends: number, pull = true): RequiredOptions => ({ tiny: { backends, pull } });

function bench(specs: readonly BackendSpec[], options: RequiredOptions, models: readonly string[] | null = []): Bench {
  const parts = fleetOf([...specs, bystander], { models });
  const { clock, events, fleet } = parts;
  const pulls: string[] = [];
  const running = new Map<string, (error: string | null) => void>();
  const watch = createRequired(
    {
      fleet,
      clock,
      emit: (event: Event) => void events.push(event),
      pull(id, model, ended) {
        assert.ok(!running.has(id), 'one pull at a time on a backend');
        pulls.push(`${id} ${model}`);
        running.set(id, ended);
      },
    },
    options,
  );
  const has = (id: string, ...names: string[]) =>
    fleet.observe(id, { kind: 'inventory', models: names.map((name) => installed(name)) });
  return {
    ...parts,
    watch,
    pulls,
    has,
    end(id, error) {
      const ended = running.get(id)!;
      const model = pulls.findLast((pull) => pull.startsWith(`${id} `))!.split(' ')[1]!;
      running.delete(id);
      if (error === null)
        has(id, ...(fleet.view().find((one) => one.id === id)!.installed ?? []).map(({ name }) => name), model);
      ended(error);
    },
    told: () =>
      events.flatMap((event) => {
        if (event.kind === 'model-required') return [`${event.have} of ${event.wanted}`];
        return event.kind === 'model-pull' ? [`${event.backend} ${event.state} ${event.reason}`.trim()] : [];
      }),
  };
}

/** A backend that may have nothing of what is required; what happens to it has all of it looked at. */
const bystander = backend('z', { models: ['none*'] });
const nudge = ({ fleet }: Bench) => fleet.observe('z', { kind: 'admin', state: 'draining' });

describe('a model that is required', () => {
  it('is pulled where it is missing, until it is on as many backends as it has to be', () => {
    const made = bench([backend('a'), backend('b'), backend('c')], required(2));
    nudge(made);
    assert.deepEqual(made.pulls, ['a tiny:latest', 'b tiny:latest']);
    assert.deepEqual(made.watch.view(), [{ model: 'tiny:latest', wanted: 2, holders: [], pulling: ['a', 'b'] }]);
    made.end('a', null);
    nudge(made);
    made.end('b', null);
    nudge(made);
    assert.equal(made.pulls.length, 2);
    assert.deepEqual(made.told(), ['0 of 2', 'a begun', 'b begun', '1 of 2', 'a done', '2 of 2', 'b done']);
  });

  it('goes where the most room is, and nowhere where it may not be, or that is not up', () => {
    const specs = [backend('a'), backend('b'), backend('c', { models: ['other*'] }), backend('d')];
    const made = bench(specs, {});
    made.fleet.observe('d', { kind: 'admin', state: 'draining' });
    made.has('a', 'other:latest');
    made.watch.setOptions(required(4));
    assert.deepEqual(made.pulls, ['b tiny:latest', 'a tiny:latest']);
  });

  it('counts where it is on backends that are down: they have it still', () => {
    const made = bench([backend('a'), backend('b')], required(1));
    made.fleet.observe('b', { kind: 'admin', state: 'draining' });
    made.has('a', 'tiny:latest');
    made.end('a', null);
    for (let count = 0; count < 3; count += 1) made.fleet.observe('a', { kind: 'probe-failed', reason: 'timeout' });
    nudge(made);
    assert.deepEqual(made.pulls, ['a tiny:latest']);
  });

  it('is only told of where it is not to be pulled', () => {
    const made = bench([backend('a'), backend('b')], required(2, false));
    nudge(made);
    nudge(made);
    made.has('a', 'tiny:latest');
    made.has('b', 'tiny:latest');
    assert.deepEqual(made.pulls, []);
    assert.deepEqual(made.told(), ['0 of 2', '1 of 2', '2 of 2']);
  });

  it('is not missed before every backend has said what it has', () => {
    const made = bench([backend('a'), backend('b')], required(1), null);
    made.has('a');
    made.has('z');
    assert.deepEqual(made.pulls, []);
    made.has('b', 'tiny:latest');
    assert.deepEqual([made.pulls, made.told()], [[], []]);
  });

  it('is tried again after a failure, on another backend at once and on the same after growing pauses', async () => {
    const made = bench([backend('a'), backend('b')], required(1));
    nudge(made);
    made.end('a', 'no space left');
    assert.deepEqual(made.pulls, ['a tiny:latest', 'b tiny:latest']);
    made.end('b', 'no space left');
    await made.clock.advance(59_999);
    assert.equal(made.pulls.length, 2);
    await made.clock.advance(1);
    assert.equal(made.pulls[2], 'a tiny:latest');
    made.end('a', 'no space left');
    assert.equal(made.pulls[3], 'b tiny:latest');
    made.end('b', 'no space left');
    await made.clock.advance(119_999);
    assert.equal(made.pulls.length, 4);
    await made.clock.advance(1);
    assert.equal(made.pulls.length, 5);
    assert.deepEqual(made.told().slice(0, 3), ['0 of 1', 'a begun', 'a failed no space left']);
  });

  it('waits for the pull of another on the same backend', () => {
    const made = bench([backend('a')], { tiny: { backends: 1, pull: true }, large: { backends: 1, pull: true } });
    made.has('a', 'other:latest');
    assert.deepEqual(made.pulls, ['a tiny:latest']);
    made.end('a', null);
    assert.deepEqual(made.pulls, ['a tiny:latest', 'a large:latest']);
  });

  it('follows the configuration, and is left alone after the end', () => {
    const made = bench([backend('a'), backend('b')], {});
    nudge(made);
    made.watch.setOptions(required(1));
    assert.deepEqual(made.pulls, ['a tiny:latest']);
    made.watch.close();
    made.end('a', 'stopped');
    assert.equal(made.pulls.length, 1);
    assert.equal(made.clock.pendingTimers, 0);
  });

  it('listens to the fleet only until the end', () => {
    const { clock, fleet } = fleetOf([backend('a')]);
    let listening = 0;
    const counted: Pick<typeof fleet, 'revision' | 'subscribe' | 'view'> = {
      revision: fleet.revision,
      view: () => fleet.view(),
      subscribe: () => {
        listening += 1;
        return () => void (listening -= 1);
      },
    };
    const watch = createRequired({ fleet: counted, clock, emit: () => {}, pull: () => {} }, required(1));
    assert.equal(listening, 1);
    watch.close();
    assert.equal(listening, 0);
  });
});
