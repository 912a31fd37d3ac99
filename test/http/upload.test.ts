import assert from 'node:assert/strict';
import type { IncomingMessage } from 'node:http';
import { PassThrough } from 'node:stream';
import { describe, it } from 'node:test';
import type { UploadCall } from '../../src/backends/upload.ts';
import { startUpload, type Upload, type UploadOptions } from '../../src/http/upload.ts';
import { settled, virtualClock, type VirtualClock } from '../support/virtual-clock.ts';

/** A backend that takes bytes when it is let. */
class Sink implements UploadCall {
  readonly got: Buffer[] = [];
  ended = false;
  aborted = false;
  isTaking = true;
  readonly #waiting: (() => void)[] = [];

  write(chunk: Buffer, taken: () => void): void {
    this.got.push(Buffer.from(chunk));
    if (this.isTaking) setImmediate(taken);
    else this.#waiting.push(taken);
  }

  take(): void {
    this.isTaking = true;
    for (const taken of this.#waiting.splice(0)) taken();
  }

  end(): void {
    this.ended = true;
  }

  abort(): void {
    this.aborted = true;
  }

  get bytes(): number {
    return this.got.reduce((sum, { length }) => sum + length, 0);
  }
}

interface Bench {
  readonly clock: VirtualClock;
  /** The client's end. */
  readonly client: PassThrough;
  readonly upload: Upload;
  readonly sinks: readonly Sink[];
}

function uploading(count: number, options: Partial<UploadOptions> = {}): Bench {
  const clock = virtualClock();
  const client = new PassThrough({ highWaterMark: 16 * 1024 });
  const sinks = Array.from({ length: count }, () => new Sink());
  const upload = startUpload(client as unknown as IncomingMessage, sinks, clock, {
    limits: { timeout: 30_000, minimumRate: 1024 },
    silence: 60_000,
    ...options,
  });
  return { clock, client, upload, sinks };
}

/** Writes until the other side takes no more, at most `most` bytes. */
async function fill(client: PassThrough, most = 8 * 1024 * 1024): Promise<void> {
  for (let written = 0; written < most && !client.writableNeedDrain; written += 64 * 1024) {
    client.write(Buffer.alloc(64 * 1024, 1));
    await settled();
    await settled();
  }
}

describe('an upload', () => {
  it('brings every byte to every backend, in order', async () => {
    const { client, upload, sinks } = uploading(3);
    const bytes = Buffer.from(Array.from({ length: 500_000 }, (_, index) => index % 251));
    client.end(bytes);
    assert.equal(await upload.end, 'sent');
    for (const sink of sinks) assert.ok(sink.ended && Buffer.concat(sink.got).equals(bytes));
    assert.equal(upload.bytes, bytes.length);
  });

  it('reads the client only as fast as the slowest backend takes it', async () => {
    const { client, sinks } = uploading(2);
    sinks[1]!.isTaking = false;
    await fill(client);
    assert.ok(sinks[1]!.bytes < 1024 * 1024, `${sinks[1]!.bytes} bytes are under way to a backend that takes none`);
    sinks[1]!.take();
    await settled();
    await fill(client);
    assert.ok(sinks[1]!.bytes > 7 * 1024 * 1024);
    assert.equal(sinks[0]!.bytes, sinks[1]!.bytes);
  });

  it('gives back the memory of a chunk when it has left to every backend, and not before', async () => {
    const { client, sinks } = uploading(2);
    const chunk = Buffer.from(new ArrayBuffer(1000));
    sinks[1]!.isTaking = false;
    client.write(chunk);
    await settled();
    await settled();
    assert.equal(chunk.length, 1000);
    sinks[1]!.take();
    assert.equal(chunk.length, 0);
    const shared = Buffer.from(new ArrayBuffer(1000), 0, 500);
    client.write(shared);
    await settled();
    await settled();
    assert.equal(shared.length, 500);
  });

  it('gives up a backend that takes nothing for too long, and goes on with the others', async () => {
    const { client, clock, upload, sinks } = uploading(2);
    sinks[1]!.isTaking = false;
    await fill(client);
    await clock.advance(59_000);
    assert.ok(!sinks[1]!.aborted);
    await clock.advance(2000);
    assert.ok(sinks[1]!.aborted && !sinks[0]!.aborted);
    client.end('end');
    assert.equal(await upload.end, 'sent');
    assert.ok(sinks[0]!.ended && !sinks[1]!.ended);
  });

  it('does not wait longer for the client than its bytes have earned', async () => {
    const { client, clock, upload, sinks } = uploading(1);
    client.write(Buffer.alloc(10 * 1024));
    await clock.advance(39_000);
    assert.ok(!sinks[0]!.aborted);
    await clock.advance(2000);
    assert.equal(await upload.end, 'receive-timeout');
    assert.ok(sinks[0]!.aborted && !sinks[0]!.ended);
    assert.equal(clock.pendingTimers, 0);
  });

  it('does not hold against the client that a backend was slow', async () => {
    const { client, clock, upload, sinks } = uploading(1, { silence: 1e9 });
    sinks[0]!.isTaking = false;
    await fill(client);
    await clock.advance(3_600_000);
    sinks[0]!.take();
    client.end();
    assert.equal(await upload.end, 'sent');
  });

  it('breaks off at every backend when the client leaves', async () => {
    const { client, upload, sinks } = uploading(2);
    client.write('part');
    await settled();
    client.destroy();
    assert.equal(await upload.end, 'client-gone');
    assert.deepEqual(
      sinks.map(({ aborted, ended }) => [aborted, ended]),
      [
        [true, false],
        [true, false],
      ],
    );
  });

  it('is over when no backend wants the rest', async () => {
    const { client, clock, upload } = uploading(2);
    client.write('part');
    upload.leave(0);
    upload.leave(0);
    upload.leave(1);
    assert.equal(await upload.end, 'unwanted');
    assert.equal(clock.pendingTimers, 0);
    client.destroy();
  });
});
