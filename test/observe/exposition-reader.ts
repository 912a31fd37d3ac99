/** Reads Prometheus text and OpenMetrics as strictly as a scraper, and throws at what one would refuse. */
import assert from 'node:assert/strict';

export interface Sample {
  /** Name and labels as written, labels sorted. */
  readonly series: string;
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
  readonly exemplar: Readonly<Record<string, string>> | null;
}

export interface Family {
  readonly name: string;
  readonly type: string;
  readonly samples: Sample[];
}

const labelPattern = /([a-zA-Z_]\w*)="((?:[^"\\\n]|\\["\\n])*)"/y;
const samplePattern = /^([a-zA-Z_:][\w:]*)(?:\{(.*?)\})? (\S+)(?: # \{(.*)\} (\S+)(?: (\S+))?)?$/;

export function readExposition(body: string, format: 'text' | 'openmetrics'): Map<string, Family> {
  assert.ok(body.endsWith('\n'), 'ends in a line break');
  const lines = body.slice(0, -1).split('\n');
  if (format === 'openmetrics') assert.equal(lines.pop(), '# EOF');
  const families = new Map<string, Family>();
  const seen = new Set<string>();
  let current: Family | null = null;
  let help = '';
  for (const line of lines) {
    const comment = /^# (HELP|TYPE) ([a-zA-Z_:][\w:]*) (.+)$/.exec(line);
    if (comment?.[1] === 'HELP') {
      help = comment[2]!;
    } else if (comment?.[1] === 'TYPE') {
      assert.equal(comment[2], help, `TYPE follows HELP: ${line}`);
      assert.ok(!families.has(help), `a family comes once: ${help}`);
      current = { name: help, type: comment[3]!, samples: [] };
      families.set(help, current);
    } else {
      assert.ok(current !== null, `a sample belongs to a family: ${line}`);
      const sample = readSample(line);
      assert.ok(belongs(sample.name, current, format), `${sample.name} under ${current.name}`);
      assert.ok(!seen.has(sample.series), `a series comes once: ${sample.series}`);
      if (sample.exemplar !== null) assert.equal(format, 'openmetrics', 'exemplars are for OpenMetrics');
      seen.add(sample.series);
      current.samples.push(sample);
    }
  }
  for (const family of families.values()) if (family.type === 'histogram') checkHistogram(family);
  return families;
}

export function seriesOf(families: ReadonlyMap<string, Family>): Set<string> {
  return new Set([...families.values()].flatMap(({ samples }) => samples.map(({ series }) => series)));
}

/** The one sample of that name that has these labels among its own; undefined when there is none. */
export function valueOf(
  families: ReadonlyMap<string, Family>,
  name: string,
  labels: Readonly<Record<string, string>> = {},
): number | undefined {
  const all = [...families.values()].flatMap(({ samples }) => samples);
  const found = all.filter(
    (sample) =>
      sample.name === name && Object.entries(labels).every(([label, value]) => sample.labels[label] === value),
  );
  assert.ok(found.length <= 1, `more than one ${name} with ${JSON.stringify(labels)}`);
  return found[0]?.value;
}

function readSample(line: string): Sample {
  const match = samplePattern.exec(line);
  assert.ok(match, `not a sample: ${line}`);
  const [, name, labelText = '', valueText, exemplarText] = match;
  const labels = readLabels(labelText);
  const value = valueText === '+Inf' ? Infinity : Number(valueText);
  assert.ok(!Number.isNaN(value), `not a number: ${line}`);
  const sorted = Object.entries(labels).sort(([a], [b]) => (a < b ? -1 : 1));
  const series = `${name}{${sorted.map(([label, text]) => `${label}="${text}"`).join(',')}}`;
  return { series, name: name!, labels, value, exemplar: exemplarText === undefined ? null : readLabels(exemplarText) };
}

function readLabels(text: string): Record<string, string> {
  const labels: Record<string, string> = {};
  labelPattern.lastIndex = 0;
  let position = 0;
  while (position < text.length) {
    labelPattern.lastIndex = position;
    const match = labelPattern.exec(text);
    assert.ok(match, `not labels: ${text}`);
    assert.ok(!Object.hasOwn(labels, match[1]!), `a label comes once: ${text}`);
    labels[match[1]!] = match[2]!;
    position = labelPattern.lastIndex;
    if (position < text.length) assert.equal(text[position++], ',');
  }
  return labels;
}

function belongs(name: string, family: Family, format: 'text' | 'openmetrics'): boolean {
  if (family.type === 'histogram') return ['_bucket', '_sum', '_count'].some((suffix) => name === family.name + suffix);
  if (family.type === 'counter')
    return name === (format === 'text' ? family.name : `${family.name}_total`) && name.endsWith('_total');
  return name === family.name && !name.endsWith('_total');
}

/** Buckets rise to +Inf, which is the count. */
function checkHistogram({ name, samples }: Family): void {
  const sets = new Map<string, Sample[]>();
  for (const sample of samples) {
    const { le: _, ...labels } = sample.labels;
    const key = Object.entries(labels)
      .map((pair) => pair.join('='))
      .sort()
      .join();
    sets.set(key, [...(sets.get(key) ?? []), sample]);
  }
  for (const set of sets.values()) {
    const buckets = set.filter((sample) => sample.name === `${name}_bucket`);
    const values = buckets.map(({ value }) => value);
    assert.deepEqual(
      values,
      [...values].sort((a, b) => a - b),
      `${name} buckets are cumulative`,
    );
    assert.equal(buckets.at(-1)?.labels['le'], '+Inf');
    assert.equal(buckets.at(-1)?.value, set.find((sample) => sample.name === `${name}_count`)?.value);
    assert.ok(set.some((sample) => sample.name === `${name}_sum`));
  }
}
