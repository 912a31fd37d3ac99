/** G16: a prompt that kills whatever runs it. */
import { setTimeout as delay } from 'node:timers/promises';
import { supervise } from '../herd.ts';
import type { Ended } from '../history.ts';
import { askInTurn } from '../load.ts';
import { bar, percent, perform, type Scenario } from '../scenario.ts';
import type { PartialWish } from '../stage.ts';

export const lethal: Scenario = {
  id: 'G16',
  title: 'a prompt that kills its backend',
  async run(circumstances) {
    const times = circumstances.quick ? 6 : 20;
    const atOnce = await one(circumstances, times, 'at once', { delayMs: 0 });
    const inTheMiddle = await one(circumstances, times, 'after a while', { delayMs: 200 });
    return {
      bars: [...atOnce.bars, ...inTheMiddle.bars],
      figures: [...atOnce.figures, ...inTheMiddle.figures],
      violations: [...atOnce.violations, ...inTheMiddle.violations],
      events: [...atOnce.events, ...inTheMiddle.events],
    };
  },
};

function one(
  circumstances: Parameters<Scenario['run']>[0],
  times: number,
  when: string,
  script: Pick<PartialWish, 'delayMs'>,
): ReturnType<Scenario['run']> {
  return perform(
    circumstances,
    { backends: 4, spares: true, slots: 8, name: when.replaceAll(' ', '-') },
    async (stage) => {
      const stop = supervise(stage.herd, 300);
      let isDone = false;
      // Others, one at a time, so that few of them are on a backend when it dies.
      const load = askInTurn(
        stage.clients,
        1,
        () => isDone,
        () => stage.wish({ voice: 'chat', stream: false }),
      );
      const poison: Ended[] = [];
      for (let count = 0; count < times; count++) {
        const fault = { kind: 'kill', at: 0 } as const;
        poison.push(
          await stage.clients.ask(
            stage.wish({ voice: 'chat', stream: false, nonce: 'poison', pieces: 4, ...script, fault }),
          ),
        );
        await delay(circumstances.quick ? 300 : 500);
      }
      isDone = true;
      const honest = await load;
      const kills = stage.herd.members.reduce((sum, member) => sum + member.kills, 0);
      stop();
      await delay(500);
      return { kills, poison, honest };
    },
    ({ kills, poison, honest }) => {
      const refused = poison.filter(({ status }) => status === 422).length;
      const served = honest.filter(({ ending }) => ending === 'complete').length / honest.length;
      return {
        bars: [
          bar(kills <= 2, `${when}: ${kills} backends killed by the same prompt, sent ${times} times (2)`),
          bar(refused >= times - 1, `${when}: ${refused} of ${times} answered 422`),
          bar(served >= 0.99, `${when}: ${percent(served)} of other requests served (99 %)`),
        ],
      };
    },
  );
}
