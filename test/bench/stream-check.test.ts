import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import * as fc from 'fast-check';
import { CHUNKS_PER_STREAM, lastLine, LINE_BYTES, readStamp, stampedLine } from '../../bench/load/script.ts';
import { StreamCheck } from '../../bench/load/stream-check.ts';

const stamps = Array.from({ length: CHUNKS_PER_STREAM - 1 }, (_, i) => 1_000_000 + i * 10_000);
const whole = Buffer.concat([...stamps.map(stampedLine), lastLine]);

function check(pieces: readonly Buffer[]): { check: StreamCheck; seen: number[] } {
  const seen: number[] = [];
  const checked = new StreamCheck((stamp) => seen.push(stamp));
  checked.reset();
  for (const piece of pieces) checked.push(piece, 0, piece.length);
  return { check: checked, seen };
}

describe('the check of a streamed answer', () => {
  it('accepts the answer in pieces of any size and tells every time stamp', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 3 * LINE_BYTES }), (size) => {
        const pieces = Array.from({ length: Math.ceil(whole.length / size) }, (_, i) =>
          whole.subarray(i * size, (i + 1) * size),
        );
        const { check: checked, seen } = check(pieces);
        assert.ok(checked.complete);
        assert.deepEqual(seen, stamps);
      }),
      { numRuns: 50 },
    );
  });

  it('notices any changed byte', () => {
    fc.assert(
      fc.property(fc.nat(whole.length - 1), (place) => {
        const changed = Buffer.from(whole);
        changed[place] = 'x'.charCodeAt(0);
        fc.pre(!changed.equals(whole));
        assert.equal(check([changed]).check.complete, false);
      }),
    );
  });

  it('notices a truncated answer, a line too many, and lines out of order', () => {
    assert.equal(check([whole.subarray(0, -1)]).check.complete, false);
    assert.equal(check([whole, stampedLine(1)]).check.fault, 'bytes after the last line');
    assert.equal(check([stampedLine(2), stampedLine(1)]).check.fault, 'lines out of order');
  });

  it('reads back the stamp of a line', () => {
    assert.equal(readStamp(stampedLine(123_456_789), 0), 123_456_789);
    assert.equal(readStamp(stampedLine(1).subarray(0, -1), 0), -1);
  });
});
