import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { catalogue, defaultBuckets } from '../../src/observe/catalogue.ts';
import { describeMetrics } from '../../src/observe/describe.ts';
import { failures } from '../../src/core/errors.ts';
import { events, finished, metricsWith } from './samples.ts';
import { readExposition } from './exposition-reader.ts';

describe('docs/metrics.md', () => {
  const page = describeMetrics();

  it('has a row for every metric that is exposed', async (t) => {
    const metrics = metricsWith();
    t.after(() => metrics.close());
    for (const event of Object.values(events)) metrics.observe(event);
    for (const outcome of Object.keys(failures)) metrics.observe(finished({ outcome }));
    for (const { name, type } of readExposition((await metrics.render(undefined)).body, 'text').values()) {
      assert.ok(page.includes(`| \`${name}\` | ${type} |`), name);
    }
  });

  it('explains every label that is exposed', async (t) => {
    const metrics = metricsWith();
    t.after(() => metrics.close());
    for (const event of Object.values(events)) metrics.observe(event);
    for (const { samples } of readExposition((await metrics.render(undefined)).body, 'text').values()) {
      for (const label of samples.flatMap(({ labels }) => Object.keys(labels))) {
        assert.ok(label === 'le' || page.includes(`\n| \`${label}\` | `), label);
      }
    }
  });

  it('has sentences, and buckets that rise', () => {
    for (const { name, help } of catalogue) assert.match(help, /^[A-Z0-9][^|\n\\]*\.$/, name);
    for (const [name, bounds] of Object.entries(defaultBuckets)) {
      assert.deepEqual(
        bounds,
        [...new Set(bounds)].sort((a, b) => a - b),
        name,
      );
    }
  });
});
