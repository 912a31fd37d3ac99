/** The chart: its values, and what becomes of them where `helm` is there to render it. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, it } from 'node:test';
import { Ajv } from 'ajv';
import { parse, parseAllDocuments } from 'yaml';
import packageFile from '../../package.json' with { type: 'json' };
import { exposureProblems } from '../../src/config/exposure.ts';
import { loadConfig } from '../../src/config/load.ts';
import { renderProblem } from '../../src/config/problem.ts';
import { memoryFiles } from '../support/io.ts';

const chart = new URL('../../deploy/helm/llamero/', import.meta.url);
const read = (path: string) => readFileSync(new URL(path, chart), 'utf8');

interface Values {
  readonly [name: string]: unknown;
  readonly config: Readonly<Record<string, unknown>>;
  readonly shutdown: { readonly delaySeconds: number; readonly graceSeconds: number };
}

const values = parse(read('values.yaml')) as Values;
const fits = new Ajv({ allErrors: true }).compile(JSON.parse(read('values.schema.json')) as object);

/** A configuration that the gateway would start with. */
async function load(config: unknown) {
  const loaded = await loadConfig({
    file: 'llamero.yaml',
    env: { LLAMERO_ADMIN_TOKEN: 'from the secret' },
    flags: null,
    files: memoryFiles({ 'llamero.yaml': JSON.stringify(config) }),
  });
  if (!loaded.ok) assert.fail(loaded.problems.map(renderProblem).join('\n'));
  assert.deepEqual(loaded.warnings, []);
  assert.deepEqual(exposureProblems(loaded), []);
  return loaded.config;
}

describe('the chart', () => {
  it('has the version of the gateway', () => {
    const { version, appVersion } = parse(read('Chart.yaml')) as {
      readonly version: string;
      readonly appVersion: string;
    };
    assert.deepEqual([version, appVersion], [packageFile.version, packageFile.version]);
  });

  it('has values that fit their schema, and a schema for every value', () => {
    assert.ok(fits(values), JSON.stringify(fits.errors, null, 1));
    for (const wrong of [
      { replicas: -1 },
      { replica: 2 },
      { shutdown: { delaySeconds: '10s', graceSeconds: 1 } },
      { service: { type: 'External' } },
      { keda: { target: { kind: 'Pod', name: 'x' } } },
    ])
      assert.equal(fits({ ...values, ...wrong }), false, JSON.stringify(wrong));
  });

  it('asks for no value that is not there', () => {
    for (const name of readdirSync(new URL('templates/', chart))) {
      for (const [, path] of read(`templates/${name}`).matchAll(/\.Values\.([\w.]+)/g)) {
        let at: unknown = values;
        for (const step of path!.split('.')) {
          assert.ok(typeof at === 'object' && at !== null && Object.hasOwn(at, step), `${name}: .Values.${path}`);
          at = (at as Record<string, unknown>)[step];
        }
      }
    }
  });

  it('starts from a configuration that the gateway takes', async () => {
    await load({ ...values.config, listen: { address: '0.0.0.0:11434' } });
  });
});

interface Manifest {
  readonly kind: string;
  readonly metadata: { readonly name: string; readonly labels: Readonly<Record<string, string>> };
  readonly data: Readonly<Record<string, string>>;
  readonly spec: {
    readonly [name: string]: unknown;
    readonly template: {
      readonly spec: PodSpec;
      readonly metadata: { readonly labels: Readonly<Record<string, string>> };
    };
    readonly selector: { readonly matchLabels: Readonly<Record<string, string>> };
    readonly groups: readonly {
      readonly name: string;
      readonly rules: readonly { readonly alert?: string; readonly annotations?: Readonly<Record<string, string>> }[];
    }[];
  };
}

interface PodSpec {
  readonly terminationGracePeriodSeconds: number;
  readonly automountServiceAccountToken: boolean;
  readonly securityContext: { readonly runAsNonRoot: boolean };
  readonly containers: readonly {
    readonly args: readonly string[];
    readonly ports: readonly { readonly name: string; readonly containerPort: number }[];
    readonly securityContext: Readonly<Record<string, unknown>>;
    readonly [probe: `${string}Probe`]: { readonly httpGet: { readonly path: string; readonly port: string } };
  }[];
}

/** Why it can't be rendered; false when it can. */
const noHelm =
  spawnSync('helm', ['version']).status === 0
    ? false
    : 'helm is not installed; values and templates are checked without it';
const everything = ['serviceMonitor', 'prometheusRule', 'dashboard', 'keda'].map((part) => `${part}.enabled=true`);

function helm(...words: string[]): string {
  const { status, stdout, stderr } = spawnSync('helm', words, { encoding: 'utf8', maxBuffer: 1e8 });
  assert.equal(status, 0, stdout + stderr);
  return stdout;
}

function rendered(...settings: string[]): readonly Manifest[] {
  const sets = settings.flatMap((setting) => ['--set', setting]);
  const text = helm('template', 'herd', fileURLToPath(chart), '--namespace', 'ai', '--kube-version', '1.30.0', ...sets);
  return parseAllDocuments(text).map((document) => document.toJS() as Manifest);
}

const one = (manifests: readonly Manifest[], kind: string, name = 'herd-llamero') => {
  const found = manifests.filter((each) => each.kind === kind && each.metadata.name === name);
  assert.equal(found.length, 1, `one ${kind} ${name}`);
  return found[0]!;
};

describe('the rendered chart', { skip: noHelm }, () => {
  it('pleases helm’s own linter', () => {
    const strict = ['lint', '--strict', '--kube-version', '1.30.0', fileURLToPath(chart)];
    helm(...strict, ...everything.flatMap((setting) => ['--set', setting]));
  });

  it('is a gateway that finishes its answers before it is killed', async () => {
    const manifests = rendered('shutdown.delaySeconds=5', 'shutdown.graceSeconds=120');
    const config = await load(parse(one(manifests, 'ConfigMap').data['llamero.yaml']!));
    const { template } = one(manifests, 'Deployment').spec;
    assert.deepEqual(config.shutdown, { delay: 5000, grace: 120_000 });
    assert.ok(template.spec.terminationGracePeriodSeconds * 1000 > config.shutdown.delay + config.shutdown.grace);
  });

  it('listens where its ports and probes are', async () => {
    const manifests = rendered();
    const { listen, admin } = await load(parse(one(manifests, 'ConfigMap').data['llamero.yaml']!));
    const [container] = one(manifests, 'Deployment').spec.template.spec.containers;
    const ports = Object.fromEntries(container!.ports.map(({ name, containerPort }) => [name, containerPort]));
    assert.deepEqual(ports, { http: listen.address.port, admin: admin.address.port });
    assert.deepEqual(container!.args, ['serve', '--config', '/etc/llamero/llamero.yaml']);
    for (const [probe, path] of [
      ['startup', '/livez'],
      ['liveness', '/livez'],
      ['readiness', '/readyz'],
    ] as const)
      assert.deepEqual(container![`${probe}Probe`]!.httpGet, { path, port: 'admin' });
  });

  it('may do nothing that it need not', () => {
    const { spec } = one(rendered(), 'Deployment').spec.template;
    assert.equal(spec.automountServiceAccountToken, false);
    assert.equal(spec.securityContext.runAsNonRoot, true);
    assert.deepEqual(spec.containers[0]!.securityContext, {
      allowPrivilegeEscalation: false,
      readOnlyRootFilesystem: true,
      capabilities: { drop: ['ALL'] },
    });
  });

  it('has services, a budget and a policy that mean its pods', () => {
    const manifests = rendered();
    const { labels } = one(manifests, 'Deployment').spec.template.metadata;
    const selected = [
      one(manifests, 'Service').spec.selector as unknown as Record<string, string>,
      one(manifests, 'Service', 'herd-llamero-admin').spec.selector as unknown as Record<string, string>,
      one(manifests, 'PodDisruptionBudget').spec.selector.matchLabels,
      (one(manifests, 'NetworkPolicy').spec['podSelector'] as { readonly matchLabels: Record<string, string> })
        .matchLabels,
    ];
    for (const selector of selected)
      for (const [label, value] of Object.entries(selector)) assert.equal(labels[label], value, label);
  });

  it('lets nobody to the operators’ port who is not named', () => {
    const ingress = (settings: string[]) => JSON.stringify(one(rendered(...settings), 'NetworkPolicy').spec['ingress']);
    assert.ok(!ingress([]).includes('admin'));
    const named = ingress(['networkPolicy.operators[0].namespaceSelector.matchLabels.name=monitoring']);
    assert.ok(named.includes('{"ports":[{"port":"admin"}],"from":[{"namespaceSelector"'), named);
  });

  it('brings rules, dashboard, scrape and scaling when they are wanted, and not otherwise', () => {
    const extra = ['ServiceMonitor', 'PrometheusRule', 'ScaledObject'];
    const kinds = (manifests: readonly Manifest[]) => manifests.map(({ kind }) => kind);
    assert.deepEqual(
      kinds(rendered()).filter((kind) => extra.includes(kind)),
      [],
    );
    const manifests = rendered(...everything, 'prometheusRule.runbookBase=https://git.example/llamero/');
    for (const kind of extra) assert.ok(kinds(manifests).includes(kind), kind);

    const { groups } = one(manifests, 'PrometheusRule').spec;
    assert.deepEqual(
      groups.map(({ name }) => name),
      ['llamero-recording', 'llamero-alerts'],
    );
    for (const { alert, annotations } of groups[1]!.rules)
      assert.equal(annotations!['runbook_url'], `https://git.example/llamero/docs/runbooks.md#${alert!.toLowerCase()}`);

    const board = JSON.parse(one(manifests, 'ConfigMap', 'herd-llamero-dashboard').data['llamero.json']!) as {
      readonly uid: string;
    };
    assert.equal(board.uid, 'llamero');
    const monitor = one(manifests, 'ServiceMonitor').spec.selector.matchLabels;
    const { labels } = one(manifests, 'Service', 'herd-llamero-admin').metadata;
    for (const [label, value] of Object.entries(monitor)) assert.equal(labels[label], value, label);
    assert.match(JSON.stringify(one(manifests, 'ScaledObject').spec), /llamero_queue_depth/);
  });

  it('makes a token for operators unless there is one', () => {
    const tokenFrom = (manifests: readonly Manifest[]) =>
      /"LLAMERO_ADMIN_TOKEN","valueFrom":\{"secretKeyRef":\{"name":"([^"]+)"/.exec(
        JSON.stringify(one(manifests, 'Deployment')),
      )?.[1];
    const made = rendered();
    const { data } = one(made, 'Secret', 'herd-llamero-admin');
    assert.match(Buffer.from(data['token']!, 'base64').toString(), /^\w{40}$/);
    assert.equal(tokenFrom(made), 'herd-llamero-admin');
    const given = rendered('adminTokenSecret=mine');
    assert.equal(tokenFrom(given), 'mine');
    assert.ok(!given.some(({ kind }) => kind === 'Secret'));
  });

  it('refuses values that its schema does not know', () => {
    const { status, stderr } = spawnSync(
      'helm',
      ['template', 'herd', fileURLToPath(chart), '--kube-version', '1.30.0', '--set', 'replica=2'],
      { encoding: 'utf8' },
    );
    assert.notEqual(status, 0);
    assert.match(stderr, /replica/);
  });
});
