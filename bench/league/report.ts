/** A live league as people read it. */
import type { Figures } from '../sim/measure.ts';

export interface LiveRow {
  readonly name: string;
  readonly version: string;
  readonly live: Figures;
  readonly simulated: Figures;
}

export interface LiveCase {
  readonly name: string;
  readonly title: string;
  /** Of the lengths. */
  readonly source: string;
  /** Llamero first. */
  readonly rows: readonly LiveRow[];
}

export interface Circumstances {
  readonly minutes: number;
  readonly scale: number;
  readonly seed: number;
  readonly machine: string;
}

/** How far a live ratio may be from the simulated one. */
const TOLERANCE = 0.3;

export function report(cases: readonly LiveCase[], { machine, minutes, scale, seed }: Circumstances): string {
  const ratios = cases.flatMap(ratiosOf);
  return [
    '# The league, live',
    '',
    `Written by \`npm run league\`: ${minutes} simulated minutes of each case over HTTP, at ${scale} times their pace, seed ${seed}. ${machine}.`,
    'Seconds are simulated ones. TTFT counts unfinished requests as infinitely late (`never`); `finished` leaves them out.',
    '',
    '## Ratios',
    '',
    'Times better than Llamero’s, live and in the simulation of the same conversations. The bar: the same direction, and within',
    `${TOLERANCE * 100} % of the simulated ratio. A balancer that falls behind gets worse by the minute, so that its`,
    'figures differ most between two runs; what is without bound in both agrees. Requests of the last minute are not counted.',
    '',
    ...table(
      ['case', 'against', 'figure', 'live', 'simulated', 'same direction', `within ${TOLERANCE * 100} %`],
      ratios.map((one) => [
        one.of,
        one.against,
        one.figure,
        times(one.live),
        times(one.simulated),
        yes(isSameDirection(one)),
        yes(isNear(one)),
      ]),
    ),
    '',
    '## Figures',
    '',
    ...cases.flatMap(({ name, rows, source, title }) => [
      `### ${name}: ${title}`,
      '',
      `Lengths: ${source}.`,
      '',
      ...table(
        ['', '', 'requests', 'finished', 'TTFT p50', 'p99', 'finished p50', 'finished p99', 'loads'],
        rows.flatMap(({ live, name: who, simulated, version }) => [
          [`${who} (${version})`, 'live', ...cells(live)],
          ['', 'simulated', ...cells(simulated)],
        ]),
      ),
      '',
    ]),
  ].join('\n');
}

interface Ratio {
  readonly of: string;
  readonly against: string;
  readonly figure: string;
  readonly live: number;
  readonly simulated: number;
}

const compared: readonly (readonly [string, (figures: Figures) => number])[] = [
  ['TTFT p50', ({ p50 }) => p50],
  ['TTFT p99', ({ p99 }) => p99],
  ['finished p50', ({ finishedP50 }) => finishedP50],
  ['finished p99', ({ finishedP99 }) => finishedP99],
];

function ratiosOf({ name, rows }: LiveCase): Ratio[] {
  const [own, ...others] = rows;
  if (own === undefined) return [];
  return others.flatMap((other) =>
    compared.map(([figure, read]) => ({
      of: name,
      against: other.name,
      figure,
      live: read(other.live) / read(own.live),
      simulated: read(other.simulated) / read(own.simulated),
    })),
  );
}

function isSameDirection({ live, simulated }: Ratio): boolean {
  return live > 1 === simulated > 1;
}

function isNear({ live, simulated }: Ratio): boolean {
  return Object.is(live, simulated) || Math.abs(live / simulated - 1) <= TOLERANCE;
}

function cells({ finishedP50, finishedP99, finishedShare, loads, p50, p99, requests }: Figures): string[] {
  const share = `${(100 * finishedShare).toFixed(1)} %`;
  return [String(requests), share, ...[p50, p99, finishedP50, finishedP99].map(seconds), String(loads)];
}

function seconds(value: number): string {
  return Number.isFinite(value) ? value.toPrecision(3) : 'never';
}

function times(value: number): string {
  if (Number.isNaN(value)) return '–';
  return Number.isFinite(value) ? `${value.toPrecision(3)} x` : 'without bound';
}

function yes(is: boolean): string {
  return is ? 'yes' : '**no**';
}

function table(header: readonly string[], rows: readonly (readonly string[])[]): string[] {
  const line = (row: readonly string[]) => `| ${row.join(' | ')} |`;
  return [line(header), line(header.map((_, column) => (column < 3 ? '---' : '---:'))), ...rows.map(line)];
}
