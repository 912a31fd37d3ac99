/** Nobody may be asked for a while: who waits has to be told so in time. */
import { setTimeout as delay } from 'node:timers/promises';
import { after, askInTurn } from '../load.ts';
import { perform, type Scenario } from '../scenario.ts';

const queueMs = 1_000;
const closedMs = 4_000;

export const closed: Scenario = {
  id: 'closed',
  title: 'every backend drained for a while',
  run(circumstances) {
    return perform(
      circumstances,
      { backends: 1, slots: 4, config: `queue: {timeout: ${queueMs}ms}\n` },
      async (stage) => {
        stage.deadlineMs = queueMs;
        await stage.gateway.operate('POST', '/gateway/backends/b1/drain');
        const waiting = askInTurn(stage.clients, 8, after(closedMs / 4), () =>
          stage.wish({ voice: 'chat', stream: false }),
        );
        await delay(closedMs);
        await stage.gateway.operate('POST', '/gateway/backends/b1/resume');
        await waiting;
      },
      () => ({ bars: [] }),
    );
  },
};
