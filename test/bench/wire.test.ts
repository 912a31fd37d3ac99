import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import * as fc from 'fast-check';
import { chunk, MessageReader, statusOf } from '../../bench/load/wire.ts';

/** What a reader tells of bytes that arrive in the given pieces. */
function read(pieces: readonly Buffer[]): { head: string; body: string }[] {
  const messages: { head: string; body: string }[] = [];
  let head = '';
  let body = '';
  const reader = new MessageReader({
    head(text) {
      head = text;
      body = '';
    },
    body(bytes, from, to) {
      body += bytes.toString('latin1', from, to);
    },
    end() {
      messages.push({ head, body });
    },
  });
  for (const piece of pieces) reader.push(piece);
  assert.ok(reader.betweenMessages);
  return messages;
}

function cutAt(bytes: Buffer, cuts: readonly number[]): Buffer[] {
  const places = [0, ...cuts.map((cut) => cut % bytes.length).toSorted((a, b) => a - b), bytes.length];
  return places.slice(1).map((to, i) => bytes.subarray(places[i], to));
}

const bodies = fc.array(fc.string({ minLength: 1, maxLength: 40 }).map(ascii), { maxLength: 5 });

function ascii(text: string): string {
  return text.replace(/[^\x20-\x7e]/g, '?');
}

describe('the reader of messages', () => {
  it('finds the same messages wherever the bytes are split', () => {
    const message = fc.record({ parts: bodies, chunked: fc.boolean() });
    fc.assert(
      fc.property(
        fc.array(message, { minLength: 1, maxLength: 4 }),
        fc.array(fc.nat(), { maxLength: 12 }),
        (all, cuts) => {
          const wire = all.map(({ parts, chunked }) =>
            chunked
              ? `HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n${parts.map(chunk).join('')}0\r\n\r\n`
              : `HTTP/1.1 200 OK\r\nContent-Length: ${parts.join('').length}\r\n\r\n${parts.join('')}`,
          );
          const found = read(cutAt(Buffer.from(wire.join('')), cuts));
          assert.deepEqual(
            found.map(({ body }) => body),
            all.map(({ parts }) => parts.join('')),
          );
        },
      ),
    );
  });

  it('takes field names in any case, chunk extensions and trailers', () => {
    const wire = 'HTTP/1.1 200 OK\r\nTRANSFER-ENCODING: chunked\r\n\r\nA;x=y\r\n0123456789\r\n0\r\nSum: 1\r\n\r\n';
    assert.deepEqual(read([Buffer.from(wire)]), [
      { head: 'HTTP/1.1 200 OK\r\nTRANSFER-ENCODING: chunked', body: '0123456789' },
    ]);
  });

  it('takes a message without framing fields for one without a body', () => {
    assert.equal(read([Buffer.from('GET / HTTP/1.1\r\nHost: a\r\n\r\n')])[0]?.body, '');
  });

  it('refuses a chunk size that is not a number', () => {
    assert.throws(
      () => read([Buffer.from('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n')]),
      /chunk size/,
    );
  });

  it('reads the status of a response only', () => {
    assert.equal(statusOf('HTTP/1.1 503 Service Unavailable\r\nA: b'), 503);
    assert.equal(statusOf('POST /api/chat HTTP/1.1'), 0);
  });
});
