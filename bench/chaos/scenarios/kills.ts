/** G1: backends die all the time, in the middle of everything. */
import { askInTurn } from '../load.ts';
import { startKiller } from '../herd.ts';
import { oneOf } from '../luck.ts';
import { bar, percent, perform, type Scenario } from '../scenario.ts';
import type { PartialWish } from '../stage.ts';

const config = `
queue: {timeout: 30s}
timeouts: {firstByte: 10s, firstByteWarm: 10s, idle: 10s}
surface: {timeout: 10s}
`;

export const kills: Scenario = {
  id: 'G1',
  title: 'four backends, each killed every 2 s',
  run(circumstances) {
    const count = circumstances.quick ? 5_000 : 100_000;
    return perform(
      circumstances,
      { backends: 4, spares: true, slots: 32, config },
      async (stage) => {
        const stop = startKiller(stage.herd, { lifeMs: 2_000, deadMs: 600, luck: stage.luck });
        stage.deadlineMs = 45_000;
        const begin = performance.now();
        await askInTurn(
          stage.clients,
          64,
          (number) => number >= count,
          (number) => stage.wish(wish(number, stage.luck)),
        );
        const seconds = (performance.now() - begin) / 1000;
        await stop();
        return { seconds };
      },
      ({ seconds }, { figures, stage }) => {
        const { attemptsPerRequest, endings, streamSuccess, wholeSuccess } = figures;
        const killed = stage.herd.members.reduce((sum, { kills: own }) => sum + own, 0);
        return {
          bars: [
            bar(figures.requests === count && (endings['hung'] ?? 0) === 0, `${count} requests, none lost or hung`),
            bar(wholeSuccess >= 0.999, `${percent(wholeSuccess)} of what is not streamed succeeds (99.9 %)`),
            bar(attemptsPerRequest <= 1.2, `${attemptsPerRequest.toFixed(3)} attempts a request (1.2)`),
          ],
          figures: [
            `${Math.round(count / seconds)} requests/s, ${killed} kills, ${percent(streamSuccess)} of streams complete`,
          ],
        };
      },
    );
  },
};

/** Half streams; of the rest, one in fifty changes something. */
function wish(number: number, luck: () => number): PartialWish {
  if (number % 2 === 0)
    return { voice: oneOf(['chat', 'generate', 'openai', 'anthropic'] as const, luck), stream: true, pieces: 20 };
  if (number % 100 === 1) return { voice: 'copy', stream: false, pieces: 0 };
  return { voice: oneOf(['chat', 'generate', 'openai', 'anthropic', 'embed'] as const, luck), stream: false };
}
