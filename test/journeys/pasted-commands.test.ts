/**
 * Every command in the pages works when it is pasted: those in blocks for a shell, and those in a line of text. Each is run against
 * a gateway on free ports in front of simulated Ollamas, with its addresses put in; what can't be run here is held to what it names.
 */
import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readdir, readFile, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { promisify } from 'node:util';
import { parse } from 'yaml';
import { commands, runCommand } from '../../src/cli/commands.ts';
import { startGateway, type Gateway } from '../support/gateway.ts';
import { recordedIo } from '../support/io.ts';
import { simulatedOllamas } from '../support/simulated.ts';

const root = new URL('../..', import.meta.url);
const read = (path: string) => readFile(new URL(path, root), 'utf8');
const run = promisify(execFile);

interface Pasted {
  readonly page: string;
  readonly command: string;
}

/** What begins a command in a line of text; other words between backticks are none. */
const beginnings = /^(?:curl|llamero|node|npm|npx|docker|sh|python3?|ulimit|systemctl|helm|kubectl|promtool) \S/;

function commandsIn(page: string, text: string): Pasted[] {
  const blocks = [...text.matchAll(/^```sh\n([\s\S]*?)^```/gm)].flatMap(([, block]) =>
    block!.replace(/\\\n\s*/g, '').split('\n'),
  );
  const outside = text.replace(/^```[\s\S]*?^```/gm, '');
  const inline = [...outside.matchAll(/`([^`\n]+)`/g)].map(([, code]) => code!).filter((code) => beginnings.test(code));
  return [...blocks.flatMap((line) => line.split(' && ')), ...inline]
    .map((line) => line.replace(/\s+#.*$/, '').trim())
    .filter((line) => line !== '' && !line.startsWith('#'))
    .map((command) => ({ page, command }));
}

async function pages(): Promise<readonly Pasted[]> {
  const docs = (await readdir(new URL('docs', root), { recursive: true })).filter((name) => name.endsWith('.md'));
  const names = [
    'README.md',
    'CONTRIBUTING.md',
    'SECURITY.md',
    'examples/README.md',
    ...docs.map((name) => `docs/${name}`),
  ];
  const found = await Promise.all(names.map(async (name) => commandsIn(name, await read(name))));
  const seen = new Set<string>();
  return found.flat().filter(({ command }) => !seen.has(command) && seen.add(command));
}

/** Commands that are not run, and why; everything else is. */
const exceptions: readonly (readonly [RegExp, string])[] = [
  [/^git clone |^cd /, 'the clone is where this test is'],
  [/^(?:ulimit|sysctl) /, 'whether it may be changed is up to the machine'],
  [/^node --trace-gc /, 'is about the output of Node'],
];

interface World {
  readonly gateway: Gateway;
  /** A file for keys that is not there yet. */
  readonly keys: string;
  /** What the reader has exported so far. */
  readonly env: Record<string, string>;
  readonly scripts: Readonly<Record<string, string>>;
  readonly compose: { readonly services: Readonly<Record<string, { readonly profiles?: readonly string[] }>> };
}

async function world(t: TestContext): Promise<World> {
  const folder = await mkdtemp(join(tmpdir(), 'llamero-'));
  t.after(() => rm(folder, { recursive: true, force: true }));
  const ollamas = await simulatedOllamas(t, 2, { models: ['llama3.2:3b', 'qwen3:8b', 'nomic-embed-text'] });
  const backends = ollamas.map(({ url }, index) => ({ url, name: `gpu${index + 1}` }));
  return {
    gateway: await startGateway(t, backends),
    keys: join(folder, 'keys.json'),
    env: {},
    scripts: (JSON.parse(await read('package.json')) as { scripts: Record<string, string> }).scripts,
    compose: parse(await read('docker-compose.yml'), { merge: true }) as World['compose'],
  };
}

/** Words as a shell splits them. */
function words(command: string): string[] {
  return [...command.matchAll(/'([^']*)'|"([^"]*)"|(\S+)/g)].map(
    ([, single, double, bare]) => single ?? double ?? bare!,
  );
}

/** Names that stand for the reader's own. */
const placeholders: Readonly<Record<string, string>> = {
  NAME: 'gpu1',
  BACKEND: 'gpu1',
  MODEL: 'llama3.2:3b',
  FILE: 'llamero.yaml',
  ID: 'somebody',
};

/** What a command is given that a line of text names without its arguments. */
const usual: Readonly<Record<string, readonly string[]>> = {
  config: ['--effective'],
  drain: ['BACKEND'],
  keys: ['list'],
  pull: ['MODEL', '--all'],
  resume: ['BACKEND'],
};

type Runner = (command: string, world: World) => Promise<void>;

/** The first that fits a command runs it; it rejects when the command does not work. */
const runners: readonly (readonly [RegExp, Runner])[] = [
  [/^(?:[A-Z_]+=\S+ )*npm start/, startsWith],
  [/^npm (?:run [\w:]+|test|ci|install)/, namesScript],
  [/^(?:llamero|node src\/main\.ts)/, runsCommand],
  [/^export /, exports],
  [/^curl /, asks],
  [/^(?:[A-Z_]+=\S+ )*docker compose/, namesServices],
  [/^(?:cp|helm|kubectl|promtool|systemctl) /, namesWhatIsThere],
  [/^(?:sh|node|python3) (?:examples|bench)\//, namesFile],
];

/** The gateway knows the variable. */
async function exports(command: string, { env }: World): Promise<void> {
  const [, name = '', value = ''] = /^export (\w+)=(\S+)$/.exec(command) ?? [];
  assert.ok((await read('docs/configuration.md')).includes(`\`${name}\``), name);
  env[name] = value;
}

/** The gateway takes the arguments, by its own check. */
async function startsWith(command: string, place: World): Promise<void> {
  const [, ...argv] = words(command.replace(/^.*?npm start/, 'npm-start')).filter((word) => word !== '--');
  if (Object.hasOwn(commands, argv[0] ?? '')) {
    await runsCommand(`llamero ${argv.join(' ')}`, place);
    return;
  }
  const [yaml] = [...(await read('README.md')).matchAll(/```yaml\n([\s\S]*?)```/g)].map(([, text = '']) => text);
  const io = recordedIo({ files: { 'llamero.yaml': yaml! }, env: place.env });
  assert.equal(await runCommand(['check', ...argv], io), 0, io.err());
}

async function namesScript(command: string, { scripts }: World): Promise<void> {
  const name = /^npm (?:run )?([\w:]+)/.exec(command)![1]!;
  if (name === 'ci' || name === 'install') return;
  assert.ok(Object.hasOwn(scripts, name), name);
  for (const [, file] of scripts[name]!.matchAll(/node (?:--\S+ )*([\w./-]+\.m?[tj]s)/g))
    await stat(new URL(file ?? '', root));
}

async function runsCommand(command: string, place: World): Promise<void> {
  const { gateway, keys } = place;
  const [name = 'serve', ...rest] = words(command.replace(/^(?:llamero|node src\/main\.ts) ?/, ''));
  assert.ok(Object.hasOwn(commands, name), `there is no command \`${name}\``);
  const argv = (rest.length === 0 ? (usual[name] ?? []) : rest).map((word) => placeholders[word] ?? word);
  if (name === 'explain')
    await (await gateway.chat({ model: 'llama3.2:3b' }, { headers: { 'x-request-id': 'REQUEST-ID' } })).text();
  if (name === 'health') argv.push('--listen', new URL(gateway.url).host);
  if (name === 'serve') argv.push('--admin', '127.0.0.1:0');
  if (name !== 'help' && !argv.includes('-c') && !argv.includes('--config')) argv.push('-c', 'llamero.yaml');
  // A second page begins with its own first key.
  if (name === 'keys' && argv[0] === 'create') await rm(keys, { force: true });
  if (name === 'keys' && argv[0] !== 'create')
    await runsCommand(`llamero keys create ${argv[1] ?? 'somebody'}`, place).catch(() => {});
  const backends = gateway.app.view().map(({ spec }) => JSON.stringify(spec.url));
  const file = `listen: {address: "127.0.0.1:0"}\nadmin: {address: "${new URL(gateway.adminUrl).host}"}\nbackends: [${backends.join(', ')}]\nclients: {keys: ${JSON.stringify(keys)}}\nlog: {level: silent}\n`;
  // A gateway would go on for ever; this one is asked to stop as soon as it has started.
  const stop = name === 'serve' ? { signal: AbortSignal.abort() } : {};
  const io = recordedIo({ files: { 'llamero.yaml': file }, ...stop });
  assert.equal(await runCommand([name, ...argv], io), 0, io.err() + io.out());
}

async function asks(command: string, { gateway }: World): Promise<void> {
  const here = command
    .replace(/^curl /, 'curl -sS --fail -o /dev/null -m 30 ')
    .replace(/http:\/\/(?:127\.0\.0\.1|localhost):1143[45]/g, gateway.url)
    .replace(/http:\/\/(?:127\.0\.0\.1|localhost):11436/g, gateway.adminUrl)
    .replace(/\b(?:NAME|BACKEND)\b/g, 'gpu2');
  assert.ok(here.includes(gateway.url) || here.includes(gateway.adminUrl), 'it asks the gateway');
  await run('sh', ['-c', here], { env: { ...process.env, no_proxy: '127.0.0.1' } });
}

async function namesServices(command: string, { compose }: World): Promise<void> {
  const argv = words(command.replace(/^.*?docker compose/, ''));
  const profiles = new Set(Object.values(compose.services).flatMap(({ profiles: of = [] }) => of));
  for (const [index, word] of argv.entries()) {
    const next = argv[index + 1] ?? '';
    if (word === '--profile') assert.ok(profiles.has(next), next);
    if (word === 'exec' || word === 'logs') assert.ok(Object.hasOwn(compose.services, next), next);
    if (word === '-f') await stat(new URL(next, root));
  }
}

/** For systems that a test has not: the files are ours, and a unit is one of those that are shipped. test/deploy has the rest. */
async function namesWhatIsThere(command: string): Promise<void> {
  const units = await readdir(new URL('deploy/systemd', root));
  for (const word of words(command)) {
    if (/^(?:deploy|config)\//.test(word)) await stat(new URL(word, root));
    const [, unit = '', kind = 'service'] = /^(llamero)(?:@\w+)?(?:\.(service|socket))?$/.exec(word) ?? [];
    if (command.startsWith('systemctl') && unit !== '') assert.ok(units.includes(`${unit}.${kind}`), word);
  }
}

/** The examples are run, each of them, by a test of their own, and what is in `bench` takes its time. */
async function namesFile(command: string): Promise<void> {
  assert.ok(await stat(new URL(words(command)[1] ?? '', root)));
}

describe('the commands in the pages', async () => {
  const pasted = await pages();
  const curl = await run('curl', ['--version']).then(
    () => true,
    () => false,
  );

  it('are some, and those that are not run are few', () => {
    assert.ok(pasted.length > 30, `${pasted.length} found`);
    assert.ok(exceptions.length <= 5);
    for (const [pattern] of exceptions)
      assert.ok(
        pasted.some(({ command }) => pattern.test(command)),
        String(pattern),
      );
  });

  it('work', async (t) => {
    const place = await world(t);
    // What takes a backend away for good comes last.
    const isLast = ({ command }: Pasted) => command.includes('-X DELETE');
    for (const { command, page } of [...pasted.filter((one) => !isLast(one)), ...pasted.filter(isLast)]) {
      if (exceptions.some(([pattern]) => pattern.test(command))) continue;
      if (command.startsWith('curl ') && !curl) continue;
      const [, runner] = runners.find(([pattern]) => pattern.test(command)) ?? [];
      assert.ok(runner, `${page}: nobody knows how to run \`${command}\``);
      await assert.doesNotReject(runner(command, place), `${page}: ${command}`);
    }
  });

  it('of the quick start give an answer, from the first to the third', {
    skip: !curl && 'there is no curl',
  }, async (t) => {
    const [block] = [...(await read('README.md')).matchAll(/^```sh\n([\s\S]*?)^```/gm)].map(([, text = '']) => text);
    const [clone, start, ask, ...more] = block!.trim().split('\n');
    assert.match(clone!, /^git clone .* && cd llamero$/);
    assert.equal(start, 'npm start');
    assert.deepEqual(more, []);
    const env = {
      ...process.env,
      LLAMERO_LISTEN_ADDRESS: '127.0.0.1:0',
      LLAMERO_ADMIN_ADDRESS: '127.0.0.1:0',
      no_proxy: '127.0.0.1',
    };
    const started = spawn('npm', ['start'], { cwd: root, env, detached: true, stdio: ['ignore', 'ignore', 'pipe'] });
    const ended = once(started, 'exit');
    t.after(async () => {
      process.kill(-started.pid!, 'SIGTERM');
      await ended;
    });
    let banner = '';
    for await (const text of started.stderr) {
      banner += String(text);
      if (banner.includes('Ctrl-C')) break;
    }
    const url = /listening on +(http:\S+)/.exec(banner)?.[1];
    assert.ok(url, banner);
    const { stdout } = await run(
      'sh',
      ['-c', ask!.replace('http://127.0.0.1:11435', url).replace('curl', 'curl -sS')],
      { env },
    );
    assert.match(stdout, /"content":"\S/);
    assert.match(stdout, /"done":true/);
  });
});
