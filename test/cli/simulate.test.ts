import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { runCommand } from '../../src/cli/commands.ts';
import { recordedIo } from '../support/io.ts';

/** Runs the command until it has told of everything it starts, hands the URLs to `use`, and then stops it. */
async function simulate(
  argv: readonly string[],
  use: (urls: readonly string[]) => Promise<void> = async () => undefined,
): Promise<{ code: number; out: string; err: string }> {
  const stop = new AbortController();
  const io = recordedIo({ signal: stop.signal });
  const count = Number(/--count (\d+)/.exec(argv.join(' '))?.[1] ?? 1);
  const lines = count + (argv.includes('--control-port') ? 1 : 0);
  const ready = Promise.withResolvers<boolean>();
  const stdout = {
    write(text: string) {
      io.stdout.write(text);
      if (io.out().split('\n').length > lines) ready.resolve(true);
    },
  };
  const ended = runCommand(['simulate', ...argv], { ...io, stdout });
  const isOver = (): void => ready.resolve(false);
  ended.then(isOver, isOver);
  if (await ready.promise) await use([...io.out().matchAll(/http:\/\/[\d.:]+\d/g)].map(([url]) => url));
  stop.abort();
  return { code: await ended, out: io.out(), err: io.err() };
}

describe('simulate', () => {
  it('starts as many as it is told, each as it is told, and stops when asked to', async () => {
    const flags =
      '--count 2 --port 0 --models tiny,nomic-embed-text --slots 3 --vram 16GiB --load-time 5s --speed 10 --seed 7';
    const { code, out, err } = await simulate([...flags.split(' '), '--tokens-per-second', '100.5'], async (urls) => {
      assert.equal(urls.length, 2);
      const seeds: number[] = [];
      for (const url of urls) {
        const { options } = (await (await fetch(`${url}/__sim`)).json()) as { options: Record<string, unknown> };
        const { slots, vramBytes, loadMs, tokensPerSecond, speed, seed } = options;
        assert.deepEqual([slots, vramBytes, loadMs, tokensPerSecond, speed], [3, 2 ** 34, 5_000, 100.5, 10]);
        seeds.push(seed as number);
      }
      assert.deepEqual(seeds, [7, 8]);
    });
    assert.deepEqual([code, err], [0, '']);
    assert.match(
      out,
      /^SIMULATED Ollama sim1 on http:\/\/127\.0\.0\.1:\d+: tiny:latest, nomic-embed-text:latest; its text is made up\n/,
    );
  });

  it('begins with the faults it is given, and has one control API for all', async () => {
    const flags = '--count 2 --port 0 --control-port 0 --fault status,status=503,path=/api/version,times=1';
    await simulate(flags.split(' '), async ([first, second, control]) => {
      assert.deepEqual(await (await fetch(control!)).json(), [
        { name: 'sim1', url: first },
        { name: 'sim2', url: second },
      ]);
      const statuses = [(await fetch(`${first}/api/version`)).status, (await fetch(`${first}/api/version`)).status];
      assert.deepEqual(statuses, [503, 200]);
      assert.equal((await fetch(`${control}/sim2/faults`, { method: 'DELETE' })).status, 204);
      assert.equal((await fetch(`${second}/api/version`)).status, 200);
      assert.equal((await fetch(`${control}/sim9/faults`)).status, 404);
    });
  });

  it('says what is wrong with a flag, all at once, and starts nothing', async () => {
    const { code, out, err } = await simulate(
      '--vram lots --load-time 5 --count 0 --registry shut --fault explode --fault status,status=x'.split(' '),
    );
    assert.deepEqual([code, out], [2, '']);
    assert.deepEqual(
      err
        .trimEnd()
        .split('\n')
        .map((line) => line.replace(/; there are .*/, '')),
      [
        'llamero: --vram: `lots` is not a size such as `16GiB`',
        'llamero: --load-time: `5` is not a duration such as `5s`',
        'llamero: --registry: `shut` is not `open|unreachable`',
        'llamero: --count: `0` is not a number it can have',
        'llamero: --fault: no such kind of fault',
        'llamero: --fault: status/status: must be integer',
      ],
    );
  });

  it('says when a port is taken, and closes what it had begun', async () => {
    await simulate(['--port', '0'], async ([url]) => {
      const { code, err } = await simulate(['--port', url!.split(':')[2]!]);
      assert.equal(code, 1);
      assert.match(err, /can't listen: .*EADDRINUSE/);
    });
  });
});
