import assert from 'node:assert/strict';
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { createServer, type AddressInfo } from 'node:net';
import { describe, it, type TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import { chatLine, fakeOllama, startStream, type FakeOllama } from '../support/fake-ollama.ts';

const main = fileURLToPath(new URL('../../src/main.ts', import.meta.url));

/** On a connection that is not kept: a stopping gateway leaves those that are a while. */
const alone = { connection: 'close' };

interface Waiting {
  /** Lets it start; resolves when its banner is there. */
  go(): Promise<ChildProcess>;
}

/**
 * A gateway as a process of its own, which waits for a word before it starts. It holds the inherited socket meanwhile, as
 * systemd would: nobody else may, because whoever holds it in Node also accepts.
 */
function prepare(t: TestContext, ollama: FakeOllama, how: { listening?: number; flags?: string[] }): Waiting {
  const flags = [
    '--backend',
    `b1=${ollama.url}`,
    '--admin',
    '127.0.0.1:0',
    '--log-level',
    'warn',
    ...(how.flags ?? []),
  ];
  const inherits = how.listening !== undefined;
  const child = spawn('sh', ['-c', 'read -r _; exec "$0" "$@"', process.execPath, main, ...flags], {
    env: { ...process.env, ...(inherits ? { LISTEN_FDS: '1' } : { LLAMERO_LISTEN_REUSE_PORT: 'true' }) },
    stdio: ['pipe', 'pipe', 'pipe', ...(inherits ? [how.listening] : [])],
  });
  t.after(() => child.kill('SIGKILL'));
  let said = '';
  const ready = new Promise<ChildProcess>((resolve, reject) => {
    child.stderr!.on('data', (chunk: Buffer) => {
      said += chunk.toString();
      if (said.includes('OPENAI_BASE_URL')) resolve(child);
    });
    child.on('exit', (code) => reject(new Error(`exited with ${code}: ${said}`)));
  });
  ready.catch(() => {});
  return {
    go() {
      child.stdin!.end('go\n');
      return ready;
    },
  };
}

async function leaves(child: ChildProcess): Promise<number | null> {
  const gone = once(child, 'exit');
  child.kill('SIGTERM');
  return ((await gone) as [number | null])[0];
}

/** Asks again and again, one connection each and several at a time, until told to stop; resolves with what went wrong. */
function load(url: string): () => Promise<string[]> {
  const wrong: string[] = [];
  const load = { goesOn: true };
  const worker = async () => {
    while (load.goesOn) {
      try {
        const body = JSON.stringify({ model: 'tiny', stream: false, messages: [{ role: 'user', content: 'hi' }] });
        const answer = await fetch(`${url}/api/chat`, { method: 'POST', body, headers: alone });
        if (answer.status !== 200) wrong.push(`${answer.status}`);
        await answer.text();
      } catch (error) {
        wrong.push(String((error as Error).cause ?? error));
      }
    }
  };
  const workers = [worker(), worker(), worker(), worker()];
  return async () => {
    load.goesOn = false;
    await Promise.all(workers);
    return wrong;
  };
}

describe('a restart', {
  timeout: 120_000,
  skip: process.platform === 'win32' && 'needs a shell and inherited sockets',
}, () => {
  it('refuses nobody when the socket is inherited, and cuts no stream', async (t) => {
    const ollama = await fakeOllama(t);
    const holder = createServer();
    holder.listen(0, '127.0.0.1');
    await once(holder, 'listening');
    const { port } = holder.address() as AddressInfo;
    const listening = (holder as unknown as { _handle: { fd: number } })._handle.fd;
    const url = `http://127.0.0.1:${port}`;

    const [first, second] = [prepare(t, ollama, { listening }), prepare(t, ollama, { listening })];
    const old = await first.go();
    holder.close();
    const usual = ollama.handler;
    ollama.handler = (asked) => {
      startStream(asked);
      asked.response.write(chatLine('one'));
    };
    const stream = await fetch(`${url}/api/chat`, {
      method: 'POST',
      body: '{"model":"tiny","messages":[{"role":"user","content":"hi"}]}',
      headers: alone,
    });
    ollama.handler = usual;
    const stop = load(url);
    const young = await second.go();
    const left = leaves(old);
    const before = ollama.asked.length;
    while (ollama.asked.length < before + 200) await new Promise((resolve) => setImmediate(resolve));
    ollama.asked[0]!.response.end(chatLine('', true));
    assert.match(await stream.text(), /"done":true/);
    assert.equal(await left, 0);
    assert.deepEqual(await stop(), []);
    assert.equal(await leaves(young), 0);
  });

  it('can overlap on one port with reusePort', {
    skip: process.platform !== 'linux' && 'needs SO_REUSEPORT',
  }, async (t) => {
    const ollama = await fakeOllama(t);
    const probe = createServer();
    probe.listen(0, '127.0.0.1');
    await once(probe, 'listening');
    const { port } = probe.address() as AddressInfo;
    await new Promise((resolve) => probe.close(resolve));
    const flags = ['--listen', `127.0.0.1:${port}`];
    const old = await prepare(t, ollama, { flags }).go();
    const young = await prepare(t, ollama, { flags }).go();
    assert.equal(await leaves(old), 0);
    assert.equal((await fetch(`http://127.0.0.1:${port}/`, { headers: alone })).status, 200);
    assert.equal(await leaves(young), 0);
  });
});
