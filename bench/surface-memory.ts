/**
 * What large transfers cost in memory: `node bench/surface-memory.ts [--size 2GiB] [--lines 500]` uploads a blob of that size
 * through a gateway, to one backend and to three at once, then pulls a model to three backends whose progress has about so many
 * lines each, and prints by how much the gateway's resident memory grew. The gateway and the simulated Ollamas have processes of
 * their own. Exits with 1 when the growth is more than 64 MiB, or the merged progress is not what `ollama pull` can show.
 */
import { fork, type ChildProcess } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { request } from 'node:http';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { createApp } from '../src/app.ts';
import { loadConfig } from '../src/config/load.ts';
import { backendSpecs } from '../src/core/backend.ts';
import { createSimulatedOllama } from '../src/simulator/server.ts';
import { realSystem } from '../src/system.ts';
import { residentBytes } from './load/procfs.ts';

const MiB = 1024 ** 2;
const GROWTH_LIMIT = 64 * MiB;
const BACKENDS = 3;

const { values } = parseArgs({
  options: {
    size: { type: 'string', default: '2GiB' },
    lines: { type: 'string', default: '500' },
    role: { type: 'string', default: 'measure' },
    backends: { type: 'string', default: '' },
  },
});
const piece = Buffer.alloc(MiB, 'llama');
const pieces = sizeIn(values.size) / MiB;
/** Every layer makes two lines: it begins, and it is there. */
const layers = Math.ceil(Number(values.lines) / 2);

if (values.role === 'ollamas') await serveOllamas();
else if (values.role === 'gateway') await serveGateway(values.backends.split(','));
else process.exitCode = (await measure()) ? 0 : 1;

function sizeIn(text: string): number {
  const [, number = '0', unit = 'MiB'] = /^(\d+)(MiB|GiB)$/.exec(text) ?? [];
  return Number(number) * (unit === 'GiB' ? 1024 * MiB : MiB);
}

async function serveOllamas(): Promise<void> {
  const options = { models: [], pullLayers: layers, pullBytesPerSecond: 1e12 };
  const started = await Promise.all(Array.from({ length: BACKENDS }, () => createSimulatedOllama(options)));
  process.send!({ urls: started.map(({ url }) => url) });
}

async function serveGateway(urls: readonly string[]): Promise<void> {
  const text = JSON.stringify({
    listen: { address: '127.0.0.1:0' },
    admin: { address: '127.0.0.1:0' },
    backends: urls.map((url, index) => ({ name: `gpu${index + 1}`, url })),
    log: { level: 'error' },
  });
  const files = { read: async () => Buffer.from(text) };
  const loaded = await loadConfig({ file: 'bench.yaml', env: {}, flags: null, files });
  if (!loaded.ok) throw new Error(JSON.stringify(loaded.problems));
  const app = createApp(
    loaded.config,
    {
      version: '0.0.0-bench',
      backends: backendSpecs(loaded.config.backends),
      simulated: new Set(),
      isTerminal: false,
      reload: async () => ({ ok: false, messages: [] }),
      readBackend: async () => 'not here',
    },
    realSystem,
  );
  const { publicAddress } = await app.listen();
  process.send!({ url: `http://${publicAddress}` });
}

async function measure(): Promise<boolean> {
  const self = fileURLToPath(import.meta.url);
  const rest = process.argv.slice(2);
  const ollamas = fork(self, [...rest, '--role', 'ollamas']);
  const [{ urls }] = (await once(ollamas, 'message')) as [{ urls: string[] }];
  const gateway = fork(self, [...rest, '--role', 'gateway', '--backends', urls.join(',')]);
  const [{ url }] = (await once(gateway, 'message')) as [{ url: string }];
  try {
    const digest = digestOf(pieces);
    // What is loaded and compiled once is not what is asked about.
    await upload(url, digestOf(8), 8, 'gpu1');
    await pull(url, 'warm', 'all');
    const base = residentBytes([gateway.pid!])!;
    print(`gateway at rest: ${mebibytes(base)} resident`);
    const grew = [
      await watched(gateway, base, `upload of ${values.size} to one backend`, () =>
        upload(url, digest, pieces, 'gpu1'),
      ),
      await watched(gateway, base, `upload of ${values.size} to the other two at once`, () =>
        upload(url, digest, pieces, 'gpu2,gpu3'),
      ),
      await watched(gateway, base, `pull to three backends, ${layers} layers`, () => pull(url, 'measured', 'all')),
    ];
    const most = Math.max(...grew);
    print(`most growth: ${mebibytes(most)}, limit ${mebibytes(GROWTH_LIMIT)}`);
    return most <= GROWTH_LIMIT;
  } finally {
    gateway.kill();
    ollamas.kill();
  }
}

/** Runs `work`, and returns by how much the gateway's memory was above `base` at most. */
async function watched(
  gateway: ChildProcess,
  base: number,
  title: string,
  work: () => Promise<string>,
): Promise<number> {
  let most = 0;
  const look = (): void => {
    most = Math.max(most, residentBytes([gateway.pid!]) ?? 0);
  };
  const timer = setInterval(look, 20);
  const started = performance.now();
  const result = await work();
  look();
  clearInterval(timer);
  const seconds = ((performance.now() - started) / 1000).toFixed(1);
  print(`${title}: +${mebibytes(most - base)}, ${seconds} s, ${result}`);
  return most - base;
}

function digestOf(count: number): string {
  const hash = createHash('sha256');
  for (let i = 0; i < count; i += 1) hash.update(piece);
  return `sha256:${hash.digest('hex')}`;
}

async function upload(url: string, digest: string, count: number, placement: string): Promise<string> {
  const headers = { 'content-type': 'application/json', 'x-llamero-placement': placement };
  const sent = request(`${url}/api/blobs/${digest}`, { method: 'POST', headers });
  const answered = once(sent, 'response') as Promise<[{ statusCode: number; resume(): void }]>;
  for (let i = 0; i < count; i += 1) if (!sent.write(piece)) await once(sent, 'drain');
  sent.end();
  const [response] = await answered;
  response.resume();
  if (response.statusCode !== 201) throw new Error(`the upload was answered ${response.statusCode}`);
  return 'answered 201';
}

interface Line {
  readonly status?: string;
  readonly digest?: string;
  readonly total?: number;
  readonly completed?: number;
}

/** Throws when a bar of the command line would jump, shrink or stay short of its end. */
async function pull(url: string, model: string, placement: string): Promise<string> {
  const answer = await fetch(`${url}/api/pull`, {
    method: 'POST',
    headers: { 'x-llamero-placement': placement },
    body: JSON.stringify({ model }),
  });
  const lines = (await answer.text())
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as Line);
  const bars = new Map<string, { max: number; value: number }>();
  for (const { digest, total = 0, completed = 0 } of lines) {
    if (digest === undefined || completed === 0) continue;
    const bar = bars.get(digest) ?? { max: total, value: 0 };
    if (total !== bar.max || completed < bar.value) throw new Error(`a bar jumped: ${digest}`);
    bars.set(digest, { max: bar.max, value: completed });
  }
  const short = [...bars.values()].filter(({ max, value }) => value < max).length;
  const successes = lines.filter(({ status }) => status === 'success').length;
  if (short > 0 || successes !== 1 || lines.at(-1)!.status !== 'success')
    throw new Error('the progress did not end well');
  return `${lines.length} lines, ${bars.size} bars, monotonic, ends in success`;
}

function mebibytes(bytes: number): string {
  return `${(bytes / MiB).toFixed(1)} MiB`;
}

function print(line: string): void {
  process.stdout.write(`${line}\n`);
}
