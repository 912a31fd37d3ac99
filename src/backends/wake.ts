/** Sends the packet that wakes a machine: six bytes of ones and its hardware address sixteen times, to everybody on its network. */
import { createSocket, type Socket } from 'node:dgram';
import type { Wake } from '../core/backend.ts';

/** The part of a UDP socket that is needed. */
export type PacketSocket = Pick<Socket, 'bind' | 'close' | 'once' | 'send' | 'setBroadcast'>;

/** Rejects when the packet could not be sent. Nobody answers to it. */
export function sendWake(
  { broadcast, mac, port }: Pick<Wake, 'broadcast' | 'mac' | 'port'>,
  open: () => PacketSocket = () => createSocket('udp4'),
): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket = open();
    const ended = (error?: Error | null): void => {
      socket.close();
      if (error) reject(error);
      else resolve();
    };
    socket.once('error', ended);
    socket.bind(0, () => {
      socket.setBroadcast(true);
      socket.send(magicPacket(mac), port, broadcast, ended);
    });
  });
}

export function magicPacket(mac: string): Buffer {
  const address = Buffer.from(mac.replace(/[:-]/g, ''), 'hex');
  return Buffer.concat([Buffer.alloc(6, 0xff), ...Array<Buffer>(16).fill(address)]);
}
