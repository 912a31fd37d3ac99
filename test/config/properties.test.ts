import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { stringify } from 'yaml';
import { renderEffective } from '../../src/config/effective.ts';
import { loadConfig, type Loaded } from '../../src/config/load.ts';
import { renderProblem, type Layer } from '../../src/config/problem.ts';
import { configSchema, type Config } from '../../src/config/schema.ts';
import { settingsOf } from '../../src/config/settings.ts';
import { memoryFiles } from '../support/io.ts';

function load(
  bytes: string | Uint8Array,
  env: Record<string, string> = {},
  flags: Layer | null = null,
): Promise<Loaded> {
  return loadConfig({ file: 'c.yaml', env, flags, files: memoryFiles({ 'c.yaml': bytes }) });
}

const words = [
  'queue',
  'backends',
  'policy',
  'limit',
  'url',
  'null',
  '~',
  'true',
  'http://a',
  '10s',
  '0',
  '-1',
  '1e999',
  '.nan',
];
const marks = [
  ': ',
  ':\n  ',
  '\n',
  '- ',
  '  ',
  '\t',
  '{',
  '}',
  '[',
  ']',
  ',',
  '&a ',
  '*a',
  '<<',
  '${',
  '}',
  ':-',
  '"',
  "'",
  '|',
  '>',
  '#',
  '!!',
];
const oddities = [
  '? ',
  '---\n',
  '%',
  '\u0000',
  '\uFEFF',
  '\u2028',
  '\uD800',
  '__proto__',
  'constructor',
  '9'.repeat(400),
];

/** Fragments that meet the interesting parts of a file more often than random text does. */
const fragments = fc
  .array(fc.constantFrom(...words, ...marks, ...oddities), { maxLength: 25 })
  .map((parts) => parts.join(''));

/** Values that several options accept, by the option they are for. */
const limits = fc.option(fc.integer({ min: 0, max: 1000 }), { nil: undefined });
const timeouts = fc.option(
  fc.integer({ min: 1, max: 1000 }).map((seconds) => `${seconds}s`),
  { nil: undefined },
);
const backends = fc.option(fc.uniqueArray(fc.constantFrom('http://a:1', 'http://b:1', 'http://c:1')), {
  nil: undefined,
});
const said = fc.record({ limit: limits, timeout: timeouts, backends });

describe('whatever a file holds', () => {
  it('loading it ends, with a configuration or with problems, and never throws', async () => {
    const anything = fc.oneof(fc.uint8Array({ maxLength: 200 }), fc.string({ unit: 'binary' }), fragments);
    await fc.assert(
      fc.asyncProperty(anything, async (bytes) => {
        const loaded = await load(bytes);
        if (loaded.ok) return;
        assert.ok(loaded.problems.length > 0);
        for (const problem of loaded.problems)
          assert.match(renderProblem(problem), /^(?:c\.yaml:[0-9]+:[0-9]+|--config): \S/);
      }),
      { numRuns: 200 },
    );
  });

  it('loading it never throws when it is well-formed and means something else', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.jsonValue(),
        fc.constantFrom(...Object.keys(configSchema.properties ?? {})),
        async (value, section) => {
          const loaded = await load(JSON.stringify({ [section]: value }));
          if (!loaded.ok) assert.ok(loaded.problems.length > 0);
        },
      ),
      { numRuns: 200 },
    );
  });

  it('loading never throws over what the environment holds', async () => {
    const names = settingsOf(configSchema).map(({ env }) => env);
    await fc.assert(
      fc.asyncProperty(
        fc.dictionary(fc.constantFrom(...names), fc.oneof(fc.string(), fragments), { maxKeys: 5 }),
        async (env) => {
          const loaded = await load('', env);
          if (loaded.ok) return;
          for (const problem of loaded.problems) assert.match(renderProblem(problem), /^LLAMERO_[A-Z_]+: \S|^`/);
        },
      ),
      { numRuns: 200 },
    );
  });
});

describe('whatever three places say', () => {
  it('each option is what the highest of them says', async () => {
    const defaults = await load('');
    assert.ok(defaults.ok);
    await fc.assert(
      fc.asyncProperty(said, said, said, async (flag, env, file) => {
        const defined = (value: object): object => JSON.parse(JSON.stringify(value)) as object;
        const yaml = stringify(
          defined({ queue: { limit: file.limit, timeout: file.timeout }, backends: file.backends }),
        );
        const variables = defined({
          LLAMERO_QUEUE_LIMIT: env.limit === undefined ? undefined : String(env.limit),
          LLAMERO_QUEUE_TIMEOUT: env.timeout,
          LLAMERO_BACKENDS: env.backends?.join(','),
        }) as Record<string, string>;
        const flags: Layer = {
          value: { queue: { limit: flag.limit, timeout: flag.timeout }, backends: flag.backends },
          where: () => ({ kind: 'flag', name: '--flag' }),
        };
        const loaded = await load(yaml, variables, flags);
        assert.ok(loaded.ok);
        const { queue, backends: found } = loaded.config;
        assert.equal(queue.limit, flag.limit ?? env.limit ?? file.limit ?? defaults.config.queue.limit);
        const timeout = flag.timeout ?? env.timeout ?? file.timeout;
        assert.equal(
          queue.timeout,
          timeout === undefined ? defaults.config.queue.timeout : Number.parseInt(timeout, 10) * 1000,
        );
        // A variable with no backends in it is an empty one, and counts as unset.
        const list = flag.backends ?? (env.backends?.length ? env.backends : undefined) ?? file.backends ?? [];
        assert.deepEqual(
          found.map(({ url }) => url),
          list,
        );
      }),
      { numRuns: 100 },
    );
  });
});

describe('the effective configuration', () => {
  it('is a file that loads as the same configuration', async () => {
    const config = fc.record(
      {
        queue: fc.record({ limit: fc.nat(1000), timeout: fc.integer({ min: 1, max: 1e9 }).map((ms) => `${ms}ms`) }),
        listen: fc.record({
          bodyLimit: fc.integer({ min: 1024, max: 1e12 }),
          address: fc.constantFrom(':80', '[::1]:8080', 'a.b:0'),
        }),
        policy: fc.oneof(
          fc.constantFrom('random', 'weighted'),
          fc.record({ name: fc.constant('power-of-two'), choices: fc.integer({ min: 2, max: 16 }) }),
        ),
        backends: fc.uniqueArray(
          fc.record(
            {
              url: fc.constantFrom('http://a:1', 'https://b/prefix', 'HTTP://[::1]:7'),
              name: fc.stringMatching(/^[A-Za-z0-9][A-Za-z0-9._-]{0,9}$/),
              weight: fc.double({ min: 0.001, max: 1000, noNaN: true }),
              slots: fc.oneof(fc.constant('auto'), fc.integer({ min: 1, max: 10_000 })),
              models: fc.array(fc.string({ minLength: 1 }).filter((text) => !text.includes('${'))),
            },
            { requiredKeys: ['url', 'name'] },
          ),
          { selector: ({ name }) => name },
        ),
      },
      { requiredKeys: [] },
    );
    await fc.assert(
      fc.asyncProperty(config, async (written) => {
        const first = await load(JSON.stringify(written));
        if (!first.ok) assert.fail(first.problems.map(renderProblem).join('\n'));
        const again = await load(renderEffective(configSchema, first.config, first.origins));
        if (!again.ok) assert.fail(again.problems.map(renderProblem).join('\n'));
        assert.deepEqual<Config>(again.config, first.config);
      }),
      { numRuns: 60 },
    );
  });

  it('never holds a secret', async () => {
    const secret = fc.stringMatching(/^[A-Za-z0-9]{12,20}$/);
    await fc.assert(
      fc.asyncProperty(secret, async (token) => {
        const loaded = await load(`backends: [{url: https://a, auth: {token: "\${T}"}}]`, { T: token });
        assert.ok(loaded.ok);
        const text = renderEffective(configSchema, loaded.config, loaded.origins);
        assert.match(text, /token: "\[redacted\]" # c\.yaml:1:/);
        assert.ok(!text.includes(token));
      }),
      { numRuns: 20 },
    );
  });
});
