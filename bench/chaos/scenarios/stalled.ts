/** G5: clients that ask for long, fast streams and read nothing of them. */
import { connect, type Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { nowMicros } from '../../load/script.ts';
import { quantileOf } from '../../load/statistics.ts';
import type { Ended, HistoryEvent } from '../history.ts';
import { after, askInTurn } from '../load.ts';
import { bar, mebibytes, ms, perform, type Scenario } from '../scenario.ts';
import type { Stage } from '../stage.ts';
import { requestOf } from '../voice.ts';

/** How long it may take until the kernel's buffers, megabytes for each reader, are full and a reader is seen to stall. */
const fillMs = 30_000;
const rssLimit = 500 * 1024 * 1024;

export const stalled: Scenario = {
  id: 'G5',
  title: 'readers that stall on fast streams',
  run(circumstances) {
    const readers = circumstances.quick ? 200 : 2_000;
    const stallMs = circumstances.quick ? 4_000 : 60_000;
    const lastsMs = circumstances.quick ? 8_000 : 120_000;
    const aloneMs = circumstances.quick ? 2_500 : 15_000;
    // The backends share the cores with everybody, and are kept busier by this than any real one: that they are slow to answer
    // a probe or a connection is not what is looked at.
    const config = `
slowClients: {stall: ${stallMs}ms}
probes: {timeout: 30s}
timeouts: {connect: 30s}
`;
    return perform(
      circumstances,
      { backends: 3, slots: readers + 8, config, rules: { slots: null } },
      async (stage) => {
        const before = await others(stage, aloneMs);
        const crowd = new Crowd(stage, readers, stallMs + fillMs);
        const rampMs = Math.min(lastsMs / 4, readers * 5);
        const [most, during] = await Promise.all([
          peak(stage, lastsMs + stallMs + fillMs),
          delay(rampMs).then(() => others(stage, lastsMs - rampMs)),
          crowd.fill(rampMs, lastsMs),
        ]);
        const connections = stage.gateway.footprint().descriptors;
        const behind = await others(stage, aloneMs);
        crowd.close();
        return { before, during, behind, most, asked: crowd.asked, connections };
      },
      ({ before, during, behind, most, asked, connections }, { events }) => {
        const cut = cutOf(events, asked);
        const usual = Math.max(p99(before), p99(behind));
        const ratio = p99(during) / usual;
        const lates = cut.map((line) => Number(line['duration_ms']) - stallMs);
        return {
          bars: [
            bar(most <= rssLimit, `${mebibytes(most)} of memory at most (500 MiB)`),
            bar(cut.length === asked.size, `${cut.length} of ${asked.size} stalled readers cut`),
            bar(connections < 100, `${connections} descriptors open after that`),
            bar(
              ratio <= 1.2,
              `others' p99 ${ms(p99(during))}, ${ms(p99(before))} before and ${ms(p99(behind))} after (20 %)`,
            ),
            bar(
              [...before, ...during, ...behind].every(({ ending }) => ending === 'complete'),
              'all others are served',
            ),
          ],
          figures: [
            `cut ${ms(
              quantileOf(
                lates.sort((a, b) => a - b),
                0.5,
              ),
            )} after their deadline at the median`,
          ],
        };
      },
    );
  },
};

function others(stage: Stage, forMs: number): Promise<Ended[]> {
  return askInTurn(stage.clients, 4, after(forMs), () => stage.wish({ voice: 'chat', stream: false, delayMs: 10 }));
}

function p99(endings: readonly Ended[]): number {
  const times = endings.map(({ at, sentAt }) => at - sentAt).sort((a, b) => a - b);
  return quantileOf(times, 0.99);
}

/** The most resident memory within a time. */
async function peak(stage: Stage, forMs: number): Promise<number> {
  const isDone = after(forMs);
  let most = 0;
  while (!isDone()) {
    most = Math.max(most, stage.gateway.footprint().rss);
    await delay(250);
  }
  return most;
}

/** Readers that have asked for a stream and take nothing of it, not even the news that they were cut. */
class Crowd {
  readonly asked = new Set<string>();
  readonly #stage: Stage;
  readonly #size: number;
  readonly #lifeMs: number;
  readonly #sockets = new Set<Socket>();

  constructor(stage: Stage, size: number, lifeMs: number) {
    this.#stage = stage;
    this.#size = size;
    this.#lifeMs = lifeMs;
  }

  /** Keeps as many readers stalled, for as long; who must have been cut by now is replaced. */
  async fill(rampMs: number, lastsMs: number): Promise<void> {
    const isDone = after(lastsMs);
    const begin = performance.now();
    while (!isDone()) {
      const wanted = Math.min(this.#size, ((performance.now() - begin) / rampMs) * this.#size);
      while (this.#sockets.size < wanted) this.#stall();
      await delay(20);
    }
  }

  close(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  #stall(): void {
    const { id, script } = this.#stage.wish({
      voice: 'chat',
      stream: true,
      pieces: 1_000_000,
      everyMs: 0,
      padding: 400,
    });
    this.asked.add(id);
    this.#stage.tell({
      kind: 'sent',
      at: nowMicros() / 1000,
      id,
      nonce: script.nonce,
      voice: 'chat',
      stream: true,
      pieces: script.pieces,
      deadlineMs: Infinity,
      isUnread: true,
    });
    const { path, body } = requestOf('chat', true, script);
    const socket = connect({ host: '127.0.0.1', port: this.#stage.gateway.port });
    socket.pause();
    this.#sockets.add(socket);
    socket.on('error', () => {});
    setTimeout(() => {
      socket.destroy();
      this.#sockets.delete(socket);
    }, this.#lifeMs).unref();
    socket.write(
      `POST ${path} HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Request-Id: ${id}\r\nContent-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
    );
  }
}

function cutOf(events: readonly HistoryEvent[], asked: ReadonlySet<string>): Readonly<Record<string, unknown>>[] {
  return events.flatMap((event) =>
    event.kind === 'logged' && event.line['outcome'] === 'client-stalled' && asked.has(String(event.line['request_id']))
      ? [event.line]
      : [],
  );
}
