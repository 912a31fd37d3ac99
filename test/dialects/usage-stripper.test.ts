import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { createUsageStripper } from '../../src/dialects/usage-stripper.ts';
import { recording } from './recordings.ts';

function stripped(stream: string, cuts: readonly number[] = []): string {
  const bytes = Buffer.from(stream);
  const stripper = createUsageStripper();
  const out: Buffer[] = [];
  let from = 0;
  for (const cut of [...cuts.map((at) => at % (bytes.length + 1)).toSorted((a, b) => a - b), bytes.length]) {
    const chunk = Buffer.from(bytes.subarray(from, cut));
    out.push(Buffer.from(stripper.push(chunk)));
    chunk.fill(0);
    from = cut;
  }
  return Buffer.concat([...out, stripper.flush()]).toString('utf8');
}

const cuts = fc.array(fc.nat(), { maxLength: 10 });

/** A recorded stream as it is when usage is asked for on /v1/completions: a zero usage in each chunk, the real one at the end. */
function withUsage(stream: string): string {
  const events = stream.split(/(?<=\n\n)/);
  const zero = '"usage":{"prompt_tokens":0,"completion_tokens":0,"total_tokens":0}';
  const usage =
    'data: {"id":"cmpl-1","choices":[],"model":"tiny","usage":{"prompt_tokens":57,"completion_tokens":8,"total_tokens":65}}\n\n';
  return events
    .map((event) => (event.startsWith('data: {') ? event.replace(/\}\n\n$/, `,${zero}}\n\n`) : usage + event))
    .join('');
}

describe('the usage stripper', () => {
  it('takes the chunk of usage out of a chat', () => {
    const answer = recording('v1.chat.stream-usage').answer.toString('utf8');
    const without = answer.replace(/data: \{[^\n]*"choices":\[\],"usage":[^\n]*\n\n/, '');
    assert.notEqual(without, answer);
    fc.assert(fc.property(cuts, (at) => assert.equal(stripped(answer, at), without)));
  });

  it('takes the usage out of every chunk of a completion', () => {
    const answer = recording('v1.completions.stream').answer.toString('utf8');
    fc.assert(fc.property(cuts, (at) => assert.equal(stripped(withUsage(answer), at), answer)));
  });

  it('leaves every other stream as it is', () => {
    for (const name of ['v1.chat.stream', 'v1.completions.stream', 'crash.v1.chat', 'timed.v1.chat.hot']) {
      const answer = recording(name).answer.toString('utf8');
      fc.assert(
        fc.property(cuts, (at) => assert.equal(stripped(answer, at), answer)),
        { numRuns: 30 },
      );
    }
  });

  it('leaves what the model says of usage', () => {
    const chunk = (content: string) => `data: ${JSON.stringify({ choices: [{ delta: { content } }] })}\n\n`;
    const answer = [',"usage":{"a":1}', '{"choices":[],"usage":{"prompt_tokens":1}}', '"usage":'].map(chunk).join('');
    assert.equal(stripped(answer), answer);
  });

  it('sends on each event as soon as it is whole', () => {
    const stripper = createUsageStripper();
    assert.equal(stripper.push(Buffer.from('data: {"a":1}\n\ndata: {')).toString(), 'data: {"a":1}\n\n');
    assert.equal(stripper.push(Buffer.from('"b":2}\n')).toString(), '');
    assert.equal(stripper.push(Buffer.from('\n')).toString(), 'data: {"b":2}\n\n');
    assert.equal(stripper.flush().toString(), '');
  });

  it('gives back what was cut, and holds no more than its bound', () => {
    assert.equal(stripped('data: {"a"'), 'data: {"a"');
    const stripper = createUsageStripper();
    const piece = Buffer.alloc(100_000, 'x');
    const sent = [1, 2, 3, 4, 5].map(() => stripper.push(piece).length).reduce((sum, length) => sum + length, 0);
    assert.ok(sent >= 200_000);
    const end = stripper.push(Buffer.from('\n\ndata: {"choices":[],"usage":{}}\n\ndata: 2\n\n')).toString();
    assert.match(end, /^x?\n\ndata: 2\n\n$/);
  });
});
