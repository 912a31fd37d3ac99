import assert from 'node:assert/strict';
import type { IncomingMessage } from 'node:http';
import { PassThrough, type Readable } from 'node:stream';
import { describe, it } from 'node:test';
import { startUpload, type Upload, type UploadOptions } from '../../src/http/upload.ts';
import { settled, virtualClock, type VirtualClock } from '../support/virtual-clock.ts';

interface Bench {
  readonly clock: VirtualClock;
  /** The client's end. */
  readonly client: PassThrough;
  readonly upload: Upload;
  readonly stalled: number[];
}

function uploading(count: number, options: Partial<UploadOptions> = {}): Bench {
  const clock = virtualClock();
  const client = new PassThrough({ highWaterMark: 16 * 1024 });
  const stalled: number[] = [];
  const upload = startUpload(client as unknown as IncomingMessage, clock, {
    count,
    limits: { size: 0, timeout: 30_000, minimumRate: 1024 },
    silence: 60_000,
    onStall: (index) => void stalled.push(index),
    ...options,
  });
  return { clock, client, upload, stalled };
}

async function drain(body: Readable): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of body) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}

/** Writes until the other side takes no more, at most 64 MiB; resolves with the bytes that were taken. */
async function fill(client: PassThrough): Promise<number> {
  const piece = Buffer.alloc(64 * 1024, 1);
  let taken = 0;
  while (taken < 64 * 1024 * 1024) {
    if (client.write(piece)) taken += piece.length;
    await settled();
    if (client.writableNeedDrain) break;
  }
  return taken;
}

describe('an upload', () => {
  it('brings every byte to every backend, in order', async () => {
    const { client, upload } = uploading(3);
    const bytes = Buffer.from(Array.from({ length: 500_000 }, (_, index) => index % 251));
    const bodies = Promise.all(upload.bodies.map(drain));
    client.end(bytes);
    for (const body of await bodies) assert.ok(body.equals(bytes));
    assert.equal(await upload.end, 'sent');
    assert.equal(upload.bytes, bytes.length);
  });

  it('reads the client only as fast as the slowest backend takes it', async () => {
    const { client, upload } = uploading(2);
    upload.bodies[0]!.resume();
    const taken = await fill(client);
    assert.ok(taken < 2 * 1024 * 1024, `${taken} bytes were taken although one backend takes none`);
    upload.bodies[1]!.resume();
    await settled();
    assert.ok((await fill(client)) > 32 * 1024 * 1024);
  });

  it('gives up a backend that takes nothing for too long, and goes on with the others', async () => {
    const { client, clock, upload, stalled } = uploading(2);
    const body = drain(upload.bodies[0]!);
    await fill(client);
    await clock.advance(59_000);
    assert.deepEqual(stalled, []);
    await clock.advance(2000);
    assert.deepEqual(stalled, [1]);
    assert.ok(upload.bodies[1]!.destroyed);
    client.end('end');
    assert.ok((await body).toString('latin1').endsWith('end'));
    assert.equal(await upload.end, 'sent');
  });

  it('does not wait longer for the client than its bytes have earned', async () => {
    const { client, clock, upload } = uploading(1);
    const body = drain(upload.bodies[0]!).catch((error: unknown) => error);
    client.write(Buffer.alloc(10 * 1024));
    await clock.advance(39_000);
    assert.ok(!upload.bodies[0]!.destroyed);
    await clock.advance(2000);
    assert.equal(await upload.end, 'receive-timeout');
    assert.match(String(await body), /receive-timeout/);
    assert.equal(clock.pendingTimers, 0);
  });

  it('does not hold against the client that a backend was slow', async () => {
    const { client, clock, upload } = uploading(1, { silence: 1e9 });
    await fill(client);
    await clock.advance(3_600_000);
    const body = drain(upload.bodies[0]!);
    client.end();
    await body;
    assert.equal(await upload.end, 'sent');
  });

  it('breaks off at every backend when the client leaves', async () => {
    const { client, upload } = uploading(2);
    const bodies = upload.bodies.map((body) => drain(body).catch((error: unknown) => String(error)));
    client.write('part');
    await settled();
    client.destroy();
    assert.equal(await upload.end, 'client-gone');
    for (const body of bodies) assert.match(String(await body), /client-gone/);
  });

  it('is over when no backend wants the rest', async () => {
    const { client, clock, upload } = uploading(2);
    client.write('part');
    upload.leave(0);
    upload.leave(0);
    upload.bodies[1]!.destroy();
    assert.equal(await upload.end, 'unwanted');
    assert.equal(clock.pendingTimers, 0);
    client.destroy();
  });
});
