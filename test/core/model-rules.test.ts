import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { createModelRules, type ModelRulesOptions, type Wish } from '../../src/core/model-rules.ts';

const wish = (fields: Partial<Wish> = {}): Wish => ({
  model: 'llama3:latest',
  numCtx: null,
  keepAliveMs: null,
  carriesOptions: true,
  ...fields,
});
const rulesOf = (options: Partial<ModelRulesOptions>) => createModelRules({ aliases: {}, rules: [], ...options });
const always = () => true;

describe('model rules', () => {
  it('change nothing when there are none, whatever is asked', () => {
    fc.assert(
      fc.property(fc.option(fc.nat()), fc.option(fc.nat()), fc.boolean(), (numCtx, keepAliveMs, carriesOptions) => {
        assert.equal(rulesOf({}).rule(wish({ numCtx, keepAliveMs, carriesOptions }), always), null);
      }),
    );
  });

  it('put the model an alias stands for in its place, in any spelling of the alias', () => {
    const rules = rulesOf({ aliases: { 'GPT-4o': 'llama3.3:70b' } });
    for (const model of ['gpt-4o:latest']) {
      assert.deepEqual(rules.rule(wish({ model }), always), { ruling: { model: 'llama3.3:70b' }, kinds: ['alias'] });
    }
    assert.equal(rules.rule(wish({ model: 'gpt-4o:mini' }), always), null);
  });

  it('leave alone what a rule has no bound for, or what is within it', () => {
    const keepAlive = rulesOf({ rules: [{ match: ['*'], maxKeepAlive: 1000 }] });
    assert.equal(keepAlive.rule(wish({ numCtx: 4096 }), always), null);
    const context = rulesOf({ rules: [{ match: ['*'], maxNumCtx: 8192 }] });
    assert.equal(context.rule(wish({ numCtx: 4096, keepAliveMs: 5000 }), always), null);
  });

  it('take the first substitute that can be had, and only while the model can’t', () => {
    const rules = rulesOf({ rules: [{ match: ['a'], fallback: ['b', 'c'] }] });
    const having =
      (...models: string[]) =>
      (model: string) =>
        models.includes(model);
    const a = wish({ model: 'a:latest' });
    assert.equal(rules.rule(a, having('a:latest', 'b:latest')), null);
    assert.equal(rules.rule(a, having('c:latest'))?.ruling.model, 'c');
    assert.equal(rules.rule(a, having('b:latest', 'c:latest'))?.ruling.model, 'b');
    assert.equal(rules.rule(a, having()), null);
  });

  it('pin the context, and lower what is above its bound and never raise', () => {
    fc.assert(
      fc.property(fc.option(fc.integer({ min: 1, max: 100_000 })), (numCtx) => {
        const pinned = rulesOf({ rules: [{ match: ['*'], numCtx: 8192 }] }).rule(wish({ numCtx }), always);
        assert.equal(pinned === null ? numCtx : pinned.ruling.numCtx, 8192);
        const bounded = rulesOf({ rules: [{ match: ['*'], maxNumCtx: 8192 }] }).rule(wish({ numCtx }), always);
        assert.equal(bounded?.ruling.numCtx ?? numCtx, numCtx === null ? null : Math.min(numCtx, 8192));
      }),
    );
  });

  it('lower a keep-alive above its bound, also one for ever, and leave what is not stated', () => {
    const rules = rulesOf({ rules: [{ match: ['*'], maxKeepAlive: 60_000 }] });
    assert.equal(rules.rule(wish({ keepAliveMs: Infinity }), always)?.ruling.keepAliveMs, 60_000);
    assert.equal(rules.rule(wish({ keepAliveMs: 5000 }), always), null);
    assert.equal(rules.rule(wish(), always), null);
  });

  it('bound nothing where the API carries no options, and follow the substitute’s rules, first match only', () => {
    const rules = rulesOf({
      aliases: { x: 'small' },
      rules: [
        { match: ['small'], numCtx: 2048 },
        { match: ['*'], numCtx: 1 },
      ],
    });
    const x = wish({ model: 'x:latest' });
    assert.deepEqual(rules.rule(x, always), { ruling: { model: 'small', numCtx: 2048 }, kinds: ['alias', 'num-ctx'] });
    assert.deepEqual(rules.rule({ ...x, carriesOptions: false }, always)?.ruling, { model: 'small' });
  });
});
