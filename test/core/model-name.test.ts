import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import {
  canonicalModelName,
  displayName,
  isCloudModel,
  type ModelNameParts,
  nearModelNames,
  parseModelName,
} from '../../src/core/model-name.ts';

const MAX = 'x'.repeat(80);

/** Spelling → canonical name; null: Ollama refuses it. */
const spellings: readonly (readonly [string, string | null])[] = [
  ['tiny', 'tiny:latest'],
  ['tiny:latest', 'tiny:latest'],
  ['TINY:LATEST', 'tiny:latest'],
  ['Tiny', 'tiny:latest'],
  ['  tiny  ', 'tiny:latest'],
  ['\t\n\v\f\r tiny\u0085\u00A0\u2003\u3000', 'tiny:latest'],
  ['library/tiny', 'tiny:latest'],
  ['LIBRARY/tiny', 'tiny:latest'],
  ['registry.ollama.ai/library/tiny', 'tiny:latest'],
  ['Registry.Ollama.AI/library/tiny:latest', 'tiny:latest'],
  ['https://registry.ollama.ai/library/tiny:latest', 'tiny:latest'],
  ['http://registry.ollama.ai/library/tiny', 'tiny:latest'],
  ['  registry.ollama.ai/library/TINY:latest ', 'tiny:latest'],
  ['https:///library/tiny', 'tiny:latest'],
  ['llama3.2:3b', 'llama3.2:3b'],
  ['llama3.2:3B-Instruct-Q4_K_M', 'llama3.2:3b-instruct-q4_k_m'],
  ['ns/m', 'ns/m:latest'],
  ['NS/M:Tag', 'ns/m:tag'],
  ['registry.ollama.ai/ns/m', 'ns/m:latest'],
  ['hf.co/bartowski/Llama-3.2-3B-Instruct-GGUF:IQ3_M', 'hf.co/bartowski/llama-3.2-3b-instruct-gguf:iq3_m'],
  ['localhost:5000/library/tiny', 'localhost:5000/library/tiny:latest'],
  ['https://localhost:5000/ns/tiny:1', 'localhost:5000/ns/tiny:1'],
  ['_m', '_m:latest'],
  ['m.', 'm.:latest'],
  ['m-', 'm-:latest'],
  [MAX, `${MAX}:latest`],
  [`${MAX}/${MAX}:${MAX}`, `${MAX}/${MAX}:${MAX}`],
  [`${'h'.repeat(350)}/n/m`, `${'h'.repeat(350)}/n/m:latest`],
  // Where it is to run.
  ['tiny:local', 'tiny:latest'],
  ['tiny:LOCAL', 'tiny:latest'],
  ['tiny:3b:local', 'tiny:3b'],
  ['tiny: local', 'tiny:latest'],
  ['gpt-oss:cloud', 'gpt-oss:cloud'],
  ['gpt-oss: Cloud', 'gpt-oss:cloud'],
  ['gpt-oss:latest:cloud', 'gpt-oss:cloud'],
  ['gpt-oss:latest-cloud', 'gpt-oss:cloud'],
  ['gpt-oss:20b-cloud', 'gpt-oss:20b-cloud'],
  ['GPT-OSS:20B-CLOUD', 'gpt-oss:20b-cloud'],
  ['gpt-oss:20b:cloud', 'gpt-oss:20b-cloud'],
  ['ns/gpt-oss:20b:cloud', 'ns/gpt-oss:20b-cloud'],
  ['cloud', 'cloud:latest'],
  ['my-cloud', 'my-cloud:latest'],
  ['local', 'local:latest'],
  // What Ollama refuses.
  ['', null],
  ['   ', null],
  ['tiny:local:cloud', null],
  ['tiny:cloud:local', null],
  ['tiny:20b-cloud:cloud', null],
  ['tiny:cloud:cloud', null],
  [':cloud', null],
  ['tiny:-cloud', null],
  ['tiny :cloud', null],
  ['tiny:', null],
  [':latest', null],
  ['/tiny', null],
  ['ns/', null],
  ['//tiny', null],
  ['a/b/c/d', null],
  ['https://tiny', null],
  ['localhost:5000/tiny', null],
  ['n.s/tiny', null],
  ['-tiny', null],
  ['.tiny', null],
  ['tiny:.x', null],
  ['ti ny', null],
  ['tiny\u0000', null],
  ['tiny@sha256:0000', null],
  ['tiny+q4', null],
  ['../tiny', null],
  ['..', null],
  ['t\u0131ny', null],
  ['\u017Fmall', null],
  ['\uFEFFtiny', null],
  ['\u200Btiny', null],
  [`x${MAX}`, null],
  [`m:x${MAX}`, null],
  [`x${MAX}/m`, null],
  [`${'h'.repeat(351)}/n/m`, null],
];

const word = fc.stringMatching(/^[A-Za-z0-9_][A-Za-z0-9_-]{0,20}$/);
const dotted = fc.stringMatching(/^[A-Za-z0-9_][A-Za-z0-9_.-]{0,20}$/);
const tag = dotted.filter((text) => !/^(?:cloud|local)$|-cloud$/i.test(text));
const parts = fc.record({
  host: fc.option(dotted, { nil: 'registry.ollama.ai' }),
  namespace: fc.option(word, { nil: 'library' }),
  model: dotted,
  tag: fc.option(tag, { nil: 'latest' }),
});

/** Random upper and lower case. */
function recased(text: string, bits: number): string {
  return Array.from(text)
    .map((char, index) => ((bits >> (index % 31)) & 1 ? char.toUpperCase() : char.toLowerCase()))
    .join('');
}

describe('canonicalModelName', () => {
  for (const [spelling, canonical] of spellings) {
    const shown = spelling.length > 60 ? `${spelling.slice(0, 20)}… (${spelling.length} characters)` : spelling;
    it(`takes ${JSON.stringify(shown)} as ${canonical === null ? 'no name' : canonical.slice(0, 60)}`, () => {
      assert.equal(canonicalModelName(spelling), canonical);
    });
  }

  it('gives every spelling of one model one name', () => {
    fc.assert(
      fc.property(parts, fc.integer(), fc.nat(4), fc.constantFrom('', ' ', '\t\n'), (name, bits, form, blanks) => {
        const full = `${name.host}/${name.namespace}/${name.model}:${name.tag}`;
        const isDefaultHost = name.host.toLowerCase() === 'registry.ollama.ai';
        const isDefaultNamespace = name.namespace.toLowerCase() === 'library';
        const withoutTag = name.tag === 'latest' ? full.slice(0, full.lastIndexOf(':')) : full;
        const withoutHost = isDefaultHost ? withoutTag.slice(name.host.length + 1) : withoutTag;
        const withoutNamespace =
          isDefaultHost && isDefaultNamespace ? withoutHost.slice(name.namespace.length + 1) : withoutHost;
        const spelled = [full, withoutTag, withoutHost, withoutNamespace, `https://${full}`][form]!;
        assert.equal(canonicalModelName(blanks + recased(spelled, bits) + blanks), canonicalModelName(full));
        assert.notEqual(canonicalModelName(full), null);
      }),
    );
  });

  it('is its own canonical name', () => {
    fc.assert(
      fc.property(
        fc.oneof(
          parts.map((n) => `${n.host}/${n.namespace}/${n.model}:${n.tag}`),
          fc.string(),
        ),
        (text) => {
          const name = canonicalModelName(text);
          assert.ok(name === null || canonicalModelName(name) === name);
        },
      ),
    );
  });

  it('keeps different models apart', () => {
    fc.assert(
      fc.property(parts, parts, (a, b) => {
        const same = (['host', 'namespace', 'model', 'tag'] as const).every(
          (part) => a[part].toLowerCase() === b[part].toLowerCase(),
        );
        const text = (n: typeof a) => `${n.host}/${n.namespace}/${n.model}:${n.tag}`;
        assert.equal(canonicalModelName(text(a)) === canonicalModelName(text(b)), same);
      }),
    );
  });

  it('never throws and only gives names a label can hold', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (text) => {
        const name = canonicalModelName(text);
        assert.ok(name === null || /^[\w.:/-]+:[\w.-]+$/.test(name));
      }),
    );
  });

  it('takes no longer over blanks than over letters', () => {
    assert.equal(canonicalModelName(`${' '.repeat(1_000_000)}x${' '.repeat(1_000_000)}y`), null);
  });
});

describe('isCloudModel', () => {
  it('knows a cloud model by its canonical tag', () => {
    for (const [spelling, isCloud] of [
      ['gpt-oss:cloud', true],
      ['gpt-oss:20b:cloud', true],
      ['gpt-oss:20b-cloud', true],
      ['gpt-oss:20b', false],
      ['my-cloud', false],
      ['cloud:latest', false],
      ['tiny:local', false],
    ] as const) {
      assert.equal(isCloudModel(canonicalModelName(spelling)!), isCloud, spelling);
    }
  });
});

describe('displayName', () => {
  it('leaves out what is the default and keeps the case', () => {
    const shown = (text: string) => displayName(parseModelName(text) as ModelNameParts);
    assert.equal(shown('Nope'), 'Nope:latest');
    assert.equal(shown('NS/Nope:T'), 'NS/Nope:T');
    assert.equal(shown('hf.co/a/B'), 'hf.co/a/B:latest');
    assert.equal(shown('registry.ollama.ai/library/x'), 'x:latest');
  });
});

describe('nearModelNames', () => {
  const known = ['llama3.2:3b', 'llama3.2:1b', 'llama3.3:70b', 'nomic-embed-text:latest', 'qwen3:8b'];

  it('names other tags of the model first, then what differs little', () => {
    assert.deepEqual(nearModelNames('llama3.2:latest', known), ['llama3.2:1b', 'llama3.2:3b', 'llama3.3:70b']);
    assert.deepEqual(nearModelNames('nomic-embed-txt:latest', known), ['nomic-embed-text:latest']);
  });

  it('names nothing for what is unlike', () => {
    assert.deepEqual(nearModelNames('mistral:latest', known), []);
  });

  it('names no more than it was asked for', () => {
    assert.equal(nearModelNames('llama3.2:latest', known, 1).length, 1);
  });
});
