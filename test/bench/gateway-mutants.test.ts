import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { it } from 'node:test';
import { gatewayMutants } from '../../bench/chaos/mutants/list.ts';
import { edited } from '../../bench/chaos/mutants/run.ts';

const source = fileURLToPath(new URL('../../src', import.meta.url));

it('breaks the gateway where its code is, as it is now', () => {
  for (const { edits, name } of gatewayMutants) {
    for (const edit of edits) {
      const text = readFileSync(`${source}/${edit.file}`, 'utf8');
      assert.notEqual(edited(text, edit), text, name);
    }
  }
});

it('says so when the code is not there any more, or twice', () => {
  const edit = { file: 'a.ts', from: 'one', to: 'two' };
  assert.throws(() => edited('nothing', edit), /not exactly once in src\/a.ts/);
  assert.throws(() => edited('one and one', edit), /not exactly once/);
  assert.equal(edited('only one', edit), 'only two');
});
