import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { banner, type BannerFacts } from '../../src/cli/banner.ts';

const model = (name: string) => ({ name, digest: '0'.repeat(64), sizeBytes: 1, raw: {} });

const facts: BannerFacts = {
  version: '1.2.3',
  publicAddress: '127.0.0.1:11435',
  adminAddress: '127.0.0.1:11436',
  backends: [
    {
      id: 'gpu1',
      state: 'up',
      reason: '',
      version: '0.12.0',
      installed: [model('llama3.2:3b'), model('qwen3:latest')],
    },
    {
      id: 'sim1',
      state: 'up',
      reason: '',
      version: '0.12.0',
      installed: ['a', 'b', 'c', 'd', 'e', 'f'].map((name) => model(`${name}:1`)),
    },
    { id: 'b', state: 'down', reason: 'connection refused', version: null, installed: null },
  ],
  simulated: new Set(['sim1']),
  note: null,
  isTerminal: false,
  isSecure: false,
};

describe('the banner', () => {
  it('says where it listens, what is behind it, and what to copy', () => {
    assert.equal(
      banner(facts),
      `
Llamero 1.2.3

  listening on  http://127.0.0.1:11435
  metrics       http://127.0.0.1:11435/metrics
  page          http://127.0.0.1:11436/gateway/

  backends
    gpu1  up  Ollama 0.12.0  llama3.2:3b, qwen3
    sim1  SIMULATED  up  Ollama 0.12.0  a:1, b:1, c:1, d:1 and 2 more
    b     down  connection refused

  point your clients here
    export OLLAMA_HOST=http://127.0.0.1:11435
    export OPENAI_BASE_URL=http://127.0.0.1:11435/v1

  Ctrl-C stops when running answers are done; twice stops now. \`llamero doctor\` tells what is wrong.

`,
    );
  });

  it('gives an address that can be connected to when it listens on every one', () => {
    for (const host of ['0.0.0.0', '[::]']) {
      const text = banner({ ...facts, publicAddress: `${host}:80` });
      assert.match(text, /export OLLAMA_HOST=http:\/\/127\.0\.0\.1:80\n/);
      assert.ok(text.includes(`listening on  http://${host}:80\n`));
    }
    assert.match(banner({ ...facts, publicAddress: '10.0.0.1:80' }), /OLLAMA_HOST=http:\/\/10\.0\.0\.1:80\n/);
  });

  it('says how the backends were found, and when there are none', () => {
    assert.match(banner({ ...facts, note: 'these are SIMULATED' }), /\n {2}these are SIMULATED\n/);
    assert.match(banner({ ...facts, backends: [] }), /backends\n {4}none\n/);
  });

  it('has colours on a terminal, and nothing else differs', () => {
    const coloured = banner({ ...facts, isTerminal: true });
    assert.ok(coloured.includes('\u001B['));
    // oxlint-disable-next-line no-control-regex -- colours are control characters
    assert.equal(coloured.replace(/\u001B\[\d+m/g, ''), banner(facts));
    assert.ok(!banner(facts).includes('\u001B'));
  });
});
