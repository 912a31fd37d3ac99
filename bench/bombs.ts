/**
 * What bodies made to be slow to read cost: `npm run bench:bombs -- [--size 4MiB] [--parallel 50]` sends so many at a time of each
 * kind, each as large as the gateway takes, and prints by how much its resident memory grew for each byte of them, for how long at
 * most its event loop was held up, and the longest that a plain question waited meanwhile. That one is also about this process,
 * which sends the bodies, and about how many processors there are. Exits with 1 when memory grew by more than ten times the bodies,
 * or the event loop was held up for more than 50 ms; the latter wants a machine that has nothing else to do.
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
const MOST_BLOCKED_MS = 50;
/** The witness in the gateway says every half second what it saw. */
const WITNESSED_MS = 600;

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
  'quotes in text': filled('{"model":"m","messages":[{"content":"', `\\"${'a'.repeat(90)}`, '"}]}'),
  'many strings': filled('{"model":"m","messages":[', `"${'a'.repeat(130)}",`, '""]}'),
  quotes: filled('{"model":"m","messages":[{"content":"', '\\"', '"}]}'),
  blanks: filled('{"model":"m",', ' ', '"messages":[]}'),
  'an honest prompt': filled('{"model":"m","messages":[{"role":"user","content":"', 'hello world ', '"}]}'),
};

/** Of the same size, but forms: what only begins like a boundary, and parts whose headers never end. */
const forms: Readonly<Record<string, Buffer>> = {
  'near boundaries': filled('--b\r\nX: y\r\n\r\n', '\r\n--bb', '\r\n--b--\r\n'),
  'endless headers': filled('--b\r\nX: y\r\n'.repeat(990), 'a', '\r\n--b--\r\n'),
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
function ask(path: string, body: Buffer | null, contentType = 'application/json'): Promise<number> {
  const startedAt = performance.now();
  return new Promise((resolve, reject) => {
    const options = {
      port: gateway.port,
      path,
      method: body === null ? 'GET' : 'POST',
      agent: body === null ? agent : false,
      ...(body !== null && { headers: { 'Content-Type': contentType, 'Content-Length': body.length } }),
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
    const tookMs = await ask('/livez', null);
    longestMs = Math.max(longestMs, tookMs);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** Milliseconds for which the gateway's event loop was held up at most, since it was last told to begin anew. */
function blockedMs(): number {
  const last = readFileSync(gateway.witnessFile, 'utf8').trimEnd().split('\n').at(-1)!;
  return (JSON.parse(last) as { readonly lagMax: number }).lagMax;
}

async function burst(name: string, bomb: Buffer, send: () => Promise<number>): Promise<void> {
  gateway.signal('SIGUSR2');
  await pause(WITNESSED_MS);
  const before = resident();
  longestMs = 0;
  let most = 0;
  const sampler = setInterval(() => {
    most = Math.max(most, resident() - before);
  }, 10);
  await Promise.all(Array.from({ length: parallel }, send));
  clearInterval(sampler);
  const waitedMs = longestMs;
  await pause(WITNESSED_MS);
  const times = most / (parallel * bomb.length);
  const heldUpMs = blockedMs();
  process.stdout.write(
    `${name.padEnd(16)} memory ${times.toFixed(1).padStart(5)} x the bodies   loop held up ${heldUpMs.toFixed(0).padStart(4)} ms   longest wait of another ${waitedMs.toFixed(0).padStart(5)} ms\n`,
  );
  if (times > MOST_GROWTH || heldUpMs > MOST_BLOCKED_MS) process.exitCode = 1;
}

try {
  await ask('/api/chat', bombs['an honest prompt']!);
  const watching = watch();
  for (const [name, bomb] of Object.entries(bombs)) await burst(name, bomb, () => ask('/api/chat', bomb));
  for (const [name, form] of Object.entries(forms)) {
    await burst(name, form, () => ask('/v1/audio/transcriptions', form, 'multipart/form-data; boundary=b'));
  }
  over.abort();
  await watching;
} finally {
  agent.destroy();
  gateway.signal('SIGKILL');
  rmSync(directory, { recursive: true, force: true });
}
