/** G3: a backend takes requests and never answers them, while its probes look well. */
import type { HistoryEvent } from '../history.ts';
import { after, askInTurn } from '../load.ts';
import { bar, ms, percent, perform, type Scenario } from '../scenario.ts';

const firstByteMs = 400;
const config = `
queue: {timeout: 5s}
timeouts: {firstByte: ${firstByteMs}ms, firstByteWarm: ${firstByteMs}ms, idle: 2s}
health: {ejectTime: 60s}
`;

export const hang: Scenario = {
  id: 'G3',
  title: 'a backend that accepts and never answers',
  run(circumstances) {
    return perform(
      circumstances,
      { backends: 3, slots: 16, config },
      async (stage) => {
        stage.deadlineMs = 5_000 + 2 * firstByteMs;
        const ask = (forMs: number) =>
          askInTurn(stage.clients, 2, after(forMs), () => stage.wish({ voice: 'chat', stream: false, delayMs: 5 }));
        await ask(circumstances.quick ? 1_000 : 5_000);
        const hungAt = stage.mark('b1 hangs');
        stage.herd.members[0]!.become('wedged');
        await ask(circumstances.quick ? 6_000 : 30_000);
        stage.herd.members[0]!.become('well');
        return hungAt;
      },
      (hungAt, { events, figures }) => {
        const { asked, ejectedAt } = hangOf(events, hungAt);
        const added = slowestSince(events, hungAt) - figures.wholeP50Ms;
        return {
          bars: [
            bar(
              ejectedAt < Infinity && asked <= 3,
              `out of rotation after ${asked} requests (3), ${ms(ejectedAt - hungAt)}`,
            ),
            bar(figures.wholeSuccess === 1, `${percent(figures.wholeSuccess)} of requests succeed (100 %)`),
            bar(
              added <= 1.5 * firstByteMs,
              `${ms(added)} added to the slowest (one limit of ${firstByteMs} ms, and a half for us)`,
            ),
          ],
        };
      },
    );
  },
};

function hangOf(events: readonly HistoryEvent[], hungAt: number): { asked: number; ejectedAt: number } {
  let asked = 0;
  let ejectedAt = Infinity;
  for (const event of events) {
    if (event.at < hungAt) continue;
    if (event.kind === 'arrived' && event.backend === 'b1') asked += 1;
    if (event.kind === 'logged' && event.line['backend'] === 'b1' && event.line['to'] === 'ejected') {
      ejectedAt = Math.min(ejectedAt, event.at);
    }
  }
  return { asked, ejectedAt };
}

function slowestSince(events: readonly HistoryEvent[], at: number): number {
  const sentAt = new Map<string, number>();
  let slowest = 0;
  for (const event of events) {
    if (event.kind === 'sent' && event.at > at) sentAt.set(event.id, event.at);
    if (event.kind === 'ended') slowest = Math.max(slowest, event.at - (sentAt.get(event.id) ?? event.at));
  }
  return slowest;
}
