/** G6: clients that send their requests so slowly that they never get to the end. */
import { connect } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { after, askInTurn } from '../load.ts';
import { bar, ms, percent, perform, type Scenario } from '../scenario.ts';

/** What the server's own look at its connections may add. */
const graceMs = 1_500;

export const slowSenders: Scenario = {
  id: 'G6',
  title: 'slow heads and slow bodies',
  run(circumstances) {
    const { quick } = circumstances;
    const crowd = quick ? 200 : 2_000;
    const headMs = quick ? 2_000 : 10_000;
    const bodyMs = quick ? 3_000 : 30_000;
    const config = `listen: {headersTimeout: ${headMs}ms, bodyTimeout: ${bodyMs}ms}\n`;
    return perform(
      circumstances,
      { backends: 2, slots: 16, config },
      async (stage) => {
        const { port } = stage.gateway;
        const head = 'POST /api/chat HTTP/1.1\r\nHost: 127.0.0.1\r\n';
        const isDone = after(bodyMs + 3_000);
        const load = askInTurn(stage.clients, 4, isDone, () =>
          stage.wish({ voice: 'chat', stream: false, delayMs: 10 }),
        );
        const heads = Array.from({ length: crowd }, () => drip(port, head, 'X-Slow: 1\r\n', quick ? 300 : 1_000));
        const bodies = Array.from({ length: crowd }, () =>
          drip(port, `${head}Content-Length: 100000\r\n\r\n`, '{', quick ? 700 : 5_000),
        );
        await delay(0);
        const [headTimes, bodyTimes] = await Promise.all([Promise.all(heads), Promise.all(bodies)]);
        await load;
        return { heads: headTimes, bodies: bodyTimes };
      },
      ({ heads, bodies }, { figures }) => {
        const slowestHead = Math.max(...heads.map(({ closedMs }) => closedMs));
        const slowestBody = Math.max(...bodies.map(({ closedMs }) => closedMs));
        const told = [...heads, ...bodies].filter(({ said }) => said.startsWith('HTTP/1.1 408')).length;
        return {
          bars: [
            bar(slowestHead <= headMs + graceMs, `${crowd} slow heads gone after ${ms(slowestHead)} (${ms(headMs)})`),
            bar(slowestBody <= bodyMs + graceMs, `${crowd} slow bodies gone after ${ms(slowestBody)} (${ms(bodyMs)})`),
            bar(figures.wholeSuccess === 1, `${percent(figures.wholeSuccess)} of honest requests succeed (100 %)`),
          ],
          figures: [`${told} of ${2 * crowd} were told why (408)`],
        };
      },
    );
  },
};

interface Dripped {
  readonly closedMs: number;
  /** The first bytes of what it was answered. */
  readonly said: string;
}

/** Sends `first`, and then a drop at a time until the connection is closed. */
function drip(port: number, first: string, drop: string, everyMs: number): Promise<Dripped> {
  return new Promise((resolve) => {
    const socket = connect({ host: '127.0.0.1', port });
    let said = '';
    let begin = performance.now();
    const timer = setInterval(() => socket.write(drop), everyMs);
    const close = (): void => {
      clearInterval(timer);
      socket.destroy();
      resolve({ closedMs: performance.now() - begin, said });
    };
    socket.on('connect', () => {
      begin = performance.now();
      socket.write(first);
    });
    socket.on('data', (bytes: Buffer) => {
      said += bytes.toString('latin1').slice(0, 20);
    });
    socket.on('error', close);
    socket.on('end', close);
    socket.on('close', close);
  });
}
