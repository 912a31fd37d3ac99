import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { loadConfig, type Loaded, type LoadedConfig } from '../../src/config/load.ts';
import { renderOrigin, renderProblem, type Layer } from '../../src/config/problem.ts';
import { defaultPolicy, policyNames } from '../../src/core/policies/choice.ts';
import { memoryFiles, type FileTree } from '../support/io.ts';

interface World {
  readonly yaml?: string;
  readonly files?: FileTree;
  readonly env?: Record<string, string>;
  readonly flags?: Layer;
  readonly file?: string;
}

function load({ yaml, files = {}, env = {}, flags, file }: World): Promise<Loaded> {
  return loadConfig({
    file: file ?? (yaml === undefined ? null : 'c.yaml'),
    env,
    flags: flags ?? null,
    files: memoryFiles({ ...files, ...(yaml === undefined ? {} : { 'c.yaml': yaml }) }),
  });
}

async function good(world: World): Promise<LoadedConfig> {
  const loaded = await load(world);
  if (!loaded.ok) assert.fail(loaded.problems.map(renderProblem).join('\n'));
  return loaded;
}

async function problems(world: World): Promise<string[]> {
  const loaded = await load(world);
  if (loaded.ok) assert.fail('it should have been refused');
  return loaded.problems.map(renderProblem);
}

async function warnings(world: World): Promise<string[]> {
  return (await load(world)).warnings.map(renderProblem);
}

function flagLayer(value: unknown): Layer {
  return { value, where: () => ({ kind: 'flag', name: '--flag' }) };
}

describe('a configuration', () => {
  it('that says nothing is all defaults, in plain numbers', async () => {
    for (const world of [{}, { yaml: '' }, { yaml: '# nothing yet\n' }, { yaml: 'queue:\nbackends:\n  # none\n' }]) {
      const { config, warnings: told } = await good(world);
      assert.deepEqual(config.listen.address, { host: '127.0.0.1', port: 11_435 });
      assert.equal(config.listen.bodyLimit, 256 * 2 ** 20);
      assert.equal(config.timeouts.connect, 2000);
      assert.equal(config.timeouts.total, 0);
      assert.deepEqual(config.backends, []);
      assert.equal(typeof config.policy === 'string' ? '' : config.policy.name, defaultPolicy);
      assert.deepEqual(told, []);
    }
  });

  it('gives a backend what it left out, and keeps absent what has no default', async () => {
    const { config } = await good({ yaml: 'backends:\n  - url: https://a\n    auth: {token: t}\n' });
    assert.deepEqual(config.backends, [{ url: 'https://a', weight: 1, slots: 'auto', auth: { token: 't' } }]);
  });

  it('takes short forms for backends and the policy', async () => {
    const { config } = await good({ yaml: 'policy: random\nbackends: [gpu=10.0.0.2#weight=2, http://b:1]\n' });
    assert.deepEqual(config.policy, { name: 'random' });
    assert.deepEqual(config.backends, [
      { name: 'gpu', url: 'http://10.0.0.2:11434', weight: 2, slots: 'auto' },
      { url: 'http://b:1', weight: 1, slots: 'auto' },
    ]);
  });

  it('fills in the options of the policy it names', async () => {
    const { config } = await good({ yaml: 'policy: power-of-two\n' });
    assert.deepEqual(config.policy, { name: 'power-of-two', choices: 2 });
    const { config: other } = await good({ yaml: 'policy:\n  name: power-of-two\n  choices: 3\n' });
    assert.deepEqual(other.policy, { name: 'power-of-two', choices: 3 });
  });

  it('may use anchors', async () => {
    const { config } = await good({
      yaml: 'backends:\n  - &a {url: "http://a", slots: 3}\n  - {url: http://b, models: &m [x]}\n  - {url: http://c, models: *m}\n',
    });
    assert.deepEqual(config.backends[2]?.models, ['x']);
  });
});

describe('a file with mistakes', () => {
  it('six of them, gives six messages, each with its line and column', async () => {
    const yaml = `listen:
  address: 127.0.0.1
queue:
  limit: -3
  timeout: 30
policy: least-conections
backends:
  - name: gpu1
    url: http://10.0.0.2:11434
    slotz: 4
  - name: gpu1
    url: http://10.0.0.3:11434
`;
    const names = policyNames.map((name) => `\`${name}\``);
    assert.deepEqual(await problems({ yaml }), [
      'c.yaml:2:12: `listen.address` should be `HOST:PORT`, such as `127.0.0.1:11435`, `[::1]:11435` or `:11435` for every interface, not `127.0.0.1`',
      'c.yaml:4:10: `queue.limit` should be a whole number, at least 0, at most 1000000, not `-3`',
      'c.yaml:5:12: `queue.timeout` should be a duration with its unit, such as `250ms`, `30s`, `10m`, `1h30m` or `0`, not `30`',
      `c.yaml:6:9: \`policy\` should be one of ${names.join(', ')}, not \`least-conections\`; did you mean \`least-connections\`?`,
      'c.yaml:10:5: unknown option `slotz` in `backends[0]`; did you mean `slots`?',
      'c.yaml:11:11: `backends[1]` has the name of `backends[0]`, `gpu1`; give it another `name`',
    ]);
  });

  it('names the nearest option, or those there are', async () => {
    assert.deepEqual(await problems({ yaml: 'quue: {}\n' }), [
      'c.yaml:1:1: unknown option `quue`; did you mean `queue`?',
    ]);
    assert.match(
      (await problems({ yaml: 'shutdown: {colour: red}\n' }))[0]!,
      /^c\.yaml:1:12: .*known here: delay, grace$/,
    );
  });

  it('does not also miss what was misspelt, or what is wrong', async () => {
    assert.equal((await problems({ yaml: 'backends: [{ulr: http://a}]\n' })).length, 1);
    assert.equal((await problems({ yaml: 'backends: [{url: ftp://a}]\n' })).length, 1);
    assert.equal((await problems({ yaml: 'policy: nope\n' })).length, 1);
    assert.equal((await problems({ yaml: 'backends: 7\n' })).length, 1);
  });

  it('says what a backend needs', async () => {
    assert.deepEqual(await problems({ yaml: 'backends:\n  - name: a\n  - slots: 2\n' }), [
      'c.yaml:2:5: `backends[0]` needs `url`, which has no default',
      'c.yaml:3:5: `backends[1]` needs `url`, which has no default',
    ]);
  });

  it('says once what is wrong with one value', async () => {
    assert.deepEqual(await problems({ yaml: 'backends: [{url: http://a, slots: none}]\n' }), [
      'c.yaml:1:35: `backends[0].slots` should be `auto`, or a whole number, at least 1, at most 10000, not `none`',
    ]);
    assert.deepEqual(await problems({ yaml: 'policy: {name: power-of-two, choices: many, x: 1}\n' }), [
      'c.yaml:1:39: `policy.choices` should be a whole number, at least 2, at most 16, not `many`',
      'c.yaml:1:45: unknown option `x` in `policy`; known here: name, choices',
    ]);
    assert.deepEqual(await problems({ yaml: 'policy: {choices: 3}\n' }), ['c.yaml:1:1: `policy` needs `name`']);
  });

  it('never shows a secret', async () => {
    const [problem] = await problems({ yaml: 'backends: [{url: http://127.0.0.1:1, auth: {token: 12345}}]\n' });
    assert.match(problem!, /not shown/);
    assert.doesNotMatch(problem!, /12345/);
    for (const url of ['http://me:hunter2@a', 'ftp://me:hunter2@a', 'http://me:hunter2@[']) {
      assert.doesNotMatch((await problems({ yaml: `backends: [{url: "${url}"}]\n` })).join(), /hunter2/);
    }
  });

  it('may hold a key twice, no key, or names of prototypes, and says so', async () => {
    assert.deepEqual(await problems({ yaml: 'log:\n  level: info\nlog:\n  level: warn\n' }), [
      'c.yaml:3:1: this key is written twice; keep one of them',
    ]);
    assert.match((await problems({ yaml: '{[a]: 1}\n' }))[0]!, /a plain word/);
    assert.match((await problems({ yaml: '__proto__: {queue: {limit: 5}}\n' }))[0]!, /unknown option `__proto__`/);
    assert.match((await problems({ yaml: 'constructor: 1\n' }))[0]!, /unknown option `constructor`/);
  });

  it('that is not a section at all', async () => {
    for (const yaml of ['just text\n', '- a\n- b\n', '42\n']) {
      assert.match((await problems({ yaml }))[0]!, /^c\.yaml:1:1: the configuration should be a section/, yaml);
    }
  });

  it('in its syntax, says the first of them, and what is wrong before it', async () => {
    const yaml = 'queue:\n  limit: -1\nlog:\n\tlevel: info\nbackends: [\n';
    assert.deepEqual(await problems({ yaml }), [
      'c.yaml:2:10: `queue.limit` should be a whole number, at least 0, at most 1000000, not `-1`',
      'c.yaml:4:1: YAML is indented with blanks, and this is a tab',
    ]);
    assert.match((await problems({ yaml: 'a: 1\n---\nb: 2\n' })).join(), /one document/);
    assert.match((await problems({ yaml: 'backends: [a, ${B:-b}]\n' })).join(), /put quotes around/);
    assert.match((await problems({ yaml: 'queue: *nowhere\n' })).join(), /no anchor `&nowhere`/);
  });

  it('does not miss what a syntax error may hide', async () => {
    assert.deepEqual(await problems({ yaml: 'backends:\n  - name: a\n    url: {\n' }).then((all) => all.length), 1);
  });

  it('that grows without bound is refused', async () => {
    const levels = Array.from({ length: 30 }, (_, i) => `a${i}: &a${i} [${i === 0 ? 'x' : `*a${i - 1}, *a${i - 1}`}]`);
    const said = await problems({ yaml: `${levels.join('\n')}\n` });
    assert.equal(said.filter((text) => /too large or too deep/.test(text)).length, 1);
    assert.match((await problems({ yaml: 'queue: &a {b: *a}\n' })).join('\n'), /too large or too deep/);
    assert.match(
      (await problems({ yaml: `queue: ${'['.repeat(100)}${']'.repeat(100)}\n` })).join('\n'),
      /too large or too deep/,
    );
  });
});

describe('the file', () => {
  it('that is named and missing, a directory, forbidden, too large or not text, is a problem', async () => {
    const tree: FileTree = {
      '/dir': { code: 'EISDIR' },
      '/secret': { code: 'EACCES' },
      '/odd': { code: 'EIO' },
      '/binary': Uint8Array.of(0x71, 0xff, 0xfe),
      '/large': new Uint8Array(2 ** 20 + 1),
    };
    const said = async (file: string) => (await problems({ files: tree, file })).join();
    assert.equal(await said('/no'), '--config: there is no file `/no`');
    assert.equal(await said('/dir'), '--config: `/dir` is a directory; name the file in it');
    assert.match(await said('/secret'), /may not be read by this user/);
    assert.match(await said('/odd'), /cannot be read: EIO/);
    assert.match(await said('/binary'), /not UTF-8/);
    assert.match(await said('/large'), /larger than 1 MiB/);
  });

  it('is the one a flag names, else LLAMERO_CONFIG, else a well-known one, else none', async () => {
    const files = {
      'flag.yaml': 'queue: {limit: 1}',
      'env.yaml': 'queue: {limit: 2}',
      'llamero.yaml': 'queue: {limit: 3}',
      '/etc/llamero/llamero.yaml': 'queue: {limit: 4}',
    };
    const env = { LLAMERO_CONFIG: 'env.yaml' };
    assert.equal((await good({ files, env, file: 'flag.yaml' })).config.queue.limit, 1);
    assert.equal((await good({ files, env })).config.queue.limit, 2);
    const found = await good({ files });
    assert.deepEqual([found.config.queue.limit, found.file], [3, 'llamero.yaml']);
    const { 'llamero.yaml': _gone, ...others } = files;
    assert.equal((await good({ files: others })).config.queue.limit, 4);
    assert.equal((await good({})).file, null);
  });

  it('that LLAMERO_CONFIG names and is missing is its problem', async () => {
    assert.deepEqual(await problems({ env: { LLAMERO_CONFIG: '/no' } }), ['LLAMERO_CONFIG: there is no file `/no`']);
  });

  it('that is well known and cannot be read is not passed over', async () => {
    const files = { 'llamero.yaml': { code: 'EACCES' } };
    assert.deepEqual(await problems({ files }), ['llamero.yaml: `llamero.yaml` may not be read by this user']);
  });
});

describe('the environment', () => {
  it('sets every sort of option', async () => {
    const env = {
      LLAMERO_QUEUE_LIMIT: '7',
      LLAMERO_QUEUE_TIMEOUT: '90s',
      LLAMERO_QUEUE_WAIT_FOR_BACKEND: 'false',
      LLAMERO_LISTEN_ADDRESS: ':80',
      LLAMERO_LISTEN_BODY_LIMIT: '1MiB',
      LLAMERO_LOG_LEVEL: 'warn',
      LLAMERO_SIMULATE_MODELS: 'a:1, b',
      LLAMERO_METRICS_BUCKETS_LOAD: '1,2,4',
      LLAMERO_POLICY: 'weighted',
      LLAMERO_BACKENDS: 'http://a:1,g=http://b:2#weight=2,slots=4;c',
    };
    const { config, warnings: told } = await good({ env });
    assert.deepEqual([config.queue.limit, config.queue.timeout, config.queue.waitForBackend], [7, 90_000, false]);
    assert.deepEqual(config.listen.address, { host: '::', port: 80 });
    assert.equal(config.listen.bodyLimit, 2 ** 20);
    assert.equal(config.log.level, 'warn');
    assert.deepEqual(config.simulate.models, ['a:1', 'b']);
    assert.deepEqual(config.metrics.buckets.load, [1, 2, 4]);
    assert.deepEqual(config.policy, { name: 'weighted' });
    assert.deepEqual(
      config.backends.map(({ url }) => url),
      ['http://a:1', 'http://b:2', 'http://c:11434'],
    );
    assert.deepEqual(told, []);
  });

  it('takes YAML or JSON where one line of text is not enough', async () => {
    const { config } = await good({
      env: {
        LLAMERO_POLICY: '{name: power-of-two, choices: 3}',
        LLAMERO_BACKENDS: '[{"url": "http://a", "models": ["x"]}]',
      },
    });
    assert.deepEqual(config.policy, { name: 'power-of-two', choices: 3 });
    assert.deepEqual(config.backends[0]?.models, ['x']);
  });

  it('names the variable that is wrong', async () => {
    const env = { LLAMERO_QUEUE_LIMIT: 'many', LLAMERO_BACKENDS: 'http://a#slotz=2', LLAMERO_POLICY: '{name: [' };
    const said = await problems({ env });
    assert.equal(said.length, 3);
    assert.match((await problems({ env: { LLAMERO_BACKENDS: '[http://a' } }))[0]!, /a list.*not `\[http:\/\/a`/);
    assert.match(said.find((text) => text.startsWith('LLAMERO_QUEUE_LIMIT: '))!, /a whole number.*not `many`/);
    assert.match(said.find((text) => text.startsWith('LLAMERO_BACKENDS: '))!, /did you mean `slots`/);
    assert.match(said.find((text) => text.startsWith('LLAMERO_POLICY: '))!, /one of/);
  });

  it('may fill in a short form, whose place is where that stands', async () => {
    assert.deepEqual(await problems({ yaml: 'backends: ${B}\n', env: { B: 'http://a#slotz=1' } }), [
      'c.yaml:1:11: unknown option `slotz` in `backends[0]`; did you mean `slots`?',
    ]);
  });

  it('may name a file for any value', async () => {
    const files = { '/run/secrets/limit': '9\n' };
    const { config, origins } = await good({ files, env: { LLAMERO_QUEUE_LIMIT_FILE: '/run/secrets/limit' } });
    assert.equal(config.queue.limit, 9);
    assert.equal(renderOrigin(origins.get('queue.limit')!), 'LLAMERO_QUEUE_LIMIT_FILE');
    assert.deepEqual(await problems({ env: { LLAMERO_QUEUE_LIMIT_FILE: '/no' } }), [
      'LLAMERO_QUEUE_LIMIT_FILE: there is no file `/no`',
    ]);
    assert.deepEqual(
      await problems({ files, env: { LLAMERO_QUEUE_LIMIT: '1', LLAMERO_QUEUE_LIMIT_FILE: '/run/secrets/limit' } }),
      ['LLAMERO_QUEUE_LIMIT_FILE: set together with `LLAMERO_QUEUE_LIMIT`; keep one of them'],
    );
  });

  it('counts an empty variable as unset', async () => {
    const { config } = await good({ env: { LLAMERO_QUEUE_LIMIT: '', LLAMERO_CONFIG: '', LLAMERO_BACKENDS: '' } });
    assert.deepEqual(config, (await good({})).config);
  });

  it('warns about a variable that means nothing', async () => {
    assert.deepEqual(
      await warnings({ env: { LLAMERO_QUEUE_LIMITS: '3', LLAMERO_BANANA: '1', OLLAMA_HOST: 'x', PATH: '/' } }),
      [
        'LLAMERO_BANANA: unknown variable; no option has this name',
        'LLAMERO_QUEUE_LIMITS: unknown variable; did you mean `LLAMERO_QUEUE_LIMIT`?',
      ],
    );
  });

  it('fills variables into the file, each read as its option wants it', async () => {
    const yaml = `
queue: {limit: "\${LIMIT:-5}", timeout: "\${T}"}
listen:
  address: \${HOST:-127.0.0.1}:8080
backends: \${OLLAMAS}
simulate:
  models: \${MODELS:-a,b}
  count: 2
policy: \${POLICY:-random}
`;
    const { config } = await good({ yaml, env: { T: '5s', OLLAMAS: 'http://a,http://b', LIMIT: '' } });
    assert.deepEqual([config.queue.limit, config.queue.timeout], [5, 5000]);
    assert.deepEqual(config.listen.address, { host: '127.0.0.1', port: 8080 });
    assert.equal(config.backends.length, 2);
    assert.deepEqual(config.simulate.models, ['a', 'b']);
    assert.deepEqual(config.policy, { name: 'random' });
  });

  it('keeps a text a text, however like a number it looks', async () => {
    const yaml = 'backends: [{url: https://a, name: "${NAME}", auth: {token: "${TOKEN}"}}]\n';
    const { config } = await good({ yaml, env: { NAME: '1', TOKEN: '12345' } });
    assert.deepEqual([config.backends[0]?.name, config.backends[0]?.auth], ['1', { token: '12345' }]);
  });

  it('fills secrets in from the files that variables name', async () => {
    const yaml = 'backends:\n  - url: https://a\n    auth: {token: "${TOKEN}"}\n';
    const files = { '/run/secrets/t': 'secret\n' };
    const { config } = await good({ yaml, files, env: { TOKEN_FILE: '/run/secrets/t' } });
    assert.equal(config.backends[0]?.auth?.token, 'secret');
    assert.deepEqual(await problems({ yaml }), [
      'c.yaml:3:19: `TOKEN` is not set in the environment, and has no default',
    ]);
    assert.deepEqual(await problems({ yaml, env: { TOKEN_FILE: '/no' } }), [
      'c.yaml:3:19: `TOKEN_FILE`: there is no file `/no`',
    ]);
  });
});

describe('what several places say', () => {
  const yaml = 'queue: {limit: 3, timeout: 3s}\nretry: {backends: 3}\nbackends: [http://file]\n';

  it('counts in the order flag, environment, file, default, option by option', async () => {
    const env = { LLAMERO_QUEUE_LIMIT: '2', LLAMERO_QUEUE_TIMEOUT: '2s' };
    const { config, origins } = await good({ yaml, env, flags: flagLayer({ queue: { limit: 1 } }) });
    assert.deepEqual([config.queue.limit, config.queue.timeout], [1, 2000]);
    assert.equal(config.retry.backends, 3);
    const said = ['queue.limit', 'queue.timeout', 'retry.backends', 'retry.budget'].map((path) =>
      renderOrigin(origins.get(path)!),
    );
    assert.deepEqual(said, ['--flag', 'LLAMERO_QUEUE_TIMEOUT', 'c.yaml:2:19', 'default']);
  });

  it('does not mix two lists', async () => {
    const { config } = await good({ yaml, flags: flagLayer({ backends: [{ url: 'http://flag' }] }) });
    assert.deepEqual(
      config.backends.map(({ url }) => url),
      ['http://flag'],
    );
  });

  it('is complained about in the order in which it counts', async () => {
    const said = await problems({
      yaml: 'queue: {limit: no}\nlog: {level: no}\n',
      env: { LLAMERO_RETRY_BACKENDS: 'no' },
      flags: flagLayer({ policy: { name: 'no' } }),
    });
    assert.deepEqual(
      said.map((text) => text.split(': ')[0]),
      ['--flag', 'LLAMERO_RETRY_BACKENDS', 'c.yaml:1:16', 'c.yaml:2:14'],
    );
  });

  it('is checked even where a higher place wins', async () => {
    const said = await problems({ yaml: 'queue: {limit: no}\n', env: { LLAMERO_QUEUE_LIMIT: '5' } });
    assert.match(said[0]!, /^c\.yaml:1:16: /);
  });
});

describe('rules between options', () => {
  it('listen and admin have different addresses', async () => {
    const said = (listen: string, admin: string) =>
      load({ yaml: `listen: {address: "${listen}"}\nadmin: {address: "${admin}"}\n` });
    assert.equal((await said('127.0.0.1:80', '127.0.0.1:80')).ok, false);
    assert.equal((await said('0.0.0.0:80', '127.0.0.1:80')).ok, false);
    assert.equal((await said('127.0.0.1:80', '10.0.0.1:80')).ok, true);
    assert.equal((await said('127.0.0.1:0', '127.0.0.1:0')).ok, true);
    assert.deepEqual(await problems({ yaml: 'listen: {address: "127.0.0.1:11436"}\n' }), [
      'c.yaml:1:19: `admin.address` is also `listen.address`; give each its own port',
    ]);
  });

  it('a backend is not the gateway itself', async () => {
    for (const url of ['http://127.0.0.1:11435', 'http://localhost:11435/', 'http://127.0.0.1:11436']) {
      assert.match((await problems({ yaml: `backends: ["${url}"]\n` }))[0]!, /round in circles/, url);
    }
    const listen = 'listen: {address: "0.0.0.0:11434"}\n';
    assert.match((await problems({ yaml: `${listen}backends: ["http://localhost:11434"]\n` }))[0]!, /round in circles/);
    await good({ yaml: `${listen}backends: ["http://10.0.0.1:11434"]\n` });
  });

  it('a URL is http or https, without credential, query or fragment', async () => {
    assert.match((await problems({ yaml: 'backends: [{url: "http://u:p@a"}]\n' }))[0]!, /holds a credential/);
    assert.match((await problems({ yaml: 'backends: [{url: "http://a?x=1"}]\n' }))[0]!, /no `\?` or `#`/);
    for (const url of ['ftp://a', 'a:1', 'http://', 'http://a b', 'http://[', '']) {
      assert.match(
        (await problems({ yaml: `backends: [{url: "${url}"}]\n` }))[0]!,
        /an http:\/\/ or https:\/\/ URL/,
        url,
      );
    }
  });

  it('TLS settings are for https, come in pairs, and name files that are there', async () => {
    assert.match(
      (await problems({ yaml: 'backends: [{url: http://a, tls: {servername: b}}]\n' }))[0]!,
      /for an https:\/\/ URL/,
    );
    const files = { '/c': 'x', '/k': 'x' };
    await good({ files, yaml: 'backends: [{url: https://a, tls: {cert: /c, key: /k}}]\n' });
    assert.deepEqual(await problems({ files, yaml: 'backends: [{url: https://a, tls: {cert: /c, ca: /no}}]\n' }), [
      'c.yaml:1:41: `backends[0].tls.cert` needs `key` beside it',
      'c.yaml:1:49: `backends[0].tls.ca`: there is no file `/no`',
    ]);
  });

  it('a credential over plain http is warned about, unless it stays on the machine', async () => {
    const yaml = (host: string) => `backends: [{url: "http://${host}:1", auth: {token: t}}]\n`;
    assert.match((await warnings({ yaml: yaml('gpu') }))[0]!, /^c\.yaml:1:\d+: .*unencrypted/);
    assert.deepEqual(await warnings({ yaml: yaml('127.0.0.1') }), []);
  });

  it('placement names backends that there are', async () => {
    const fleet = 'backends: [gpu1=http://a, gpu2=http://b]\nsimulate: {count: 1}\n';
    assert.deepEqual(await problems({ yaml: `${fleet}placement: {pull: "gpu1, gpu3", copy: sim1, delete: tpu}\n` }), [
      'c.yaml:3:19: `placement.pull` names `gpu3`, which is no backend; did you mean `gpu1`?',
      'c.yaml:3:53: `placement.delete` names `tpu`, which is no backend; they are gpu1, gpu2, sim1',
    ]);
    await good({ yaml: `${fleet}placement: {pull: all, push: owner, create: gpu2}\n` });
    await good({ yaml: 'placement: {pull: gpu1}\n' });
  });

  it('bounds of histograms ascend', async () => {
    assert.deepEqual(await problems({ yaml: 'metrics: {buckets: {load: [1, 2, 2]}}\n' }), [
      'c.yaml:1:34: `metrics.buckets.load` has to ascend, and 2 follows 2',
    ]);
  });
});
