/** Results as people read them. */
import type { Case } from './cases.ts';
import type { Figures } from './measure.ts';

export interface Row {
  readonly policy: string;
  readonly figures: Figures;
}

export interface CaseResult {
  readonly of: Case;
  readonly source: string;
  readonly seeds: readonly number[];
  readonly rows: readonly Row[];
}

const columns: readonly (readonly [string, (figures: Figures) => string])[] = [
  ['requests', ({ requests }) => String(requests)],
  ['finished', ({ finishedShare }) => `${(100 * finishedShare).toFixed(1)} %`],
  ['TTFT p50', ({ p50 }) => seconds(p50)],
  ['p90', ({ p90 }) => seconds(p90)],
  ['p99', ({ p99 }) => seconds(p99)],
  ['finished p50', ({ finishedP50 }) => seconds(finishedP50)],
  ['finished p99', ({ finishedP99 }) => seconds(finishedP99)],
  ['answer p99', ({ totalP99 }) => seconds(totalP99)],
  ['loads', ({ loads }) => String(loads)],
  ['reloads', ({ reloads }) => String(reloads)],
  ['prefix hit', ({ prefixHit }) => (prefixHit === null ? '–' : prefixHit.toFixed(3))],
  ['tokens/s', ({ outputRate }) => (outputRate === undefined ? '–' : outputRate.toFixed(0))],
  ['Jain', ({ jain }) => (jain === null ? '–' : jain.toFixed(2))],
  ['light p99', ({ lightP99 }) => (lightP99 === null ? '–' : seconds(lightP99))],
];

/** A Markdown table of one case. Columns without a value in any row are left out. */
export function tableOf({ of, rows, source, seeds }: CaseResult): string {
  const shown = columns.filter(([, cell]) => rows.some(({ figures }) => !['–', '0'].includes(cell(figures))));
  const header = ['policy', ...shown.map(([name]) => name)];
  const lines = rows.map(({ policy, figures }) => [policy, ...shown.map(([, cell]) => cell(figures))]);
  const widths = header.map((_, column) => Math.max(...[header, ...lines].map((line) => line[column]!.length)));
  const render = (cells: readonly string[]): string =>
    `| ${cells.map((cell, column) => (column === 0 ? cell.padEnd(widths[0]!) : cell.padStart(widths[column]!))).join(' | ')} |`;
  const rule = `| ${widths.map((width, column) => (column === 0 ? '-'.repeat(width) : `${'-'.repeat(width - 1)}:`)).join(' | ')} |`;
  return [
    `### ${of.name}: ${of.title}`,
    '',
    `${shapeOf(of)}. Lengths: ${source}. ${seeds.length > 1 ? `Median of seeds ${seeds.join(', ')}` : `Seed ${seeds[0]}`}; seconds.`,
    '',
    render(header),
    rule,
    ...lines.map(render),
    '',
  ].join('\n');
}

function shapeOf(of: Case): string {
  const uneven = of.speeds.some((speed) => speed !== 1) ? ` of speeds ${of.speeds.join(', ')}` : '';
  const rate = of.rate > 0 ? `, ${of.rate} requests/s` : '';
  return `${of.backends} backends${uneven} x ${of.places} places x ${of.slots} slots, ${of.models} models${rate}, load ${of.loadMs / 1000} s`;
}

/** Null where nobody finished. */
function seconds(value: number | null): string {
  if (value === Infinity) return 'never';
  if (value === null || Number.isNaN(value)) return '–';
  if (value < 10) return value.toFixed(2);
  return value < 100 ? value.toFixed(1) : value.toFixed(0);
}
