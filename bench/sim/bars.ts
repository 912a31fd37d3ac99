/** What the router promises to reach in the league, and whether it does. */
import type { Figures } from './measure.ts';
import type { CaseResult } from './table.ts';

export interface Bar {
  readonly id: string;
  readonly promise: string;
  /** What was measured, in words; null when the case or a baseline did not run. */
  readonly measured: string | null;
  readonly reached: boolean;
}

/** A promise as a number that has to be at least, or at most, `bound`. */
interface Promised {
  readonly id: string;
  readonly of: string;
  readonly promise: string;
  readonly value: (us: Figures, them: Figures) => number;
  readonly against: string;
  /** Of another case; how many finish in each is not compared then. */
  readonly in?: string;
  readonly atLeast?: number;
  readonly atMost?: number;
  /** The same of finished requests only, for when too few of the others' ever finish. */
  readonly finished?: (us: Figures, them: Figures) => number;
}

const us = 'soonest';

const promises: readonly Promised[] = [
  faster('R1', 'A', 'p50', 'round-robin-blind', 15),
  faster('R1', 'A', 'p99', 'round-robin-blind', 30),
  {
    id: 'R1',
    of: 'A',
    promise: 'loads, as a share of round robin’s',
    value: (ours, theirs) => ours.loads / theirs.loads,
    against: 'round-robin-blind',
    atMost: 0.05,
  },
  faster('R1', 'A', 'p99', 'least-conn-blind', 15),
  {
    id: 'R2',
    of: 'C',
    promise: 'requests finished, times those of least-connections',
    value: (ours, theirs) => ours.finished / theirs.finished,
    against: 'least-conn-blind',
    atLeast: 2,
  },
  faster('R2', 'C', 'p99', 'least-conn-blind', 10),
  {
    id: 'R2',
    of: 'C',
    promise: 'TTFT p99, times that of hash(model)',
    value: (ours, theirs) => ours.p99 / theirs.p99,
    against: 'hash-model',
    atMost: 0.7,
  },
  {
    id: 'R2',
    of: 'C',
    promise: 'loads, times those of hash(model)',
    value: (ours, theirs) => ours.loads / theirs.loads,
    against: 'hash-model',
    atMost: 1,
  },
  faster('R3', 'D', 'p50', 'loaded-least-conn', 2),
  faster('R3', 'D', 'p99', 'loaded-least-conn', 1.7),
  faster('R4', 'E', 'p50', 'least-conn-blind', 2.5),
  faster('R4', 'E', 'p99', 'least-conn-blind', 3),
  {
    id: 'R4',
    of: 'E',
    promise: 'prefix hit rate',
    value: ({ prefixHit }) => prefixHit ?? 0,
    against: us,
    atLeast: 0.95,
  },
  faster('R5', 'F', 'p99', 'least-conn-blind', 1.7),
  faster('R5', 'F', 'p99', 'round-robin-blind', 50),
  { id: 'R6', of: 'G', promise: 'reloads after warm-up', value: ({ reloads }) => reloads, against: us, atMost: 0 },
  {
    id: 'R8',
    of: 'M',
    promise: 'prefix hit rate, as a share of what one big cache would reach',
    value: ({ prefixHit }) => prefixHit ?? 0,
    against: us,
    atLeast: 0.85,
  },
  faster('R8', 'M', 'p90', 'least-conn-blind', 1.5),
  {
    id: 'R9',
    of: 'I',
    promise: 'TTFT p50, times that of least-connections',
    value: (ours, theirs) => ours.p50 / theirs.p50,
    against: 'least-conn-blind',
    atMost: 1.02,
  },
  {
    id: 'R9',
    of: 'I',
    promise: 'TTFT p99, times that of least-connections',
    value: (ours, theirs) => ours.p99 / theirs.p99,
    against: 'least-conn-blind',
    atMost: 1.02,
  },
  {
    id: 'fair',
    of: 'H',
    promise: 'TTFT p99 of the light client, times what it is alone',
    value: (ours, theirs) => (ours.lightP99 ?? Infinity) / (theirs.lightP99 ?? 0),
    against: us,
    in: 'H1',
    atMost: 2,
  },
  throughput('H'),
  {
    id: 'fair',
    of: 'HJ',
    promise: 'Jain’s index of output tokens between clients of equal weight',
    value: ({ jain }) => jain ?? 0,
    against: us,
    atLeast: 0.95,
  },
  throughput('HJ'),
];

/** Fairness costs the fleet next to nothing. */
function throughput(name: string): Promised {
  return {
    id: 'fair',
    of: name,
    promise: 'output tokens a second, as a share of those of first come, first served',
    value: (ours, theirs) => ours.outputRate / theirs.outputRate,
    against: 'soonest-fifo',
    in: name,
    atLeast: 0.97,
  };
}

function faster(id: string, name: string, key: 'p50' | 'p90' | 'p99', against: string, atLeast: number): Promised {
  return {
    id,
    of: name,
    promise: `TTFT ${key}, times better than ${against}`,
    value: (ours, theirs) => theirs[key] / ours[key],
    ...(key === 'p90' ? {} : { finished: (ours, theirs) => theirs[of(key)] / ours[of(key)] }),
    against,
    atLeast,
  };
}

function of(key: 'p50' | 'p99'): 'finishedP50' | 'finishedP99' {
  return key === 'p50' ? 'finishedP50' : 'finishedP99';
}

export function barsOf(results: readonly CaseResult[]): readonly Bar[] {
  return promises.map((promised): Bar => {
    const { id, of: name, promise, value, finished, against, in: elsewhere, atLeast, atMost } = promised;
    const ours = figuresIn(results, name, us);
    const theirs = figuresIn(results, elsewhere ?? name, against);
    const bound = atLeast === undefined ? `<= ${atMost}` : `>= ${atLeast}`;
    const text = `${name}: ${promise} ${bound}`;
    if (ours === undefined || theirs === undefined) return { id, promise: text, measured: null, reached: false };
    const measured = value(ours, theirs);
    const noWorse = elsewhere !== undefined || ours.finishedShare >= theirs.finishedShare - 0.002;
    const reached = noWorse && (atLeast === undefined ? measured <= atMost! : measured >= atLeast);
    const worse = noWorse ? '' : ', but fewer finished';
    const those =
      measured === Infinity && finished !== undefined ? ` (of finished ones: ${shown(finished(ours, theirs))})` : '';
    return { id, promise: text, measured: `${shown(measured)}${those}${worse}`, reached };
  });
}

function figuresIn(results: readonly CaseResult[], name: string, policy: string): Figures | undefined {
  return results.find(({ of }) => of.name === name)?.rows.find((row) => row.policy === policy)?.figures;
}

export function barsTable(bars: readonly Bar[]): string {
  const lines = bars
    .filter(({ measured }) => measured !== null)
    .map(
      ({ id, promise, measured, reached }) => `| ${id} | ${promise} | ${measured} | ${reached ? 'yes' : '**no**'} |`,
    );
  return ['| | bar | measured | reached |', '| --- | --- | ---: | --- |', ...lines, ''].join('\n');
}

/** A ratio to something that never ends has no number. */
function shown(value: number): string {
  if (value === Infinity) return 'without bound';
  return value < 10 ? value.toFixed(3) : value.toFixed(0);
}
