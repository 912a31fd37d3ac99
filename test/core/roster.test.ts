import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { backendSpecs, withDefaults, type BackendSpec } from '../../src/core/backend.ts';
import { createRoster } from '../../src/core/roster.ts';

const spec = (name: string, more: Partial<BackendSpec> = {}): BackendSpec => ({
  ...backendSpecs([withDefaults({ name, url: `http://${name}:11434` })])[0]!,
  ...more,
});
const ids = (specs: readonly BackendSpec[]) => specs.map(({ id }) => id);

describe('the roster', () => {
  it('tells every change, with all backends', () => {
    const told: string[][] = [];
    const roster = createRoster((specs) => told.push(ids(specs)));
    roster.configure([spec('a'), spec('b')]);
    roster.add(spec('c'));
    roster.remove('a');
    roster.change('b', { weight: 2 });
    assert.deepEqual(told, [
      ['a', 'b'],
      ['a', 'b', 'c'],
      ['b', 'c'],
      ['b', 'c'],
    ]);
  });

  it('refuses a name that is taken, and to remove or change what is not there', () => {
    const roster = createRoster(() => {});
    roster.configure([spec('a')]);
    assert.deepEqual(
      [roster.add(spec('a')), roster.remove('x'), roster.change('x', { weight: 2 })],
      [false, false, false],
    );
  });

  it('takes a removed backend back', () => {
    const roster = createRoster(() => {});
    roster.configure([spec('a')]);
    roster.remove('a');
    assert.equal(roster.add(spec('a', { weight: 2 })), true);
    assert.deepEqual(
      roster.backends().map(({ id, weight }) => [id, weight]),
      [['a', 2]],
    );
  });

  it('puts what was found behind a name in the place of the name, and nothing while nothing was', () => {
    const roster = createRoster(() => {});
    roster.configure([spec('a'), spec('herd', { discover: 'addresses' }), spec('z')]);
    assert.deepEqual(ids(roster.backends()), ['a', 'z']);
    roster.found('herd', [spec('herd-1'), spec('herd-2')]);
    roster.found('unknown', [spec('x')]);
    assert.deepEqual(ids(roster.backends()), ['a', 'herd-1', 'herd-2', 'z']);
    roster.found('herd', [spec('herd-2')]);
    assert.deepEqual(ids(roster.backends()), ['a', 'herd-2', 'z']);
  });

  it('forgets changes by hand at a reload, and keeps what was found', () => {
    const roster = createRoster(() => {});
    const configured = [spec('a'), spec('herd', { discover: 'srv' })];
    roster.configure(configured);
    roster.found('herd', [spec('herd-1')]);
    roster.change('a', { weight: 9 });
    roster.remove('herd-1');
    roster.configure(configured);
    assert.deepEqual(
      roster.backends().map(({ id, weight }) => [id, weight]),
      [
        ['a', 1],
        ['herd-1', 1],
      ],
    );
    roster.configure([spec('a')]);
    roster.configure(configured);
    assert.deepEqual(ids(roster.backends()), ['a']);
  });
});
