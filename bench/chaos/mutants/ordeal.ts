/** A short run in which everything goes wrong once: what most broken gateways do not survive, and a sound one does. */
import { setTimeout as delay } from 'node:timers/promises';
import { supervise } from '../herd.ts';
import { askInTurn } from '../load.ts';
import { oneOf } from '../luck.ts';
import { perform, type Scenario } from '../scenario.ts';
import type { PartialWish, Stage } from '../stage.ts';
import type { Fault } from '../voice.ts';

const limitMs = 800;
const config = `
queue: {timeout: 3s}
timeouts: {firstByte: ${limitMs}ms, firstByteWarm: ${limitMs}ms, idle: ${limitMs}ms}
surface: {timeout: 2s}
`;

export const ordeal: Scenario = {
  id: 'ordeal',
  title: 'everything goes wrong once',
  run(circumstances) {
    return perform(
      circumstances,
      // How soon is for others to say: this has to tell a gateway that works from one that does not, on a busy machine as well.
      { backends: 3, spares: true, slots: 4, config, rules: { abortP99Ms: 1_000 } },
      async (stage) => {
        // Waiting, two attempts that time out, and a stream that falls silent.
        stage.deadlineMs = 3_000 + 3 * limitMs;
        let isDone = false;
        const load = askInTurn(
          stage.clients,
          24,
          () => isDone,
          () => stage.wish(wish(stage.luck)),
        );
        await troubles(stage);
        isDone = true;
        await load;
      },
      () => ({ bars: [] }),
    );
  },
};

/** Each lasts longer than the checker's patience with what is late. */
async function troubles({ gateway, herd }: Stage): Promise<void> {
  const [first, second, third] = herd.members as [Stage['herd']['members'][number], ...Stage['herd']['members']];
  const unsupervise = supervise(herd, 300);
  await delay(300);
  await gateway.operate('POST', `/gateway/backends/${first.name}/drain`);
  await delay(1_700);
  await gateway.operate('POST', `/gateway/backends/${first.name}/resume`);
  await second!.kill();
  await delay(200);
  await second!.start();
  third!.become('wedged');
  await delay(2 * limitMs);
  third!.become('well');
  await delay(1_700);
  first.become('busy');
  await delay(300);
  first.become('well');
  await delay(700);
  unsupervise();
}

/** A quarter are as usual. */
function wish(luck: () => number): PartialWish {
  const chance = luck();
  if (chance < 0.05) return { voice: 'copy', stream: false, pieces: 0 };
  // Seldom, because each takes a slot for as long as the gateway's patience lasts.
  if (chance < 0.07) return { voice: 'chat', stream: true, pieces: 10, fault: { kind: 'silent', at: 3 } };
  const voice = oneOf(['chat', 'generate', 'openai', 'anthropic', 'embed'] as const, luck);
  const stream = voice !== 'embed' && luck() < 0.6;
  const usual = { voice, stream, pieces: 10, everyMs: 3, delayMs: luck() * 10 };
  // More than the budget has retries for.
  if (chance < 0.42) return { ...usual, fault: { kind: 'status', at: 0, status: 429 } };
  if (chance < 0.52) return { ...usual, fault: fault(luck) };
  if (chance < 0.62) return { ...usual, leave: { afterMs: luck() * 40 } };
  if (chance < 0.72 && stream) return { ...usual, everyMs: 100, pieces: 20, leave: { afterPieces: 2, afterMs: 0 } };
  return usual;
}

function fault(luck: () => number): Fault {
  const kind = oneOf(['cut', 'torn', 'unmarked', 'error-frame', 'status'] as const, luck);
  const at = Math.floor(luck() * 10);
  return { kind, at, status: oneOf([500, 502, 503] as const, luck) };
}
