/** Rules and dashboard ask for what the gateway tells, and every alert says what to do. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { parse } from 'yaml';
import { failures } from '../../src/core/errors.ts';
import { catalogue } from '../../src/observe/catalogue.ts';

interface Rule {
  /** One of the two. */
  readonly record: string;
  readonly alert: string;
  readonly expr: string;
  readonly labels?: Readonly<Record<string, string>>;
  readonly annotations?: Readonly<Record<string, string>>;
}

interface Panel {
  readonly id: number;
  readonly type: string;
  readonly title: string;
  readonly description?: string;
  readonly gridPos: { readonly x: number; readonly y: number; readonly w: number; readonly h: number };
  readonly datasource?: { readonly uid: string };
  readonly targets?: readonly { readonly expr: string; readonly datasource: { readonly uid: string } }[];
}

const root = new URL('../..', import.meta.url);
const read = (path: string) => readFileSync(new URL(path, root), 'utf8');
const rulesIn = (path: string) =>
  (parse(read(path)) as { readonly groups: readonly { readonly rules: readonly Rule[] }[] }).groups.flatMap(
    ({ rules }) => rules,
  );

const recorded = rulesIn('deploy/prometheus/recording.yml');
const alerts = rulesIn('deploy/prometheus/alerts.yml');
const dashboard = JSON.parse(read('deploy/grafana/dashboards/llamero.json')) as {
  readonly uid: string;
  readonly panels: readonly Panel[];
  readonly templating: {
    readonly list: readonly { readonly name: string; readonly type: string; readonly definition?: string }[];
  };
  readonly annotations: { readonly list: readonly { readonly expr: string }[] };
};
const targets = dashboard.panels.flatMap(({ targets = [] }) => targets);

/** Series a query may name → the labels it may ask of them. Prometheus adds job and instance. */
const series = new Map<string, ReadonlySet<string>>();
for (const { name, type, labels } of catalogue) {
  const all = new Set<string>([...labels, 'job', 'instance']);
  if (type !== 'histogram') series.set(name, all);
  else for (const suffix of ['_bucket', '_sum', '_count']) series.set(name + suffix, new Set([...all, 'le']));
}
for (const { record } of recorded) series.set(record, new Set(record.split(':')[0]!.split('_')));

/** Names in a query that stand for series, with the labels its selector asks for. */
function asked(query: string): { readonly name: string; readonly labels: readonly string[] }[] {
  return [...query.matchAll(/\b([a-z_]+:[\w:]+|(?:llamero|nodejs|process)_\w+)(?:\{([^}]*)\})?/g)].map(
    ([, name, selector = '']) => ({
      name: name!,
      labels: [...selector.matchAll(/(\w+)\s*(?:=~|!~|!=|=)/g)].map(([, label]) => label!),
    }),
  );
}

const queries: readonly (readonly [where: string, query: string])[] = [
  ...[...recorded, ...alerts].map(({ record, alert, expr }) => [record ?? alert, expr] as const),
  ...dashboard.panels.flatMap(({ title, targets = [] }) => targets.map(({ expr }) => [title, expr] as const)),
  ...dashboard.templating.list.flatMap(({ name, definition }) =>
    definition === undefined ? [] : [[name, definition] as const],
  ),
  ...dashboard.annotations.list.map(({ expr }) => ['annotation', expr] as const),
];

/** Why promtool can't be asked; false when it can. */
const noPromtool =
  spawnSync('promtool', ['--version']).status === 0
    ? false
    : 'promtool is not installed (Debian: apt-get install prometheus)';

function promtool(...words: string[]): void {
  const { status, stdout, stderr } = spawnSync('promtool', words, { cwd: root, encoding: 'utf8' });
  assert.equal(status, 0, stdout + stderr);
}

describe('rules and dashboard', () => {
  it('ask for series and labels that there are', () => {
    for (const [where, query] of queries) {
      const found = asked(query);
      assert.ok(found.length > 0, `${where} asks for nothing: ${query}`);
      for (const { name, labels } of found) {
        const known = series.get(name);
        assert.ok(known, `${where}: ${name}`);
        for (const label of labels) assert.ok(known.has(label), `${where}: ${name} has no ${label}`);
      }
    }
  });

  it('take a failure for one when neither the client nor an operator wanted it', () => {
    const { expr } = recorded.find(({ record }) => record === 'job:llamero_requests_failed:rate5m')!;
    const outcome = new RegExp(`^(?:${/outcome=~"([^"]+)"/.exec(expr)![1]})$`);
    for (const [code, { blame }] of Object.entries(failures))
      assert.equal(outcome.test(code), blame !== 'client' && code !== 'cancelled', code);
    for (const [own, isFailure] of [
      ['ok', false],
      ['client-error', false],
      ['backend-error', true],
    ] as const)
      assert.equal(outcome.test(own), isFailure, own);
  });
});

describe('alerts', () => {
  it('are those that were promised', () => {
    assert.deepEqual(alerts.map(({ alert }) => alert).sort(), [
      'BackendDown',
      'CircuitOpen',
      'ConfigReloadFailed',
      'ErrorRatioHigh',
      'EventLoopLag',
      'GatewayMissing',
      'ModelThrash',
      'NoHealthyBackend',
      'QueueSaturated',
      'TTFTHigh',
    ]);
  });

  it('say what is wrong, how bad it is, and where it stands what to do', () => {
    const headings = [...read('docs/runbooks.md').matchAll(/^## (.+)$/gm)].map(([, heading]) => heading);
    for (const { alert, annotations, labels } of alerts) {
      assert.match(labels?.['severity'] ?? '', /^(page|ticket)$/, alert);
      for (const field of ['summary', 'description']) assert.ok(annotations?.[field], `${alert} has a ${field}`);
      assert.equal(annotations?.['runbook_url'], `docs/runbooks.md#${alert.toLowerCase()}`);
      assert.ok(headings.includes(alert), `docs/runbooks.md has a chapter ${alert}`);
    }
  });

  it('and recording rules are fine for Prometheus', { skip: noPromtool }, () => {
    promtool('check', 'config', 'deploy/prometheus/prometheus.yml');
  });

  it('fire when they should, and only then', { skip: noPromtool }, () => {
    promtool('test', 'rules', 'test/deploy/alerts.yml');
  });

  it('are each tested firing', () => {
    const { tests } = parse(read('test/deploy/alerts.yml')) as {
      readonly tests: readonly {
        readonly alert_rule_test?: readonly { readonly alertname: string; readonly exp_alerts: readonly unknown[] }[];
      }[];
    };
    const fired = tests.flatMap(({ alert_rule_test: each = [] }) =>
      each.filter(({ exp_alerts: expected }) => expected.length > 0).map(({ alertname }) => alertname),
    );
    for (const { alert } of alerts) assert.ok(fired.includes(alert), alert);
  });
});

describe('the dashboard', () => {
  it('asks whichever data source is chosen', () => {
    assert.equal(dashboard.templating.list[0]?.type, 'datasource');
    for (const { datasource } of targets) assert.equal(datasource.uid, '${datasource}');
    for (const { datasource, type, title } of dashboard.panels)
      if (type !== 'row') assert.equal(datasource?.uid, '${datasource}', title);
  });

  it('has panels that can be told apart, explained, beside each other and within the page', () => {
    const ids = dashboard.panels.map(({ id }) => id);
    assert.equal(new Set(ids).size, ids.length);
    const taken = new Map<string, string>();
    for (const { title, description, gridPos, type } of dashboard.panels) {
      if (type !== 'row') assert.ok(description, title);
      assert.ok(gridPos.x + gridPos.w <= 24, title);
      for (let x = gridPos.x; x < gridPos.x + gridPos.w; x++) {
        for (let y = gridPos.y; y < gridPos.y + gridPos.h; y++) {
          assert.equal(taken.get(`${x},${y}`), undefined, `${title} lies on ${taken.get(`${x},${y}`)}`);
          taken.set(`${x},${y}`, title);
        }
      }
    }
  });

  it('asks in words that Prometheus understands', { skip: noPromtool }, (t) => {
    const folder = mkdtempSync(join(tmpdir(), 'llamero-rules-'));
    t.after(() => rmSync(folder, { recursive: true }));
    const filled = (expr: string) =>
      expr.replaceAll('$__rate_interval', '5m').replaceAll('$__interval', '1m').replaceAll(/\$\w+/g, '.*');
    const rules = targets.map(({ expr }, index) => ({ record: `query:${index}`, expr: filled(expr) }));
    writeFileSync(join(folder, 'queries.yml'), JSON.stringify({ groups: [{ name: 'queries', rules }] }));
    promtool('check', 'rules', join(folder, 'queries.yml'));
  });

  it('uses every variable it offers', () => {
    const text = targets.map(({ expr }) => expr).join('\n');
    for (const { name, type } of dashboard.templating.list)
      if (type === 'query') assert.ok(text.includes(`$${name}`), name);
  });

  it('is provisioned from where it lies, with the rules that it needs', () => {
    const { providers } = parse(read('deploy/grafana/provisioning/dashboards/llamero.yml')) as {
      readonly providers: readonly { readonly options: { readonly path: string } }[];
    };
    const { services } = parse(read('docker-compose.yml'), { merge: true }) as {
      readonly services: Readonly<Record<string, { readonly volumes: readonly string[] }>>;
    };
    const mounted = (service: string) => services[service]!.volumes.map((volume) => volume.split(':'));
    for (const { options } of providers)
      assert.ok(mounted('grafana').some(([from, to]) => from === './deploy/grafana/dashboards' && to === options.path));
    assert.ok(mounted('prometheus').some(([from, to]) => from === './deploy/prometheus' && to === '/etc/prometheus'));
    const { rule_files: files } = parse(read('deploy/prometheus/prometheus.yml')) as {
      readonly rule_files: readonly string[];
    };
    assert.deepEqual(files, ['recording.yml', 'alerts.yml']);
  });
});
