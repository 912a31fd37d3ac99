import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { describe, it, type TestContext } from 'node:test';
import { parse } from 'yaml';
import { commands, runCommand } from '../../src/cli/commands.ts';
import { version } from '../../src/cli/version.ts';
import { recordedIo } from '../support/io.ts';

async function run(
  argv: readonly string[],
  world: Parameters<typeof recordedIo>[0] = {},
): Promise<{ code: number; out: string; err: string }> {
  const io = recordedIo(world);
  const code = await runCommand(argv, io);
  return { code, out: io.out(), err: io.err() };
}

describe('a command', () => {
  it('that does not exist is named with the nearest that does', async () => {
    assert.deepEqual(await run(['chekc']), {
      code: 2,
      out: '',
      err: 'llamero: unknown command `chekc`; did you mean `check`?\n',
    });
    assert.equal((await run(['bananas'])).err, 'llamero: unknown command `bananas`; `llamero help` lists them\n');
    assert.equal((await run(['constructor'])).code, 2);
  });

  it('is listed in the help, as every flag is', async () => {
    for (const argv of [['help'], ['--help'], ['-h'], ['check', '--help'], ['--listen', ':80', '-h']]) {
      const { code, out, err } = await run(argv);
      assert.equal(code, 0);
      assert.equal(err, '');
      for (const name of [...Object.keys(commands), '--config', '--backend', '--simulate', '--log-level'])
        assert.ok(out.includes(name), name);
    }
  });

  it('tells the version', async () => {
    assert.match(version, /^\d+\.\d+\.\d+/);
    for (const argv of [['version'], ['--version'], ['-V']])
      assert.deepEqual(await run(argv), { code: 0, out: `llamero ${version}\n`, err: '' });
  });
});

describe('check', () => {
  it('of a good configuration says so and exits 0', async () => {
    const files = { 'c.yaml': 'backends: [gpu=http://a:1]\nsimulate: {count: 2}\n' };
    assert.deepEqual(await run(['check', '-c', 'c.yaml'], { files }), {
      code: 0,
      out: 'c.yaml: fine; listens on 127.0.0.1:11435, backends: gpu, 2 simulated\n',
      err: '',
    });
    assert.match((await run(['check'])).out, /^no file: fine.*no backends/);
  });

  it('of one with six mistakes says all six with line and column, and exits 1', async () => {
    const files = {
      'c.yaml':
        'listen: {adress: ":80"}\nqueue: {limit: x}\npolicy: best\ntimeouts: {idle: 5}\nbackends: [{name: a}]\nlog: {level: loud}\n',
    };
    const { code, out, err } = await run(['check', '--config', 'c.yaml'], { files });
    assert.equal(code, 1);
    assert.equal(out, '');
    const lines = err.trimEnd().split('\n');
    assert.deepEqual(
      lines.map((line) => /^c\.yaml:\d+:\d+: |^llamero: 6 problems/.exec(line)?.[0]),
      [
        'c.yaml:1:10: ',
        'c.yaml:2:16: ',
        'c.yaml:3:9: ',
        'c.yaml:4:18: ',
        'c.yaml:5:12: ',
        'c.yaml:6:14: ',
        'llamero: 6 problems',
      ],
    );
  });

  it('names the flag or the variable that is wrong', async () => {
    const { code, err } = await run(['check', '--simulate', 'two', '--backend', 'ftp://a'], {
      env: { LLAMERO_LOG_LEVEL: 'loud' },
    });
    assert.equal(code, 1);
    assert.match(err, /^--backend: `backends\[0\]\.url` /m);
    assert.match(err, /^--simulate: `simulate\.count` should be a whole number.*not `two`$/m);
    assert.match(err, /^LLAMERO_LOG_LEVEL: `log\.level` should be one of /m);
  });

  it('does not understand unknown flags, and exits 2', async () => {
    assert.deepEqual(await run(['check', '--confg', 'x']), {
      code: 2,
      out: '',
      err: 'llamero: --confg: unknown flag; did you mean `--config`?\nllamero: x: unexpected argument; options start with `--`\n',
    });
  });

  it('warns, and is content', async () => {
    const { code, err } = await run(['check'], { env: { LLAMERO_POLICI: 'random' } });
    assert.deepEqual([code, err], [0, 'warning: LLAMERO_POLICI: unknown variable; did you mean `LLAMERO_POLICY`?\n']);
  });
});

describe('config --effective', () => {
  it('prints every value with its source, and no secret', async () => {
    const { code, out } = await run(['config', '--effective', '-c', 'c.yaml', '--policy', 'random'], {
      files: { 'c.yaml': 'backends:\n  - url: https://a\n    auth: {token: hunter2}\n' },
      env: { LLAMERO_QUEUE_TIMEOUT: '90s' },
    });
    assert.equal(code, 0);
    assert.match(out, /^ {2}name: random # --policy$/m);
    assert.match(out, /^ {2}timeout: 1m30s # LLAMERO_QUEUE_TIMEOUT$/m);
    assert.match(out, /^ {2}- url: https:\/\/a # c\.yaml:2:10$/m);
    assert.match(out, /^ {2}bodyLimit: 256MiB # default$/m);
    assert.doesNotMatch(out, /hunter2/);
    assert.equal((parse(out) as { backends: { auth: { token: string } }[] }).backends[0]?.auth.token, '[redacted]');
  });

  it('is asked for by its flag', async () => {
    const { code, err } = await run(['config']);
    assert.deepEqual([code, err], [2, 'llamero: say what to print: `llamero config --effective`\n']);
  });
});

describe('health', () => {
  async function gateway(t: TestContext, status: number): Promise<string> {
    const asked: string[] = [];
    const server = createServer((request, response) => {
      asked.push(request.url ?? '');
      response.writeHead(request.url === '/livez' ? status : 404).end();
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    t.after(() => server.close());
    return String((server.address() as AddressInfo).port);
  }

  it('is good when the configured gateway says it is alive', async (t) => {
    const port = await gateway(t, 200);
    for (const host of ['127.0.0.1', '0.0.0.0', '']) {
      assert.deepEqual(await run(['health'], { env: { LLAMERO_LISTEN_ADDRESS: `${host}:${port}` } }), {
        code: 0,
        out: '',
        err: '',
      });
    }
  });

  it('is bad when it says otherwise, is not there, or is wrongly configured', async (t) => {
    const port = await gateway(t, 503);
    const sick = await run(['health', '--listen', `127.0.0.1:${port}`]);
    assert.deepEqual(sick, { code: 1, out: '', err: `llamero: http://127.0.0.1:${port}/livez answered 503\n` });
    const nobody = await run(['health', '--listen', '127.0.0.1:1']);
    assert.equal(nobody.code, 1);
    assert.match(nobody.err, /cannot be reached/);
    assert.equal((await run(['health', '--listen', 'nowhere'])).code, 1);
  });

  it('does not wait for one that does not answer', async (t) => {
    const server = createServer(() => {});
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    t.after(() => server.close());
    const { port } = server.address() as AddressInfo;
    const stop = new AbortController();
    server.on('request', () => stop.abort());
    const { code, err } = await run(['health', '--listen', `127.0.0.1:${port}`], { signal: stop.signal });
    assert.equal(code, 1);
    assert.match(err, /did not answer in time/);
  });
});
