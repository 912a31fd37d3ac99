/** Faults are planted one by one, and all together; the doctor has to name each, with what to do about it. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { describe, it, type TestContext } from 'node:test';
import { runCommand } from '../../src/cli/commands.ts';
import { diagnose } from '../../src/cli/doctor/checks.ts';
import type { BackendFacts, Facts } from '../../src/cli/doctor/facts.ts';
import { unanswered } from '../../src/cli/doctor/unanswered.ts';
import { recordedIo, type FileTree } from '../support/io.ts';

interface Planted {
  readonly version?: string;
  readonly digest?: string;
  readonly context?: number;
  readonly expiresAt?: string;
  readonly date?: string;
  /** A Host this server refuses to be called by. */
  readonly refuses?: (host: string) => boolean;
}

async function serve(
  t: TestContext,
  answer: (request: IncomingMessage, response: ServerResponse) => void,
): Promise<number> {
  const server = createServer(answer);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return (server.address() as AddressInfo).port;
}

/** An Ollama with one model, on disk and in memory, and a fault. */
function ollama(t: TestContext, planted: Planted = {}): Promise<number> {
  const { context = 4096, date, digest = 'a'.repeat(64), refuses = () => false, version = '0.33.0' } = planted;
  return serve(t, ({ headers, url }, response) => {
    if (date !== undefined) response.setHeader('Date', date);
    if (refuses(headers.host ?? '')) return void response.writeHead(403).end();
    const model = { name: 'llama3.2:3b', digest, context_length: context };
    const answers: Readonly<Record<string, unknown>> = {
      '/api/version': { version },
      '/api/tags': { models: [model] },
      '/api/ps': { models: [{ ...model, expires_at: planted.expiresAt ?? `2026-11-24T12:00:00.${Math.random()}Z` }] },
    };
    response.end(url === '/' ? 'Ollama is running' : JSON.stringify(answers[url ?? ''] ?? {}));
  });
}

async function closedPort(t: TestContext): Promise<number> {
  const server = createServer();
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  t.after(() => {});
  await new Promise((resolve) => server.close(resolve));
  return port;
}

interface Report {
  readonly ok: boolean;
  readonly findings: readonly { level: string; code: string; about: string; problem: string; fix: string }[];
}

const plentyOfFiles: FileTree = {
  '/proc/self/limits': 'Max open files            1048576              1048576              files\n',
};

async function examine(backends: readonly string[], options: { config?: string; files?: FileTree } = {}) {
  const list = backends.map((backend) => `  - ${JSON.stringify(backend)}\n`).join('');
  const config = options.config ?? 'listen: {address: "127.0.0.1:0"}\nadmin: {address: "127.0.0.1:0"}\n';
  const files = { ...plentyOfFiles, ...options.files, 'c.yaml': `${config}backends:\n${list}` };
  const io = recordedIo({ files });
  const code = await runCommand(['doctor', '-c', 'c.yaml', '--json'], io);
  assert.equal(io.err(), '');
  return { code, ...(JSON.parse(io.out()) as Report) };
}

describe('doctor', () => {
  it('names ten faults that are planted in one fleet, each with its fix', async (t) => {
    const at = (name: string, port: number, more = '') => `${name}=http://127.0.0.1:${port}${more}`;
    const good = await ollama(t);
    const twin = await ollama(t, { expiresAt: '2026-11-24T12:00:00.123456789Z' });
    const taken = await ollama(t);
    const admin = await serve(t, ({ url }, response) => {
      const learnt = { models: [{ model: 'llama3.2:3b', options: '', slots_at_most: 1 }] };
      if (url === '/livez') return void response.end('ok\n');
      const fleet = { uptime_ms: 600_000, backends: [{ name: 'good', learnt }] };
      response.end(
        url === '/gateway/fleet' ? JSON.stringify(fleet) : 'llamero_model_loads_total{backend="good",model="m"} 100\n',
      );
    });
    const { code, findings } = await examine(
      [
        at('good', good, '#slots=4'),
        at('gone', await closedPort(t)),
        at('tunnel', await ollama(t, { refuses: (host) => !host.startsWith('localhost:') })),
        at('proxied', await ollama(t, { refuses: () => true })),
        at('old', await ollama(t, { version: '0.9.6' })),
        at('other', await ollama(t, { digest: 'b'.repeat(64) })),
        at('wide', await ollama(t, { context: 32_768 })),
        at('late', await ollama(t, { date: new Date(Date.now() - 3_600_000).toUTCString() })),
        at('twin', twin),
        `again=http://localhost:${twin}`,
      ],
      {
        config: `listen: {address: "127.0.0.1:${taken}"}\nadmin: {address: "127.0.0.1:${admin}"}\n`,
        files: { '/proc/self/limits': 'Max open files            256                  1048576              files\n' },
      },
    );
    assert.equal(code, 1);
    const expected: readonly (readonly [string, string, RegExp, RegExp])[] = [
      ['port-taken', `127.0.0.1:${taken}`, /is the port of an Ollama/, /--listen HOST:PORT/],
      ['unreachable', 'gone', /refuses connections/, /ollama serve/],
      ['host-refused', 'tunnel', /403 to the name `127\.0\.0\.1` and 200 to `localhost`/, /OLLAMA_HOST=0\.0\.0\.0/],
      ['origin-refused', 'proxied', /403 under every name/, /OLLAMA_ORIGINS=\*/],
      ['duplicate', 'twin and again', /the same server/, /remove one/],
      ['version-skew', 'old 0.9.6', /older than .* 0\.33\.0/, /update old to 0\.33\.0/],
      ['digest-skew', 'llama3.2:3b', /bbbbbbbbbbbb on other/, /llamero pull llama3\.2:3b --all/],
      ['num-ctx', 'llama3.2:3b', /num_ctx 4096, 32768/, /numCtx: 32768/],
      ['thrash', 'good', /10\.0 times a minute/, /OLLAMA_KEEP_ALIVE/],
      ['slots', 'good', /told to take 4 .* beyond 1 /, /OLLAMA_NUM_PARALLEL=4/],
      ['clock', 'late', /36\d\d s behind/, /set-ntp/],
      ['open-files', 'this system', /lets a process open 256 files/, /ulimit -n/],
    ];
    assert.deepEqual(
      findings.map((finding) => [finding.code, finding.about]),
      expected.map(([kind, about]) => [kind, about]),
    );
    for (const [index, [kind, , problem, fix]] of expected.entries()) {
      assert.match(findings[index]!.problem, problem, kind);
      assert.match(findings[index]!.fix, fix, kind);
    }
  });

  it('finds nothing wrong with a fleet that is well, and exits 0', async (t) => {
    const [one, two] = [await ollama(t), await ollama(t)];
    const { code, findings, ok } = await examine([`http://127.0.0.1:${one}`, `http://127.0.0.1:${two}`]);
    assert.deepEqual({ code, findings, ok }, { code: 0, findings: [], ok: true });
  });

  it('exits 0 when there are only warnings', async (t) => {
    const [one, two] = [await ollama(t), await ollama(t, { version: '0.32.0' })];
    const { code, findings } = await examine([`http://127.0.0.1:${one}`, `http://127.0.0.1:${two}`]);
    assert.deepEqual([code, findings.map(({ level }) => level)], [0, ['warning']]);
  });

  it('tells people the same in words, without colours when nobody looks', async (t) => {
    const port = await ollama(t);
    const gone = await closedPort(t);
    const files = {
      ...plentyOfFiles,
      'c.yaml': `listen: {address: "127.0.0.1:0"}\nadmin: {address: "127.0.0.1:0"}\nbackends: [good=http://127.0.0.1:${port}, gone=http://127.0.0.1:${gone}]\n`,
    };
    const piped = recordedIo({ files });
    assert.equal(await runCommand(['doctor', '-c', 'c.yaml'], piped), 1);
    assert.match(piped.out(), /^c\.yaml, backends: as configured\n\nerror {4}gone refuses connections/);
    assert.match(piped.out(), /\n {9}→ start it with `ollama serve`/);
    assert.match(piped.out(), /\nok {7}good {2}Ollama 0\.33\.0, 1 models, 1 in memory/);
    assert.match(piped.out(), /\n1 error, 0 warnings\n$/);
    assert.ok(!piped.out().includes('\u001B'));
    for (const [env, coloured] of [
      [{}, true],
      [{ NO_COLOR: '1' }, false],
    ] as const) {
      const seen = recordedIo({ files, env, isTTY: true });
      await runCommand(['doctor', '-c', 'c.yaml'], seen);
      assert.equal(seen.out().includes('\u001B[31m'), coloured, JSON.stringify(env));
    }
  });
});

const backend: BackendFacts = {
  name: 'gpu1',
  url: 'http://10.0.0.2:11434',
  told: null,
  answer: { kind: 'ollama', version: '0.33.0', tookMs: 1 },
  addresses: ['10.0.0.2:11434'],
  skewMs: 0,
  certificateEnds: null,
  models: [],
  resident: [],
};
const well: Facts = {
  backends: [backend],
  source: 'configured',
  listen: { address: '127.0.0.1:11435', state: 'free' },
  admin: { address: '127.0.0.1:11436', state: 'gateway' },
  gateway: null,
  openFiles: null,
  filesNeeded: 1000,
  required: [],
  now: Date.parse('2026-11-24T12:00:00Z'),
};
const codes = (facts: Partial<Facts>) => diagnose({ ...well, ...facts }).map(({ code }) => code);

describe('a diagnosis', () => {
  it('of what is well is empty', () => assert.deepEqual(codes({}), []));

  it('sees a circle, ports that clash, and ports that are not to be had', () => {
    const circle = { ...backend, addresses: ['127.0.0.1:11435'] };
    assert.deepEqual(codes({ backends: [circle] }), ['loop']);
    assert.deepEqual(codes({ admin: { address: '127.0.0.1:11435', state: 'free' } }), ['same-port']);
    for (const [state, code] of [
      ['taken', 'port-taken'],
      ['forbidden', 'port-forbidden'],
      ['not-ours', 'not-our-address'],
    ] as const)
      assert.deepEqual(codes({ listen: { ...well.listen, state } }), [code]);
  });

  it('sees that there is no backend at all', () =>
    assert.deepEqual(codes({ backends: [], source: 'none' }), ['no-backend']));

  it('tells a credential that is missing from a page that is no Ollama', () => {
    const answering = (answer: BackendFacts['answer']) => codes({ backends: [{ ...backend, answer }] });
    assert.deepEqual(answering({ kind: 'status', status: 401, asLocal: null }), ['credential']);
    assert.deepEqual(answering({ kind: 'status', status: 404, asLocal: null }), ['not-ollama']);
    assert.deepEqual(answering({ kind: 'strange' }), ['not-ollama']);
  });

  it('sees a certificate end before it does', () => {
    const ending = (days: number) =>
      codes({ backends: [{ ...backend, certificateEnds: well.now + days * 86_400_000 }] });
    assert.deepEqual([ending(13), ending(15)], [['certificate-ends'], []]);
  });

  it('sees that a required model is on too few backends, and says who pulls it', () => {
    const holder = { ...backend, models: [{ name: 'tiny:latest', digest: 'd' }] };
    const wanting = (wanted: number, pulls: boolean) =>
      diagnose({ ...well, backends: [holder], required: [{ model: 'tiny:latest', wanted, pulls }] });
    assert.deepEqual(wanting(1, false), []);
    assert.match(wanting(2, false)[0]!.fix, /llamero pull tiny:latest --on/);
    assert.match(wanting(2, true)[0]!.fix, /the gateway pulls it/);
  });

  it('takes two servers that merely have the same models for two servers', () => {
    const resident = [{ name: 'm', contextLength: 1, expiresAt: '2318-11-24T12:00:00.123456789Z' }];
    const other = { ...backend, name: 'gpu2', addresses: ['10.0.0.3:11434'], resident };
    assert.deepEqual(codes({ backends: [{ ...backend, resident }, other] }), []);
  });

  it('does not take a gateway that has just started for one that thrashes', () => {
    const loads = [{ backend: 'gpu1', model: 'm', count: 20 }];
    assert.deepEqual(codes({ gateway: { uptimeMs: 30_000, runners: [], loads } }), []);
    assert.deepEqual(codes({ gateway: { uptimeMs: 300_000, runners: [], loads } }), ['thrash']);
    assert.deepEqual(codes({ gateway: { uptimeMs: 900_000, runners: [], loads } }), []);
  });
});

describe('why a server could not be asked', () => {
  it('is said by the error of the system, with another thing to do for each', () => {
    const table: readonly (readonly [string, string, RegExp])[] = [
      ['ECONNREFUSED', 'unreachable', /OLLAMA_HOST=0\.0\.0\.0/],
      ['ENOTFOUND', 'unreachable', /getent hosts gpu/],
      ['TIMEOUT', 'unreachable', /firewall drops port 11434/],
      ['CERT_HAS_EXPIRED', 'tls', /renew/],
      ['DEPTH_ZERO_SELF_SIGNED_CERT', 'tls', /`tls: \{ca:/],
      ['ERR_TLS_CERT_ALTNAME_INVALID', 'tls', /a name that its certificate has/],
      ['EPROTO', 'tls', /http:\/\/gpu:11434/],
      ['HPE_INVALID_CONSTANT', 'not-ollama', /https:\/\//],
      ['FILE', 'tls', /under `tls`/],
      ['EWHATEVER', 'unreachable', /curl -v/],
    ];
    for (const [code, kind, fix] of table) {
      const told = unanswered('https://gpu:11434', { code, message: 'no' });
      assert.equal(told.code, kind, code);
      assert.match(told.fix, fix, code);
    }
  });
});
