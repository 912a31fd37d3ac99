import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import type { BackendSpec } from '../../src/core/backend.ts';
import { createCatalogue, digestOn, holdersOfDigest, type Catalogue } from '../../src/core/catalogue.ts';
import type { Event } from '../../src/core/events.ts';
import type { Fleet } from '../../src/core/fleet.ts';
import type { InstalledModel } from '../../src/core/types.ts';
import { backend, fleetOf, installed, resident } from '../support/build.ts';

interface Bench {
  readonly fleet: Fleet;
  readonly catalogue: Catalogue;
  readonly events: Event[];
}

function bench(specs: readonly BackendSpec[] = [backend('a'), backend('b'), backend('c')]): Bench {
  const { fleet, events } = fleetOf(specs, { models: null });
  return { fleet, events, catalogue: createCatalogue({ fleet, emit: (event) => void events.push(event) }) };
}

function model(name: string, digest: string, modified = '2026-01-01T00:00:00Z', more: object = {}): InstalledModel {
  return installed(name, { digest, raw: { name, model: name, modified_at: modified, digest, ...more } });
}

function has(fleet: Fleet, id: string, ...models: readonly InstalledModel[]): void {
  fleet.observe(id, { kind: 'inventory', models });
}

function names(catalogue: Catalogue): readonly string[] {
  return catalogue.installed().map(({ name }) => name);
}

describe('catalogue: who has just the same model', () => {
  it('tells by digest, also of a backend that is down', () => {
    const { fleet } = bench();
    has(fleet, 'a', model('m:latest', 'd1'), model('n:latest', 'd2'));
    has(fleet, 'b', model('m:latest', 'd2'));
    fleet.observe('a', { kind: 'probe-failed', reason: 'refused' });
    assert.equal(digestOn(fleet.view(), 'a', 'm:latest'), 'd1');
    assert.equal(digestOn(fleet.view(), 'b', 'n:latest'), null);
    assert.equal(digestOn(fleet.view(), 'c', 'm:latest'), null);
    assert.equal(digestOn(fleet.view(), 'nobody', 'm:latest'), null);
    has(fleet, 'c', model('m:latest', 'd1'));
    assert.deepEqual(holdersOfDigest(fleet.view(), 'm:latest', 'd1'), ['a', 'c']);
    assert.deepEqual(holdersOfDigest(fleet.view(), 'm:latest', 'd3'), []);
  });
});

describe('catalogue: installed models', () => {
  it('lists each model once, newest first, with every field as a backend gave it', () => {
    const { fleet, catalogue } = bench();
    const old = model('old:latest', 'd1', '2026-01-01T00:00:00.123456789Z', {
      details: { family: 'llama' },
      unheard: [1],
    });
    const young = model('young:3b', 'd2', '2026-03-01T00:00:00+02:00');
    has(fleet, 'a', old);
    has(fleet, 'b', young, old);
    assert.deepEqual(names(catalogue), ['young:3b', 'old:latest']);
    assert.deepEqual(catalogue.installed()[1]?.entry.raw, old.raw);
    assert.deepEqual(catalogue.find('old:latest')?.backends, ['a', 'b']);
    assert.equal(catalogue.find('nope:latest'), null);
  });

  it('shows that a name is not the same model everywhere, and lets the digest that most have stand for it', () => {
    const { fleet, catalogue, events } = bench();
    has(fleet, 'a', model('m:latest', 'd1', '2026-05-01T00:00:00Z'));
    has(fleet, 'b', model('m:latest', 'd2', '2026-01-01T00:00:00Z'));
    has(fleet, 'c', model('m:latest', 'd2', '2026-02-01T00:00:00Z'));
    const found = catalogue.find('m:latest');
    assert.deepEqual(
      [...(found?.digests ?? [])],
      [
        ['d1', ['a']],
        ['d2', ['b', 'c']],
      ],
    );
    assert.equal(found?.entry.raw['modified_at'], '2026-02-01T00:00:00Z');
    has(fleet, 'a', model('m:latest', 'd2', '2026-01-01T00:00:00Z'));
    has(fleet, 'c', model('m:latest', 'd1', '2026-05-01T00:00:00Z'));
    assert.equal(catalogue.find('m:latest')?.entry.digest, 'd2');
    const skews = (): Event[] => events.filter(({ kind }) => kind === 'digest-skew');
    assert.deepEqual(skews(), [{ kind: 'digest-skew', model: 'm:latest', digests: ['d1', 'd2'] }]);
  });

  it('tells of a skew once, and again only when it has changed or come back', () => {
    const { fleet, catalogue, events } = bench();
    const told = (): number => {
      catalogue.installed();
      return events.filter(({ kind }) => kind === 'digest-skew').length;
    };
    has(fleet, 'a', model('m:latest', 'd1'));
    has(fleet, 'b', model('m:latest', 'd2'));
    assert.equal(told(), 1);
    has(fleet, 'c', model('other:latest', 'd9'));
    assert.equal(told(), 1);
    has(fleet, 'c', model('m:latest', 'd3'));
    assert.equal(told(), 2);
    for (const id of ['a', 'b', 'c']) has(fleet, id, model('m:latest', 'd1'));
    assert.equal(told(), 2);
    has(fleet, 'c', model('m:latest', 'd2'));
    assert.equal(told(), 3);
  });

  it('leaves out what a backend may not serve', () => {
    const { fleet, catalogue } = bench([backend('a', { models: ['m*'] }), backend('b')]);
    has(fleet, 'a', model('m:latest', 'd1'), model('secret:latest', 'd2'));
    assert.deepEqual(names(catalogue), ['m:latest']);
    has(fleet, 'b', model('secret:latest', 'd2'));
    assert.deepEqual(catalogue.find('secret:latest')?.backends, ['b']);
  });

  it('leaves out the models of backends that are down, unless all are', () => {
    const { fleet, catalogue } = bench([backend('a'), backend('b')]);
    has(fleet, 'a', model('on-a:latest', 'd1'));
    has(fleet, 'b', model('on-b:latest', 'd2'));
    const fall = (id: string): void => {
      for (let probe = 0; probe < 3; probe += 1) fleet.observe(id, { kind: 'probe-failed', reason: 'x' });
    };
    fall('a');
    assert.deepEqual(names(catalogue), ['on-b:latest']);
    fall('b');
    assert.deepEqual(names(catalogue), ['on-a:latest', 'on-b:latest']);
  });

  it('is merged anew only when something has changed', () => {
    const { fleet, catalogue } = bench();
    has(fleet, 'a', model('m:latest', 'd1'));
    const before = catalogue.installed();
    has(fleet, 'a', model('m:latest', 'd1'));
    fleet.observe('a', { kind: 'alive', version: '0.33.0' });
    assert.equal(catalogue.installed(), before);
    has(fleet, 'a', model('m:latest', 'd1', '2026-07-07T00:00:00Z'));
    assert.notEqual(catalogue.installed(), before);
    has(fleet, 'a');
    assert.deepEqual(catalogue.installed(), []);
  });

  it('has each model that some backend has, on exactly the backends that have it', () => {
    const inventories = fc.array(fc.subarray(['m1:latest', 'm2:latest', 'm3:latest', 'm4:latest']), {
      minLength: 1,
      maxLength: 4,
    });
    fc.assert(
      fc.property(inventories, (lists) => {
        const { fleet, catalogue } = bench(lists.map((_, index) => backend(`b${index}`)));
        for (const [index, list] of lists.entries()) {
          has(fleet, `b${index}`, ...list.map((name) => model(name, `d${index % 2}`)));
        }
        assert.deepEqual([...names(catalogue)].sort(), [...new Set(lists.flat())].sort());
        for (const { name, backends, digests, entry } of catalogue.installed()) {
          const holders = lists.flatMap((list, index) => (list.includes(name) ? [`b${index}`] : []));
          assert.deepEqual(backends, holders);
          assert.deepEqual([...digests.values()].flat().sort(), holders);
          const most = Math.max(...[...digests.values()].map((ids) => ids.length));
          assert.equal(digests.get(entry.digest)?.length, most);
        }
      }),
    );
  });
});

describe('catalogue: /v1/models', () => {
  it('renders models as Ollama does', () => {
    const { fleet, catalogue } = bench();
    has(
      fleet,
      'a',
      model('tiny:latest', 'd1', '2026-11-22T14:29:21.035285885Z'),
      {
        ...model('ns/custom:latest', 'd2', '2026-11-22T14:29:22Z'),
        raw: { name: 'NS/Custom:latest', modified_at: '2026-11-22T14:29:22Z' },
      },
      { ...model('odd:latest', 'd3'), raw: {} },
    );
    assert.deepEqual(catalogue.openAiModels(), [
      { id: 'NS/Custom:latest', object: 'model', created: 1795357762, owned_by: 'ns' },
      { id: 'tiny:latest', object: 'model', created: 1795357761, owned_by: 'library' },
      { id: 'odd:latest', object: 'model', created: 0, owned_by: 'library' },
    ]);
  });
});

describe('catalogue: models in memory', () => {
  it('lists each model once, by name: the entry that stays longest', () => {
    const { fleet, catalogue } = bench();
    fleet.observe('a', {
      kind: 'resident',
      models: [resident('z:latest', { expiresAt: 5 }), resident('m:latest', { expiresAt: 9 })],
    });
    fleet.observe('b', { kind: 'resident', models: [resident('m:latest', { expiresAt: 12, vramBytes: 7 })] });
    fleet.observe('c', { kind: 'resident', models: [resident('m:latest', { expiresAt: 11 })] });
    const [m, z] = catalogue.resident();
    assert.equal(m?.name, 'm:latest');
    assert.equal(m?.entry.vramBytes, 7);
    assert.deepEqual(m?.backends, ['a', 'b', 'c']);
    assert.deepEqual(z?.backends, ['a']);
    fleet.observe('c', { kind: 'resident', models: [resident('m:latest', { expiresAt: null, vramBytes: 3 })] });
    assert.equal(catalogue.resident()[0]?.entry.vramBytes, 3, 'no expiry is the longest stay');
  });

  it('counts a model with two runners on one backend once', () => {
    const { fleet, catalogue } = bench();
    fleet.observe('a', {
      kind: 'resident',
      models: [resident('m:latest'), resident('m:latest', { contextLength: 8192 })],
    });
    assert.deepEqual(catalogue.resident()[0]?.backends, ['a']);
  });

  it('forgets what was in the memory of a backend that is down', () => {
    const { fleet, catalogue } = bench();
    fleet.observe('a', { kind: 'resident', models: [resident('m:latest')] });
    assert.equal(catalogue.resident().length, 1);
    for (let probe = 0; probe < 3; probe += 1) fleet.observe('a', { kind: 'probe-failed', reason: 'x' });
    assert.deepEqual(catalogue.resident(), []);
  });
});

describe('catalogue: version', () => {
  it('is the lowest of the backends in use, else the lowest ever told, else none', () => {
    const { fleet, catalogue } = bench([backend('a'), backend('b'), backend('c')]);
    fleet.observe('a', { kind: 'alive', version: '0.33.0' });
    fleet.observe('b', { kind: 'alive', version: '0.9.2' });
    fleet.observe('c', { kind: 'alive', version: null });
    assert.equal(catalogue.version(), '0.9.2');
    fleet.observe('b', { kind: 'admin', state: 'draining' });
    assert.equal(catalogue.version(), '0.33.0');
    fleet.observe('a', { kind: 'admin', state: 'draining' });
    fleet.observe('c', { kind: 'admin', state: 'draining' });
    assert.equal(catalogue.version(), '0.9.2');
    const empty = fleetOf([]);
    assert.equal(createCatalogue({ fleet: empty.fleet, emit: () => undefined }).version(), null);
  });
});
