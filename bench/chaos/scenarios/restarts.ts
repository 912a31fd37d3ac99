/** G8: one gateway takes over from another, again and again, on the socket that both inherit. */
import { once } from 'node:events';
import { createServer, type AddressInfo, type Server } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import type { Gateway } from '../gateway.ts';
import { askAtRate, askInTurn } from '../load.ts';
import { oneOf } from '../luck.ts';
import { bar, ms, perform, type Scenario } from '../scenario.ts';
import type { PartialWish, Stage } from '../stage.ts';

/** Streams that last for two or three restarts. */
const pieces = 100;
const everyMs = 60;

export const restarts: Scenario = {
  id: 'G8',
  title: 'rolling restarts under load, with long streams',
  async run(circumstances) {
    const count = circumstances.quick ? 4 : 20;
    const { quick } = circumstances;
    const holder = createServer();
    holder.listen({ port: 0, host: '127.0.0.1', backlog: 4096 });
    await once(holder, 'listening');
    const socket = { descriptor: descriptorOf(holder), port: (holder.address() as AddressInfo).port };
    return perform(
      circumstances,
      // Two processes know nothing of each other's requests.
      { backends: 3, slots: 200, socket, rules: { slots: null } },
      async (stage) => {
        const successors = await stage.successors(count);
        // Who holds a listening socket in Node also accepts: from now on the gateways alone do.
        holder.close();
        return restart(stage, successors, quick ? 100 : 200, quick ? 20 : 50);
      },
      ({ short, long, exits, survivors, slowestMs }) => {
        const refused = short.filter(({ ending }) => ending !== 'complete').length;
        const cut = long.filter(({ ending }) => ending !== 'complete').length;
        return {
          bars: [
            bar(refused === 0, `${refused} of ${short.length} requests refused (0)`),
            bar(cut === 0, `${cut} of ${long.length} streams cut (0)`),
            bar(survivors >= count, `${survivors} streams ended after the successor of their gateway had begun`),
            bar(
              exits.every((code) => code === 0),
              `${count} gateways stop with exit codes ${[...new Set(exits)].join(', ')}`,
            ),
          ],
          figures: [`a successor is ready after ${ms(slowestMs)} at most`],
        };
      },
    );
  },
};

async function restart(stage: Stage, successors: readonly Gateway[], rate: number, streams: number) {
  let isOver = false;
  const { clients, luck } = stage;
  const isDone = (): boolean => isOver;
  const voice = (): PartialWish['voice'] => oneOf(['chat', 'openai', 'anthropic'] as const, luck);
  const long = askInTurn(clients, streams, isDone, () => stage.wish({ voice: voice(), stream: true, pieces, everyMs }));
  // Half of them on connections that are kept, half on ones of their own.
  const short = askAtRate(clients, { rate, isDone }, (number) =>
    stage.wish({ voice: voice(), stream: false, isAlone: number % 2 === 0 }),
  );
  const exits: Promise<number | null>[] = [];
  const changes: number[] = [];
  let slowestMs = 0;
  try {
    for (const successor of successors) {
      await delay(2_000);
      const begin = performance.now();
      await successor.begin();
      slowestMs = Math.max(slowestMs, performance.now() - begin);
      changes.push(stage.mark('the successor is ready'));
      exits.push(stage.gateway.stop());
      stage.gateway = successor;
    }
    await delay(2_000);
  } finally {
    isOver = true;
  }
  const [asked, streamed] = await Promise.all([short, long]);
  const survivors = streamed.filter(({ at, sentAt }) => changes.some((change) => sentAt < change && at > change));
  return { short: asked, long: streamed, exits: await Promise.all(exits), survivors: survivors.length, slowestMs };
}

/** Of a socket that listens; Node has no public word for it. */
function descriptorOf(server: Server): number {
  return (server as unknown as { readonly _handle: { readonly fd: number } })._handle.fd;
}
