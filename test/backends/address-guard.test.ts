import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { guardedLookup, hostOf, isSpecialAddress } from '../../src/backends/address-guard.ts';
import { createClient } from '../../src/backends/client.ts';
import { createDiscovery } from '../../src/backends/discovery/dns.ts';
import { loadConfig } from '../../src/config/load.ts';
import { realClock } from '../../src/system.ts';
import { fakeOllama } from '../support/fake-ollama.ts';
import { virtualClock } from '../support/virtual-clock.ts';

/** One address that clouds hand out credentials at, in the spellings that somebody connects to. */
const metadata = [
  '169.254.169.254',
  '2852039166',
  '0xa9fea9fe',
  '0xA9.0xFE.0xA9.0xFE',
  '0251.0376.0251.0376',
  '169.254.43518',
  '[::ffff:169.254.169.254]',
  '[::ffff:a9fe:a9fe]',
  '[0:0:0:0:0:FFFF:A9FE:A9FE]',
  '[::169.254.169.254]',
  '[64:ff9b::a9fe:a9fe]',
  '[2002:a9fe:a9fe::1]',
  '[::ffff:0:a9fe:a9fe]',
  '169.254.169.254.',
  '１６９.254.169.254',
];
const others = [
  '[fe80::1]',
  '[fd00:ec2::254]',
  '[ff02::1]',
  '[::]',
  '0.0.0.0',
  '0',
  '100.100.100.200',
  '168.63.129.16',
  '224.0.0.1',
  '255.255.255.255',
];
const usual = [
  '127.0.0.1',
  '[::1]',
  '10.0.0.2',
  '192.168.1.2',
  '172.17.0.1',
  '100.64.0.1',
  '[fd00::1]',
  '8.8.8.8',
  '[2001:db8::1]',
  '[::ffff:10.0.0.1]',
  'gpu1.lan',
];

async function problemsOf(url: string, more = ''): Promise<string[]> {
  const files = { read: async () => Buffer.from(`backends: [{url: '${url}'${more}}]`) };
  const loaded = await loadConfig({ file: 'x.yaml', env: {}, flags: null, files });
  return loaded.ok ? [] : loaded.problems.map(({ message }) => message);
}

describe('special addresses', () => {
  it('are known in every spelling, and no address that Ollamas have is one', async () => {
    for (const host of [...metadata, ...others])
      assert.equal(isSpecialAddress(hostOf(`http://${host}:80`)), true, host);
    for (const host of usual) assert.equal(isSpecialAddress(hostOf(`http://${host}:80`)), false, host);
    assert.equal(isSpecialAddress('fe80::1%eth0'), true);
  });

  it('are refused in a configuration unless it says that they are meant', async () => {
    for (const host of ['169.254.169.254', '0xa9fea9fe', '[::ffff:a9fe:a9fe]'])
      assert.match((await problemsOf(`http://${host}:80`)).join(), /special address/, host);
    assert.deepEqual(await problemsOf('http://169.254.7.7:11434', ', specialAddress: true'), []);
    assert.deepEqual(await problemsOf('http://10.0.0.2:11434'), []);
  });

  it('are not found behind a name, whenever it comes to mean one', async () => {
    const answers = [
      [{ address: '169.254.169.254', family: 4 }],
      [
        { address: '10.0.0.1', family: 4 },
        { address: 'fe80::1', family: 6 },
      ],
    ];
    const resolve = (_name: string, _options: object, done: (error: null, found: unknown) => void) =>
      done(null, answers.shift());
    const lookup = guardedLookup(resolve as never);
    const ask = (all: boolean) =>
      new Promise((resolved) => lookup('gpu1', { all }, (error, found) => resolved(error?.code ?? found)));
    assert.equal(await ask(false), 'ESPECIAL');
    assert.deepEqual(await ask(true), [{ address: '10.0.0.1', family: 4 }]);
  });

  it('are no members of a name that is watched', async () => {
    const found: unknown[] = [];
    const failed: string[] = [];
    const discovery = createDiscovery(
      [{ id: 'n', url: 'http://n:11434', weight: 1, slots: 'auto', models: null, discover: 'addresses' }],
      {
        resolver: { addresses: async () => ['10.0.0.1', '169.254.169.254'], services: async () => [] },
        clock: virtualClock(),
        rng: { next: () => 0.5 },
        found: (_name, specs) => found.push(specs),
        failed: (_name, reason) => failed.push(reason),
      },
      { interval: 1000 },
    );
    await discovery.resolveNow();
    discovery.close();
    assert.deepEqual([found.length, failed.length], [0, 1]);
  });
});

describe('a backend', () => {
  it('is reached by its name, and sends nobody elsewhere', async (t) => {
    const elsewhere = await fakeOllama(t);
    const ollama = await fakeOllama(t, {
      handler: ({ response }) => void response.writeHead(302, { Location: elsewhere.url }).end(),
    });
    const client = createClient({ url: `http://localhost:${ollama.port}` }, realClock);
    t.after(() => client.destroy());
    const timeouts = { connect: 5000, firstByte: 5000, idle: 5000, total: 0 };
    const ask = {
      method: 'POST',
      path: '/api/show',
      headers: [],
      body: Buffer.from('{}'),
      repeatable: false,
      timeouts,
    } as const;
    assert.equal((await client.fetch(ask)).status, 302);
    assert.equal(elsewhere.asked.length, 0);
  });
});
