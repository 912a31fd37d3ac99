/** Every fault at once, and rarely enough that most requests are served: what the soak runs for a long time. */
import { setTimeout as delay } from 'node:timers/promises';
import { supervise, type Herd } from '../herd.ts';
import type { Fault } from '../voice.ts';
import { askInTurn } from '../load.ts';
import { oneOf } from '../luck.ts';
import { bar, percent, perform, type Scenario } from '../scenario.ts';
import type { PartialWish, Stage } from '../stage.ts';

export const mixConfig = `
queue: {timeout: 10s}
timeouts: {firstByte: 2s, firstByteWarm: 2s, idle: 2s}
surface: {timeout: 2s}
`;
/** Waiting, two attempts that time out, and a stream that falls silent. */
export const mixDeadlineMs = 18_000;
export const mixSlots = 16;

export const mix: Scenario = {
  id: 'MIX',
  title: 'every fault at once',
  run(circumstances) {
    const count = circumstances.quick ? 3_000 : 30_000;
    return perform(
      circumstances,
      { backends: 4, spares: true, slots: mixSlots, config: mixConfig },
      async (stage) => {
        stage.deadlineMs = mixDeadlineMs;
        const stop = startTroubles(stage);
        await askInTurn(
          stage.clients,
          32,
          (number) => number >= count,
          () => stage.wish(mixedWish(stage.luck)),
        );
        await stop();
      },
      (_, { figures }) => ({
        bars: [bar(figures.wholeSuccess > 0.9, `${percent(figures.wholeSuccess)} of whole answers succeed (90 %)`)],
        figures: [`${percent(figures.streamSuccess)} of streams complete`],
      }),
    );
  },
};

/** Nineteen in twenty are as usual, apart from clients that leave. */
export function mixedWish(luck: () => number): PartialWish {
  const voice = oneOf(['chat', 'generate', 'openai', 'anthropic', 'embed', 'copy'] as const, luck);
  if (voice === 'copy') {
    if (luck() < 0.2) return { voice, stream: false, pieces: 0 };
    return { voice: 'chat', stream: true, pieces: 10 };
  }
  const stream = voice !== 'embed' && luck() < 0.5;
  const usual = { voice, stream, pieces: 10, everyMs: 3, delayMs: luck() * 10 };
  const chance = luck();
  if (chance < 0.05) return { ...usual, fault: mixedFault(luck) };
  if (chance < 0.12) return { ...usual, leave: { afterMs: luck() * 40 } };
  if (chance < 0.13) return { ...usual, leave: { afterBytes: 30, afterMs: luck() * 20 } };
  return usual;
}

function mixedFault(luck: () => number): Fault {
  const kind = oneOf(['cut', 'torn', 'unmarked', 'error-frame', 'silent', 'status'] as const, luck);
  const at = Math.floor(luck() * 10);
  const on = luck() < 0.7 ? { on: [`b${1 + Math.floor(luck() * 4)}`] } : {};
  return { kind, at, status: oneOf([400, 404, 429, 500, 502, 503] as const, luck), ...on };
}

/** Kills a backend now and then, lets one hang or be busy for a moment, drains and resumes one. Returns the way to stop. */
export function startTroubles(stage: Stage): () => Promise<void> {
  const { gateway, herd, luck } = stage;
  const unsupervise = supervise(herd, 300);
  const over = new AbortController();
  const trouble = async (): Promise<void> => {
    while (!over.signal.aborted) {
      await delay(500 + luck() * 1_000);
      const member = oneOf(herd.members, luck);
      if (over.signal.aborted || !member.isUp || herd.up < herd.members.length) continue;
      const chance = luck();
      if (chance < 0.4) await restart(member);
      else if (chance < 0.7) await moody(member, luck() < 0.5 ? 'wedged' : 'busy');
      else {
        await gateway.operate('POST', `/gateway/backends/${member.name}/drain`);
        await delay(300);
        await gateway.operate('POST', `/gateway/backends/${member.name}/resume`);
      }
    }
  };
  const troubles = trouble();
  return async () => {
    over.abort();
    await troubles;
    unsupervise();
  };
}

type Member = Herd['members'][number];

async function restart(member: Member): Promise<void> {
  await member.kill();
  await delay(200);
  await member.start();
}

async function moody(member: Member, mood: 'wedged' | 'busy'): Promise<void> {
  member.become(mood);
  await delay(400);
  member.become('well');
}
