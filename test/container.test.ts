/** What the image and the compose file promise, as far as it can be seen without an engine. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { chmod, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { promisify } from 'node:util';
import { parse } from 'yaml';
import { commands } from '../src/cli/commands.ts';
import { loadConfig } from '../src/config/load.ts';
import { configSchema } from '../src/config/schema.ts';
import { settingsOf } from '../src/config/settings.ts';
import { parseDuration } from '../src/config/units.ts';

interface Service {
  readonly image: string;
  readonly build?: string;
  readonly init?: boolean;
  readonly profiles?: readonly string[];
  readonly entrypoint?: readonly string[];
  readonly command?: readonly string[];
  readonly environment?: Readonly<Record<string, string>>;
  readonly ports?: readonly string[];
  readonly volumes?: readonly string[];
  readonly healthcheck?: { readonly test: readonly unknown[] };
  readonly stop_grace_period?: string;
  readonly depends_on?: Readonly<Record<string, { readonly required?: boolean }>> | readonly string[];
}

interface Instruction {
  readonly name: string;
  readonly text: string;
}

const root = new URL('..', import.meta.url);
const read = (path: string) => readFile(new URL(path, root), 'utf8');
const knownVariables = new Set(settingsOf(configSchema).map(({ env }) => env));

const dockerfile: readonly Instruction[] = (await read('Dockerfile'))
  .replace(/^#.*\n/gm, '')
  .replace(/\\\n/g, ' ')
  .split('\n')
  .filter((line) => line.trim() !== '')
  .map((line) => ({
    name: line.split(' ', 1)[0]!,
    text: line
      .slice(line.indexOf(' ') + 1)
      .replace(/\s+/g, ' ')
      .trim(),
  }));

const compose = parse(await read('docker-compose.yml'), { merge: true }) as {
  readonly services: Readonly<Record<string, Service>>;
  readonly volumes: Readonly<Record<string, unknown>>;
};
const services = Object.entries(compose.services);
const ours = services.filter(([, { image }]) => image === 'llamero');

function imageEnvironment(): Record<string, string> {
  const assignments = dockerfile.filter(({ name }) => name === 'ENV').flatMap(({ text }) => text.split(' '));
  return Object.fromEntries(assignments.map((assignment) => assignment.split('=', 2) as [string, string]));
}

async function configFrom(env: Record<string, string>) {
  const noFiles = { read: () => Promise.reject(Object.assign(new Error('no file'), { code: 'ENOENT' })) };
  const loaded = await loadConfig({ file: null, env, flags: null, files: noFiles });
  assert.ok(loaded.ok, JSON.stringify(loaded));
  assert.deepEqual(loaded.warnings, []);
  return loaded.config;
}

function instruction(name: string): string {
  const found = dockerfile.filter((each) => each.name === name);
  assert.equal(found.length, 1, `one ${name}`);
  return found[0]!.text;
}

describe('the image', () => {
  it('runs the sources on its own Node, without the packages of other machines', () => {
    assert.equal(instruction('FROM'), 'node:26-bookworm-slim');
    assert.match(instruction('RUN'), /npm ci --omit=dev --ignore-scripts .*&& rm -rf node_modules\/node-linux-\*/);
    assert.deepEqual(JSON.parse(instruction('ENTRYPOINT')), ['node', '/opt/llamero/src/main.ts']);
  });

  it('does not run as root', () => {
    const order = dockerfile.map(({ name }) => name);
    assert.notEqual(instruction('USER'), 'root');
    assert.ok(order.indexOf('USER') < order.indexOf('ENTRYPOINT'));
    assert.ok(order.lastIndexOf('RUN') < order.indexOf('USER'));
  });

  it('copies what is there, and all that .dockerignore lets through', async () => {
    const copied = dockerfile.filter(({ name }) => name === 'COPY').flatMap(({ text }) => text.split(' ').slice(0, -1));
    for (const path of copied) await stat(new URL(path, root));
    const admitted = (await read('.dockerignore')).split('\n').filter((line) => line.startsWith('!'));
    assert.deepEqual(admitted.map((line) => line.slice(1)).sort(), copied.sort());
  });

  it('starts and checks itself with commands that exist', () => {
    const [start] = JSON.parse(instruction('CMD')) as string[];
    assert.ok(Object.hasOwn(commands, start!));
    const check = JSON.parse(/CMD (\[.*\])/.exec(instruction('HEALTHCHECK'))![1]!) as string[];
    assert.deepEqual(check.slice(0, 2), ['node', '/opt/llamero/src/main.ts']);
    assert.ok(Object.hasOwn(commands, check[2]!));
  });

  it('listens for clients on every interface and for operators on none but its own', async () => {
    const config = await configFrom(imageEnvironment());
    assert.deepEqual(config.listen.address, { host: '0.0.0.0', port: 11434 });
    assert.deepEqual(config.admin.address, { host: '127.0.0.1', port: 11436 });
    assert.equal(instruction('EXPOSE'), '11434');
  });
});

describe('docker compose', () => {
  it('starts the gateway and two simulated Ollamas when no profile is named', () => {
    const plain = services.filter(([, { profiles = [] }]) => profiles.length === 0).map(([name]) => name);
    assert.deepEqual(plain, ['gateway', 'simulated-1', 'simulated-2']);
    const inProfile = (wanted: string) =>
      services.filter(([, { profiles = [] }]) => profiles.includes(wanted)).map(([name]) => name);
    assert.deepEqual(inProfile('ollama'), ['ollama-1', 'ollama-2']);
    assert.deepEqual(inProfile('observability'), ['prometheus', 'grafana']);
  });

  it('waits only for services that are part of the start', () => {
    for (const [name, { depends_on: needs = {}, profiles = [] }] of services) {
      for (const [other, { required = true }] of Object.entries(Array.isArray(needs) ? {} : needs)) {
        const theirs = compose.services[other]?.profiles ?? [];
        assert.ok(Object.hasOwn(compose.services, other), other);
        assert.ok(!required || theirs.every((profile) => profiles.includes(profile)), `${name} → ${other}`);
      }
    }
  });

  it('publishes the port the gateway listens on, on loopback unless told otherwise', async () => {
    const { ports, environment = {} } = compose.services['gateway']!;
    const { listen } = await configFrom({ ...imageEnvironment(), ...defaults(environment) });
    assert.deepEqual(ports!.map(withDefaults), [`127.0.0.1:11434:${listen.address.port}`]);
  });

  it('gives our services commands and variables that exist', async () => {
    for (const [name, { command = [], environment = {}, build, init }] of ours) {
      assert.equal(build, '.');
      assert.equal(init, true, `${name} has an init, so that signals arrive`);
      assert.equal(command.length, 1);
      assert.ok(Object.hasOwn(commands, command[0]!), `${name}: ${command[0]}`);
      for (const variable of Object.keys(environment)) assert.ok(knownVariables.has(variable), variable);
      await configFrom({ ...imageEnvironment(), ...defaults(environment) });
    }
  });

  it('lets the gateway finish its answers before it is killed', async () => {
    const { shutdown } = await configFrom({});
    const grace = parseDuration(compose.services['gateway']!.stop_grace_period!);
    assert.ok(Number(grace) > shutdown.delay + shutdown.grace, `${grace} ms`);
  });

  it('checks health with arguments that are text, and Ollama without curl', () => {
    for (const [name, { healthcheck, profiles = [] }] of services) {
      if (healthcheck !== undefined)
        assert.ok(
          healthcheck.test.every((part) => typeof part === 'string'),
          name,
        );
      if (profiles.includes('ollama')) assert.deepEqual(healthcheck?.test, ['CMD', 'ollama', 'list']);
    }
  });

  it('mounts files that exist and volumes that are declared', async () => {
    for (const mount of services.flatMap(([, { volumes = [] }]) => volumes)) {
      const source = mount.split(':')[0]!;
      if (source.startsWith('./')) assert.ok(await stat(new URL(source, root)), source);
      else assert.ok(Object.hasOwn(compose.volumes, source), source);
    }
  });

  it('puts the Ollamas of the profile behind the gateway when they are there, and the simulated ones when not', async (t) => {
    const started = await gatewayStarter();
    t.after(started.close);
    const names = async (env: Record<string, string>) => {
      const { backends } = await configFrom({ LLAMERO_BACKENDS: await started.backends(env) });
      return backends.map(({ name, url }) => `${name} ${url}`);
    };
    assert.deepEqual(await names({ OLLAMA_THERE: 'no' }), [
      'simulated-1 http://simulated-1:11434',
      'simulated-2 http://simulated-2:11434',
    ]);
    assert.deepEqual(await names({ OLLAMA_THERE: 'yes' }), [
      'ollama-1 http://ollama-1:11434',
      'ollama-2 http://ollama-2:11434',
    ]);
    assert.deepEqual(await names({ OLLAMA_THERE: 'yes', LLAMERO_BACKENDS: 'mine=http://10.0.0.2:11434' }), [
      'mine http://10.0.0.2:11434',
    ]);
  });

  it('has Prometheus scrape the gateway', async () => {
    const { scrape_configs: jobs } = parse(await read('deploy/prometheus/prometheus.yml')) as {
      readonly scrape_configs: readonly {
        readonly metrics_path: string;
        readonly static_configs: readonly { readonly targets: readonly string[] }[];
      }[];
    };
    const { listen } = await configFrom(imageEnvironment());
    assert.deepEqual(
      jobs.map(({ metrics_path: path }) => path),
      ['/metrics'],
    );
    assert.deepEqual(
      jobs.flatMap(({ static_configs: configs }) => configs.flatMap(({ targets }) => targets)),
      [`gateway:${listen.address.port}`],
    );
  });
});

/** `${NAME:-default}` → default, as compose does in an empty environment. */
function withDefaults(text: string): string {
  return text.replace(/\$\{\w+(?::-([^}]*))?\}/g, (_, value: string | undefined) => value ?? '');
}

function defaults(environment: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(Object.entries(environment).map(([name, value]) => [name, withDefaults(value)]));
}

/** Runs the entry point of the gateway's service with a name service and a Node that only tell what they were asked. */
async function gatewayStarter() {
  const [shell, flag, script, ...rest] = compose.services['gateway']!.entrypoint!;
  const folder = await mkdtemp(join(tmpdir(), 'llamero-compose-'));
  const stand = async (name: string, text: string) => {
    await writeFile(join(folder, name), `#!/bin/sh\n${text}\n`);
    await chmod(join(folder, name), 0o755);
  };
  await stand('getent', '[ "$1 $2 $OLLAMA_THERE" = "hosts ollama-1 yes" ]');
  await stand('node', 'echo "$* $LLAMERO_BACKENDS"');
  return {
    async backends(env: Record<string, string>): Promise<string> {
      const unescaped = script!.replaceAll('$$', '$');
      const { stdout } = await promisify(execFile)(
        shell!,
        [flag!, unescaped, ...rest, ...compose.services['gateway']!.command!],
        {
          env: { PATH: `${folder}:/usr/bin:/bin`, LLAMERO_BACKENDS: '', ...env },
        },
      );
      const [main, command, backends] = stdout.trim().split(' ');
      assert.deepEqual([main, command], ['/opt/llamero/src/main.ts', 'serve']);
      return backends!;
    },
    close: () => rm(folder, { recursive: true }),
  };
}
