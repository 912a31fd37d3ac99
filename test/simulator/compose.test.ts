import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { compose } from '../../src/simulator/compose.ts';
import { seededRng } from '../../src/simulator/luck.ts';
import { weightsOf } from '../../src/simulator/models.ts';
import { sampleOf } from '../../src/simulator/sample.ts';
import type { Script } from '../../src/simulator/script.ts';
import { type Ask, bareAsk, type Speech, textMessage } from '../../src/simulator/speech.ts';
import { countTokens, say, tokenize } from '../../src/simulator/text.ts';

interface Given extends Partial<Ask> {
  readonly on?: string;
  readonly seed?: number;
  readonly script?: Script;
  readonly answerTokens?: number;
}

function speak({ on = 'tiny', seed = 1, script, answerTokens = 0, ...given }: Given = {}): Speech {
  const messages = [textMessage('user', 'Tell me about water')];
  const ask: Ask = { ...bareAsk, kind: 'chat', model: on, messages, stream: true, ...given };
  return compose({ ask, weights: weightsOf({ name: on }), seed, answerTokens, script: script ?? null });
}

const words = ({ parts }: Speech): string => parts.map((part) => part.content).join('');

describe('what a simulated model says', () => {
  it('is the same for the same seed and request, and another for another', () => {
    assert.equal(words(speak()), words(speak()));
    const others = [
      speak({ seed: 2 }),
      speak({ on: 'other' }),
      speak({ options: { seed: 7 } }),
      speak({ messages: [textMessage('user', 'And fire?')] }),
    ].map(words);
    assert.equal(new Set([words(speak()), ...others]).size, 5);
  });

  it('is English: words, and a full stop at the end', () => {
    for (let seed = 0; seed < 20; seed++) {
      const speech = speak({ seed });
      assert.equal(speech.reason, 'stop');
      assert.match(words(speech), /^[A-Z][A-Za-z ,.]+\.$/);
      assert.ok(speech.parts.length >= 24 && speech.parts.length < 140);
    }
  });

  it('is as long as num_predict lets it be, and says so', () => {
    const whole = speak().parts.length;
    for (const limit of [0, 1, 8, whole - 1, whole, whole + 1, -1, -2]) {
      const { parts, reason } = speak({ options: { num_predict: limit } });
      const cut = limit >= 0 && limit < whole;
      assert.deepEqual([parts.length, reason], [cut ? limit : whole, cut ? 'length' : 'stop'], `num_predict ${limit}`);
    }
  });

  it('is exactly as long as it was told to be', () => {
    const { parts, reason } = speak({ answerTokens: 333 });
    assert.deepEqual([parts.length, reason], [333, 'stop']);
  });

  it('ends before a stop text, wherever it lies in the tokens', () => {
    const text = words(speak());
    for (const stop of [text.slice(7, 12), text.slice(30, 33), 'never said']) {
      const stopped = words(speak({ options: { stop: ['', stop] } }));
      const place = text.indexOf(stop);
      assert.equal(stopped, place < 0 ? text : text.slice(0, place));
    }
  });

  it('calls the first tool it is offered, and speaks once it has the result', () => {
    const parameters = { type: 'object', properties: { city: { type: 'string', enum: ['Lima'] } }, required: ['city'] };
    const tools = [{ name: 'weather', description: '', parameters }];
    const { parts } = speak({ on: 'llama3.2', tools });
    const [call] = parts.at(-1)!.toolCalls;
    assert.match(call!.id, /^call_[a-z0-9]{8}$/);
    assert.deepEqual([call!.name, call!.arguments, call!.index], ['weather', { city: 'Lima' }, 0]);
    assert.equal(parts.flatMap((part) => part.toolCalls).length, 1);
    const messages = [textMessage('user', 'How is it?'), textMessage('tool', 'Warm')];
    assert.notEqual(words(speak({ on: 'llama3.2', tools, messages })), '');
  });

  it('thinks first when it can and is not told not to', () => {
    const thought = (speech: Speech): string => speech.parts.map((part) => part.thinking).join('');
    assert.notEqual(thought(speak({ on: 'qwen3' })), '');
    assert.equal(speak({ on: 'qwen3' }).parts.at(-1)!.thinking, '');
    assert.equal(thought(speak({ on: 'qwen3', think: false })), '');
    assert.equal(thought(speak({ on: 'tiny' })), '');
  });

  it('is JSON when a format asks for it', () => {
    assert.equal(typeof JSON.parse(words(speak({ format: '"json"' }))), 'object');
    const schema = { type: 'object', properties: { n: { type: 'integer', minimum: 3, maximum: 3 } }, required: ['n'] };
    assert.deepEqual(JSON.parse(words(speak({ format: JSON.stringify(schema) }))), { n: 3 });
  });

  it('tells the chance of every token when it is asked to', () => {
    const { parts } = speak({ logprobs: true, topLogprobs: 2, options: { num_predict: 3 } });
    for (const { content, logprobs } of parts) {
      assert.equal(logprobs![0]!.token, content);
      assert.equal(logprobs![0]!.top_logprobs!.length, 2);
      assert.ok(logprobs![0]!.logprob < 0);
    }
  });

  it('is what a script says', () => {
    const script = { content: [' w0', ' w1', ' w2'], thinking: 'hm', promptTokens: 9 };
    const speech = speak({ script });
    assert.deepEqual([words(speech), speech.parts[0]!.thinking, speech.promptTokens], [' w0 w1 w2', 'hm', 9]);
    assert.equal(speak({ script, options: { num_predict: 2 } }).reason, 'length');
  });
});

describe('tokens', () => {
  it('join to the text they were cut from', () => {
    fc.assert(fc.property(fc.string({ unit: 'binary' }), (text) => tokenize(text).join('') === text));
  });

  it('of a made-up text do not begin with a blank', () => {
    assert.doesNotMatch(say(seededRng(1), 9).tokens[0]!, /^\s/);
  });

  it('are about four bytes each', () => {
    assert.deepEqual(['', 'a', 'abcd', 'abcde', '🦙🦙'].map(countTokens), [0, 1, 1, 2, 2]);
  });
});

describe('a sample of a schema', () => {
  const sample = (schema: unknown): unknown => sampleOf(schema, seededRng(5));

  it('has the properties, types and bounds the schema asks for', () => {
    const value = sample({
      type: 'object',
      properties: {
        name: { type: 'string', minLength: 30, maxLength: 30 },
        age: { type: 'integer', minimum: 7, maximum: 9 },
        tags: { type: 'array', items: { const: 'x' }, minItems: 4, maxItems: 4 },
        when: { type: 'string', format: 'date-time' },
        either: { anyOf: [{ type: 'boolean' }, { type: 'null' }] },
        nothing: { type: ['null', 'string'] },
      },
      required: ['name'],
    }) as Record<string, unknown>;
    assert.equal((value['name'] as string).length, 30);
    assert.ok([7, 8, 9].includes(value['age'] as number));
    assert.deepEqual(value['tags'], ['x', 'x', 'x', 'x']);
    assert.ok(!Number.isNaN(Date.parse(value['when'] as string)));
    assert.equal(typeof value['either'], 'boolean');
    assert.equal(value['nothing'], null);
  });

  it('follows references, also to itself, to an end', () => {
    const node = { type: 'object', properties: { next: { $ref: '#/$defs/node' } }, required: ['next'] };
    const value = sample({ $ref: '#/$defs/node', $defs: { node } });
    assert.ok(JSON.stringify(value).length < 200);
  });

  it('is something whatever the schema is', () => {
    fc.assert(fc.property(fc.jsonValue(), (schema) => JSON.stringify(sample(schema)) !== undefined));
  });
});
