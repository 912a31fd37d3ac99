import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { createLineSplitter, createSseSplitter, type FrameSplitter, parseSseEvent } from '../../src/dialects/frames.ts';

/** What the splitter gives for the text, cut after each of `cuts`; chunks are overwritten once they were taken. */
function split(splitter: FrameSplitter, text: string, cuts: readonly number[] = []): (string | null)[] {
  const bytes = Buffer.from(text);
  const frames: (string | null)[] = [];
  let from = 0;
  for (const cut of [...cuts.map((at) => at % (bytes.length + 1)).toSorted((a, b) => a - b), bytes.length]) {
    const chunk = Buffer.from(bytes.subarray(from, cut));
    const done = splitter.push(chunk);
    chunk.fill(0);
    frames.push(...done.map((frame) => frame.bytes.toString('utf8') + (frame.truncated ? '…' : '')));
    from = cut;
  }
  const rest = splitter.rest();
  return [...frames, rest === null ? null : rest.bytes.toString('utf8') + (rest.truncated ? '…' : '')];
}

const scraps = fc.array(fc.constantFrom('a', '😀', '\n', '\n\n', '\r\n', '\r\n\r\n', ': ping', 'data: x'), {
  maxLength: 20,
});
const cuts = fc.array(fc.nat(), { maxLength: 8 });

describe('the line splitter', () => {
  it('gives each line with its end, and the rest', () => {
    assert.deepEqual(split(createLineSplitter(100), '{"a":1}\n\n{"b":2}\r\n{"c"'), [
      '{"a":1}\n',
      '\n',
      '{"b":2}\r\n',
      '{"c"',
    ]);
    assert.deepEqual(split(createLineSplitter(100), 'x\n'), ['x\n', null]);
    assert.deepEqual(split(createLineSplitter(100), ''), [null]);
  });

  it('cuts where the lines end, wherever the chunks do', () => {
    fc.assert(
      fc.property(scraps, cuts, (parts, at) => {
        const text = parts.join('');
        const lines = text.split(/(?<=\n)/).filter((line) => line !== '');
        const rest = text === '' || text.endsWith('\n') ? null : lines.pop()!;
        assert.deepEqual(split(createLineSplitter(1_000), text, at), [...lines, rest]);
      }),
    );
  });

  it('keeps the beginning of a line that is too long, and goes on after it', () => {
    assert.deepEqual(split(createLineSplitter(3), 'abcdef\nx\n', [1, 4]), ['abc…', 'x\n', null]);
    assert.deepEqual(split(createLineSplitter(3), 'abcdef', [2]), ['abc…']);
  });
});

describe('the SSE splitter', () => {
  it('gives each event with the blank line that ends it', () => {
    assert.deepEqual(split(createSseSplitter(100), 'event: a\ndata: 1\n\ndata: 2\r\n\r\ndata'), [
      'event: a\ndata: 1\n\n',
      'data: 2\r\n\r\n',
      'data',
    ]);
  });

  it('cuts where the events end, wherever the chunks do', () => {
    fc.assert(
      fc.property(scraps, cuts, (parts, at) => {
        const text = parts.join('');
        const whole = split(createSseSplitter(1_000), text);
        assert.deepEqual(split(createSseSplitter(1_000), text, at), whole);
        assert.equal(whole.map((frame) => frame ?? '').join(''), text);
        for (const frame of whole.slice(0, -1)) {
          assert.match(frame!, /(?:^|\n)\r*\n$/);
        }
      }),
    );
  });

  it('keeps the beginning of an event that is too long, and goes on after it', () => {
    assert.deepEqual(split(createSseSplitter(5), 'data: 123456\n\ndata\n\n', [3, 8]), ['data:…', 'data\n…', null]);
  });
});

describe('parseSseEvent', () => {
  const parse = (text: string) => parseSseEvent(Buffer.from(text));

  it('takes an event apart', () => {
    assert.deepEqual(parse('event: message_stop\ndata: {"type":"message_stop"}\n\n'), {
      event: 'message_stop',
      data: '{"type":"message_stop"}',
    });
    assert.deepEqual(parse('data:[DONE]\r\n\r\n'), { event: null, data: '[DONE]' });
    assert.deepEqual(parse('data: a\ndata:  b\n\n'), { event: null, data: 'a\n b' });
  });

  it('leaves comments and unknown fields out', () => {
    assert.deepEqual(parse(': ping\n\n'), { event: null, data: null });
    assert.deepEqual(parse('id: 1\nretry: 5\ndata\n\n'), { event: null, data: '' });
  });
});
