/**
 * What keys cost: `npm run bench:keys [-- --requests 4000 --rounds 5]`. Three gateways in processes of their own, asked in turns over
 * kept connections: without keys, with one key, and with ten thousand keys and a list of a thousand models. CPU time per request from
 * the kernel's accounting, so that other programs of a busy machine don't count; also how soon a revoked key is refused. Exits with 1
 * when one key costs more than 1.15 of none, ten thousand more than 1.15 of one, or a revocation takes longer than a second.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { Agent, request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { setTimeout as delay } from 'node:timers/promises';
import { editKeys, type KeyRecord } from '../src/identity/key-file.ts';
import { digestOf, makeKey } from '../src/identity/key-text.ts';
import { cpuMicros } from './load/procfs.ts';
import { models } from './load/script.ts';
import { start, startBackend, stop, stopAll } from './load/processes.ts';
import { freePort, whenReady, type RunningProxy } from './proxies/proxy.ts';
import { llameroConfig } from './proxies/llamero.ts';

const MOST = 1.15;
const CONNECTIONS = 8;
const WARM_UP = 3000;

const { values } = parseArgs({
  options: { requests: { type: 'string', default: '4000' }, rounds: { type: 'string', default: '5' } },
});

interface Variant {
  readonly name: string;
  readonly gateway: RunningProxy;
  readonly key: string | null;
  readonly file: string;
  /** CPU microseconds per request, one for each round. */
  readonly cost: number[];
}

const body = JSON.stringify({ model: models.small, messages: [{ role: 'user', content: 'hello' }], stream: false });
const agent = new Agent({ keepAlive: true, maxSockets: CONNECTIONS });

function ask({ gateway, key }: Pick<Variant, 'gateway' | 'key'>): Promise<number> {
  const headers = { 'content-type': 'application/json', ...(key !== null && { authorization: `Bearer ${key}` }) };
  return new Promise((resolve, reject) => {
    const sent = request(
      { agent, host: '127.0.0.1', port: gateway.port, path: '/api/chat', method: 'POST', headers },
      (answer) => {
        answer.resume();
        answer.on('end', () => resolve(answer.statusCode ?? 0));
      },
    );
    sent.on('error', reject);
    sent.end(body);
  });
}

async function askMany(variant: Variant, count: number): Promise<void> {
  let left = count;
  const one = async () => {
    while (left-- > 0) {
      const status = await ask(variant);
      if (status !== 200) throw new Error(`${variant.name}: status ${status}`);
    }
  };
  await Promise.all(Array.from({ length: CONNECTIONS }, one));
}

async function startVariant(folder: string, name: string, backendPort: number, keys: number): Promise<Variant> {
  const port = await freePort();
  const file = join(folder, `${name}.json`);
  const listed = Array.from({ length: 1000 }, (_, index) => `model${index}:8b`);
  const texts = Array.from({ length: keys }, (_, index) => makeKey(`key-${index}`));
  if (keys > 0) {
    const profile = keys > 1 ? 'listed' : 'plain';
    const created = new Date().toISOString();
    const records = texts.map(
      (key, index): KeyRecord => ({
        id: `key-${index}`,
        profile,
        created,
        secrets: [{ sha256: digestOf(key) }],
      }),
    );
    await editKeys(file, () => records);
  }
  const clients = keys === 0 ? '' : `clients: {keys: ${JSON.stringify(file)}}\n`;
  const profiles = `profiles: {listed: {models: ${JSON.stringify([...listed, models.small])}}}\n`;
  const config = join(folder, `${name}.yaml`);
  writeFileSync(config, llameroConfig({ port, backendPort, logLevel: 'info' }) + clients + profiles);
  const main = fileURLToPath(import.meta.resolve('../src/main.ts'));
  const child = start(process.execPath, [main, '--config', config], { core: null });
  const gateway = await whenReady(name, child, port, '/readyz');
  return { name, gateway, key: texts.at(-1) ?? null, file, cost: [] };
}

function median(numbers: readonly number[]): number {
  return numbers.toSorted((a, b) => a - b)[Math.floor(numbers.length / 2)]!;
}

/** Milliseconds from the end of the command until the key is refused. */
async function revoked(variant: Variant): Promise<number> {
  const id = 'key-0';
  await editKeys(variant.file, (records) =>
    records.map((record) => (record.id === id ? { ...record, revoked: new Date().toISOString() } : record)),
  );
  const begun = performance.now();
  while ((await ask(variant)) === 200) await delay(10);
  return performance.now() - begun;
}

const folder = mkdtempSync(join(tmpdir(), 'llamero-bench-keys-'));
try {
  const backend = await startBackend(null);
  const variants = [
    await startVariant(folder, 'no keys', backend.port, 0),
    await startVariant(folder, 'one key', backend.port, 1),
    await startVariant(folder, 'ten thousand keys', backend.port, 10_000),
  ];
  for (const variant of variants) await askMany(variant, WARM_UP);
  const requests = Number(values.requests);
  for (let round = 0; round < Number(values.rounds); round++) {
    for (const variant of round % 2 === 0 ? variants : variants.toReversed()) {
      const before = cpuMicros(variant.gateway.pids) ?? Number.NaN;
      await askMany(variant, requests);
      variant.cost.push(((cpuMicros(variant.gateway.pids) ?? Number.NaN) - before) / requests);
    }
  }
  const [none, one, many] = variants.map(({ cost }) => median(cost)) as [number, number, number];
  for (const { name, cost } of variants) {
    console.log(
      `${name.padEnd(18)} ${median(cost).toFixed(1)} µs CPU a request [${Math.min(...cost).toFixed(1)}–${Math.max(...cost).toFixed(1)}]`,
    );
  }
  const gone = await revoked(variants[1]!);
  console.log(`one key / no keys           ${(one / none).toFixed(3)}`);
  console.log(`ten thousand keys / one key ${(many / one).toFixed(3)}`);
  console.log(`a revoked key is refused after ${gone.toFixed(0)} ms`);
  if (!(one / none <= MOST && many / one <= MOST && gone <= 1000)) process.exitCode = 1;
  for (const { gateway } of variants) await gateway.stop();
  await stop(backend.child);
} finally {
  await stopAll();
  agent.destroy();
  rmSync(folder, { recursive: true, force: true });
}
