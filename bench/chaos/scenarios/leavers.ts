/** G4: clients leave, wherever their requests are. */
import type { HistoryEvent } from '../history.ts';
import { askInTurn } from '../load.ts';
import { oneOf } from '../luck.ts';
import { bar, ms, perform, type Scenario } from '../scenario.ts';
import type { PartialWish } from '../stage.ts';

const phases = ['receiving', 'queued', 'waiting', 'streaming'] as const;

export const leavers: Scenario = {
  id: 'G4',
  title: 'clients leave while sending, queued, waiting and streaming, in three dialects',
  run(circumstances) {
    const leaving = circumstances.quick ? 1_000 : 10_000;
    // One in ten stays, and has to be served well.
    const count = Math.round(leaving / 0.9);
    return perform(
      circumstances,
      { backends: 3, slots: 8, config: 'queue: {timeout: 20s}\n' },
      async (stage) => {
        await askInTurn(
          stage.clients,
          48,
          (number) => number >= count,
          (number) => stage.wish(wish(number, stage.luck)),
        );
      },
      (_, { events, figures }) => {
        const left = leftByPhase(events);
        const least = Math.min(...phases.map((phase) => left[phase] ?? 0));
        const counts = phases.map((phase) => `${left[phase] ?? 0} ${phase}`).join(', ');
        const { aborts, abortP50Ms, abortP99Ms } = figures;
        return {
          bars: [
            bar(least >= leaving / 50, `clients left in every state: ${counts}`),
            bar(
              abortP99Ms <= 100,
              `backends stop ${ms(abortP99Ms)} after a client has left, p99 of ${aborts} (100 ms)`,
            ),
            bar(figures.wholeSuccess === 1 && figures.streamSuccess === 1, 'every client that stayed was served'),
          ],
          figures: [`backends stop after ${ms(abortP50Ms)} at the median`],
        };
      },
    );
  },
};

function wish(number: number, luck: () => number): PartialWish {
  const voice = oneOf(['chat', 'openai', 'anthropic'] as const, luck);
  const stream = luck() < 0.7;
  const usual = { voice, stream, pieces: 20, everyMs: 5, delayMs: 20 };
  if (number % 10 === 0) return usual;
  switch (number % 5) {
    case 1:
      return { ...usual, leave: { afterBytes: 20, afterMs: 5 + luck() * 20 } };
    case 2:
      return { ...usual, stream: true, leave: { afterPieces: 1 + Math.floor(luck() * 10), afterMs: 0 } };
    // A slow start, so that others have to queue meanwhile; whoever leaves soon is queued or waits for the first byte.
    case 3:
      return { ...usual, delayMs: 150, leave: { afterMs: 100 + luck() * 100 } };
    default:
      return { ...usual, delayMs: 100, leave: { afterMs: luck() * 60 } };
  }
}

function leftByPhase(events: readonly HistoryEvent[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const event of events) {
    if (event.kind !== 'logged') continue;
    const phase = event.line['disconnect_phase'];
    if (typeof phase === 'string') counts[phase] = (counts[phase] ?? 0) + 1;
  }
  return counts;
}
