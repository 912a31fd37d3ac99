/** G7: ten times as many requests as there is room for. */
import { quantileOf } from '../../load/statistics.ts';
import type { Ended } from '../history.ts';
import { after, askAtRate, askInTurn } from '../load.ts';
import { bar, mebibytes, ms, percent, perform, type Scenario } from '../scenario.ts';

const slots = 4;
const serviceMs = 50;
const config = `
queue: {limit: 64, timeout: 5s}
`;

export const overload: Scenario = {
  id: 'G7',
  title: 'ten times more requests than there is room for',
  run(circumstances) {
    const lastsMs = circumstances.quick ? 8_000 : 60_000;
    return perform(
      circumstances,
      { backends: 2, slots, config },
      async (stage) => {
        const wish = () => stage.wish({ voice: 'chat', stream: false, delayMs: serviceMs, deadlineMs: 5_000 });
        const measureMs = circumstances.quick ? 3_000 : 8_000;
        await askInTurn(stage.clients, 2 * slots, after(1_000), wish);
        const alone = await askInTurn(stage.clients, 2 * slots, after(measureMs), wish);
        const capacity = alone.length / (measureMs / 1000);
        stage.gateway.signal('SIGUSR2');
        const begin = performance.now();
        const flood = await askAtRate(stage.clients, { rate: capacity * 10, isDone: after(lastsMs) }, wish);
        const seconds = (performance.now() - begin) / 1000;
        const last = stage.samples().at(-1);
        return { capacity, flood, seconds, lagP99: last?.lagP99 ?? Infinity, rss: last?.rss ?? 0 };
      },
      ({ capacity, flood, seconds, lagP99, rss }) => {
        const served = flood.filter(({ ending }) => ending === 'complete');
        const refused = flood.filter(({ ending }) => ending === 'error');
        const goodput = served.length / seconds / capacity;
        const refusals = times(refused);
        const polite = refused.every(({ retryAfter, status }) => status === 503 && retryAfter !== null);
        return {
          bars: [
            bar(
              goodput >= 0.95,
              `goodput ${percent(goodput)} of the ${capacity.toFixed(0)}/s there is room for (95 %)`,
            ),
            bar(quantileOf(refusals, 0.99) <= 50, `refused within ${ms(quantileOf(refusals, 0.99))}, p99 (50 ms)`),
            bar(polite && served.length + refused.length === flood.length, 'every refusal is a 503 with Retry-After'),
            bar(lagP99 < 50, `event loop late by ${ms(lagP99)}, p99 (50 ms)`),
          ],
          figures: [
            `${Math.round(flood.length / seconds)}/s asked, ${refused.length} refused (${ms(quantileOf(refusals, 0.5))} median), ` +
              `served within ${ms(quantileOf(times(served), 0.99))} p99, ${mebibytes(rss)} of memory`,
          ],
        };
      },
    );
  },
};

function times(endings: readonly Ended[]): number[] {
  return endings.map(({ at, sentAt }) => at - sentAt).sort((a, b) => a - b);
}
