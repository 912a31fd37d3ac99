/** Commands that speak to a running gateway: status, top, drain, resume, pull and explain. */
import assert from 'node:assert/strict';
import { describe, it, type TestContext } from 'node:test';
import { runCommand } from '../../src/cli/commands.ts';
import { fakeOllama } from '../support/fake-ollama.ts';
import { startGateway, type Gateway } from '../support/gateway.ts';
import { recordedIo } from '../support/io.ts';

async function run(gateway: Gateway | string, argv: readonly string[], world: Parameters<typeof recordedIo>[0] = {}) {
  const address = typeof gateway === 'string' ? gateway : new URL(gateway.adminUrl).host;
  const io = recordedIo(world);
  const code = await runCommand([...argv, '--admin', address], io);
  return { code, out: io.out(), err: io.err() };
}

async function fleet(t: TestContext, config = '') {
  const ollamas = [await fakeOllama(t), await fakeOllama(t)];
  const backends = ollamas.map(({ url }, index) => ({ url, name: `gpu${index + 1}`, slots: 2 }));
  return { ollamas, gateway: await startGateway(t, backends, { config }) };
}

async function until(holds: () => boolean): Promise<void> {
  while (!holds()) await new Promise((resolve) => setImmediate(resolve));
}

describe('status', () => {
  it('shows the fleet, and exits 0 while the gateway takes requests', async (t) => {
    const { gateway } = await fleet(t);
    const { code, err, out } = await run(gateway, ['status']);
    assert.deepEqual([code, err], [0, '']);
    assert.match(out, /^llamero 0\.0\.0-test · ready/);
    assert.match(out, /\ngpu1 +up +0\/2/);
    assert.ok(out.split('\n').every((line) => line.length <= 80));
  });

  it('is JSON for programs', async (t) => {
    const { gateway } = await fleet(t);
    const { code, out } = await run(gateway, ['status', '--json']);
    const told = JSON.parse(out) as { ready: boolean; backends: { name: string }[]; queue: { waiting: number } };
    assert.deepEqual(
      [code, told.ready, told.backends.map(({ name }) => name), told.queue.waiting],
      [0, true, ['gpu1', 'gpu2'], 0],
    );
  });

  it('exits 1 when the gateway takes no requests, and when there is none', async (t) => {
    const { gateway, ollamas } = await fleet(t);
    await Promise.all(ollamas.map((ollama) => ollama.kill()));
    await until(() => gateway.app.view().every(({ state }) => state === 'down'));
    const down = await run(gateway, ['status']);
    assert.equal(down.code, 1);
    assert.match(down.out, /NOT READY: no backend is up/);
    await gateway.app.close();
    for (const command of ['status', 'top', 'explain']) {
      const none = await run(gateway, [command]);
      assert.equal(none.code, 1, command);
      assert.match(none.err, /cannot be reached \(\w+\); is the gateway running/, command);
    }
  });
});

describe('drain and resume', () => {
  it('take a backend away and give it back', async (t) => {
    const { gateway } = await fleet(t);
    const state = () => gateway.app.view().find(({ id }) => id === 'gpu1')?.state;
    assert.deepEqual(await run(gateway, ['drain', 'gpu1']), {
      code: 0,
      out: 'gpu1 is draining, no requests under way\n',
      err: '',
    });
    assert.equal(state(), 'draining');
    assert.equal((await run(gateway, ['resume', 'gpu1'])).code, 0);
    assert.equal(state(), 'up');
  });

  it('say what is wrong', async (t) => {
    const { gateway } = await fleet(t);
    assert.equal((await run(gateway, ['drain'])).code, 2);
    const unknown = await run(gateway, ['drain', 'gpu9']);
    assert.equal(unknown.code, 1);
    assert.match(unknown.err, /404: there is no backend `gpu9`/);
  });

  it('show the credential of an operator where one is wanted', async (t) => {
    const { gateway } = await fleet(t, 'admin: {address: "127.0.0.1:0", token: sesame-sesame-sesame}\n');
    assert.match((await run(gateway, ['drain', 'gpu1'])).err, /401/);
    assert.equal((await run(gateway, ['drain', 'gpu1', '--token', 'sesame-sesame-sesame'])).code, 0);
    const env = { LLAMERO_ADMIN_TOKEN: 'sesame-sesame-sesame' };
    assert.equal((await run(gateway, ['resume', 'gpu1'], { env })).code, 0);
  });
});

describe('top', () => {
  it('prints the fleet once for scripts, without a control character', async (t) => {
    const { gateway } = await fleet(t);
    for (const [argv, world] of [
      [['top', '--once'], { isTTY: true, env: { NO_COLOR: '1' } }],
      [['top'], {}],
    ] as const) {
      const { code, out } = await run(gateway, argv, world);
      assert.equal(code, 0);
      assert.match(out, /\ngpu1 +up/);
      assert.ok(!out.includes('\u001B'));
    }
  });

  it('follows the fleet, and its keys choose, drain, resume, sort and quit', async (t) => {
    const { gateway } = await fleet(t);
    let press: (key: string) => void = () => {};
    let released = false;
    const keys = (listener: (key: string) => void) => {
      press = listener;
      return () => void (released = true);
    };
    const io = recordedIo({ isTTY: true, columns: 80, rows: 24, keys });
    const ended = runCommand(['top', '--admin', new URL(gateway.adminUrl).host], io);
    const state = (name: string) => gateway.app.view().find(({ id }) => id === name)?.state;
    await until(() => io.out().includes('gpu2'));
    press('\u001B[B');
    press('d');
    await until(() => state('gpu2') === 'draining' && io.out().includes('gpu2 is draining'));
    assert.equal(state('gpu1'), 'up');
    press('r');
    await until(() => state('gpu2') === 'up');
    press('s');
    await until(() => io.out().includes('s sort (busy)') || io.out().includes('gpu2 is up'));
    press('q');
    assert.equal(await ended, 0);
    assert.ok(released, 'the keyboard is given back');
    assert.ok(io.out().startsWith('\u001B[?1049h'), 'the screen is taken');
    assert.ok(io.out().endsWith('\u001B[?25h\u001B[?1049l'), 'and given back');
  });
});

describe('pull', () => {
  const progress = [
    { status: 'pulling manifest' },
    { status: 'pulling 6a0746a1ec1a', digest: 'sha256:6a', total: 1000, completed: 500 },
    { status: 'success' },
  ];
  const pulls = (ending: object | null) => ({
    handler: ({ response }: { response: import('node:http').ServerResponse }) => {
      response.setHeader('Content-Type', 'application/x-ndjson');
      const lines = ending === null ? progress : [...progress.slice(0, 2), ending];
      response.end(lines.map((line) => `${JSON.stringify(line)}\n`).join(''));
    },
  });

  it('has every backend pull, and exits 0 when all have it', async (t) => {
    const ollamas = [await fakeOllama(t, pulls(null)), await fakeOllama(t, pulls(null))];
    const gateway = await startGateway(
      t,
      ollamas.map(({ url }) => ({ url })),
    );
    const { code, err, out } = await run(gateway, ['pull', 'gemma3:1b', '--all']);
    assert.deepEqual([code, err], [0, '']);
    assert.match(out, /b1 {2}done\n/);
    assert.match(out, /b2 {2}done\n/);
    for (const { asked } of ollamas)
      assert.deepEqual(
        asked.map(({ path }) => path),
        ['/api/pull'],
      );
  });

  it('says which failed and why, and exits 1', async (t) => {
    const ollamas = [
      await fakeOllama(t, pulls(null)),
      await fakeOllama(t, pulls({ error: 'no space left on device' })),
    ];
    const gateway = await startGateway(
      t,
      ollamas.map(({ url }) => ({ url })),
    );
    const { code, out } = await run(gateway, ['pull', 'gemma3:1b', '--all']);
    assert.equal(code, 1);
    assert.match(out, /b1 {2}done\n/);
    assert.match(out, /b2 {2}failed: .*no space left on device/);
  });

  it('needs to be told where when there are several backends', async (t) => {
    const { gateway, ollamas } = await fleet(t);
    const { code, err } = await run(gateway, ['pull', 'gemma3:1b']);
    assert.equal(code, 2);
    assert.match(err, /--all/);
    for (const ollama of ollamas) ollama.handler = pulls(null).handler;
    const on = await run(gateway, ['pull', 'gemma3:1b', '--on', 'gpu2']);
    assert.equal(on.code, 0);
    assert.deepEqual(
      ollamas.map(({ asked }) => asked.length),
      [0, 1],
    );
    assert.equal((await run(gateway, ['pull', 'gemma3:1b', '--on', 'gpu9'])).code, 1);
  });
});
