import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import {
  ADDRESS_PATTERN,
  DURATION_PATTERN,
  formatAddress,
  formatDuration,
  formatSize,
  parseAddress,
  parseDuration,
  parseSize,
  SIZE_PATTERN,
} from '../../src/config/units.ts';

describe('a duration', () => {
  it('is a number with its unit, or several', () => {
    const written = {
      '250ms': 250,
      '2s': 2000,
      '1.5s': 1500,
      '10m': 600_000,
      '1h30m': 5_400_000,
      '2d': 172_800_000,
      '0': 0,
    };
    for (const [text, ms] of Object.entries(written)) assert.equal(parseDuration(text), ms, text);
    assert.equal(parseDuration(0), 0);
  });

  it('is not a bare number, which would be a guess at the unit', () => {
    for (const text of [
      30,
      '30',
      '',
      ' 2s',
      '2s ',
      '2 s',
      '-2s',
      '2S',
      's',
      '1.s',
      '2s3',
      null,
      true,
      ['2s'],
      '9'.repeat(30) + 'd',
    ]) {
      assert.equal(parseDuration(text), null, String(text));
    }
  });

  it('is written in the largest units there are', () => {
    for (const text of ['1m30s', '2d', '250ms', '1h1ms', '0']) assert.equal(formatDuration(parseDuration(text)!), text);
  });

  it('is written so that it reads back as the same milliseconds', () => {
    fc.assert(fc.property(fc.maxSafeNat(), (ms) => parseDuration(formatDuration(ms)) === ms));
  });

  it('is written in the way editors accept', () => {
    fc.assert(fc.property(fc.maxSafeNat(), (ms) => new RegExp(DURATION_PATTERN).test(formatDuration(ms))));
  });
});

describe('a size', () => {
  it('is a number of bytes, or one with a binary or decimal unit', () => {
    const written = {
      '512': 512,
      '64KiB': 65_536,
      '1.5GiB': 1_610_612_736,
      '10MB': 10_000_000,
      '1kib': 1024,
      '3 TiB': 3 * 2 ** 40,
      '7B': 7,
    };
    for (const [text, bytes] of Object.entries(written)) assert.equal(parseSize(text), bytes, text);
    assert.equal(parseSize(4096), 4096);
  });

  it('is nothing else', () => {
    for (const text of ['', '-1', '1k', '10m', 'MiB', '1.5.2MiB', -1, 1.5, Number.NaN, null, '9e9', '99999999TiB']) {
      assert.equal(parseSize(text), null, String(text));
    }
  });

  it('is written in the largest binary unit that leaves no fraction', () => {
    for (const text of ['256MiB', '1025KiB', '3TiB', '1000B', '0B']) assert.equal(formatSize(parseSize(text)!), text);
  });

  it('is written so that it reads back as the same bytes', () => {
    fc.assert(fc.property(fc.maxSafeNat(), (bytes) => parseSize(formatSize(bytes)) === bytes));
    fc.assert(fc.property(fc.maxSafeNat(), (bytes) => new RegExp(SIZE_PATTERN).test(formatSize(bytes))));
  });
});

describe('an address', () => {
  it('is a host and a port', () => {
    assert.deepEqual(parseAddress('127.0.0.1:11435'), { host: '127.0.0.1', port: 11_435 });
    assert.deepEqual(parseAddress('localhost:0'), { host: 'localhost', port: 0 });
    assert.deepEqual(parseAddress('[::1]:80'), { host: '::1', port: 80 });
  });

  it('without a host is every interface', () => {
    assert.deepEqual(parseAddress(':11435'), { host: '::', port: 11_435 });
  });

  it('is nothing else', () => {
    for (const text of [
      '127.0.0.1',
      '11435',
      '::1:80',
      'a:65536',
      'a:-1',
      'http://a:80',
      'a:80/',
      'a b:80',
      'u@a:80',
      80,
      null,
    ]) {
      assert.equal(parseAddress(text), null, String(text));
    }
  });

  it('is written so that it reads back as the same', () => {
    const hosts = fc.oneof(
      fc.ipV4(),
      fc.ipV6().filter((host) => /^[0-9a-f:.]+$/i.test(host)),
      fc.domain(),
    );
    fc.assert(
      fc.property(hosts, fc.integer({ min: 0, max: 65_535 }), (host, port) => {
        const text = formatAddress({ host, port });
        assert.deepEqual(parseAddress(text), { host, port });
        assert.match(text, new RegExp(ADDRESS_PATTERN));
      }),
    );
  });
});
