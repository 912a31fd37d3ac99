/** What a grant makes of a request's wishes. That the wishes are read rightly from a body is for test/http/limits.test.ts. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { GatewayError } from '../../src/core/errors.ts';
import type { Grant } from '../../src/core/grants.ts';
import {
  limitsModels,
  limitsWishes,
  lower,
  watchedFields,
  type Feature,
  type Lowered,
  type Wishes,
} from '../../src/core/limits.ts';
import { builtInProfiles } from '../../src/core/profiles.ts';

const free: Grant = { ...builtInProfiles.plain, cloud: true };

const modest: Wishes = {
  features: new Set(),
  runnerOptions: [],
  contextLength: null,
  outputLimits: new Map(),
  keepAliveMs: null,
  images: 0,
  inputs: 0,
};

function wants(...features: Feature[]): Wishes {
  return { ...modest, features: new Set(features) };
}

function refusal(wishes: Wishes, grant: Grant): string {
  try {
    lower(wishes, grant);
  } catch (error) {
    assert.ok(error instanceof GatewayError);
    assert.equal(error.code, 'forbidden');
    return error.message;
  }
  assert.fail('it was let through');
}

const features = [
  'load',
  'unload',
  'pin',
  'runner-options',
  'raw',
  'template',
  'system',
  'suffix',
  'context',
  'debug-render',
  'tools',
  'format',
  'images',
] as const satisfies readonly Feature[];
const outputFields = ['num_predict', 'max_tokens', 'max_completion_tokens'];
const orNull = (most: number) => fc.option(fc.integer({ min: -1, max: most }));

const anyWishes: fc.Arbitrary<Wishes> = fc.record({
  features: fc.subarray([...features]).map((some) => new Set<Feature>(some)),
  runnerOptions: fc.subarray(['num_ctx', 'num_gpu', 'shift', 'num_batch']),
  contextLength: orNull(100),
  outputLimits: fc
    .subarray(outputFields)
    .chain((names) =>
      fc.tuple(...names.map((name) => fc.tuple(fc.constant(name), orNull(100)))).map((pairs) => new Map(pairs)),
    ),
  keepAliveMs: fc.option(fc.nat({ max: 100 })),
  images: fc.nat({ max: 3 }),
  inputs: fc.nat({ max: 3 }),
});

/** The wishes that are left when the lowered fields have been written. */
function after(wishes: Wishes, lowered: Lowered | null): Wishes {
  const { keepAliveMs, members = {}, options = {} } = lowered ?? {};
  const isTaken = (name: string): boolean => options[name] === null || members[name] === null;
  return {
    ...wishes,
    runnerOptions: wishes.runnerOptions.filter((name) => !isTaken(name)),
    contextLength: isTaken('num_ctx') ? null : (options['num_ctx'] ?? wishes.contextLength),
    outputLimits: new Map(
      [...wishes.outputLimits].map(([name, stated]) => [name, options[name] ?? members[name] ?? stated]),
    ),
    keepAliveMs: isTaken('keep_alive') ? null : (keepAliveMs ?? wishes.keepAliveMs),
  };
}

describe('limits of a grant', () => {
  it('leave everything as it is where the grant limits nothing', () => {
    assert.equal(limitsModels(free), false);
    assert.equal(limitsWishes(free), false);
    assert.deepEqual(watchedFields(free), []);
    fc.assert(fc.property(anyWishes, (wishes) => assert.equal(lower(wishes, free), null)));
  });

  it('hold for what is sent on, which needs no second lowering', () => {
    const grants = fc.record({
      contextLength: fc.option(fc.integer({ min: 1, max: 50 }), { nil: undefined }),
      maxOutputTokens: fc.option(fc.integer({ min: 1, max: 50 }), { nil: undefined }),
      keepAlive: fc.option(fc.integer({ min: 1, max: 50 }), { nil: undefined }),
      control: fc.boolean(),
    });
    fc.assert(
      fc.property(anyWishes, grants, (wishes, bounds) => {
        const grant = { ...free, ...bounds } as Grant;
        if (!grant.control && (wishes.features.has('load') || wishes.features.has('unload'))) return;
        const sent = after(wishes, lower(wishes, grant));
        assert.ok((sent.contextLength ?? 0) <= (bounds.contextLength ?? Infinity));
        const [first, ...others] = [...sent.outputLimits.values()];
        if (bounds.maxOutputTokens !== undefined) {
          if (first !== undefined) assert.ok(first !== null && first > 0 && first <= bounds.maxOutputTokens);
          for (const stated of others) {
            assert.ok(stated === null || (stated > 0 && stated <= bounds.maxOutputTokens));
          }
        }
        if (grant.control) assert.ok((sent.keepAliveMs ?? 0) <= (bounds.keepAlive ?? Infinity));
        else {
          assert.equal(sent.keepAliveMs, null);
          const left = sent.runnerOptions.filter((name) => name !== 'num_ctx' || bounds.contextLength === undefined);
          assert.deepEqual(left, []);
        }
        const again = lower(sent, grant);
        assert.equal(again, null);
      }),
    );
  });

  it('lower nothing that keeps them', () => {
    const grant = { ...free, contextLength: 4096, maxOutputTokens: 100, keepAlive: 60_000, images: 2, inputs: 2 };
    const wishes = {
      ...modest,
      runnerOptions: ['num_ctx'],
      contextLength: 4096,
      outputLimits: new Map([['max_tokens', 100]]),
      keepAliveMs: 60_000,
      images: 2,
      inputs: 2,
    };
    assert.equal(lower(wishes, grant), null);
  });

  it('are written where the request would have stated them', () => {
    const grant = { ...free, contextLength: 4096, maxOutputTokens: 100, keepAlive: 60_000 };
    const native = {
      ...modest,
      contextLength: 8192,
      outputLimits: new Map([['num_predict', -1]]),
      keepAliveMs: 60_001,
    };
    assert.deepEqual(lower(native, grant), {
      options: { num_ctx: 4096, num_predict: 100 },
      keepAliveMs: 60_000,
    });
    const compatible = new Map([
      ['max_tokens', null],
      ['max_completion_tokens', null],
    ]);
    assert.deepEqual(lower({ ...modest, outputLimits: compatible }, grant), { members: { max_tokens: 100 } });
  });

  it('take away, without control, what would load the model anew or keep it', () => {
    const grant = { ...free, control: false };
    const wishes = { ...modest, runnerOptions: ['num_ctx', 'num_gpu', 'shift'], contextLength: 10, keepAliveMs: 1000 };
    assert.deepEqual(lower(wishes, grant), {
      options: { num_ctx: null, num_gpu: null },
      members: { shift: null, keep_alive: null },
    });
    assert.deepEqual(
      lower(wishes, { ...grant, contextLength: 20 }),
      { options: { num_gpu: null }, members: { shift: null, keep_alive: null } },
      'but the context may be chosen where it has a limit of its own',
    );
  });

  it('refuse, without raw, whatever goes round the template, and say what', () => {
    const grant = { ...free, raw: false };
    for (const [feature, field] of [
      ['raw', 'raw'],
      ['template', 'template'],
      ['suffix', 'suffix'],
      ['context', 'context'],
      ['debug-render', '_debug_render_only'],
    ] as const) {
      assert.match(refusal(wants(feature), grant), new RegExp(`\`${field}\``));
    }
    assert.equal(lower(wants('system', 'tools', 'format', 'images', 'pin', 'load'), grant), null);
  });

  it('refuse, without control, to load or unload', () => {
    const grant = { ...free, control: false };
    assert.match(refusal(wants('load'), grant), /`control`/);
    assert.match(refusal(wants('unload'), grant), /`control`/);
    assert.equal(lower(wants('raw', 'template', 'system'), grant), null);
  });

  it('refuse one image or one text more than granted', () => {
    assert.match(refusal({ ...modest, images: 3 }, { ...free, images: 2 }), /2 images/);
    assert.match(refusal({ ...modest, images: 1 }, { ...free, images: 0 }), /0 images/);
    assert.match(refusal({ ...modest, inputs: 3 }, { ...free, inputs: 2 }), /2 texts/);
  });
});

describe('the fields a grant rests on', () => {
  const watched = (bounds: Partial<Grant>): readonly string[] => watchedFields({ ...free, ...bounds });

  it('are those of every limit it has', () => {
    const models = ['model', 'name', 'source', 'destination', 'from'];
    const output = ['options', 'max_tokens', 'max_completion_tokens', 'max_output_tokens'];
    assert.deepEqual(watched({ cloud: false }), models);
    assert.deepEqual(watched({ models: ['*'] }), models);
    for (const bound of ['maxOutputTokens', 'tokensPerMinute', 'tokensPerDay']) {
      assert.deepEqual(watched({ [bound]: 1 }), output, bound);
    }
    assert.deepEqual(watched({ contextLength: 1 }), ['options']);
    assert.deepEqual(watched({ keepAlive: 1 }), ['keep_alive']);
    assert.deepEqual(watched({ images: 0 }), ['images', 'messages', 'input']);
    assert.deepEqual(watched({ inputs: 1 }), ['input']);
    assert.deepEqual(watched({ raw: false }), ['raw', 'template', 'suffix', 'context', '_debug_render_only']);
    assert.deepEqual(watched({ control: false }), ['prompt', 'messages', 'input', 'keep_alive', 'options', 'shift']);
  });

  it('are watched only where there is a limit, and every limit counts as one', () => {
    assert.equal(limitsModels({ ...free, cloud: false }), true);
    assert.equal(limitsModels({ ...free, models: [] }), true);
    for (const bound of [
      'contextLength',
      'images',
      'inputs',
      'keepAlive',
      'maxOutputTokens',
      'tokensPerDay',
      'tokensPerMinute',
    ]) {
      assert.equal(limitsWishes({ ...free, [bound]: 1 }), true, bound);
    }
    assert.equal(limitsWishes({ ...free, raw: false }), true);
    assert.equal(limitsWishes({ ...free, control: false }), true);
  });
});
