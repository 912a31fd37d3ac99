import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { before, describe, it } from 'node:test';
import { parseFlags } from '../../src/cli/flags.ts';
import { readSimulateFlags, simulateFlags } from '../../src/cli/simulate-flags.ts';
import { Fault, readFault } from '../../src/simulator/faults.ts';
import { simulatedOllama } from '../support/simulated.ts';

describe('docs/simulator.md', () => {
  let page: string;
  before(async () => {
    page = await readFile(new URL('../../docs/simulator.md', import.meta.url), 'utf8');
  });

  it('names every flag, and only those', () => {
    const named = new Set([...page.matchAll(/`?--([a-z][a-z-]+)/g)].map(([, flag]) => flag!));
    assert.deepEqual([...named].sort(), Object.keys(simulateFlags).sort());
  });

  it('shows a command that is understood', () => {
    for (const [, line] of page.matchAll(/npm start -- simulate(.*)/g)) {
      const { values, problems } = parseFlags(line!.trim().split(' ').filter(Boolean), simulateFlags);
      assert.deepEqual(problems, []);
      assert.ok(!('problems' in readSimulateFlags(values)), line!);
    }
  });

  it('names every kind of fault with its fields', () => {
    const table = page.split('| Kind | The request |')[1]!.split('\n\n')[0]!;
    const rows = [...table.matchAll(/^\| `([a-z0-9-]+)` \| (.*) \|$/gm)].map(([, kind, text]) => ({
      kind: kind!,
      text: text!,
    }));
    assert.deepEqual(rows.map(({ kind }) => kind).sort(), Fault.anyOf.map((each) => each.properties.kind.const).sort());
    const scope = ['kind', 'method', 'path', 'model', 'skip', 'times', 'probability', 'gapMs'];
    for (const { kind, text } of rows) {
      const { properties } = Fault.anyOf.find((each) => each.properties.kind.const === kind)!;
      const own = Object.keys(properties).filter((field) => !scope.includes(field));
      const told = [...text.matchAll(/`(\w+)`/g)].map(([, field]) => field!);
      assert.deepEqual(
        own.filter((field) => !told.includes(field) && !['status', 'text'].includes(field)),
        [],
        kind,
      );
    }
  });

  it('shows a fault that is taken, and control calls that are there', async (t) => {
    readFault(JSON.parse(/-d '(.*)'/.exec(page)![1]!));
    const { control } = await simulatedOllama(t, { models: [] });
    const calls = [...page.matchAll(/^\| (`(?:GET|POST|DELETE)`?.*?) \|/gm)].flatMap(([, cell]) => {
      const methods = cell!.match(/GET|POST|DELETE/g)!;
      const path = /\/__sim(\/\w+)?/.exec(cell!)![1] ?? '/';
      return methods.map((method) => ({ method, path, body: '' }));
    });
    assert.ok(calls.length > 12);
    for (const call of calls) assert.notEqual((await control.call(call))[0], 404, `${call.method} ${call.path}`);
  });
});
