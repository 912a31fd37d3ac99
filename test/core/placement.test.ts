import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import type { BackendState } from '../../src/core/events.ts';
import type { BackendView } from '../../src/core/fleet.ts';
import { parseWhere, place, placeUpload, type Errand, type Placed, type Where } from '../../src/core/placement.ts';
import { backend, installed } from '../support/build.ts';

function view(id: string, models: readonly string[] | null, overrides: Partial<BackendView> = {}): BackendView {
  return {
    id,
    spec: backend(id),
    state: 'up',
    reason: '',
    version: '0.33.0',
    slots: 4,
    inFlight: 0,
    inFlightByModel: new Map(),
    installed: models?.map((name) => installed(name)) ?? null,
    resident: [],
    residentAt: 0,
    breaker: 'closed',
    lastError: null,
    troubled: [],
    ...overrides,
  };
}

function errand(operation: Errand['operation'], overrides: Partial<Errand> = {}): Errand {
  return { operation, model: 'tiny:latest', from: null, blobHolders: null, ...overrides };
}

const all: Where = { kind: 'all' };
const one: Where = { kind: 'one' };
const owner: Where = { kind: 'owner' };

/** `a b; -c: why` for placed on a and b with c left out, else the code of the refusal. */
function told(placed: Placed): string {
  if (placed.kind === 'refused') return placed.code;
  const leftOut = placed.leftOut.map(({ backend: id, reason }) => `; -${id}: ${reason}`);
  return placed.backends.join(' ') + leftOut.join('');
}

describe('where a placement is read', () => {
  it('is a word, or names of backends', () => {
    assert.deepEqual(parseWhere(' all '), { kind: 'all' });
    assert.deepEqual(parseWhere('owner'), { kind: 'owner' });
    assert.deepEqual(parseWhere('gpu1, gpu2,gpu1'), { kind: 'named', names: ['gpu1', 'gpu2'] });
  });

  it('is nothing else', () => {
    for (const text of ['', ',', 'a,,b', 'a b', 'http://x', 'a\r\nb', '-a']) assert.equal(parseWhere(text), null, text);
  });
});

describe('a pull', () => {
  const fleet = [
    view('full', ['a:latest', 'b:latest', 'c:latest']),
    view('empty', []),
    view('drained', [], { state: 'draining' }),
    view('dead', [], { state: 'down' }),
  ];

  it('goes to the one with fewer models where they take the same room, and to the first where that is the same as well', () => {
    const many = view('many', null, { installed: [installed('a:latest'), installed('b:latest')] });
    const size = many.installed!.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
    const few = view('few', null, { installed: [{ ...installed('c:latest'), sizeBytes: size }] });
    const alike = { ...few, id: 'alike', spec: backend('alike') };
    for (const fleet of [
      [few, many, alike],
      [many, few, alike],
    ]) {
      assert.equal(told(place(errand('pull'), one, fleet)), 'few');
    }
  });

  it('of a model that nobody has goes to the one with the most room', () => {
    assert.equal(told(place(errand('pull'), one, fleet)), 'empty');
    assert.equal(told(place(errand('pull'), owner, fleet)), 'empty');
  });

  it('weighs what a backend has by its weight', () => {
    const big = view('big', ['a:latest', 'b:latest'], { spec: backend('big', { weight: 4 }) });
    assert.equal(told(place(errand('pull'), one, [view('small', ['a:latest']), big])), 'big');
  });

  it('prefers a healthy backend to an emptier one that is not', () => {
    const spread = [view('ejected', [], { state: 'ejected' }), view('probation', [], { state: 'probation' })];
    assert.equal(told(place(errand('pull'), one, spread)), 'probation');
    assert.equal(told(place(errand('pull'), one, [...spread, view('up', ['a:latest'])])), 'up');
  });

  it('of a model that some have brings it up to date wherever it is, and names those that are down', () => {
    const spread = [
      view('a', ['tiny:latest']),
      view('b', []),
      view('c', ['tiny:latest'], { state: 'down' }),
      view('d', ['tiny:latest'], { state: 'draining' }),
    ];
    assert.equal(told(place(errand('pull'), one, spread)), 'a d; -c: it is down');
  });

  it('goes elsewhere when whoever has the model is down', () => {
    assert.equal(told(place(errand('pull'), one, [view('a', ['tiny:latest'], { state: 'down' }), view('b', [])])), 'b');
  });

  it('to all goes to all that may have it and take something', () => {
    const picky = view('picky', [], { spec: backend('picky', { models: ['other*'] }) });
    assert.equal(told(place(errand('pull'), all, [...fleet, picky])), 'full empty');
    assert.equal(told(place(errand('pull'), one, [picky])), 'no-backend');
  });

  it('by name goes there and nowhere else, and a name nobody has is a mistake', () => {
    const named: Where = { kind: 'named', names: ['drained', 'full', 'dead'] };
    assert.equal(told(place(errand('pull'), named, fleet)), 'full drained; -dead: it is down');
    assert.equal(told(place(errand('pull'), { kind: 'named', names: ['gpu9'] }, fleet)), 'bad-request');
    assert.equal(told(place(errand('pull'), { kind: 'named', names: ['dead'] }, fleet)), 'no-backend');
  });

  it('without a readable name goes to anybody, who will refuse it', () => {
    assert.equal(told(place(errand('pull', { model: null }), all, fleet)), 'empty');
  });
});

describe('a delete, a copy and a push', () => {
  const fleet = [view('a', []), view('b', ['tiny:latest']), view('c', ['tiny:latest']), view('d', null)];

  it('concern those that have the model', () => {
    assert.equal(told(place(errand('delete'), all, fleet)), 'b c');
    assert.equal(told(place(errand('copy'), owner, fleet)), 'b c');
    assert.equal(told(place(errand('copy'), one, fleet)), 'b');
    assert.equal(told(place(errand('push'), owner, fleet)), 'b');
    assert.equal(told(place(errand('push'), all, fleet)), 'b c');
  });

  it('of a model that nobody has are of an unknown model', () => {
    assert.equal(told(place(errand('delete', { model: 'nope:latest' }), all, fleet)), 'unknown-model');
  });

  it('name a backend that has it and is down, and wait for one when all are', () => {
    const [b, down] = [view('b', ['tiny:latest']), view('c', ['tiny:latest'], { state: 'down' })];
    assert.equal(told(place(errand('delete'), all, [b, down])), 'b; -c: it is down');
    assert.equal(told(place(errand('delete'), all, [down])), 'no-backend');
  });
});

describe('a create', () => {
  const fleet = [view('a', []), view('b', ['base:latest']), view('c', ['base:latest', 'x:latest'])];

  it('from a model happens where the model is', () => {
    assert.equal(told(place(errand('create', { from: 'base:latest' }), owner, fleet)), 'b c');
    assert.equal(told(place(errand('create', { from: 'base:latest' }), one, fleet)), 'b');
  });

  it('from a model that nobody has goes to one, which will pull it', () => {
    assert.equal(told(place(errand('create', { from: 'new:latest' }), owner, fleet)), 'a');
  });

  it('from files happens where all of them are', () => {
    const blobHolders = new Set(['c']);
    assert.equal(told(place(errand('create', { blobHolders }), owner, fleet)), 'c');
    assert.equal(told(place(errand('create', { blobHolders, from: 'base:latest' }), owner, fleet)), 'c');
  });

  it('from files that nobody has goes to one, which will say so', () => {
    assert.equal(told(place(errand('create', { blobHolders: new Set() }), owner, fleet)), 'a');
    assert.equal(told(place(errand('create', { blobHolders: new Set() }), all, fleet)), 'a');
  });

  it('everywhere names the backends that lack the files', () => {
    assert.equal(
      told(place(errand('create', { blobHolders: new Set(['a', 'b']) }), all, fleet)),
      'a b; -c: it does not have the uploaded files',
    );
    assert.equal(told(place(errand('create'), all, fleet)), 'a b c');
  });
});

describe('signing out', () => {
  it('concerns all that can be asked, or the first', () => {
    const fleet = [view('a', [], { state: 'down' }), view('b', []), view('c', [], { state: 'draining' })];
    assert.equal(told(place(errand('signout'), all, fleet)), 'b c; -a: it is down');
    assert.equal(told(place(errand('signout'), one, fleet)), 'b');
  });
});

describe('an upload', () => {
  const fleet = [view('a', ['x:latest']), view('b', []), view('c', [], { state: 'draining' })];

  it('stays with the backend it is pinned to while that can take it', () => {
    assert.equal(told(placeUpload(owner, ['a'], fleet)), 'a');
    assert.equal(told(placeUpload(owner, ['c'], fleet)), 'b');
    assert.equal(told(placeUpload(owner, ['gone', 'a'], fleet)), 'a');
  });

  it('goes to all when creates do', () => {
    assert.equal(told(placeUpload(all, ['a'], fleet)), 'a b');
  });
});

describe('any placement', () => {
  const states: readonly BackendState[] = ['unknown', 'up', 'down', 'ejected', 'probation', 'draining'];
  const anyView = fc.record({
    state: fc.constantFrom(...states),
    models: fc.option(fc.subarray(['tiny:latest', 'base:latest', 'x:latest'])),
    allowed: fc.option(fc.subarray(['tiny', 'base', 'x'])),
  });
  const anyWhere = fc.oneof(
    fc.constantFrom(all, one, owner),
    fc.constant<Where>({ kind: 'named', names: ['b0', 'b1'] }),
  );
  const anyErrand = fc.record({
    operation: fc.constantFrom<Errand['operation']>('pull', 'push', 'create', 'copy', 'delete', 'signout'),
    model: fc.constantFrom('tiny:latest', 'nope:latest', null),
    from: fc.constantFrom('base:latest', null),
    blobHolders: fc.option(fc.constantFrom(new Set(['b0']), new Set<string>())),
  });

  it('asks only backends that can be asked, each once and in the fleet’s order, and none that it leaves out', () => {
    fc.assert(
      fc.property(fc.array(anyView, { maxLength: 5 }), anyErrand, anyWhere, (views, task, where) => {
        const fleet = views.map(({ state, models, allowed }, index) =>
          view(`b${index}`, models, { state, spec: backend(`b${index}`, { models: allowed }) }),
        );
        const placed = place(task, where, fleet);
        if (placed.kind === 'refused') return;
        const order = fleet.map(({ id }) => id);
        assert.deepEqual(
          placed.backends,
          order.filter((id) => placed.backends.includes(id)),
        );
        for (const id of placed.backends) {
          const { state } = fleet.find((each) => each.id === id)!;
          assert.ok(state !== 'down' && state !== 'unknown', `${id} is ${state}`);
          assert.ok(!placed.leftOut.some((left) => left.backend === id));
        }
        if (where.kind === 'one' && task.operation !== 'pull') assert.equal(placed.backends.length, 1);
      }),
      { numRuns: 300 },
    );
  });
});
