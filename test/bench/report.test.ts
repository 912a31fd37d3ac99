import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { readArguments } from '../../bench/load/arguments.ts';
import type { Visit } from '../../bench/load/measure.ts';
import { coresOf, parentOf, residentOf, runtimeOf } from '../../bench/load/procfs.ts';
import { harnessChecks, memoryTable, promises, rowsOf, table, tableOf } from '../../bench/load/report.ts';
import { quantileOf, Samples, summarise, thereAndBack } from '../../bench/load/statistics.ts';
import { haproxyConfig } from '../../bench/proxies/haproxy.ts';
import { nginxConfig } from '../../bench/proxies/nginx.ts';

function visit(answers: number, proxyCpu: number | null, more: Partial<Visit> = {}): Visit {
  return {
    windowMs: 1_000,
    answers,
    chunks: answers * 100,
    errors: {},
    latency: { p50: 1, p99: 2 },
    chunkDelay: null,
    proxyCpu,
    generatorCpu: 300_000,
    backendCpu: 400_000,
    ...more,
  };
}

const visits = new Map([
  ['direct', [visit(20_000, 0), visit(20_000, 0)]],
  ['llamero', [visit(1_000, 200_000), visit(1_000, 300_000)]],
  ['nginx', [visit(2_000, 200_000), visit(4_000, 400_000)]],
]);

describe('the report of a benchmark', () => {
  it('compares each visit with the one nginx had in the same pass', () => {
    const llamero = rowsOf(visits, 'request')[1]!;
    assert.deepEqual(llamero.cpuPerUnit, { median: 250, min: 200, max: 300 });
    assert.deepEqual(llamero.cpuRatio, { median: 2.5, min: 2, max: 3 });
    assert.deepEqual(llamero.rateRatio, { median: 0.375, min: 0.25, max: 0.5 });
  });

  it('gives the direct way no CPU time of its own', () => {
    const direct = rowsOf(visits, 'request')[0]!;
    assert.equal(direct.cpuPerUnit, null);
    assert.equal(direct.proxyShare, null);
    assert.deepEqual(direct.generatorShare?.median, 0.3);
  });

  it('divides by chunks where chunks are streamed', () => {
    assert.equal(rowsOf(visits, 'chunk')[2]?.cpuPerUnit?.median, 1);
  });

  it('shows a dash where nginx is missing, and no promise is judged', () => {
    const rows = rowsOf(new Map([['llamero', [visit(1_000, 200_000)]]]), 'request');
    assert.equal(rows[0]?.cpuRatio, null);
    assert.match(tableOf(rows, 'request'), /–/);
    assert.deepEqual(promises({ small: rows }, []), []);
  });

  it('adds up errors by their kind', () => {
    const failed = [
      visit(1, 1, { errors: { 'status 502': 2 } }),
      visit(1, 1, { errors: { 'status 502': 1, ECONNRESET: 1 } }),
    ];
    const row = rowsOf(new Map([['llamero', failed]]), 'request')[0]!;
    assert.equal(row.errors, 4);
    assert.deepEqual(row.errorKinds, { 'status 502': 3, ECONNRESET: 1 });
  });

  it('says when the harness may be what was measured', () => {
    const holds = harnessChecks('small', rowsOf(visits, 'request')).map((check) => check.holds);
    assert.deepEqual(holds, [true, true]);
    const slow = new Map([...visits, ['direct', [visit(5_000, 0, { generatorCpu: 900_000 })]]] as const);
    assert.deepEqual(
      harnessChecks('small', rowsOf(slow, 'request')).map((check) => check.holds),
      [false, false],
    );
  });

  it('judges what is promised', () => {
    const own = rowsOf(visits, 'request');
    const memory = [{ target: 'llamero', streams: 200, bytesPerStream: summarise([61_000]) }];
    assert.deepEqual(
      promises({ small: own, streams: own }, memory).map((check) => check.holds),
      [true, true, false],
    );
  });

  it('compares memory at the same number of streams', () => {
    const rows = [
      { target: 'llamero', streams: 200, bytesPerStream: summarise([40_000]) },
      { target: 'nginx', streams: 200, bytesPerStream: summarise([10_000]) },
      { target: 'nginx', streams: 1_000, bytesPerStream: summarise([20_000]) },
    ];
    assert.match(memoryTable(rows), /llamero\s+40\.0 \S+\s+4\.0\s+–\s+–/);
  });

  it('sets columns of equal width', () => {
    assert.equal(
      table([
        ['', 'long head'],
        ['row', '1'],
      ]),
      '     long head\nrow          1',
    );
  });
});

describe('the figures', () => {
  it('interpolates between samples', () => {
    assert.equal(quantileOf([0, 10], 0.25), 2.5);
    assert.ok(Number.isNaN(quantileOf([], 0.5)));
    assert.deepEqual(summarise([3, 1, 2]), { median: 2, min: 1, max: 3 });
    assert.equal(summarise([]), null);
  });

  it('collects between start and stop only', () => {
    const samples = new Samples();
    samples.add(1);
    assert.equal(samples.quantiles(), null);
    samples.start();
    for (let i = 0; i < 70_000; i++) samples.add(5);
    samples.stop();
    samples.add(1_000_000);
    assert.deepEqual(samples.quantiles(), { p50: 5, p99: 5 });
  });

  it('visits there and back again', () => {
    assert.deepEqual(thereAndBack(['a', 'b']), ['a', 'b', 'b', 'a']);
  });
});

describe('what the kernel tells', () => {
  it('is read from its own formats', () => {
    assert.equal(runtimeOf('356211626 811336 19\n'), 356_211_626);
    assert.equal(residentOf('Name:\tx\nVmRSS:\t    2156 kB\nRssAnon:\t1 kB\n'), 2_156 * 1024);
    assert.equal(parentOf('8178 (a ) b) R 8170 8170 3833 0'), 8_170);
    assert.deepEqual(coresOf('0-2,5'), [0, 1, 2, 5]);
  });
});

describe('the configurations of the other proxies', () => {
  it('buffer nothing and keep connections', () => {
    const nginx = nginxConfig('/h', 1, { ports: [2] });
    for (const line of ['proxy_buffering off;', 'proxy_http_version 1.1;', 'worker_processes 1;', 'access_log off;']) {
      assert.ok(nginx.includes(line), line);
    }
    assert.match(haproxyConfig(1, { ports: [2] }), /nbthread 1[^]*http-no-delay[^]*http-reuse always/);
  });
});

describe('the arguments', () => {
  it('measure everything in three rounds unless told otherwise', () => {
    const { rounds, parts, targets, write } = readArguments([]);
    assert.deepEqual(
      [rounds, [...parts], targets, write],
      [3, ['small', 'paced', 'streams', 'memory'], ['llamero', 'nginx', 'haproxy'], true],
    );
    assert.equal(readArguments(['--quick']).write, false);
    assert.deepEqual(readArguments(['--reference', '--targets', 'nginx']).targets, ['nginx', 'reference']);
  });

  it('refuse what makes no sense', () => {
    assert.throws(() => readArguments(['--rounds', '0']), /from 1/);
    assert.throws(() => readArguments(['--only', 'smal']), /not smal/);
    assert.throws(() => readArguments(['--nonsense']));
  });
});
