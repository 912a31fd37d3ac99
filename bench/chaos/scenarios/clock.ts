/** G18: the wall clock jumps an hour ahead and an hour back while requests run. */
import { setTimeout as delay } from 'node:timers/promises';
import type { Ended } from '../history.ts';
import { after, askAtRate } from '../load.ts';
import { seeded, oneOf } from '../luck.ts';
import { bar, ms, perform, type Circumstances, type Finding, type Scenario } from '../scenario.ts';
import type { PartialWish } from '../stage.ts';

const hourMs = 3_600_000;
const config = `
queue: {timeout: 1500ms, refuseEarly: false}
timeouts: {firstByte: 1s, firstByteWarm: 1s, idle: 1s}
health: {ejectAfter: 1000, ejectRatio: 1, ejectMinimum: 100000}
breaker: {failureRatio: 1, minimumVerdicts: 100000}
`;

export const clock: Scenario = {
  id: 'G18',
  title: 'the wall clock jumps by an hour, both ways',
  async run(circumstances) {
    const steady = await run(circumstances, 'steady', undefined);
    const jumping = await run(circumstances, 'jumping', [
      [2_000, hourMs],
      [4_000, 0],
      [6_000, -hourMs],
      [8_000, 0],
    ]);
    const { changed, slowest } = compare(steady.endings, jumping.endings);
    return {
      bars: [
        ...jumping.finding.bars,
        bar(changed.length === 0, `${changed.length} of ${steady.endings.length} outcomes changed (0)`),
        bar(slowest <= 500, `no timer fired more than ${ms(slowest)} otherwise than without the jumps (500 ms)`),
      ],
      figures: [...jumping.finding.figures, ...changed.slice(0, 5)],
      violations: [...steady.finding.violations, ...jumping.finding.violations],
      events: jumping.finding.events,
    };
  },
};

async function run(
  circumstances: Circumstances,
  name: string,
  wallShifts: readonly (readonly [number, number])[] | undefined,
): Promise<{ endings: readonly Ended[]; finding: Finding }> {
  let endings: readonly Ended[] = [];
  const finding = await perform(
    circumstances,
    { backends: 2, slots: 16, config, name, ...(wallShifts !== undefined && { wallShifts }) },
    async (stage) => {
      stage.deadlineMs = 5_000;
      const luck = seeded(7);
      const lastsMs = circumstances.quick ? 8_000 : 20_000;
      const load = askAtRate(stage.clients, { rate: 30, isDone: after(lastsMs) }, () => stage.wish(wish(luck)));
      await delay(0);
      endings = await load;
    },
    () => ({ bars: [] }),
  );
  return { endings, finding };
}

/** Requests whose outcome rests on their script and the gateway's timers alone. */
function wish(luck: () => number): PartialWish {
  const voice = oneOf(['chat', 'openai', 'anthropic'] as const, luck);
  const chance = luck();
  const usual = { voice, stream: true, pieces: 20, everyMs: 20 };
  if (chance < 0.1) return { ...usual, fault: { kind: 'status', at: 0, status: 400 } };
  if (chance < 0.2) return { ...usual, fault: { kind: 'silent', at: 3 } };
  if (chance < 0.25) return { ...usual, stream: false, fault: { kind: 'silent', at: 0 } };
  if (chance < 0.35) return { ...usual, fault: { kind: 'unmarked', at: 5 } };
  return { ...usual, stream: chance < 0.8, delayMs: chance < 0.5 ? 500 : 0 };
}

function compare(steady: readonly Ended[], jumping: readonly Ended[]): { changed: string[]; slowest: number } {
  const changed: string[] = [];
  let slowest = 0;
  for (const [index, before] of steady.entries()) {
    const behind = jumping[index];
    if (behind === undefined) break;
    const what = ({ ending, status }: Ended): string => `${ending} ${status}`;
    if (what(before) !== what(behind))
      changed.push(`request ${index + 1}: ${what(before)}, with jumps ${what(behind)}`);
    slowest = Math.max(slowest, Math.abs(behind.at - behind.sentAt - (before.at - before.sentAt)));
  }
  return { changed, slowest };
}
