import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import type { Reading } from '../../src/dialects/dialect.ts';
import { dialects } from '../../src/dialects/index.ts';

const routes = Object.values(dialects).flatMap((dialect) => dialect.routes);
const hash = (text: string | Uint8Array) => createHash('sha256').update(text).digest('base64url');

function read(path: string, body: unknown): Reading {
  const route = routes.find((candidate) => candidate.path === path && candidate.method === 'POST')!;
  const text = typeof body === 'string' ? body : JSON.stringify(body);
  return dialects[route.dialect].read(route, Buffer.from(text), { headers: {}, hash });
}

interface Message {
  readonly role: string;
  readonly content: unknown;
}

const message = (role: string, content: unknown): Message => ({ role, content });
const talk = (...contents: readonly string[]) =>
  contents.map((content, index) => message(index === 0 ? 'system' : index % 2 === 1 ? 'user' : 'assistant', content));
const chat = (messages: readonly unknown[], more: object = {}) => read('/api/chat', { model: 'm', messages, ...more });

/** Tokens of the longest prefix that the two have a mark for. */
function shared(a: Reading, b: Reading): number {
  const known = new Set(a.prefix.map((mark) => mark.hash));
  return Math.max(0, ...b.prefix.filter((mark) => known.has(mark.hash)).map((mark) => mark.tokens));
}

const contents = fc.array(fc.string({ unit: 'grapheme', maxLength: 40 }), { minLength: 1, maxLength: 40 });
const paths = [
  ['/api/chat', (messages: readonly Message[]) => ({ model: 'm', messages })],
  ['/v1/chat/completions', (messages: readonly Message[]) => ({ messages, model: 'm' })],
  ['/v1/messages', (messages: readonly Message[]) => ({ model: 'm', max_tokens: 9, messages })],
  ['/v1/responses', (messages: readonly Message[]) => ({ model: 'm', input: messages })],
] as const;

describe('the marks of a prompt', () => {
  for (const [path, body] of paths) {
    it(`show on ${path} that a conversation went on`, () => {
      fc.assert(
        fc.property(
          contents,
          contents.filter((more) => more.length <= 7),
          (before, more) => {
            const first = read(path, body(talk(...before)));
            const next = read(path, body(talk(...before, ...more)));
            assert.equal(shared(first, next), first.promptTokens);
          },
        ),
        { numRuns: 60 },
      );
    });
  }

  it('meet on the way where it went on by many messages', () => {
    const before = Array.from({ length: 24 }, (_, index) => `message ${index} says something`);
    const more = Array.from({ length: 14 }, (_, index) => `and ${index} more`);
    const first = chat(talk(...before));
    assert.equal(shared(first, chat(talk(...before, ...more))), first.promptTokens);
  });

  it('show what two conversations have in common', () => {
    const system = 'You are a llama. '.repeat(50);
    const a = chat(talk(system, 'Hello'));
    const b = chat(talk(system, 'Goodbye'));
    assert.equal(shared(a, b), Math.ceil((system.length + 'system'.length) / 4));
    assert.equal(shared(a, chat(talk(`${system}!`, 'Hello'))), 0);
  });

  it('differ as soon as a text differs, also in the middle of the first 4 KiB', () => {
    const text = 'x'.repeat(4_000);
    for (const at of [0, 1, 2, 3, 1_999, 2_000, 3_999]) {
      const other = `${text.slice(0, at)}y${text.slice(at + 1)}`;
      assert.equal(shared(chat(talk(text)), chat(talk(other))), 0, `at ${at}`);
    }
  });

  it('differ between roles, and between texts cut elsewhere', () => {
    assert.equal(shared(chat([message('user', 'a')]), chat([message('tool', 'a')])), 0);
    assert.equal(shared(chat(talk('ab', 'c')), chat(talk('a', 'bc'))), 0);
    assert.equal(shared(chat([message('user', ['ab', 'cd'])]), chat([message('user', ['abcd', ''])])), 0);
  });

  it('differ with the tools, which stand in front of everything', () => {
    const tools = (name: string) => [{ type: 'function', function: { name, parameters: {} } }];
    assert.equal(shared(chat(talk('a', 'b'), { tools: tools('f') }), chat(talk('a', 'b'), { tools: tools('g') })), 0);
  });

  it('do not depend on blanks, nor on where the fields stand', () => {
    const messages = talk('a', 'b', 'c');
    const spaced = JSON.stringify({ messages, tools: [], model: 'm' }, null, 2);
    const compact = JSON.stringify({ tools: [], model: 'm', messages });
    assert.deepEqual(read('/v1/chat/completions', spaced).prefix, read('/v1/chat/completions', compact).prefix);
  });

  it("stay when Claude Code's cache marks move on", () => {
    const block = (text: string, isLast: boolean) => [
      { type: 'text', text, ...(isLast && { cache_control: { type: 'ephemeral' } }) },
    ];
    const turn = (texts: readonly string[]) =>
      read('/v1/messages', {
        model: 'm',
        max_tokens: 9,
        messages: texts.map((text, index) => message('user', block(text, index === texts.length - 1))),
      });
    const first = turn(['a', 'b', 'c']);
    assert.equal(shared(first, turn(['a', 'b', 'c', 'd', 'e'])), first.promptTokens);
  });

  it('grow in tokens and are few, however many messages there are', () => {
    for (const count of [0, 1, 2, 9, 10, 11, 17, 100, 1_001]) {
      const { prefix, promptTokens } = chat(Array.from({ length: count }, (_, index) => message('user', `m${index}`)));
      const tokens = prefix.map((mark) => mark.tokens);
      assert.deepEqual(
        tokens,
        tokens.toSorted((a, b) => a - b),
      );
      assert.ok(prefix.length <= 13, `${prefix.length} marks`);
      assert.equal(tokens.at(-1) ?? 0, promptTokens);
      assert.equal(new Set(prefix.map((mark) => mark.hash)).size, prefix.length);
    }
  });

  it('of one long text are at 1, 2, 4 … KiB', () => {
    const text = Array.from({ length: 3_000 }, (_, index) => `word${index} `)
      .join('')
      .slice(0, 20_000);
    const marks = (prompt: string) => read('/api/generate', { model: 'm', prompt });
    assert.deepEqual(
      marks(text).prefix.map((mark) => mark.tokens),
      [256, 512, 1_024, 2_048, 4_096, 5_000],
    );
    assert.equal(shared(marks(text), marks(`${text.slice(0, 9_000)} and something else`)), 2_048);
    assert.equal(shared(marks(text), marks(`x${text}`)), 0);
    assert.equal(shared(marks(text), read('/v1/completions', { model: 'm', prompt: text })), 5_000);
  });
});

describe('the tokens of a prompt', () => {
  it('are a quarter of its characters, without keys and settings', () => {
    assert.equal(chat([message('user', 'x'.repeat(396))]).promptTokens, 100);
    assert.equal(read('/api/embed', { model: 'm', input: ['x'.repeat(40), 'x'.repeat(40)] }).promptTokens, 20);
    assert.equal(
      read('/api/generate', { model: 'm', prompt: 'x'.repeat(40), options: { stop: ['x'.repeat(99)] } }).promptTokens,
      10,
    );
  });

  it('count an image as Ollama does, whatever its size', () => {
    const image = 'iVBORw0KGgo='.repeat(10_000);
    for (const reading of [
      chat([{ role: 'user', content: '', images: [image] }]),
      read('/api/generate', { model: 'm', prompt: 'abcd', images: [image] }),
      read('/v1/chat/completions', {
        model: 'm',
        messages: [message('user', [{ type: 'image_url', image_url: { url: `data:image/png;base64,${image}` } }])],
      }),
      read('/v1/messages', {
        model: 'm',
        messages: [message('user', [{ type: 'image', source: { type: 'base64', data: image } }])],
      }),
    ]) {
      assert.ok(reading.promptTokens >= 768 && reading.promptTokens < 780, `${reading.promptTokens}`);
    }
  });

  it('tell images apart', () => {
    const withImage = (image: string) => chat([{ role: 'user', content: 'what is it', images: [image] }]);
    assert.equal(shared(withImage('aaaa'), withImage('aaab')), 0);
    assert.ok(shared(withImage('aaaa'), withImage('aaaa')) > 768);
  });
});
