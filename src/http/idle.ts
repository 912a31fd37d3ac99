/**
 * Which connections carry nothing, and for how long. Node knows only that a connection carries nothing now: one whose answer has
 * just ended, and on which the next request is on its way, is idle to it, too.
 */
import type { Socket } from 'node:net';
import type { Millis } from '../core/types.ts';

interface Seen {
  readonly bytesIn: number;
  readonly bytesOut: number;
  /** When it was first seen with these counts. */
  readonly since: Millis;
}

export class IdleConnections {
  readonly #seen = new Map<Socket, Seen | null>();

  add(socket: Socket): void {
    this.#seen.set(socket, null);
    socket.once('close', () => this.#seen.delete(socket));
  }

  /** Looks at all of them; returns those that were seen to carry nothing for `quietMs`, so none at the first look. */
  look(now: Millis, busy: ReadonlySet<Socket>, quietMs: Millis): Socket[] {
    const idle: Socket[] = [];
    for (const [socket, seen] of this.#seen) {
      const { bytesRead: bytesIn, bytesWritten: bytesOut } = socket;
      const isAsBefore = seen !== null && seen.bytesIn === bytesIn && seen.bytesOut === bytesOut;
      if (busy.has(socket) || !isAsBefore) this.#seen.set(socket, { bytesIn, bytesOut, since: now });
      else if (now - seen.since >= quietMs) idle.push(socket);
    }
    return idle;
  }
}
