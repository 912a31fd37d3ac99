import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { dialects } from '../../../src/dialects/index.ts';
import { createTranscript } from '../../../src/dialects/resume/transcript.ts';

const routeOf = (path: string) =>
  Object.values(dialects)
    .flatMap(({ routes }) => routes)
    .find((route) => route.path === path)!;

const lineOf = {
  '/api/chat': (content: string) =>
    `${JSON.stringify({ model: 'm', message: { role: 'assistant', content }, done: false })}\n`,
  '/api/generate': (response: string) => `${JSON.stringify({ model: 'm', response, done: false })}\n`,
  '/v1/chat/completions': (content: string) =>
    `data: ${JSON.stringify({ id: 'c', choices: [{ index: 0, delta: { content }, finish_reason: null }] })}\n\n`,
};
const paths = fc.constantFrom(...(Object.keys(lineOf) as (keyof typeof lineOf)[]));

describe('a transcript', () => {
  it('hands on every byte, in whole lines, and keeps just the text of these', () => {
    const words = fc.array(fc.string({ unit: 'grapheme', minLength: 1 }), { maxLength: 8 });
    const cuts = fc.array(fc.nat(2000), { maxLength: 12 });
    const property = fc.property(paths, words, cuts, fc.nat(2000), (path, said, places, end) => {
      const all = Buffer.from(said.map(lineOf[path]).join('')).subarray(0, end);
      const transcript = createTranscript(routeOf(path), 16 * 1024);
      const sent: Buffer[] = [];
      const inOrder = [0, ...places.filter((place) => place < all.length).sort((a, b) => a - b), all.length];
      for (const [index, from] of inOrder.slice(0, -1).entries()) {
        sent.push(transcript.push(all.subarray(from, inOrder[index + 1])));
        assert.ok(sent.at(-1)!.length === 0 || sent.at(-1)!.at(-1) === 0x0a);
      }
      const lines = Buffer.concat(sent).toString();
      const whole = lines.split('\n').filter(Boolean).length;
      assert.equal(Buffer.concat([...sent, transcript.flush()]).compare(all), 0);
      const { text, tokens, separator } = transcript.told()!;
      assert.deepEqual([text, tokens], [said.slice(0, whole).join(''), whole]);
      assert.ok(lines === '' || path !== '/v1/chat/completions' || `${lines}${separator}`.endsWith('\n\n'));
    });
    fc.assert(property, { numRuns: 300 });
  });

  it('is closed by the last word, by more text than may be kept, and by what is no text', () => {
    const closing = [
      '{"model":"m","message":{"content":""},"done":true}\n',
      '{"error":"the runner died"}\n',
      '{"model":"m","message":{"content":"","thinking":"hm"},"done":false}\n',
      'no JSON\n',
      lineOf['/api/chat']('x'.repeat(2000)),
      'x'.repeat(70_000),
    ];
    for (const bytes of closing) {
      const transcript = createTranscript(routeOf('/api/chat'), 1024);
      const begun = Buffer.from(lineOf['/api/chat']('a'));
      assert.equal(transcript.push(begun).length, begun.length);
      assert.notEqual(transcript.told(), null);
      assert.equal(transcript.push(Buffer.from(bytes)).toString(), bytes);
      assert.equal(transcript.told(), null, bytes.slice(0, 80));
      assert.equal(transcript.push(Buffer.from('and on')).toString(), 'and on');
    }
  });
});
