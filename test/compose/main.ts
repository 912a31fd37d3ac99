/**
 * `docker compose up`, for real: `npm run test:compose` builds the image, starts gateway, simulated Ollamas and Prometheus (and
 * Grafana, where its image is to be had), sends a request, sees it in Prometheus by its API, stops the gateway as an engine does,
 * and takes everything away again. Where there is no engine, or no image to start from, it says so and exits with 0; with
 * `--require` it exits with 1 then.
 */
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { parse } from 'yaml';
import { freePort } from '../../bench/proxies/proxy.ts';

interface Compose {
  readonly services: Readonly<Record<string, { readonly image: string }>>;
}

const root = fileURLToPath(new URL('../..', import.meta.url));
const project = `llamero-test-${process.pid}`;
const { services } = parse(readFileSync(`${root}docker-compose.yml`, 'utf8'), { merge: true }) as Compose;
const baseImage = /^FROM (\S+)/m.exec(readFileSync(`${root}Dockerfile`, 'utf8'))![1]!;

const ports = { GATEWAY_PORT: await freePort(), PROMETHEUS_PORT: await freePort(), GRAFANA_PORT: await freePort() };
const env = {
  ...process.env,
  ...Object.fromEntries(Object.entries(ports).map(([name, port]) => [name, String(port)])),
  LLAMERO_BACKENDS: '',
};

/** What `docker` says, or null with the reason on standard error when it fails. */
function ask(...words: string[]): string | null {
  const { status, stdout, stderr, error } = spawnSync('docker', words, { encoding: 'utf8', timeout: 120_000 });
  if (status === 0) return stdout.trim();
  lastRefusal = (error?.message ?? stderr).trim().split('\n').at(-1) ?? '';
  return null;
}
let lastRefusal = '';

async function compose(...words: string[]): Promise<void> {
  const child = spawn('docker', ['compose', '--project-name', project, ...words], { cwd: root, env, stdio: 'inherit' });
  const [code] = (await once(child, 'exit')) as [number | null];
  if (code !== 0) throw new Error(`docker compose ${words.join(' ')} ended with ${code}`);
}

const isThere = (image: string) => ask('image', 'inspect', image) !== null || ask('pull', '--quiet', image) !== null;

/** Why nothing can be tried; null when it can. */
function obstacle(): string | null {
  if (ask('info', '--format', '{{.ServerVersion}}') === null)
    return `there is no container engine to ask: ${lastRefusal}`;
  if (ask('compose', 'version') === null) return `docker has no compose plugin: ${lastRefusal}`;
  for (const image of [baseImage, services['prometheus']!.image]) {
    if (!isThere(image))
      return `${image} is not to be had: ${lastRefusal}. test/compose/base-images.sh makes it where there is no registry`;
  }
  return null;
}

/** What is true within a minute, or as many seconds, or the last thing that was said against it. */
async function eventually<T>(what: string, look: () => Promise<T>, seconds = 60): Promise<T> {
  let last: unknown;
  for (let attempt = 0; attempt < seconds; attempt++) {
    try {
      const result = await look();
      console.log(`✔ ${what}`);
      return result;
    } catch (error) {
      last = error;
      await delay(1000);
    }
  }
  throw new Error(`not within ${seconds} s: ${what}`, { cause: last });
}

async function json(url: string, body?: unknown): Promise<Record<string, unknown>> {
  const init = body === undefined ? {} : { method: 'POST', body: JSON.stringify(body) };
  const answer = await fetch(url, { ...init, signal: AbortSignal.timeout(10_000) });
  assert.equal(answer.status, 200, `${url}: ${answer.status}`);
  return (await answer.json()) as Record<string, unknown>;
}

/** The value of an instant query with one result. */
async function query(expression: string): Promise<number> {
  const url = `http://127.0.0.1:${ports.PROMETHEUS_PORT}/api/v1/query?query=${encodeURIComponent(expression)}`;
  const { data } = (await json(url)) as {
    readonly data: { readonly result: readonly { readonly value: readonly [number, string] }[] };
  };
  assert.equal(data.result.length, 1, `${expression} has ${data.result.length} results`);
  return Number(data.result[0]!.value[1]);
}

async function look(withGrafana: boolean): Promise<void> {
  const gateway = `http://127.0.0.1:${ports.GATEWAY_PORT}`;
  const model = await eventually('the gateway lists the models of the simulated Ollamas', async () => {
    const { models } = (await json(`${gateway}/api/tags`)) as { readonly models: readonly { readonly name: string }[] };
    assert.ok(models.length > 0);
    return models[0]!.name;
  });
  await eventually('it answers a chat', async () => {
    const { done } = await json(`${gateway}/api/chat`, {
      model,
      messages: [{ role: 'user', content: 'Hello?' }],
      stream: false,
    });
    assert.equal(done, true);
  });
  await eventually('Prometheus sees its target up', async () => assert.equal(await query('up{job="llamero"}'), 1));
  await eventually('Prometheus has counted the request', async () =>
    assert.ok((await query('sum(llamero_requests_total{route="/api/chat", outcome="ok"})')) >= 1),
  );
  await eventually('Prometheus has loaded the rules', async () => {
    const { data } = (await json(`http://127.0.0.1:${ports.PROMETHEUS_PORT}/api/v1/rules`)) as {
      readonly data: { readonly groups: readonly { readonly name: string }[] };
    };
    assert.deepEqual(data.groups.map(({ name }) => name).sort(), ['llamero-alerts', 'llamero-recording']);
  });
  await eventually('both backends are up', async () => assert.equal(await query('sum(llamero_backend_up)'), 2));
  if (withGrafana) {
    await eventually('Grafana has the dashboard', async () => {
      const { dashboard } = await json(`http://127.0.0.1:${ports.GRAFANA_PORT}/api/dashboards/uid/llamero`);
      assert.equal((dashboard as { readonly title: string }).title, 'Llamero');
    });
  }
}

function container(service: string): string {
  return ask(
    'ps',
    '--all',
    '--quiet',
    '--filter',
    `label=com.docker.compose.project=${project}`,
    '--filter',
    `label=com.docker.compose.service=${service}`,
  )!;
}

/** What the image promises and only an engine can tell. */
async function inspect(): Promise<void> {
  const id = container('gateway');
  assert.notEqual(ask('exec', id, 'id', '-u'), '0');
  assert.equal(ask('exec', id, 'touch', '/opt/llamero/src/x'), null, 'the file system is read-only');
  console.log('✔ the gateway is not root, and writes nowhere');
  // Three of its intervals: the first look may come while everything else is starting.
  const health = '{{.State.Health.Status}}';
  await eventually(
    'the health check of the image says healthy',
    async () => assert.equal(ask('inspect', '--format', health, id), 'healthy'),
    90,
  );
  await compose('stop', 'gateway');
  assert.equal(ask('inspect', '--format', '{{.State.ExitCode}}', id), '0');
  console.log('✔ told to stop, it ends with 0');
}

const reason = obstacle();
if (reason !== null) {
  console.log(`skipped: ${reason}`);
  process.exitCode = process.argv.includes('--require') ? 1 : 0;
} else {
  const withGrafana = isThere(services['grafana']!.image);
  if (!withGrafana) console.log(`without Grafana, whose image is not to be had: ${lastRefusal}`);
  const started = ['gateway', 'simulated-1', 'simulated-2', 'prometheus', ...(withGrafana ? ['grafana'] : [])];
  try {
    await compose('--profile', 'observability', 'up', '--build', '--detach', ...started);
    await look(withGrafana);
    await inspect();
    console.log('passed');
  } catch (error) {
    console.error(error);
    await compose('logs', '--tail', '30').catch(() => undefined);
    process.exitCode = 1;
  } finally {
    await compose('--profile', 'observability', 'down', '--volumes', '--remove-orphans', '--timeout', '10');
  }
}
