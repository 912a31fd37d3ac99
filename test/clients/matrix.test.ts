import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Fault } from '../../src/simulator/faults.ts';
import type { SimulatedOllama } from '../../src/simulator/server.ts';
import type { Observation } from './client.ts';
import { type Column, faults } from './columns.ts';
import { differences } from './compare.ts';
import { compare } from './matrix.ts';
import { steady } from './steady.ts';
import { footnotes, table } from './table.ts';
import { tolerances } from './tolerated.ts';

const answered: Column = { name: 'chat', steps: [], ends: 'answered' };
const broken: Column = { name: 'crash', steps: [], ends: 'raised', tolerates: [tolerances.told, tolerances.raised] };

const saw = (...events: unknown[]): Observation => ({ saw: events, raised: null });
const raised = (message: string, ...events: unknown[]): Observation => ({
  saw: events,
  raised: { class: 'Error', message },
});

describe('two observations', () => {
  it('are the same only with the same members, of the same types, in the same order', () => {
    const value = { a: 1, b: [{ c: 'x' }] };
    assert.deepEqual(differences(value, structuredClone(value)), []);
    const paths = (other: unknown): string[] => differences(value, other).map(({ path }) => path);
    assert.deepEqual(paths({ a: '1', b: [{ c: 'x' }] }), ['a']);
    assert.deepEqual(paths({ b: [{ c: 'x' }], a: 1 }), ['keys of ', '']);
    assert.deepEqual(paths({ a: 1, b: [{ c: 'y' }, 2] }), ['b[0].c', 'b.length']);
    assert.deepEqual(paths({ a: 1, b: null }), ['b']);
    assert.deepEqual(paths(null), ['']);
  });

  it('are compared without moments, durations and random ids, but with who refers to whom', () => {
    const one = { id: 'chatcmpl-12', created: 1_790_000_000, total_duration: 5, text: 'call_ab12 of chatcmpl-12' };
    const other = { id: 'chatcmpl-7', created: 1_790_000_009, total_duration: 6, text: 'call_Zz9 of chatcmpl-7' };
    assert.deepEqual(steady(one), steady(other));
    assert.notDeepEqual(steady(one), steady({ ...other, text: 'call_Zz9 of chatcmpl-8' }));
    assert.notDeepEqual(steady(one), steady({ ...other, created: '2026-01-01T00:00:00Z' }));
    assert.notDeepEqual(steady(one), steady({ ...other, total_duration: '6' }));
    assert.deepEqual(steady({ id: 'llama3.2:3b', eval_count: 5 }), { id: 'llama3.2:3b', eval_count: 5 });
  });
});

describe('a cell', () => {
  it('fails when the gateway makes a call end otherwise than it has to, even if an Ollama does too', () => {
    assert.equal(compare(answered, saw(1), saw(1)).kind, 'same');
    assert.equal(compare(answered, raised('no'), raised('no')).kind, 'different');
    assert.equal(compare(broken, saw(1), saw(1)).kind, 'different');
    assert.equal(compare({ ...broken, midStream: true }, raised('no', 1), raised('no')).kind, 'different');
    assert.equal(compare({ ...answered, ends: 'left' }, saw(1, 2), saw(1, 2)).kind, 'different');
  });

  it('fails for any difference that no tolerance of its column covers', () => {
    assert.deepEqual(compare(answered, saw(1), saw(2)), {
      kind: 'different',
      problems: ['saw[0] is 1 direct, 2 through the gateway'],
    });
    assert.equal(
      compare({ ...broken, tolerates: [] }, raised('cut'), raised('backend sim-1 was lost')).kind,
      'different',
    );
  });

  it('is better when only the gateway says which backend failed, and the events before agree', () => {
    const told = raised('backend sim-1 was lost', 1);
    assert.deepEqual(compare(broken, raised('cut', 1, 2), told), { kind: 'better', tolerance: tolerances.told });
    assert.deepEqual(compare(broken, saw(1), told), { kind: 'better', tolerance: tolerances.raised });
    assert.equal(compare(broken, raised('cut', 2), told).kind, 'different');
    assert.equal(compare(broken, raised('cut', 1), raised('boom', 1)).kind, 'different');
  });
});

describe('the tables', () => {
  it('mark each verdict under its column', () => {
    const { head, row } = table('Title', [{ name: 'list' }, { name: 'x' }, { name: 'crash' }], ['client 1']);
    const verdicts = [{ kind: 'same' }, { kind: 'none' }, { kind: 'better', tolerance: tolerances.told }] as const;
    assert.equal(`${head}\n${row('client 1', verdicts)}`, 'Title     list  x  crash\nclient 1  ✓     –  ✓ a');
    assert.deepEqual(footnotes(verdicts), [`✓ a  ${tolerances.told.why}`]);
  });

  it('have a column for every kind of fault', () => {
    const met = new Set<string>();
    const add = ({ kind }: Fault): void => void met.add(kind);
    const backend = { control: { faults: { add }, refuse: () => met.add('refuse') } } as unknown as SimulatedOllama;
    for (const { prepare } of faults) prepare?.(backend);
    const kinds = ['refuse', ...Fault.anyOf.map(({ properties }) => properties.kind.const)];
    assert.deepEqual([...met].sort(), kinds.sort());
  });
});
