/** G5: clients that ask for long, fast streams and read nothing of them. */
import { readFileSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { totalmem } from 'node:os';
import { setTimeout as delay } from 'node:timers/promises';
import { nowMicros } from '../../load/script.ts';
import { quantileOf } from '../../load/statistics.ts';
import type { Ended, HistoryEvent } from '../history.ts';
import { after, askInTurn } from '../load.ts';
import { bar, mebibytes, ms, perform, type Scenario } from '../scenario.ts';
import type { Stage } from '../stage.ts';
import { requestOf } from '../voice.ts';

/**
 * How long it may take until the kernel's buffers for a reader are full, and the reader is seen to stall. They are filled at the
 * speed of loopback and of the backends, which share the cores with everybody.
 */
const fillMs = { quick: 8_000, full: 30_000 };
const rssLimit = 500 * 1024 * 1024;
/** Of the kernel, which counts so. */
const pageBytes = 4096;
/** Beside its content, so that the cores are busy with bytes rather than with the frames around them. */
const padding = 4_000;

export const stalled: Scenario = {
  id: 'G5',
  title: 'readers that stall on fast streams',
  run(circumstances) {
    const { quick } = circumstances;
    const readers = quick ? 200 : 2_000;
    const stallMs = quick ? 4_000 : 60_000;
    const lastsMs = quick ? 8_000 : 120_000;
    const aloneMs = quick ? 2_500 : 20_000;
    const lifeMs = stallMs + (quick ? fillMs.quick : fillMs.full);
    const rampMs = readers * 10;
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
        const crowd = new Crowd(stage, readers, lifeMs);
        const peak = watchMemory(stage);
        const [during] = await Promise.all([
          delay(rampMs).then(() => others(stage, lastsMs)),
          crowd.fill(rampMs, rampMs + lastsMs),
        ]);
        await allEnded(stage, lifeMs);
        const most = await peak();
        const connections = stage.gateway.footprint().descriptors;
        const behind = await others(stage, aloneMs);
        crowd.close();
        return { before, during, behind, most, asked: crowd.asked, connections };
      },
      ({ before, during, behind, most, asked, connections }, { events }) => {
        const cut = cutOf(events, asked);
        const usual = Math.max(p99(before), p99(behind));
        const ratio = p99(during) / usual;
        const lates = cut.map((line) => Number(line['duration_ms']) - stallMs).sort((a, b) => a - b);
        const kernel = kernelMemory();
        // The backend's connection waits like the client's.
        const taken = kernel === null ? 0 : 2 * kernel.perConnection * readers;
        return {
          bars: [
            bar(
              kernel === null || taken < kernel.inAll,
              `the kernel may take ${mebibytes(taken)} for them; above ${mebibytes(kernel?.inAll ?? 0)} it makes everybody wait`,
            ),
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
            `cut ${ms(quantileOf(lates, 0.5))} after their deadline at the median, ${ms(quantileOf(lates, 1))} at most`,
          ],
        };
      },
    );
  },
};

interface KernelMemory {
  /** Bytes it may hold for one connection whose reader takes nothing: what waits at its end, and at the sender's. */
  readonly perConnection: number;
  /** Bytes for all together from which on it is short of memory, and holds back every connection there is. */
  readonly inAll: number;
}

/** Null where it does not say. */
function kernelMemory(): KernelMemory | null {
  const [sent, received] = [kernelFigures('tcp_wmem')?.[2], kernelFigures('tcp_rmem')?.[1]];
  if (sent === undefined || received === undefined) return null;
  const pressurePages = kernelFigures('tcp_mem')?.[1];
  // A network namespace does not show it; by itself the kernel makes it this share of the memory.
  return {
    perConnection: sent + received,
    inAll: pressurePages === undefined ? totalmem() / 16 : pressurePages * pageBytes,
  };
}

function kernelFigures(name: string): readonly number[] | null {
  try {
    return readFileSync(`/proc/sys/net/ipv4/${name}`, 'latin1').trim().split(/\s+/).map(Number);
  } catch {
    return null;
  }
}

function others(stage: Stage, forMs: number): Promise<Ended[]> {
  return askInTurn(stage.clients, 4, after(forMs), () => stage.wish({ voice: 'chat', stream: false, delayMs: 10 }));
}

function p99(endings: readonly Ended[]): number {
  const times = endings.map(({ at, sentAt }) => at - sentAt).sort((a, b) => a - b);
  return quantileOf(times, 0.99);
}

/** Returns the way to stop, which resolves with the most resident memory meanwhile. */
function watchMemory(stage: Stage): () => Promise<number> {
  const watch = { most: 0, isOver: false };
  const watching = (async () => {
    while (!watch.isOver) {
      watch.most = Math.max(watch.most, stage.gateway.footprint().rss);
      await delay(250);
    }
  })();
  return async () => {
    watch.isOver = true;
    await watching;
    return watch.most;
  };
}

/** Resolves when nothing is being answered, or when that has taken too long. */
async function allEnded(stage: Stage, withinMs: number): Promise<void> {
  const isLate = after(withinMs);
  while (!isLate() && (await stage.gateway.gauges())['inflight'] !== 0) await delay(500);
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
      padding,
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
