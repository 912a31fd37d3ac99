import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { canonicalModelName } from '../../src/core/model-name.ts';
import { demandModels, lastingClient, mayUseAllModels, mayUseModel, narrowModels } from '../../src/core/permission.ts';
import { builtInProfiles } from '../../src/core/profiles.ts';

const client = (models?: string[], cloud = false) =>
  lastingClient('key:x', { ...builtInProfiles.plain, cloud, ...(models !== undefined && { models }) });

/** Every way to write one model that Ollama takes for it. */
function spellings(model: string, tag: string): string[] {
  const names = [model, model.toUpperCase(), `${model[0]!.toUpperCase()}${model.slice(1)}`];
  const tags = tag === 'latest' ? ['', ':latest', ':LATEST'] : [`:${tag}`, `:${tag.toUpperCase()}`];
  const spaces = ['', 'library/', 'LIBRARY/', 'registry.ollama.ai/library/', 'Registry.Ollama.AI/Library/'];
  const schemes = ['https://registry.ollama.ai/library/', 'http://registry.ollama.ai/library/'];
  const plain = [...spaces, ...schemes].flatMap((space) =>
    names.flatMap((name) => tags.map((of) => space + name + of)),
  );
  return plain.flatMap((text) => [text, ` ${text} `, `\t${text}\n`, `${text}:local`]);
}

function may(list: string[], text: string): boolean {
  const name = canonicalModelName(text);
  return name !== null && mayUseModel(client(list), name);
}

describe('a list of models', () => {
  it('is not got round, and denies nothing that it names, in some hundred spellings of each', () => {
    const lists = [
      ['tiny', 'other:7b'],
      ['registry.ollama.ai/library/tiny', 'OTHER:7B'],
      ['t*:latest', 'other:*'],
    ];
    let tried = 0;
    for (const list of lists) {
      for (const [model, tag, isListed] of [
        ['tiny', 'latest', true],
        ['other', '7b', true],
        ['other7b', 'latest', false],
        ['llama', 'latest', false],
      ] as const) {
        for (const text of spellings(model, tag)) {
          assert.equal(may(list, text), isListed, `${JSON.stringify(text)} by ${list.join()}`);
          tried += 1;
        }
      }
    }
    assert.ok(tried >= 200, `${tried} spellings`);
    for (const text of [
      'tiny:1b',
      'ns/tiny',
      'host.example/library/tiny',
      'host.example/tiny',
      'tiny/tiny',
      'other',
      'tiny:cloud',
    ])
      assert.ok(!may(['tiny', 'other:7b'], text), text);
  });

  it('lets nobody to ollama.com who may not go there, whatever the list says', () => {
    for (const text of ['big:cloud', 'big:20b-cloud', 'big:20b:cloud', 'BIG:Cloud', 'big:20b-CLOUD', ' big: cloud ']) {
      const name = canonicalModelName(text)!;
      for (const list of [undefined, ['*'], ['big*', 'big:20b-cloud', 'big:cloud']]) {
        assert.ok(!mayUseModel(client(list), name), text);
        assert.ok(mayUseModel(client(list, true), name), text);
      }
    }
  });

  it('counts for what is asked for or for what it stands for', () => {
    const demand = (list: string[], asked: string, runs: string) => () => demandModels(client(list), asked, runs);
    demand(['small:latest'], 'small:latest', 'tiny:latest')();
    demand(['tiny'], 'small:latest', 'tiny:latest')();
    assert.throws(demand(['other'], 'small:latest', 'tiny:latest'), /not among those/);
    assert.throws(demand(['*'], 'small:latest', 'big:cloud'), /runs at ollama\.com/);
  });

  it('made of two allows nothing that one of them does not', () => {
    const pattern = fc
      .array(fc.constantFrom('a', 'b', '*', '?'), { minLength: 1, maxLength: 4 })
      .map((parts) => parts.join(''));
    const list = fc.array(pattern, { minLength: 1, maxLength: 3 });
    const name = fc
      .array(fc.constantFrom('a', 'b'), { minLength: 1, maxLength: 4 })
      .map((parts) => `${parts.join('')}:latest`);
    fc.assert(
      fc.property(list, list, name, (wide, narrow, model) => {
        const both = client(narrowModels(wide, narrow));
        return !mayUseModel(both, model) || (mayUseModel(client(wide), model) && mayUseModel(client(narrow), model));
      }),
      { numRuns: 500 },
    );
  });
});

describe('a narrowed list', () => {
  it('keeps what both lists allow, names and patterns', () => {
    assert.deepEqual(narrowModels(['m*'], ['m:latest', 'm2', 'n:latest', 'm-*', '*']), ['m:latest', 'm2', 'm-*']);
    assert.deepEqual(narrowModels(undefined, ['n:latest', '*']), ['n:latest', '*']);
  });
});

describe('a grant of all models', () => {
  it('is one without a list that also allows those that run elsewhere', () => {
    const { operator, plain } = builtInProfiles;
    assert.equal(mayUseAllModels(operator), true);
    assert.equal(mayUseAllModels(plain), false);
    assert.equal(mayUseAllModels({ ...operator, models: ['*'] }), false, 'which has to be looked through');
  });
});
