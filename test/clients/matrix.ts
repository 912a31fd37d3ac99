/** Does one thing with one client on both sides, and says whether the client sees the same. */
import assert from 'node:assert/strict';
import { setTimeout } from 'node:timers/promises';
import { withCloser } from '../support/closer.ts';
import { type Client, eventsBeforeLeaving, type Observation } from './client.ts';
import type { Column, Step } from './columns.ts';
import { differences } from './compare.ts';
import { setStage, type Side, type Stage } from './stage.ts';
import { steady } from './steady.ts';
import type { Tolerance } from './tolerated.ts';

export type Verdict =
  | { readonly kind: 'same' }
  | { readonly kind: 'better'; readonly tolerance: Tolerance }
  | { readonly kind: 'different'; readonly problems: readonly string[] }
  /** The client has no such call. */
  | { readonly kind: 'none' };

/** A call that takes longer hangs. */
const patienceMs = 30_000;
/** From the client's leaving until its backend is free again. */
const leavingMs = 1_000;

/** The worst of its steps. */
export async function judgeCell(client: Client, column: Column): Promise<Verdict> {
  const verdicts: Verdict[] = [];
  for (const step of column.steps) {
    if (client.can.has(step.call)) verdicts.push(await judgeStep(client, column, step));
  }
  const problems = verdicts.flatMap((verdict) => (verdict.kind === 'different' ? verdict.problems : []));
  if (problems.length > 0) return { kind: 'different', problems };
  return verdicts.find(({ kind }) => kind === 'better') ?? verdicts[0] ?? { kind: 'none' };
}

async function judgeStep(client: Client, column: Column, step: Step): Promise<Verdict> {
  const where = `${client.name}, ${column.name}, ${step.call} ${step.model}`;
  try {
    const direct = column.gatewayOnly === true ? nothingSeen : await perform('direct', client, column, step);
    const verdict = compare(column, direct, await perform('gateway', client, column, step));
    if (verdict.kind !== 'different') return verdict;
    return { kind: 'different', problems: verdict.problems.map((problem) => `${where}: ${problem}`) };
  } catch (error) {
    // A client whose process ended, or a backend that does not know that its client has left.
    return { kind: 'different', problems: [`${where}: ${(error as Error).message}`] };
  }
}

const nothingSeen: Observation = { saw: [], raised: null };

export function compare(column: Column, direct: Observation, gateway: Observation): Verdict {
  const problem = endProblem(column, gateway, 'gateway');
  if (problem !== null) return { kind: 'different', problems: [problem] };
  const found = differences(direct, gateway);
  if (found.length === 0) return { kind: 'same' };
  const tolerance = column.tolerates?.find((each) => each.covers(direct, gateway));
  if (tolerance !== undefined) return { kind: 'better', tolerance };
  const wrong = endProblem(column, direct, 'direct');
  if (wrong !== null) return { kind: 'different', problems: [wrong] };
  const shown = found.slice(0, mostShown).map(({ path, ...sides }) => {
    return `${path} is ${brief(sides.direct)} direct, ${brief(sides.gateway)} through the gateway`;
  });
  const more = found.length - shown.length;
  return { kind: 'different', problems: more > 0 ? [...shown, `and ${more} more`] : shown };
}

const mostShown = 5;

function endProblem({ ends, midStream }: Column, { saw, raised }: Observation, side: Side): string | null {
  const where = side === 'direct' ? 'direct' : 'through the gateway';
  if (ends === 'raised' && raised === null) return `does not raise ${where}; it saw ${brief(saw)}`;
  if (ends === 'raised') {
    const isEarly = midStream === true && side === 'gateway' && saw.length === 0;
    return isEarly ? `raises ${where} before it has seen anything: ${brief(raised)}` : null;
  }
  if (ends === 'answered') return raised === null ? null : `raises ${where}: ${brief(raised)}`;
  return saw.length < eventsBeforeLeaving ? `sees only ${saw.length} events ${where}, and ${brief(raised)}` : null;
}

function brief(value: unknown): string {
  const text = JSON.stringify(value) ?? 'nothing';
  return text.length > 300 ? `${text.slice(0, 200)} … ${text.slice(-80)}` : text;
}

/** On a stage of its own, so that nothing is left of one call for the next. */
async function perform(side: Side, client: Client, column: Column, step: Step): Promise<Observation> {
  return withCloser(async (closer) => {
    const stage = await setStage(side, closer, column.config);
    for (const backend of stage.backends) await column.prepare?.(backend);
    const { call, model } = step;
    const hung = setTimeout(patienceMs, `no end within ${patienceMs / 1_000} s`, { ref: false });
    const seen = await Promise.race([client.observe(call, { url: stage.url, model }), hung]);
    if (typeof seen === 'string') throw new Error(`${side}: ${seen}`);
    if (column.ends === 'left') await freed(side, stage);
    return { saw: steady(seen.saw) as unknown[], raised: steady(seen.raised) as Observation['raised'] };
  });
}

/** Resolves once the backend that served a client that left knows it and has its slot back. */
async function freed(side: Side, { backends }: Stage): Promise<void> {
  const left = backends.map(({ control }) => control.journal.until(({ kind }) => kind === 'client-left'));
  const waited = await Promise.race([...left, setTimeout(leavingMs, null, { ref: false })]);
  assert.ok(waited, `${side}: no backend was told within ${leavingMs} ms that the client had left`);
  const active = backends.flatMap(({ control }) => control.machine.resident().map((runner) => runner.active));
  assert.deepEqual(
    active,
    active.map(() => 0),
    `${side}: a slot is still taken`,
  );
}
