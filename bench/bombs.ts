/**
 * What bodies made to be slow to read cost: `npm run bench:bombs -- [--size 4MiB] [--parallel 50]` sends so many at a time of each
 * kind, each as large as the gateway takes, and prints by how much its resident memory grew for each byte of them, and the longest
 * that a plain question waited meanwhile. Exits with 1 when memory grew by more than ten times the bodies.
 */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { Agent, request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { Gateway } from './chaos/gateway.ts';
import { residentOf } from './load/procfs.ts';

const MiB = 1024 ** 2;
const MOST_GROWTH = 10;

const { values } = parseArgs({
  options: { size: { type: 'string', default: '4MiB' }, parallel: { type: 'string', default: '50' } },
});
const size = Number.parseFloat(values.size) * MiB;
const parallel = Number(values.parallel);

/** A body of `size` bytes at most: `start`, the piece again and again, `end`. */
function filled(start: string, piece: string, end: string): Buffer {
  const times = Math.floor((size - start.length - end.length) / piece.length);
  return Buffer.from(start + piece.repeat(times) + end);
}

const bombs: Readonly<Record<string, Buffer>> = {
  'nested arrays': filled('{"model":"m","x":', '[', ''),
  'tiny messages': filled('{"model":"m","messages":[', '{},', '{}]}'),
  'tiny numbers': filled('{"model":"m","x":[', '0,', '0]}'),
  'a long key': filled('{"model":"m","messages":[{"', '\\u0061', '":1}]}'),
  'a long name': filled('{"model":"', '\\u0020', 'm"}'),
  'a long number': filled('{"model":"m","options":{"num_ctx":', '1', '}}'),
  'a long duration': filled('{"model":"m","keep_alive":"', '1h', '"}'),
  backslashes: filled('{"model":"m","messages":[{"content":"', '\\\\', '"}]}'),
  quotes: filled('{"model":"m","messages":[{"content":"', '\\"', '"}]}'),
  blanks: filled('{"model":"m",', ' ', '"messages":[]}'),
  'an honest prompt': filled('{"model":"m","messages":[{"role":"user","content":"', 'hello world ', '"}]}'),
};

const directory = mkdtempSync(join(tmpdir(), 'llamero-bombs-'));
const gateway = await Gateway.start({
  directory,
  config: `listen: {bodyLimit: ${values.size}}\nsimulate: {count: 1}\noverload: {loopDelay: 0}\n`,
});
const agent = new Agent({ keepAlive: true, maxSockets: 1 });
const over = new AbortController();
let longestMs = 0;

const resident = (): number => residentOf(readFileSync(`/proc/${gateway.pid}/status`, 'utf8'));

/** Milliseconds until the answer is there. */
function ask(path: string, body: Buffer | null): Promise<number> {
  const startedAt = performance.now();
  return new Promise((resolve, reject) => {
    const options = {
      port: gateway.port,
      path,
      method: body === null ? 'GET' : 'POST',
      agent: body === null ? agent : false,
    };
    const asked = request(options, (answer) => {
      answer.resume().once('end', () => resolve(performance.now() - startedAt));
    });
    asked.once('error', reject);
    asked.end(body ?? undefined);
  });
}

async function watch(): Promise<void> {
  while (!over.signal.aborted) {
    longestMs = Math.max(longestMs, await ask('/livez', null));
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

try {
  await ask('/api/chat', bombs['an honest prompt']!);
  const watching = watch();
  for (const [name, bomb] of Object.entries(bombs)) {
    const before = resident();
    longestMs = 0;
    let most = 0;
    const sampler = setInterval(() => {
      most = Math.max(most, resident() - before);
    }, 10);
    await Promise.all(Array.from({ length: parallel }, () => ask('/api/chat', bomb)));
    clearInterval(sampler);
    const times = most / (parallel * bomb.length);
    process.stdout.write(
      `${name.padEnd(18)} memory ${times.toFixed(1).padStart(5)} x the bodies   longest wait of another ${longestMs.toFixed(0).padStart(5)} ms\n`,
    );
    if (times > MOST_GROWTH) process.exitCode = 1;
  }
  over.abort();
  await watching;
} finally {
  agent.destroy();
  gateway.signal('SIGKILL');
  rmSync(directory, { recursive: true, force: true });
}
