/** The catalogue as a page: docs/metrics.md. */
import { bands } from '../core/grants.ts';
import { backendStates } from '../core/events.ts';
import { catalogue, defaultBuckets, type LabelName } from './catalogue.ts';

/** The text of docs/metrics.md; tools/generate.ts writes it and a test compares it. */
export function describeMetrics(): string {
  const rows = catalogue.map(
    ({ name, type, labels, help }) =>
      `| \`${name}\` | ${type} | ${labels.map((l) => `\`${l}\``).join(' ')} | ${help} |`,
  );
  const buckets = catalogue.flatMap(({ name, buckets }) =>
    buckets === undefined ? [] : [`| \`${name}\` | \`${buckets}\` | ${defaultBuckets[buckets].join(' ')} |`],
  );
  const traced = catalogue.filter((spec) => spec.exemplars).map(({ name }) => `\`${name}\``);
  const labels = Object.entries(explainedLabels).map(([name, text]) => `| \`${name}\` | ${text} |`);
  return `# Metrics

<!-- Generated from src/observe/catalogue.ts by \`npm run gen\`; edit that file. -->

\`GET /metrics\`, on the public and on the admin listener. Plain Prometheus text, or OpenMetrics with exemplars (trace ids) when
the scraper asks for \`application/openmetrics-text\`: ${traced.join(', ')} have them.

| Metric | Type | Labels | What it says |
| --- | --- | --- | --- |
${rows.join('\n')}

## Labels

Every label has a closed set of values. What a client writes, above all the name of a model, never becomes one.

| Label | Values |
| --- | --- |
${labels.join('\n')}

Should the label sets recorded from events reach \`metrics.seriesBudget\`, new ones are recorded with \`other\` for route, model and
backend: totals stay right, detail is lost, and \`llamero_metrics_folded_total\` says for which metric.

## Buckets

Upper bounds, in the unit of the metric; each list but the last can be replaced by \`metrics.buckets.<name>\`.

| Metric | List | Default |
| --- | --- | --- |
${buckets.join('\n')}
`;
}

const explainedLabels: Readonly<Record<LabelName, string>> = {
  route: 'Template of the route, such as `/api/chat`; `other` for unknown paths.',
  client:
    'Name of a key, a user, a token or a CLI, of the first `metrics.clients` of them; `address` for who is known by nothing else; ' +
    '`other` for the rest.',
  model: 'Canonical name of a model some backend has; `other` for every other name; empty when the request needs none.',
  backend: 'Name of a configured backend; empty when none was asked. Its series go when it is removed.',
  outcome:
    '`ok`, `client-gone`, `client-error` or `backend-error` when the backend said so, or a code of [errors.md](errors.md); for the ' +
    'queue `leased`, `timeout` or `client-gone`.',
  priority: `${bands.map((band) => `\`${band}\``).join(', ')}: the band of the queue, by the client’s grant.`,
  stream: '`true` or `false`.',
  warm: '`true` when the model was known to be in memory, else `false`.',
  type: '`input` or `output`.',
  reason: 'Why: a code of [errors.md](errors.md), a routing reason, or what loaded or unloaded a model.',
  state: `${backendStates.map((state) => `\`${state}\``).join(', ')}.`,
  from: 'The state before.',
  to: 'The state after.',
  phase: '`receiving`, `queued`, `connecting`, `waiting` or `streaming`.',
  cause: 'A code of [errors.md](errors.md).',
  version: 'A version number.',
  node: 'A version number of Node.',
  simulated: '`true` or `false`.',
  metric: 'Name of a metric.',
  kind: '`major`, `minor`, `incremental` or `weakcb`.',
};
