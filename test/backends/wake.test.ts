import assert from 'node:assert/strict';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { describe, it } from 'node:test';
import { magicPacket, sendWake, type PacketSocket } from '../../src/backends/wake.ts';

const mac = 'a4:BB:6d-00:11:22';

/** A socket that keeps what it is asked to do, and fails at one step if the test says so. */
function fakeSocket(fails?: 'bind' | 'send') {
  const did: string[] = [];
  let onError: (error: Error) => void = () => {};
  const socket = {
    once: (_event: string, listener: (error: Error) => void) => void (onError = listener),
    bind(port: number, ready: () => void) {
      did.push(`bind ${port}`);
      if (fails === 'bind') onError(new Error('no address'));
      else ready();
    },
    setBroadcast: (on: boolean) => did.push(`broadcast ${on}`),
    send(packet: Buffer, port: number, address: string, sent: (error: Error | null) => void) {
      did.push(`send ${packet.length} ${address}:${port}`);
      sent(fails === 'send' ? new Error('network is unreachable') : null);
    },
    close: () => did.push('close'),
  };
  return { did, open: () => socket as unknown as PacketSocket };
}

describe('the packet that wakes a machine', () => {
  it('is six bytes of ones and its address sixteen times, however that is written', () => {
    const packet = magicPacket(mac);
    assert.equal(packet.length, 102);
    assert.equal(packet.toString('hex'), 'ff'.repeat(6) + 'a4bb6d001122'.repeat(16));
  });

  it('goes to everybody on the network that is named, and the socket is closed', async () => {
    const { did, open } = fakeSocket();
    await sendWake({ mac, broadcast: '192.0.2.255', port: 9 }, open);
    assert.deepEqual(did, ['bind 0', 'broadcast true', 'send 102 192.0.2.255:9', 'close']);
  });

  for (const step of ['bind', 'send'] as const) {
    it(`is a failure when it cannot be sent (${step}), and the socket is closed`, async () => {
      const { did, open } = fakeSocket(step);
      await assert.rejects(sendWake({ mac, broadcast: '192.0.2.255', port: 9 }, open), /no address|unreachable/);
      assert.equal(did.at(-1), 'close');
    });
  }

  it('arrives over UDP', async (t) => {
    const listener = createSocket('udp4');
    t.after(() => listener.close());
    listener.bind(0, '127.0.0.1');
    await once(listener, 'listening');
    const came = once(listener, 'message');
    await sendWake({ mac, broadcast: '127.0.0.1', port: listener.address().port });
    const [packet] = (await came) as [Buffer];
    assert.deepEqual(packet, magicPacket(mac));
  });
});
