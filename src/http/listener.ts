/** A listening address: opening it, and closing it without refusing or cutting anybody. */
import type { FastifyInstance } from 'fastify';
import { lookup } from 'node:dns/promises';
import { once } from 'node:events';
import { createServer, Server, type AddressInfo, type Socket } from 'node:net';
import type { Address } from '../core/options.ts';
import type { Millis } from '../core/types.ts';
import type { Exchange } from './exchange.ts';
import { IdleConnections } from './idle.ts';
import { limitRest } from './linger.ts';
import { renewCertificate } from './node-server.ts';
import type { TlsOptions } from './tls.ts';

export interface Listener {
  /**
   * Resolves with the bound address as `host:port`; rejects when it can't be had. `inherited` is the descriptor of a socket that
   * listens already (systemd, or another process); `shared` lets another process listen on the same port meanwhile.
   */
  listen(where: Address, how?: { readonly inherited?: number | undefined; readonly shared?: boolean }): Promise<string>;
  /** Exchanges that have not closed yet. */
  readonly open: Iterable<Exchange>;
  /**
   * Accepts no more connections, and says on those that are open that each is to be closed after its next answer. Idle ones stay
   * open, because a request may be on its way. Resolves when all have closed.
   */
  stopAccepting(): Promise<void>;
  /** Uses what is in the certificate's files now, for connections to come. What is wrong with them, when nothing was changed. */
  renewCertificate(): string | null;
  /**
   * Looks which connections carry nothing, and closes those that did not from the looks before on, for `quietMs`. Resolves when it
   * has. What has arrived by then was read, so that no request is under it but those still on the wire.
   */
  closeIdle(now: Millis, quietMs: Millis): Promise<void>;
  /** Closes everything now. */
  close(): Promise<void>;
}

/**
 * Connections that may wait in the kernel to be accepted, if it allows as many: while the process is busy, or its successor not
 * yet there. Node's own 511 would also shorten the queue of a socket that is inherited.
 */
const waitingConnections = 4096;

/** Not as Fastify does it, which would look for further addresses of `localhost`, and which has no word for the queue's length. */
async function listenOn(app: FastifyInstance, inherited: number): Promise<void> {
  await app.ready();
  app.server.listen({ fd: inherited }, waitingConnections);
  await once(app.server, 'listening');
}

export function asListener(
  app: FastifyInstance,
  open: Iterable<Exchange>,
  bound: (address: AddressInfo) => void,
  tls?: TlsOptions,
): Listener {
  let isClosing = false;
  app.server.on('request', (request, response) => {
    if (isClosing) response.setHeader('Connection', 'close');
    limitRest(request, response);
  });
  // First of all listeners, so that the field is set before the request is handled.
  const listeners = app.server.listeners('request') as ((...args: unknown[]) => void)[];
  app.server.removeAllListeners('request');
  for (const listener of listeners.toReversed()) app.server.on('request', listener);
  const others: Server[] = [];
  // http counts a connection among its own when TLS has come to terms, and until then closes it with nothing.
  const sockets = new Set<Socket>();
  const idle = new IdleConnections();
  app.server.on(tls === undefined ? 'connection' : 'secureConnection', (socket: Socket) => idle.add(socket));
  if (tls !== undefined) {
    app.server.on('connection', (socket: Socket) => {
      sockets.add(socket);
      socket.once('close', () => sockets.delete(socket));
    });
  }
  const servers = () => [app.server, ...others];

  return {
    open,
    async listen({ host, port }, { inherited, shared } = {}) {
      if (inherited === undefined) {
        const where = { host, port, reusePort: shared === true, backlog: waitingConnections };
        await app.listen(where);
      } else await listenOn(app, inherited);
      const address = app.server.address();
      // A Unix socket, or a descriptor of a kind that has no address.
      if (address === null || typeof address === 'string') return address ?? `descriptor ${inherited}`;
      bound(address);
      if (host === 'localhost' && inherited === undefined) others.push(...(await alsoAt(address, app.server)));
      return address.family === 'IPv6' ? `[${address.address}]:${address.port}` : `${address.address}:${address.port}`;
    },
    stopAccepting() {
      isClosing = true;
      // Not http's own close, which closes idle connections at once, under requests that are on their way.
      return Promise.all(
        servers().map(
          (server) => new Promise<void>((resolve) => void Server.prototype.close.call(server, () => resolve())),
        ),
      ).then(() => {});
    },
    renewCertificate() {
      try {
        if (tls !== undefined) renewCertificate(app.server, tls);
        return null;
      } catch (error) {
        return (error as Error).message;
      }
    },
    async closeIdle(now, quietMs) {
      // The loop reads all that has come before it comes to this; timers, whose turn it was, are before that.
      await new Promise((resolve) => setImmediate(resolve));
      const busy = new Set<Socket>([...open].map(({ request }) => request.socket));
      for (const socket of idle.look(now, busy, quietMs)) socket.destroy();
    },
    async close() {
      isClosing = true;
      app.server.closeAllConnections();
      for (const socket of sockets) socket.destroy();
      for (const other of others) other.close();
      // It rejects when the listener was closed before; closed is what is wanted.
      await app.close().catch(() => {});
    },
  };
}

/** `localhost` is an address of each family. Fastify would listen on the second with a server that has none of our settings. */
async function alsoAt({ address, port }: AddressInfo, main: FastifyInstance['server']): Promise<Server[]> {
  const found = await lookup('localhost', { all: true }).catch(() => []);
  const servers: Server[] = [];
  for (const other of new Set(found.map((one) => one.address))) {
    if (other === address) continue;
    const server = createServer((socket) => void main.emit('connection', socket));
    const listening = once(server, 'listening').then(
      () => true,
      () => false,
    );
    server.listen(port, other);
    // A family that the machine does not have, or a port that is taken there, is no reason not to start.
    if (await listening) servers.push(server);
  }
  return servers;
}
