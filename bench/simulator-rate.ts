/**
 * Does one simulated Ollama keep its rate? `node bench/simulator-rate.ts [--streams 500] [--rate 50] [--tokens 400]` opens so many
 * streams of /api/chat at once against a simulator in a process of its own and prints the rate of each stream, from its first
 * token to its last by the simulator's own stamps, and what the simulator's process used of a core. Exits with 1 when the mean is
 * off by more than 2 %.
 */
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { connect } from 'node:net';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { createSimulatedOllama } from '../src/simulator/server.ts';

const { values } = parseArgs({
  options: {
    streams: { type: 'string', default: '500' },
    rate: { type: 'string', default: '50' },
    tokens: { type: 'string', default: '400' },
    serve: { type: 'boolean', default: false },
  },
});
const streams = Number(values.streams);
const rate = Number(values.rate);
const tokens = Number(values.tokens);

if (values.serve) await serve();
else await measure();

/** The child: listens, tells its port, and when asked what it has used. */
async function serve(): Promise<void> {
  const simulated = await createSimulatedOllama({
    models: ['tiny'],
    slots: streams,
    loadMs: 1,
    tokensPerSecond: rate,
    promptOverheadMs: 0,
    answerTokens: tokens,
    vramBytes: 0,
  });
  process.send!({ port: simulated.port });
  process.on('message', () => process.send!({ usage: process.cpuUsage(), rss: process.memoryUsage.rss() }));
}

async function measure(): Promise<void> {
  const child = fork(fileURLToPath(import.meta.url), [...process.argv.slice(2), '--serve']);
  const [{ port }] = (await once(child, 'message')) as [{ port: number }];
  await stream(port, 1);
  const before = await usage(child);
  const started = performance.now();
  const rates = await Promise.all(Array.from({ length: streams }, () => stream(port, tokens)));
  const seconds = (performance.now() - started) / 1_000;
  const after = await usage(child);
  child.kill();
  const sorted = rates.toSorted((a, b) => a - b);
  const mean = rates.reduce((sum, each) => sum + each, 0) / rates.length;
  const off = (value: number): string => `${((value / rate - 1) * 100).toFixed(2)} %`;
  const cpu = after.cpuSeconds - before.cpuSeconds;
  process.stdout.write(
    [
      `${streams} streams x ${rate} tokens/s, ${tokens} tokens each, ${seconds.toFixed(1)} s`,
      `rate: mean ${mean.toFixed(2)} tokens/s (${off(mean)}), slowest ${off(sorted[0]!)}, fastest ${off(sorted.at(-1)!)}`,
      `simulator: ${((cpu / seconds) * 100).toFixed(0)} % of a core, ${((cpu * 1e6) / (streams * tokens)).toFixed(1)} µs a token, ${(after.rss / 2 ** 20).toFixed(0)} MiB`,
      '',
    ].join('\n'),
  );
  process.exitCode = Math.abs(mean / rate - 1) <= 0.02 ? 0 : 1;
}

async function usage(child: ReturnType<typeof fork>): Promise<{ cpuSeconds: number; rss: number }> {
  child.send('usage');
  const [{ usage: used, rss }] = (await once(child, 'message')) as [{ usage: NodeJS.CpuUsage; rss: number }];
  return { cpuSeconds: (used.user + used.system) / 1e6, rss };
}

/** Reads one answer; its tokens a second, first to last. */
async function stream(port: number, limit: number): Promise<number> {
  const body = JSON.stringify({
    model: 'tiny',
    messages: [{ role: 'user', content: 'hi' }],
    options: { num_predict: limit },
  });
  const socket = connect(port, '127.0.0.1');
  socket.write(
    `POST /api/chat HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
  );
  let lines = 0;
  let first = 0;
  let last = 0;
  for await (const chunk of socket) {
    for (const [, stamp] of (chunk as Buffer)
      .toString('latin1')
      .matchAll(/"created_at":"([^"]+)"[^\n]*"done":false/g)) {
      lines++;
      last = milliseconds(stamp!);
      if (lines === 1) first = last;
    }
  }
  if (lines !== limit) throw new Error(`${lines} tokens of ${limit}`);
  return ((lines - 1) / (last - first)) * 1_000;
}

/** Date.parse drops what is finer than a millisecond. */
function milliseconds(stamp: string): number {
  const [seconds, fraction = '0Z'] = stamp.split('.');
  return Date.parse(`${seconds}Z`) + Number(`0.${fraction.slice(0, -1)}`) * 1_000;
}
