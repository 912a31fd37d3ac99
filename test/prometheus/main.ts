/**
 * A real Prometheus against a real gateway: `npm run verify:prometheus [-- --seconds 120]`. Starts four simulated Ollamas, a gateway
 * and Prometheus on free loopback ports, drives load with every kind of fault, and then asks Prometheus: does every metric of the
 * catalogue have samples, has every panel of the dashboard something to show, did every scrape succeed, are the rules evaluated, does promtool like the exposition? Where Prometheus is
 * not installed it says so and exits with 0; with `--require` it exits with 1 then.
 */
import assert from 'node:assert/strict';
import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { freePort } from '../../bench/proxies/proxy.ts';
import type { Rng } from '../../src/core/types.ts';
import { catalogue } from '../../src/observe/catalogue.ts';
import { createSimulatedOllama, type SimulatedOllama } from '../../src/simulator/server.ts';
import { below, seededRng } from '../support/random.ts';

const { values } = parseArgs({
  options: { seconds: { type: 'string', default: '120' }, require: { type: 'boolean', default: false } },
});
const root = fileURLToPath(new URL('../..', import.meta.url));
const models = ['llama3.2:3b', 'qwen3:8b', 'gemma3:4b', 'phi4:14b'];
const clientsAtOnce = 6;
/** Between two rounds of faults. */
const roundMs = 12_000;

/** What only the last backend has, the one that sleeps. */
const sleepersModel = 'sleeper:1b';

/** As little room as makes models push each other out, and one that has another revision of a model. */
function ollamas(): Promise<SimulatedOllama[]> {
  const common = { loadMs: 600, tokensPerSecond: 150, answerTokens: 40, vramBytes: 12 * 1024 ** 3, slots: 2 };
  return Promise.all(
    [1, 2, 3, 4].map((number) =>
      createSimulatedOllama({
        ...common,
        name: `gpu${number}`,
        seed: number,
        models:
          number === 4
            ? [sleepersModel]
            : number === 3
              ? [...models.slice(0, 3), { name: models[3]!, revision: 'stale' }]
              : models,
      }),
    ),
  );
}

/** The packet goes to this machine, where nobody listens. */
const wake = { mac: '02:00:00:00:00:01', broadcast: '127.0.0.1', wait: '2s' };

function gatewayConfig(address: string, admin: string, backends: readonly SimulatedOllama[]): string {
  return JSON.stringify({
    listen: { address },
    admin: { address: admin },
    backends: backends.map(({ name, url }) => ({ name, url, slots: 2, ...(name === 'gpu4' ? { wake } : {}) })),
    probes: { interval: '1s', inventoryInterval: '2s', residencyInterval: '1s' },
    queue: { limit: 6, timeout: '3s' },
    // Small enough to be reached.
    metrics: { seriesBudget: 150, clients: 3 },
    // The breaker is to open before whoever looks at outcomes ejects the backend.
    breaker: { minimumVerdicts: 2 },
    health: { ejectAfter: 100, ejectMinimum: 1000 },
    wedge: { suspect: '1s', after: '3s', factor: 1 },
    resume: { enabled: true },
    log: { level: 'error', format: 'json' },
  });
}

function start(command: string, words: readonly string[], name: string): ChildProcess {
  const child = spawn(command, words, { cwd: root, stdio: ['ignore', 'ignore', 'pipe'] });
  let tail = '';
  child.stderr.on('data', (chunk: Buffer) => {
    tail = `${tail}${chunk.toString()}`.slice(-4000);
  });
  child.once('exit', (code) => {
    if (code !== 0 && code !== null) console.error(`${name} ended with ${code}: ${tail}`);
  });
  return child;
}

async function stop(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = once(child, 'exit');
  child.kill('SIGTERM');
  const deadline = setTimeout(() => child.kill('SIGKILL'), 10_000);
  await ended;
  clearTimeout(deadline);
}

async function answers(url: string): Promise<void> {
  for (let attempt = 0; attempt < 100; attempt++) {
    const answer = await fetch(url).catch(() => null);
    await answer?.body?.cancel();
    if (answer?.ok === true) return;
    await delay(200);
  }
  throw new Error(`${url} does not answer`);
}

/** One request as some client sends it; whatever comes of it is what is being measured. */
async function ask(gateway: string, rng: Rng, body: Readonly<Record<string, unknown>> = {}): Promise<void> {
  const trace = Array.from({ length: 32 }, () => below(rng, 16).toString(16)).join('');
  const leavesAfterMs = rng.next() < 0.1 ? 100 + below(rng, 300) : 30_000;
  const model = models[below(rng, models.length)]!;
  const messages = [{ role: 'user', content: `Tell me about the number ${below(rng, 1e6)}.` }];
  const isOpenAi = rng.next() < 0.3;
  try {
    const answer = await fetch(`${gateway}${isOpenAi ? '/v1/chat/completions' : '/api/chat'}`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', traceparent: `00-${trace}-${trace.slice(16)}-01` },
      body: JSON.stringify({ model, messages, stream: rng.next() < 0.8, ...body }),
      signal: AbortSignal.timeout(leavesAfterMs),
    });
    await answer.arrayBuffer();
  } catch {
    // It left, or the gateway cut it off: both are meant.
  }
}

const poison = { model: models[0], messages: [{ role: 'user', content: 'the prompt that kills' }], stream: true };

/** Each kind of trouble in turn, again and again, so that what needs some time has had it. */
function troubles(gateway: string, backends: readonly SimulatedOllama[]): readonly (() => Promise<void> | void)[] {
  const [first, second, third, sleeper] = backends as [
    SimulatedOllama,
    SimulatedOllama,
    SimulatedOllama,
    SimulatedOllama,
  ];
  const inference = { method: 'POST', path: '/*' } as const;
  return [
    () => first.control.faults.add({ kind: 'reset', ...inference, times: 10 }),
    () => second.control.faults.add({ kind: 'cut', ...inference, afterChunks: 3, times: 3 }),
    () => third.control.faults.add({ kind: 'status', status: 500, ...inference, times: 12 }),
    // A body that breaks whichever backend it meets.
    async () => {
      for (const { control } of backends)
        control.faults.add({ kind: 'reset', ...inference, model: models[0]!, times: 4 });
      for (let i = 0; i < 3; i++) await ask(gateway, seededRng(1), poison);
    },
    // A model that hangs in memory while its backends look healthy.
    async () => {
      const model = models[1]!;
      await ask(gateway, seededRng(4), { model });
      for (const { control } of backends)
        control.faults.add({ kind: 'hang-before-head', ...inference, model, times: 3 });
      await Promise.race([
        delay(6000),
        ...[5, 6, 7].map((seed) => ask(gateway, seededRng(seed), { model, stream: true })),
      ]);
    },
    () => first.control.crash(2500),
    // Switched off, and wanted.
    async () => {
      await sleeper.control.refuse();
      await delay(2000);
      await ask(gateway, seededRng(8), { model: sleepersModel });
    },
    // More at once than may wait.
    async () => {
      await Promise.all(Array.from({ length: 40 }, (_, index) => ask(gateway, seededRng(index), { stream: true })));
    },
    async () => {
      await ask(gateway, seededRng(2), { model: 'nobody:has-this' });
      await ask(gateway, seededRng(3), { keep_alive: 0 });
    },
  ];
}

async function drive(gateway: string, backends: readonly SimulatedOllama[], forMs: number): Promise<number> {
  const until = Date.now() + forMs;
  let asked = 0;
  const client = async (seed: number) => {
    const rng = seededRng(seed);
    while (Date.now() < until) {
      asked += 1;
      await ask(gateway, rng);
      await delay(50 + below(rng, 300));
    }
  };
  const trouble = async () => {
    const all = troubles(gateway, backends);
    // At least once each, however short the run.
    const pauseMs = Math.min(roundMs, forMs / (all.length + 2));
    for (let turn = 0; Date.now() < until - pauseMs; turn++) {
      await all[turn % all.length]!();
      await delay(pauseMs);
    }
    for (const { control } of backends) control.faults.clear();
  };
  await Promise.all([trouble(), ...Array.from({ length: clientsAtOnce }, (_, seed) => client(seed))]);
  return asked;
}

interface Result {
  readonly value: readonly [number, string];
}

async function query(prometheus: string, expression: string): Promise<readonly Result[]> {
  const answer = await fetch(`${prometheus}/api/v1/query?query=${encodeURIComponent(expression)}`);
  assert.equal(answer.status, 200, expression);
  const { data } = (await answer.json()) as { readonly data: { readonly result: readonly Result[] } };
  return data.result;
}

/** What the dashboard asks. */
function panelQueries(): readonly { readonly title: string; readonly expr: string }[] {
  const { panels } = JSON.parse(readFileSync(`${root}deploy/grafana/dashboards/llamero.json`, 'utf8')) as {
    readonly panels: readonly { readonly title: string; readonly targets?: readonly { readonly expr: string }[] }[];
  };
  return panels.flatMap(({ title, targets = [] }) => targets.map(({ expr }) => ({ title, expr })));
}

const first = (results: readonly Result[]) => Number(results[0]?.value[1] ?? Number.NaN);

/** Says of each check whether it holds; false when one does not. */
async function verify(prometheus: string, gateway: string, window: string): Promise<boolean> {
  let isGood = true;
  const check = (what: string, holds: boolean, detail = '') => {
    console.log(`${holds ? '✔' : '✖'} ${what}${detail === '' ? '' : `: ${detail}`}`);
    isGood &&= holds;
  };
  const missing: string[] = [];
  for (const { name, type } of catalogue) {
    const sampled = type === 'histogram' ? `${name}_count` : name;
    if (!(first(await query(prometheus, `count(last_over_time(${sampled}[${window}]))`)) > 0)) missing.push(name);
  }
  check(`every one of ${catalogue.length} metrics has samples`, missing.length === 0, missing.join(' '));

  const empty: string[] = [];
  for (const { title, expr } of panelQueries()) {
    const filled = expr.replaceAll(/\$__(?:rate_)?interval/g, window).replaceAll(/\$\w+/g, '.*');
    // Anywhere in the run: what there was of it may be over.
    const results = await query(prometheus, `count_over_time((${filled})[${window}:5s])`);
    if (results.length === 0) empty.push(`${title}: ${expr}`);
  }
  check('every panel of the dashboard has something to show', empty.length === 0, empty.join('\n    '));

  const scrapes = first(await query(prometheus, `count_over_time(up{job="llamero"}[${window}])`));
  const good = first(await query(prometheus, `min_over_time(up{job="llamero"}[${window}])`));
  check('every scrape succeeded', good === 1, `${scrapes} of them`);
  const slowest = first(await query(prometheus, `max_over_time(scrape_duration_seconds{job="llamero"}[${window}])`));
  check('none took longer than a second', slowest < 1, `${(slowest * 1000).toFixed(0)} ms at most`);
  const samples = first(await query(prometheus, `scrape_samples_scraped{job="llamero"}`));
  console.log(`  ${samples} samples in the last scrape`);

  const rules = (await (await fetch(`${prometheus}/api/v1/rules`)).json()) as {
    readonly data: {
      readonly groups: readonly {
        readonly rules: readonly { readonly name: string; readonly health: string; readonly lastError?: string }[];
      }[];
    };
  };
  const all = rules.data.groups.flatMap(({ rules: members }) => members);
  const bad = all
    .filter(({ health }) => health !== 'ok')
    .map(({ name, health, lastError }) => `${name} ${health} ${lastError ?? ''}`);
  check(`${all.length} rules are evaluated`, all.length > 0 && bad.length === 0, bad.join(', '));

  const exemplars = (await (
    await fetch(
      `${prometheus}/api/v1/query_exemplars?query=llamero_time_to_first_token_seconds_bucket&start=${Date.now() / 1000 - 600}&end=${Date.now() / 1000 + 1}`,
    )
  ).json()) as { readonly data: readonly unknown[] };
  check('first tokens lead to traces', exemplars.data.length > 0, `exemplars on ${exemplars.data.length} series`);

  const text = await (await fetch(`${gateway}/metrics`)).text();
  const { status, stdout, stderr } = spawnSync('promtool', ['check', 'metrics'], { input: text, encoding: 'utf8' });
  check('promtool check metrics', status === 0 && `${stdout}${stderr}`.trim() === '', `${stdout}${stderr}`.trim());
  return isGood;
}

async function run(): Promise<boolean> {
  const seconds = Number(values.seconds);
  const folder = mkdtempSync(join(tmpdir(), 'llamero-prometheus-'));
  const backends = await ollamas();
  const children: ChildProcess[] = [];
  try {
    const [port, adminPort, prometheusPort] = [await freePort(), await freePort(), await freePort()];
    const configFile = join(folder, 'llamero.yaml');
    writeFileSync(configFile, gatewayConfig(`127.0.0.1:${port}`, `127.0.0.1:${adminPort}`, backends));
    children.push(start(process.execPath, ['src/main.ts', 'serve', '--config', configFile], 'the gateway'));
    const gateway = `http://127.0.0.1:${port}`;
    await answers(`${gateway}/readyz`);

    cpSync(`${root}deploy/prometheus`, folder, { recursive: true });
    const shipped = readFileSync(join(folder, 'prometheus.yml'), 'utf8');
    const ours = shipped
      .replace('gateway:11434', `127.0.0.1:${port}`)
      .replace(/(scrape|evaluation)_interval: \d+s/g, '$1_interval: 2s')
      .replace('scrape_timeout: 5s', 'scrape_timeout: 2s');
    writeFileSync(join(folder, 'prometheus.yml'), ours);
    const prometheus = `http://127.0.0.1:${prometheusPort}`;
    const listen = `--web.listen-address=127.0.0.1:${prometheusPort}`;
    const files = [`--config.file=${folder}/prometheus.yml`, `--storage.tsdb.path=${folder}/data`];
    children.push(
      start('prometheus', [...files, listen, '--enable-feature=exemplar-storage', '--log.level=error'], 'Prometheus'),
    );
    await answers(`${prometheus}/-/ready`);

    const asked = await drive(gateway, backends, seconds * 1000);
    console.log(`${asked} requests in ${seconds} s, with faults`);
    // Until rules with an interval of their own have had their turn, and what was last counted has been scraped.
    await delay(5000);
    return await verify(prometheus, gateway, `${seconds + 60}s`);
  } finally {
    for (const child of children) await stop(child);
    await Promise.all(backends.map((backend) => backend.close()));
    rmSync(folder, { recursive: true, force: true });
  }
}

const absent = ['prometheus', 'promtool'].filter((name) => spawnSync(name, ['--version']).status !== 0);
if (absent.length > 0) {
  console.log(`skipped: ${absent.join(' and ')} not installed (Debian: apt-get install prometheus)`);
  process.exitCode = values.require ? 1 : 0;
} else {
  process.exitCode = (await run()) ? 0 : 1;
}
