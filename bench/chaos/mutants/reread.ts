/** The configuration is read again while streams run: none of them may notice. */
import { setTimeout as delay } from 'node:timers/promises';
import { askInTurn } from '../load.ts';
import { bar, percent, perform, type Scenario } from '../scenario.ts';
import { backendLines } from '../stage.ts';

const slots = 8;

export const reread: Scenario = {
  id: 'reread',
  title: 'the configuration is read again under load',
  run(circumstances) {
    return perform(
      circumstances,
      { backends: 2, slots },
      async (stage) => {
        let isDone = false;
        const load = askInTurn(
          stage.clients,
          6,
          () => isDone,
          () => stage.wish({ voice: 'chat', stream: true, pieces: 20, everyMs: 20 }),
        );
        for (const weight of [2, 1, 3, 1, 2]) {
          await delay(500);
          stage.gateway.configure(backendLines(stage.herd, slots, [weight, 1]));
          await stage.gateway.operate('POST', '/gateway/reload');
        }
        await delay(500);
        isDone = true;
        await load;
      },
      (_, { figures }) => ({
        bars: [bar(figures.streamSuccess === 1, `${percent(figures.streamSuccess)} of streams complete (100 %)`)],
      }),
    );
  },
};
