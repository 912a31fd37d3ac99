/**
 * What a large answer costs in memory: `node bench/relay-memory.ts [--size 100MiB]` has a backend answer with that much, once to a
 * client that reads as fast as it can and once to one that reads 4 MiB and then stops, and prints by how much the gateway's
 * resident memory grew. The gateway has a process of its own. Exits with 1 when it grew by more than 32 MiB (a round of garbage).
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer, type ServerResponse } from 'node:http';
import { connect, type AddressInfo } from 'node:net';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { residentBytes } from './load/procfs.ts';

const MiB = 1024 ** 2;
const limit = 32 * MiB;
const { values } = parseArgs({ options: { size: { type: 'string', default: '100MiB' } } });
const size = Number.parseInt(values.size, 10) * MiB;
const piece = Buffer.from(
  `{"model":"big","message":{"role":"assistant","content":"${'x'.repeat(64_000)}"},"done":false}\n`,
);
const last = Buffer.from('{"model":"big","message":{"role":"assistant","content":""},"done":true}\n');

const backend = createServer((request, response) => {
  const lists: Record<string, string> = {
    '/api/version': '{"version":"0.33.0"}',
    '/api/tags': '{"models":[{"name":"big:latest","model":"big:latest","digest":"d","size":1}]}',
    '/api/ps': '{"models":[]}',
  };
  const answer = lists[request.url ?? ''];
  request.resume();
  if (answer === undefined) pour(response);
  else response.end(answer);
});

function pour(response: ServerResponse): void {
  response.writeHead(200, { 'Content-Type': 'application/x-ndjson' });
  let sent = 0;
  const more = (): void => {
    while (sent < size) {
      sent += piece.length;
      if (!response.write(piece)) {
        response.once('drain', more);
        return;
      }
    }
    response.end(last);
  };
  more();
}

/** Reads until the peer ends or `most` bytes have come; then it only holds the connection. Resolves with what came. */
async function read(port: number, most: number): Promise<{ bytes: number; close: () => void }> {
  const body = '{"model":"big","messages":[{"role":"user","content":"x"}]}';
  const socket = connect(port, '127.0.0.1');
  socket.on('error', () => {});
  socket.write(
    `POST /api/chat HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
  );
  let bytes = 0;
  await new Promise<void>((resolve) => {
    socket.on('data', (chunk: Buffer) => {
      bytes += chunk.length;
      if (bytes < most) return;
      socket.pause();
      resolve();
    });
    socket.on('close', () => resolve());
  });
  return { bytes, close: () => socket.destroy() };
}

backend.listen(0, '127.0.0.1');
await once(backend, 'listening');
const url = `http://127.0.0.1:${(backend.address() as AddressInfo).port}`;
const main = fileURLToPath(new URL('../src/main.ts', import.meta.url));
const gateway = spawn(
  process.execPath,
  [main, '--backend', `big=${url}`, '--listen', '127.0.0.1:0', '--admin', '127.0.0.1:0', '--log-level', 'error'],
  {
    stdio: ['ignore', 'ignore', 'pipe'],
  },
);
let said = '';
gateway.stderr.on('data', (chunk: Buffer) => {
  said += chunk.toString();
});
try {
  while (!said.includes('OPENAI_BASE_URL')) await once(gateway.stderr, 'data');
  const port = Number(/listening on\s+http:\/\/127\.0\.0\.1:(\d+)/.exec(said)![1]);
  for (let round = 0; round < 20; round += 1) (await read(port, MiB)).close();
  const resident = () => residentBytes([gateway.pid!]) ?? 0;
  let worst = 0;
  for (const [name, most] of [
    ['fast reader', Infinity],
    ['stalled reader', 4 * MiB],
  ] as const) {
    const before = resident();
    let peak = before;
    const watch = setInterval(() => {
      peak = Math.max(peak, resident());
    }, 20);
    const { bytes, close } = await read(port, most);
    await new Promise((resolve) => setTimeout(resolve, 2000));
    clearInterval(watch);
    close();
    worst = Math.max(worst, peak - before);
    console.log(
      `${name}: ${(bytes / MiB).toFixed(0)} MiB read, resident memory ${(before / MiB).toFixed(0)} MiB before, ${((peak - before) / MiB).toFixed(1)} MiB more at most`,
    );
  }
  process.exitCode = worst <= limit ? 0 : 1;
} finally {
  gateway.kill('SIGKILL');
  backend.closeAllConnections();
  backend.close();
}
