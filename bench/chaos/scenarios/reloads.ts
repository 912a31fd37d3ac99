/** G9: the configuration is reloaded again and again under load, one time in ten with a mistake in it. */
import { setTimeout as delay } from 'node:timers/promises';
import type { Herd } from '../herd.ts';
import type { Sampled } from '../history.ts';
import { askInTurn } from '../load.ts';
import { oneOf } from '../luck.ts';
import { bar, mebibytes, percent, perform, type Scenario } from '../scenario.ts';
import { backendLines, type Stage } from '../stage.ts';

const slots = 16;

export const reloads: Scenario = {
  id: 'G9',
  title: 'reloads under load, one in ten invalid',
  run(circumstances) {
    const count = circumstances.quick ? 100 : 1_000;
    return perform(
      circumstances,
      { backends: 4, slots, rules: { slots: slots * 2 } },
      async (stage) => {
        let isDone = false;
        const load = askInTurn(
          stage.clients,
          8,
          () => isDone,
          () =>
            stage.wish({
              voice: oneOf(['chat', 'openai', 'anthropic'] as const, stage.luck),
              stream: stage.luck() < 0.7,
              pieces: 20,
            }),
        );
        // The first ones warm up what every reload touches.
        let wrong = await reloadOften(stage, circumstances.quick ? 60 : 300);
        const before = await settled(stage);
        wrong += await reloadOften(stage, count);
        const behind = await settled(stage);
        isDone = true;
        await load;
        return { before, behind, wrong };
      },
      ({ before, behind, wrong }, { figures }) => {
        const grown = behind.rss - before.rss;
        const handles = handlesOf(behind) - handlesOf(before);
        return {
          bars: [
            bar(wrong === 0, `${count} reloads, ${wrong} of them not taken or refused as they should (0)`),
            bar(
              figures.streamSuccess === 1 && figures.wholeSuccess === 1,
              `${percent(figures.streamSuccess)} of streams and ${percent(figures.wholeSuccess)} of the rest succeed (100 %)`,
            ),
            bar(Math.abs(handles) <= 5, `${handles >= 0 ? '+' : ''}${handles} handles and timers (±5)`),
            bar(grown <= 20 * 1024 * 1024, `${grown >= 0 ? '+' : ''}${mebibytes(grown)} of memory (20 MiB)`),
          ],
          figures: [
            `handles after: ${JSON.stringify(behind.resources)}; heap ${mebibytes(behind.heap - before.heap)} more`,
          ],
        };
      },
    );
  },
};

/** How many were not answered as they should. */
async function reloadOften(stage: Stage, count: number): Promise<number> {
  let wrong = 0;
  for (let number = 1; number <= count; number++) {
    const isValid = number % 10 !== 0;
    stage.gateway.configure(
      isValid ? variant(stage.herd, number) : `${variant(stage.herd, number)}queue: {limit: many}\n`,
    );
    const status = await stage.gateway.operate('POST', '/gateway/reload');
    if (status !== (isValid ? 200 : 422)) wrong += 1;
  }
  stage.gateway.configure(backendLines(stage.herd, slots));
  if ((await stage.gateway.operate('POST', '/gateway/reload')) !== 200) wrong += 1;
  return wrong;
}

const policies = ['least-connections', 'round-robin', 'weighted', 'power-of-two'] as const;

/** Another configuration each time: weights, slots, a backend less, a policy, how often to probe. */
function variant(herd: Herd, number: number): string {
  const weights = herd.members.map((_, index) => (number % 7 === index ? 0 : 1 + ((number + index) % 3)));
  return `${backendLines(herd, slots + (number % 2) * slots, weights)}
policy: ${policies[number % policies.length]}
probes: {interval: ${1_000 + (number % 3) * 500}ms}
timeouts: {idle: ${60 + (number % 5)}s}
`;
}

/** What the gateway holds, a while after the last reload and after garbage was collected. */
async function settled(stage: Stage): Promise<Sampled> {
  await delay(2_500);
  // What one collection has freed is given back to the system by a later one.
  for (let round = 0; round < 3; round++) {
    stage.gateway.signal('SIGUSR2');
    await delay(1_000);
  }
  return stage.samples().at(-1)!;
}

/** Handles and timers that do not belong to requests of the moment: connections come and go with them. */
function handlesOf({ resources }: Sampled): number {
  return Object.entries(resources).reduce(
    (sum, [kind, count]) => (/^(?:TCPSocketWrap|TCPWrap|TTYWrap|HTTP)/.test(kind) ? sum : sum + count),
    0,
  );
}
