import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { zstdCompressSync } from 'node:zlib';
import { GatewayError } from '../../src/core/errors.ts';
import type { Grant } from '../../src/core/grants.ts';
import { createModelRules } from '../../src/core/model-rules.ts';
import { canonicalModelName } from '../../src/core/model-name.ts';
import { builtInProfiles } from '../../src/core/profiles.ts';
import { dialects } from '../../src/dialects/index.ts';
import type { Reading, Route } from '../../src/dialects/dialect.ts';
import { readIncoming } from '../../src/http/incoming.ts';
import { applyLimits } from '../../src/http/limits.ts';
import { recordings } from '../dialects/recordings.ts';
import { attackBodies, type Attack } from '../support/attack-bodies.ts';
import { goAsked, type Asked } from '../support/go-asked.ts';

const { operator } = builtInProfiles;
const emit = () => {};
const book = { rules: createModelRules({ aliases: {}, rules: [] }), canServe: () => true, emit };
const routes = Object.values(dialects).flatMap((dialect) => dialect.routes);
const routeOf = (path: string) => routes.find((route) => route.path === path && route.method !== 'GET')!;

interface Sent {
  readonly body: Buffer;
  readonly reading: Reading;
}

/** What is sent on for a body, or the code of the refusal. */
async function sent(route: Route, body: Buffer, grant: Grant): Promise<Sent | string> {
  const dialect = dialects[route.dialect];
  const context = { headers: {}, hash: String };
  try {
    if (route.kind === 'infer')
      return await readIncoming(route, dialect, body, {
        ...context,
        countTokens: false,
        permit: () => {},
        nextTurn: () => Promise.resolve(),
        book,
        grant,
      });
    const reading = dialect.read(route, body, context);
    applyLimits({ route, dialect, body, reading }, grant, context, emit);
    return { body, reading };
  } catch (error) {
    if (error instanceof GatewayError) return error.code;
    throw error;
  }
}

const strict: Grant = {
  ...operator,
  models: ['tiny'],
  contextLength: 4096,
  maxOutputTokens: 64,
  images: 1,
  inputs: 2,
  raw: false,
  control: false,
};
const lenient: Grant = {
  ...operator,
  cloud: false,
  contextLength: 4096,
  maxOutputTokens: 64,
  keepAlive: 600_000,
  tokensPerDay: 9,
};

/** What the grant forbids and the body asks for all the same; null when there is nothing. */
function breach(asked: Asked, grant: Grant, path: string): string | null {
  const { empty, images = 0, inputs = 0, keepAliveMs, numCtx, output, round, runner } = asked;
  if (!grant.raw && round !== undefined) return `goes round the template: ${round.join()}`;
  if (images > (grant.images ?? Infinity)) return `${images} images`;
  if (inputs > (grant.inputs ?? Infinity)) return `${inputs} inputs`;
  if (numCtx !== undefined && numCtx > grant.contextLength!) return `num_ctx ${numCtx}`;
  const isGenerated = ['/api/generate', '/api/chat', '/v1/chat/completions'].includes(path);
  if (isGenerated && !(output !== undefined && output > 0 && output <= grant.maxOutputTokens!))
    return `${output} tokens`;
  if (grant.control) {
    const isLong = keepAliveMs !== undefined && (keepAliveMs === -1 || keepAliveMs > grant.keepAlive!);
    return isLong ? `stays ${keepAliveMs}` : null;
  }
  if (keepAliveMs !== undefined) return `keep_alive ${keepAliveMs}`;
  if (runner !== undefined) return `options ${runner.join()}`;
  return empty === true && path !== '/v1/chat/completions' ? 'loads or unloads' : null;
}

describe('bodies made to be read in two ways', () => {
  const attacks = attackBodies();
  const lines = readFileSync(new URL('../fixtures/go-json/verdicts.jsonl', import.meta.url), 'utf8')
    .trimEnd()
    .split('\n');
  const verdicts = lines.slice(1).map((line) => JSON.parse(line) as Asked);

  it('are those that Go has decoded', () => {
    const digest = createHash('sha256');
    for (const { body, route } of attacks) digest.update(route).update(body);
    assert.equal(digest.digest('hex'), JSON.parse(lines[0]!), 'run test/fixtures/go-json/make.ts');
    assert.ok(verdicts.length === attacks.length && attacks.length >= 2000);
    assert.ok(verdicts.filter(({ refused }) => !refused).length >= 1500, 'enough of them are taken');
  });

  it('are decoded by the reference as Go decodes them', () => {
    for (const [i, { body, route }] of attacks.entries()) {
      assert.deepEqual(goAsked(route, body), verdicts[i], `${i} ${route} ${body.toString().slice(0, 500)}`);
    }
  });

  const holds = async (grant: Grant, { body, route: path }: Attack): Promise<string> => {
    const route = routeOf(path);
    const passed = await sent(route, body, grant);
    if (typeof passed === 'string') return passed;
    const asked = goAsked(path, passed.body);
    if (asked.refused) return 'refused by Ollama';
    const { model, others } = passed.reading;
    const seen =
      path === '/api/copy' ? [others.source ?? '', others.destination ?? ''] : [passed.reading.modelText ?? ''];
    const why = `${path} ${body.toString().slice(0, 500)}\n→ ${passed.body.toString().slice(0, 500)}`;
    assert.deepEqual(seen, asked.models, why);
    assert.equal(model, canonicalModelName(asked.models![0]!), why);
    // Without a name it runs nothing.
    if (asked.models![0] !== '' && route.kind === 'infer') assert.equal(breach(asked, grant, path), null, why);
    return 'passed';
  };

  for (const [name, grant] of Object.entries({ strict, lenient })) {
    it(`get nothing past a ${name} grant`, async () => {
      const ends = new Map<string, number>();
      for (const attack of attacks) {
        const end = await holds(grant, attack);
        ends.set(end, (ends.get(end) ?? 0) + 1);
      }
      assert.ok((ends.get('passed') ?? 0) > 150, JSON.stringify([...ends]));
      assert.ok((ends.get('bad-request') ?? 0) > 500, JSON.stringify([...ends]));
    });
  }

  it('pass unchanged under a grant that limits nothing', async () => {
    for (const { body, route } of attacks.slice(0, 1000)) {
      const passed = await sent(routeOf(route), body, operator);
      if (typeof passed !== 'string') assert.ok(passed.body.equals(body));
    }
  });
});

describe('bodies that real clients have sent', () => {
  const generous: Grant = {
    ...operator,
    models: ['*'],
    contextLength: 1_000_000,
    maxOutputTokens: 1_000_000,
    keepAlive: 1e12,
    images: 100,
    inputs: 10_000,
  };

  it('are not refused by a grant that allows what they ask for, but for the one that names its model twice', async () => {
    const refused: string[] = [];
    for (const { name, requestBody, route, status } of recordings) {
      if (route === null || status >= 400 || requestBody.length === 0) continue;
      if (typeof (await sent(route, requestBody, generous)) === 'string') refused.push(name);
    }
    assert.deepEqual(refused, ['generate.duplicate-keys']);
  });
});

describe('a grant', () => {
  const chatWith = (more: object) =>
    JSON.stringify({ model: 'tiny', messages: [{ role: 'user', content: 'x' }], ...more });
  async function changed(path: string, body: string, grant: Partial<Grant>): Promise<unknown> {
    const passed = await sent(routeOf(path), Buffer.from(body), { ...operator, ...grant });
    return typeof passed === 'string' ? passed : (JSON.parse(passed.body.toString()) as unknown);
  }
  const message = { model: 'tiny', messages: [{ role: 'user', content: 'x' }] };

  it('lowers what is too much, and writes in what is missing', async () => {
    const limits = { contextLength: 4096, maxOutputTokens: 64, keepAlive: 60_000 };
    assert.deepEqual(
      await changed('/api/chat', chatWith({ options: { num_ctx: 9000, seed: 1 }, keep_alive: -1 }), limits),
      {
        ...message,
        options: { num_ctx: 4096, seed: 1, num_predict: 64 },
        keep_alive: 60,
      },
    );
    const small = { options: { num_ctx: 100, num_predict: 5 }, keep_alive: '30s' };
    assert.deepEqual(await changed('/api/chat', chatWith(small), limits), { ...message, ...small });
    assert.deepEqual(await changed('/v1/chat/completions', chatWith({ max_completion_tokens: 900 }), limits), {
      ...message,
      max_completion_tokens: 64,
      max_tokens: 64,
    });
    const responses = '{"model":"tiny","input":"x","max_tokens":1}';
    const limited = { model: 'tiny', input: 'x', max_tokens: 1, max_output_tokens: 64 };
    assert.deepEqual(await changed('/v1/responses', responses, limits), limited);
    assert.deepEqual(await changed('/v1/messages', chatWith({ max_tokens: 65 }), limits), {
      ...message,
      max_tokens: 64,
    });
  });

  it('without control leaves the memory of backends alone', async () => {
    const control = { control: false };
    const steering = { keep_alive: '24h', shift: false, options: { num_ctx: 9, num_gpu: 0, use_mmap: false, seed: 1 } };
    const left = { keep_alive: null, shift: null, options: { num_ctx: null, num_gpu: null, use_mmap: null, seed: 1 } };
    assert.deepEqual(await changed('/api/chat', chatWith(steering), control), { ...message, ...left });
    const chosen = { options: { num_ctx: 9 } };
    assert.deepEqual(await changed('/api/chat', chatWith(chosen), { ...control, contextLength: 10 }), {
      ...message,
      ...chosen,
    });
    for (const [path, body] of [
      ['/api/generate', '{"model":"tiny"}'],
      ['/api/generate', '{"model":"tiny","prompt":"","keep_alive":0}'],
      ['/api/chat', '{"model":"tiny","messages":[],"keep_alive":"0s"}'],
      ['/api/embed', '{"model":"tiny","input":[]}'],
      ['/api/embeddings', '{"model":"tiny"}'],
    ] as const)
      assert.equal(await changed(path, body, control), 'forbidden', body);
  });

  it('without raw has nobody go round the template', async () => {
    for (const more of [
      { raw: true },
      { template: 'x' },
      { suffix: 'x' },
      { context: [1] },
      { _debug_render_only: true },
    ]) {
      assert.equal(
        await changed('/api/generate', JSON.stringify({ model: 'tiny', prompt: 'x', ...more }), { raw: false }),
        'forbidden',
      );
    }
    assert.equal(
      await changed('/v1/completions', '{"model":"tiny","prompt":"x","suffix":"y"}', { raw: false }),
      'forbidden',
    );
    assert.equal(await changed('/api/chat', chatWith({ _debug_render_only: true }), { raw: false }), 'forbidden');
  });

  it('counts images and texts wherever they stand', async () => {
    const images = [{ role: 'user', content: 'x', images: ['a', 'b'] }];
    const parts = [{ role: 'user', content: [{ type: 'image_url', image_url: { url: 'x' } }] }];
    assert.equal(await changed('/api/chat', chatWith({ messages: images }), { images: 1 }), 'forbidden');
    assert.notEqual(await changed('/api/chat', chatWith({ messages: images }), { images: 2 }), 'forbidden');
    for (const path of ['/v1/chat/completions', '/v1/messages'])
      assert.equal(await changed(path, chatWith({ messages: parts }), { images: 0 }), 'forbidden', path);
    const hidden = `{"model":"tiny","messages":[${'{},'.repeat(40_000)}{"images":["a"]}]}`;
    assert.equal(await changed('/api/chat', hidden, { images: 0 }), 'forbidden', 'behind more than is looked at');
    assert.equal(await changed('/api/embed', '{"model":"tiny","input":["a","b","c"]}', { inputs: 2 }), 'forbidden');
    assert.equal(await changed('/v1/embeddings', '{"model":"tiny","input":["a","b","c"]}', { inputs: 2 }), 'forbidden');
  });

  it('is not got round by a compressed body', async () => {
    const send = (path: string, body: Buffer, coding: string) => {
      const route = routeOf(path);
      const context = {
        headers: { 'content-encoding': coding },
        hash: String,
        countTokens: false,
        book,
        permit: () => {},
        nextTurn: () => Promise.resolve(),
      };
      return readIncoming(route, dialects[route.dialect], body, {
        ...context,
        grant: { ...operator, maxOutputTokens: 64 },
      });
    };
    const plain = Buffer.from(chatWith({}));
    const unpacked = await send('/v1/chat/completions', zstdCompressSync(plain), 'zstd');
    assert.equal(unpacked.isUnpacked, true);
    assert.equal((JSON.parse(unpacked.body.toString()) as { max_tokens: number }).max_tokens, 64);
    const codings = [
      ['/v1/chat/completions', 'gzip'],
      ['/v1/chat/completions', 'zstd, zstd'],
      ['/v1/chat/completions', 'zstd'],
      ['/api/chat', 'zstd'],
    ] as const;
    for (const [path, coding] of codings) await assert.rejects(send(path, plain, coding), { code: 'bad-request' });
    assert.equal((await send('/api/chat', plain, 'identity')).isUnpacked, false);
  });
});
