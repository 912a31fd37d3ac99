import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { formatTraceparent, parseTraceparent } from '../../src/core/trace-context.ts';

const traceId = '4bf92f3577b34da6a3ce929d0e0e4736';
const spanId = '00f067aa0ba902b7';

describe('traceparent', () => {
  it('is read as the specification says, versions to come included', () => {
    assert.deepEqual(parseTraceparent(`00-${traceId}-${spanId}-01`), { traceId, spanId, isSampled: true });
    assert.deepEqual(parseTraceparent(`00-${traceId}-${spanId}-00`), { traceId, spanId, isSampled: false });
    assert.deepEqual(parseTraceparent(`cc-${traceId}-${spanId}-03-more`), { traceId, spanId, isSampled: true });
  });

  it('is nothing when it is malformed', () => {
    const bad = [
      undefined,
      ['a', 'b'],
      '',
      `ff-${traceId}-${spanId}-01`,
      `00-${traceId}-${spanId}-01-more`,
      `00-${traceId}-${spanId}-01, 00-${traceId}-${spanId}-01`,
      `00-${'0'.repeat(32)}-${spanId}-01`,
      `00-${traceId}-${'0'.repeat(16)}-01`,
      `00-${traceId.toUpperCase()}-${spanId}-01`,
      `00-${traceId.slice(1)}-${spanId}-01`,
    ];
    for (const value of bad) assert.equal(parseTraceparent(value), null, String(value));
  });

  it('is written so that it reads the same', () => {
    const hex = (length: number) =>
      fc
        .string({ unit: fc.constantFrom(...'0123456789abcdef'.split('')), minLength: length, maxLength: length })
        .filter((text) => !/^0+$/.test(text));
    fc.assert(
      fc.property(hex(32), hex(16), (trace, span) => {
        const written = formatTraceparent({ traceId: trace, spanId: span });
        assert.deepEqual(parseTraceparent(written), { traceId: trace, spanId: span, isSampled: true });
      }),
    );
  });
});
