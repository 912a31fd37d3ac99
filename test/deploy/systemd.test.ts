/** The units: what systemd says to them where it is there, and what they promise. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import packageFile from '../../package.json' with { type: 'json' };
import { commands } from '../../src/cli/commands.ts';
import { loadConfig } from '../../src/config/load.ts';
import { configSchema } from '../../src/config/schema.ts';
import { settingsOf } from '../../src/config/settings.ts';
import { memoryFiles } from '../support/io.ts';

const folder = new URL('../../deploy/systemd/', import.meta.url);
const names = ['llamero.service', 'llamero.socket'];
const texts = new Map(names.map((name) => [name, readFileSync(new URL(name, folder), 'utf8')]));

/** Values of a key, in order; `#` lines are none. */
function valuesOf(unit: string, key: string): string[] {
  return [...texts.get(unit)!.matchAll(new RegExp(`^${key}=(.*)$`, 'gm'))].map(([, value]) => value!);
}

async function defaults() {
  const loaded = await loadConfig({
    file: 'llamero.yaml',
    env: {},
    flags: null,
    files: memoryFiles({ 'llamero.yaml': '{}' }),
  });
  assert.ok(loaded.ok);
  return loaded.config;
}

/** Why systemd can't be asked; false when it can. */
const noSystemd = spawnSync('systemd-analyze', ['--version']).status === 0 ? false : 'systemd-analyze is not installed';

/** The units as they would be installed, with a command that is there. */
function installed(t: TestContext): string[] {
  const place = mkdtempSync(join(tmpdir(), 'llamero-units-'));
  t.after(() => rmSync(place, { recursive: true }));
  return names.map((name) => {
    const path = join(place, name);
    writeFileSync(path, texts.get(name)!.replaceAll('/usr/local/bin/llamero', '/bin/true'));
    return path;
  });
}

describe('the systemd units', () => {
  it('are fine for systemd', { skip: noSystemd }, (t) => {
    const { status, stdout, stderr } = spawnSync('systemd-analyze', ['verify', ...installed(t)], { encoding: 'utf8' });
    assert.equal(status, 0, stdout + stderr);
    assert.doesNotMatch(stderr, /llamero\.(?:service|socket)/);
  });

  it('leave the service little that it could do harm with', { skip: noSystemd }, (t) => {
    const [service] = installed(t);
    const { status, stdout, stderr } = spawnSync(
      'systemd-analyze',
      ['security', '--offline=true', '--threshold=20', service!],
      { encoding: 'utf8' },
    );
    assert.equal(status, 0, stderr + stdout.split('\n').at(-2));
  });

  it('start a command that there is, by the name it is installed under', () => {
    const [[path, command] = []] = valuesOf('llamero.service', 'ExecStart').map((line) => line.split(' '));
    assert.ok(Object.hasOwn(packageFile.bin, path!.split('/').at(-1)!));
    assert.ok(Object.hasOwn(commands, command!));
    assert.deepEqual(valuesOf('llamero.service', 'ExecReload'), ['/bin/kill -HUP $MAINPID']);
  });

  it('set variables that there are', () => {
    const known = new Set(settingsOf(configSchema).flatMap(({ env }) => [env, `${env}_FILE`]));
    const set = [...texts.get('llamero.service')!.matchAll(/\b(LLAMERO_\w+)=/g)].map(([, name]) => name!);
    assert.ok(set.length > 0);
    for (const name of set) assert.ok(known.has(name), name);
  });

  it('are more patient than the gateway when it stops', async () => {
    const { shutdown } = await defaults();
    const [seconds] = valuesOf('llamero.service', 'TimeoutStopSec').map(Number);
    assert.ok(seconds! * 1000 > shutdown.delay + shutdown.grace);
  });

  it('hand over the sockets the gateway listens on by default, the one for clients first', async () => {
    const { admin, listen } = await defaults();
    const addresses = [listen.address, admin.address].map(({ host, port }) => `${host}:${port}`);
    assert.deepEqual(valuesOf('llamero.socket', 'ListenStream'), addresses);
    assert.deepEqual(valuesOf('llamero.service', 'Requires'), ['llamero.socket']);
    assert.deepEqual(valuesOf('llamero.socket', 'Accept'), ['no']);
  });
});
