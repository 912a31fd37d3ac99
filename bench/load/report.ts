/** Turns visits into rows, checks and a table. Pure: it measures nothing and prints nothing. */
import type { Visit } from './measure.ts';
import { STREAMS, type Scenario } from './scenarios.ts';
import { summarise, type Summary } from './statistics.ts';

/** The way without a proxy, which has no CPU time of its own. */
export const DIRECT = 'direct';
/** What the others are compared with. */
const YARDSTICK = 'nginx';
/** Above these the harness may be what is measured. */
const MOST_GENERATOR_SHARE = 0.7;
const LEAST_DIRECT_RATIO = 2;
const MOST_CPU_PER_REQUEST_RATIO = 4;
const MOST_CPU_PER_CHUNK_RATIO = 2.5;
const MOST_BYTES_PER_STREAM = 60_000;

/** A target's visits in the order they were made; the n-th visits of all targets belong together. */
export type Visits = ReadonlyMap<string, readonly Visit[]>;

export interface Row {
  readonly target: string;
  readonly requestsPerSecond: Summary | null;
  readonly chunksPerSecond: Summary | null;
  /** Microseconds of the proxy's CPU time for each request or chunk. */
  readonly cpuPerUnit: Summary | null;
  /** The last figure over nginx's of the same pass. */
  readonly cpuRatio: Summary | null;
  /** Requests a second over nginx's of the same pass. */
  readonly rateRatio: Summary | null;
  /** Milliseconds; to the first body byte for streams. */
  readonly latencyP50: Summary | null;
  readonly latencyP99: Summary | null;
  /** Milliseconds from a chunk's sending to its arrival. */
  readonly delayP50: Summary | null;
  readonly delayP99: Summary | null;
  /** Shares of one core. */
  readonly proxyShare: Summary | null;
  readonly generatorShare: Summary | null;
  readonly backendShare: Summary | null;
  readonly errors: number;
  readonly errorKinds: Readonly<Record<string, number>>;
}

export interface MemoryRow {
  readonly target: string;
  readonly streams: number;
  /** Resident bytes for each open stream. */
  readonly bytesPerStream: Summary | null;
}

/** A sentence about the run that is true or not. */
export interface Check {
  readonly text: string;
  readonly holds: boolean;
}

export function rowsOf(visits: Visits, unit: Scenario['unit']): Row[] {
  const yardstick = visits.get(YARDSTICK) ?? [];
  return [...visits].map(([target, own]) => {
    const each = (figure: (visit: Visit) => number | null) => summarise(known(own.map(figure)));
    const againstYardstick = (figure: (visit: Visit) => number | null) =>
      summarise(known(own.map((visit, i) => quotient(figure(visit), yardstick[i] && figure(yardstick[i])))));
    const cpu = (visit: Visit) =>
      target === DIRECT ? null : quotient(visit.proxyCpu, unit === 'chunk' ? visit.chunks : visit.answers);
    const yardstickCpu = (visit: Visit) => quotient(visit.proxyCpu, unit === 'chunk' ? visit.chunks : visit.answers);
    return {
      target,
      requestsPerSecond: each(requestRate),
      chunksPerSecond: unit === 'chunk' ? each((visit) => perSecond(visit.chunks, visit)) : null,
      cpuPerUnit: each(cpu),
      cpuRatio: target === DIRECT ? null : againstYardstick(yardstickCpu),
      rateRatio: againstYardstick(requestRate),
      latencyP50: each((visit) => visit.latency?.p50 ?? null),
      latencyP99: each((visit) => visit.latency?.p99 ?? null),
      delayP50: each((visit) => visit.chunkDelay?.p50 ?? null),
      delayP99: each((visit) => visit.chunkDelay?.p99 ?? null),
      proxyShare: target === DIRECT ? null : each((visit) => share(visit.proxyCpu, visit)),
      generatorShare: each((visit) => share(visit.generatorCpu, visit)),
      backendShare: each((visit) => share(visit.backendCpu, visit)),
      errors: own.reduce((sum, visit) => sum + total(visit.errors), 0),
      errorKinds: merged(own.map((visit) => visit.errors)),
    };
  });
}

/** How we know that the harness was not what was measured. */
export function harnessChecks(key: Scenario['key'], rows: readonly Row[]): Check[] {
  const checks: Check[] = [];
  const direct = rows.find((row) => row.target === DIRECT);
  const proxied = rows.filter((row) => row !== direct);
  const most = (list: readonly Row[], figure: 'generatorShare' | 'backendShare') =>
    Math.max(...known(list.map((row) => row[figure]?.median ?? null)));
  const generator = most(rows, 'generatorShare');
  if (Number.isFinite(generator)) {
    checks.push({
      text:
        `${key}: the generator used at most ${percent(generator)} of a core, the backend ${percent(most(rows, 'backendShare'))}` +
        ` (with a proxy between: ${percent(most(proxied, 'generatorShare'))}, ${percent(most(proxied, 'backendShare'))})`,
      holds: generator < MOST_GENERATOR_SHARE,
    });
  }
  const rate = (row: Row) => row.requestsPerSecond?.median ?? 0;
  const fastest = proxied.toSorted((a, b) => rate(b) - rate(a))[0];
  if (key === 'small' && direct !== undefined && fastest !== undefined) {
    const ratio = rate(direct) / rate(fastest);
    checks.push({
      text: `small: direct is ${ratio.toFixed(1)} x the fastest proxy (${fastest.target})`,
      holds: ratio >= LEAST_DIRECT_RATIO,
    });
  }
  return checks;
}

/** What the project promises of its own row. */
export function promises(
  rows: Readonly<Partial<Record<Scenario['key'], readonly Row[]>>>,
  memory: readonly MemoryRow[],
) {
  const checks: Check[] = [];
  const own = (list: readonly Row[] | undefined) => list?.find((row) => row.target === 'llamero')?.cpuRatio?.median;
  const request = own(rows.small);
  const perChunk = own(rows.streams);
  const promised = memory.find(({ target, streams }) => target === 'llamero' && streams === STREAMS);
  const bytes = promised?.bytesPerStream?.median;
  if (request !== undefined) {
    checks.push({
      text: `CPU per request is ${request.toFixed(2)} x nginx's, at most ${MOST_CPU_PER_REQUEST_RATIO}`,
      holds: request <= MOST_CPU_PER_REQUEST_RATIO,
    });
  }
  if (perChunk !== undefined) {
    checks.push({
      text: `CPU per chunk is ${perChunk.toFixed(2)} x nginx's, at most ${MOST_CPU_PER_CHUNK_RATIO}`,
      holds: perChunk <= MOST_CPU_PER_CHUNK_RATIO,
    });
  }
  if (bytes !== undefined) {
    checks.push({
      text: `an open stream takes ${(bytes / 1000).toFixed(1)} kB, at most ${MOST_BYTES_PER_STREAM / 1000}`,
      holds: bytes <= MOST_BYTES_PER_STREAM,
    });
  }
  return checks;
}

export function tableOf(rows: readonly Row[], unit: Scenario['unit']): string {
  const streaming = unit === 'chunk';
  const head = [
    '',
    streaming ? 'chunks/s' : 'requests/s',
    'x nginx',
    `CPU µs/${unit}`,
    'x nginx',
    streaming ? 'first byte p50' : 'p50 ms',
    'p99',
    ...(streaming ? ['chunk delay p50', 'p99'] : []),
    'busy',
    'errors',
  ];
  return table([
    head,
    ...rows.map((row) => [
      row.target,
      figure(streaming ? row.chunksPerSecond : row.requestsPerSecond, 0),
      figure(row.rateRatio, 2),
      figure(row.cpuPerUnit, 1),
      figure(row.cpuRatio, 2),
      figure(row.latencyP50, 2),
      figure(row.latencyP99, 2),
      ...(streaming ? [figure(row.delayP50, 2), figure(row.delayP99, 2)] : []),
      row.proxyShare === null ? '–' : percent(row.proxyShare.median),
      row.errors === 0 ? '0' : `${row.errors} (${Object.keys(row.errorKinds).join(', ')})`,
    ]),
  ]);
}

export function memoryTable(rows: readonly MemoryRow[]): string {
  const counts = [...new Set(rows.map((row) => row.streams))];
  const cell = (target: string, streams: number) =>
    rows.find((row) => row.target === target && row.streams === streams)?.bytesPerStream ?? null;
  return table([
    ['', ...counts.flatMap((streams) => [`kB each of ${streams}`, 'x nginx'])],
    ...[...new Set(rows.map((row) => row.target))].map((target) => [
      target,
      ...counts.flatMap((streams) => {
        const bytes = cell(target, streams);
        const ratio = quotient(bytes?.median ?? null, cell(YARDSTICK, streams)?.median);
        return [figure(bytes && scaled(bytes, 1 / 1000), 1), ratio === null ? '–' : ratio.toFixed(1)];
      }),
    ]),
  ]);
}

/** Columns of equal width; the first to the left, the others to the right. */
export function table(lines: readonly (readonly string[])[]): string {
  const widths = (lines[0] ?? []).map((_, column) => Math.max(...lines.map((line) => line[column]?.length ?? 0)));
  return lines
    .map((line) => line.map((cell, i) => (i === 0 ? cell.padEnd(widths[i]!) : cell.padStart(widths[i]!))).join('  '))
    .join('\n');
}

/** `median [min–max]`. */
function figure(summary: Summary | null, digits: number): string {
  if (summary === null) return '–';
  const [median, min, max] = [summary.median, summary.min, summary.max].map((value) => value.toFixed(digits));
  return `${median} [${min}–${max}]`;
}

function scaled(summary: Summary, factor: number): Summary {
  return { median: summary.median * factor, min: summary.min * factor, max: summary.max * factor };
}

function percent(fraction: number): string {
  return `${Math.round(fraction * 100)} %`;
}

function requestRate(visit: Visit): number {
  return perSecond(visit.answers, visit);
}

function perSecond(count: number, visit: Visit): number {
  return (count / visit.windowMs) * 1000;
}

/** CPU microseconds as a share of one core over the window. */
function share(micros: number | null, visit: Visit): number | null {
  return micros === null ? null : micros / 1000 / visit.windowMs;
}

function quotient(a: number | null, b: number | null | undefined): number | null {
  return a === null || b === null || b === undefined || b === 0 ? null : a / b;
}

function known(values: readonly (number | null)[]): number[] {
  return values.filter((value) => value !== null);
}

function total(errors: Readonly<Record<string, number>>): number {
  return Object.values(errors).reduce((sum, count) => sum + count, 0);
}

function merged(all: readonly Readonly<Record<string, number>>[]): Record<string, number> {
  const sum: Record<string, number> = {};
  for (const errors of all) {
    for (const [kind, count] of Object.entries(errors)) sum[kind] = (sum[kind] ?? 0) + count;
  }
  return sum;
}
