import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { configFlags, flagLayer, parseFlags } from '../../src/cli/flags.ts';
import { renderProblem } from '../../src/config/problem.ts';

function said(...argv: string[]): string[] {
  return parseFlags(argv, configFlags).problems.map(renderProblem);
}

function layer(...argv: string[]): unknown {
  const { values, problems } = parseFlags(argv, configFlags);
  assert.deepEqual(problems, []);
  return flagLayer(values).value;
}

describe('flags', () => {
  it('set the options they are for', () => {
    const argv = ['--listen', ':80', '--admin=:81', '--simulate', '2', '--policy', 'random', '--log-level', 'debug'];
    assert.deepEqual(layer(...argv), {
      listen: { address: ':80' },
      admin: { address: ':81' },
      simulate: { count: 2 },
      policy: 'random',
      log: { level: 'debug' },
    });
  });

  it('may be repeated for backends', () => {
    assert.deepEqual(layer('--backend', 'g=http://a#weight=2', '--backend=http://b'), {
      backends: [{ name: 'g', url: 'http://a', weight: 2 }, { url: 'http://b' }],
    });
  });

  it('say which of them an option came from', () => {
    const layerOfFlags = flagLayer(parseFlags(['--backend', 'a', '--log-level', 'x'], configFlags).values);
    assert.deepEqual(layerOfFlags.where(['backends', 0, 'url']), { kind: 'flag', name: '--backend' });
    assert.deepEqual(layerOfFlags.where(['log', 'level']), { kind: 'flag', name: '--log-level' });
  });

  it('that are not known are all named, with the nearest that is', () => {
    assert.deepEqual(said('--listn', 'x', '--bogus=1', '-z'), [
      '--listn: unknown flag; did you mean `--listen`?',
      'x: unexpected argument; options start with `--`',
      '--bogus: unknown flag; `llamero help` lists them',
      '-z: unknown flag; `llamero help` lists them',
    ]);
  });

  it('need their value, and only once', () => {
    assert.deepEqual(said('--listen'), ['--listen: needs a value: `--listen HOST:PORT`']);
    assert.deepEqual(said('--listen', '--simulate', '3').slice(0, 1), [
      '--listen: needs a value: `--listen HOST:PORT`, and `--simulate` is a flag',
    ]);
    assert.deepEqual(said('--policy', 'a', '--policy', 'b'), ['--policy: given more than once']);
    assert.deepEqual(said('-c', 'a', '--config', 'b'), ['--config: given more than once']);
  });

  it('do not reach into prototypes', () => {
    assert.equal(said('--__proto__', '--constructor', '--toString=1').length, 3);
  });
});
