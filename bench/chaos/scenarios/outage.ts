/** G2: every backend is down for a while, and requests keep coming. */
import { setTimeout as delay } from 'node:timers/promises';
import { nowMicros } from '../../load/script.ts';
import type { HistoryEvent } from '../history.ts';
import { after, askAtRate } from '../load.ts';
import { bar, ms, perform, type Scenario } from '../scenario.ts';

const queueMs = 5_000;
const config = `
queue: {timeout: ${queueMs}ms}
`;

export const outage: Scenario = {
  id: 'G2',
  title: 'every backend down for 10 s, 200 requests a second',
  run(circumstances) {
    const downMs = circumstances.quick ? 7_000 : 10_000;
    const rate = circumstances.quick ? 100 : 200;
    const before = 2_000;
    const afterwards = 4_000;
    return perform(
      circumstances,
      { backends: 4, spares: true, slots: 16, config },
      async (stage) => {
        stage.deadlineMs = queueMs;
        const load = askAtRate(stage.clients, { rate, isDone: after(before + downMs + afterwards) }, () =>
          stage.wish({ voice: 'chat', stream: false }),
        );
        await delay(before);
        const downAt = nowMicros() / 1000;
        await Promise.all(stage.herd.members.map((member) => member.kill()));
        await delay(downMs);
        const upAt = nowMicros() / 1000;
        await stage.herd.start();
        await load;
        return { downAt, upAt };
      },
      ({ downAt, upAt }, { events }) => {
        const { backAt, firstAt, failed, asked } = afterReturn(events, downAt, upAt);
        const took = firstAt - backAt;
        const late = firstSuccessfulSince(events, backAt + 2_000);
        return {
          bars: [
            bar(took <= 2_000, `first success ${ms(took)} after the first backend is back (2 s)`),
            bar(late === 0, `${late} requests sent more than 2 s after that fail (0)`),
          ],
          figures: [
            `${asked} requests during the outage, ${failed} of them refused, all within ${queueMs / 1000} s + 1 s`,
          ],
        };
      },
    );
  },
};

function afterReturn(events: readonly HistoryEvent[], downAt: number, upAt: number) {
  let backAt = Infinity;
  let firstAt = Infinity;
  let failed = 0;
  const during = new Set<string>();
  for (const event of events) {
    if (event.kind === 'listening' && event.at > upAt) backAt = Math.min(backAt, event.at);
    if (event.kind === 'sent' && event.at > downAt && event.at < upAt) during.add(event.id);
    if (event.kind !== 'ended') continue;
    if (during.has(event.id) && event.ending === 'error') failed += 1;
    if (event.ending === 'complete' && event.at > upAt) firstAt = Math.min(firstAt, event.at);
  }
  return { backAt, firstAt, failed, asked: during.size };
}

/** How many that were sent since then have failed. */
function firstSuccessfulSince(events: readonly HistoryEvent[], at: number): number {
  const late = new Set<string>();
  let failed = 0;
  for (const event of events) {
    if (event.kind === 'sent' && event.at > at) late.add(event.id);
    if (event.kind === 'ended' && late.has(event.id) && event.ending !== 'complete') failed += 1;
  }
  return failed;
}
