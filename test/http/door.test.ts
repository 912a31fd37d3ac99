import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { createDoor, preflightHeaders, withOrigin, type DoorOptions } from '../../src/http/door.ts';

function admit(
  headers: { readonly host?: string; readonly origin?: string },
  { isLoopback = true, ...options }: Partial<DoorOptions> & { readonly isLoopback?: boolean } = {},
): string {
  const door = createDoor({
    origins: ['http://localhost', 'http://localhost:*', 'app://*', 'https://*.example'],
    hosts: [],
    hostname: 'Llama-Box',
    ...options,
  });
  const admission = door.admit(headers, isLoopback);
  return admission.kind === 'allowed' ? admission.allowOrigin : admission.kind;
}

describe('the origins of web pages', () => {
  it('are not asked about when there is none', () => {
    assert.equal(admit({ host: 'localhost' }), 'open');
    assert.equal(admit({ host: 'localhost', origin: '' }), 'open');
  });

  it('are open to the gateway’s own pages', () => {
    assert.equal(admit({ host: 'localhost:7', origin: 'http://localhost:7' }, { origins: [] }), 'open');
    assert.equal(admit({ host: 'localhost:7', origin: 'http://localhost:8' }, { origins: [] }), 'refused');
  });

  it('match exactly or around one star', () => {
    const host = '127.0.0.1';
    for (const origin of ['http://localhost', 'http://localhost:3000', 'app://obsidian.md', 'https://a.example']) {
      assert.equal(admit({ host, origin }), origin);
    }
    for (const origin of ['https://localhost', 'https://example', 'null', 'https://a.example.evil', 'xapp://y']) {
      assert.equal(admit({ host, origin }), 'refused', origin);
    }
    assert.equal(admit({ host, origin: 'https:/.example' }, { origins: ['https://*/.example'] }), 'refused');
  });

  it('are all allowed by a star, without naming them', () => {
    assert.equal(admit({ host: 'localhost', origin: 'https://evil.example' }, { origins: ['*'] }), '*');
  });
});

describe('the names the gateway answers to', () => {
  const known = [
    '',
    'localhost',
    'LOCALHOST:11435',
    'llama-box',
    'llama-box:80',
    'a.localhost',
    'nas.local',
    'x.internal:1',
    '127.0.0.1:11435',
    '127.9.9.9',
    '192.168.9.9',
    '10.0.0.1',
    '172.31.0.1',
    '0.0.0.0',
    '[::1]:11435',
    '[fd00::1]',
  ];
  const strange = [
    'ollama1:11434',
    'evil.example',
    '8.8.8.8',
    '172.32.0.1',
    '[2001:db8::1]',
    'localhost.evil',
    'a:b:c',
    '[',
  ];

  it('mean this machine or its network while it listens on loopback', () => {
    for (const host of known) assert.equal(admit({ host }), 'open', host);
    for (const host of strange) assert.equal(admit({ host }), 'refused', host);
  });

  it('are any when it listens for others, or when that is said', () => {
    for (const host of strange) {
      assert.equal(admit({ host }, { isLoopback: false }), 'open', host);
      assert.equal(admit({ host }, { hosts: ['*'] }), 'open', host);
    }
  });

  it('are those of the configuration, too', () => {
    assert.equal(admit({ host: 'LLM.example:443' }, { hosts: ['llm.example', '8.8.8.8'] }), 'open');
    assert.equal(admit({ host: '8.8.8.8' }, { hosts: ['llm.example', '8.8.8.8'] }), 'open');
    assert.equal(admit({ host: 'other.example' }, { hosts: ['llm.example'] }), 'refused');
  });

  it('are looked at anew when they change', () => {
    const door = createDoor({ origins: [], hosts: [], hostname: 'box' });
    const kinds = ['localhost', 'localhost', 'evil.example', 'localhost'].map(
      (host) => door.admit({ host }, true).kind,
    );
    assert.deepEqual(kinds, ['open', 'open', 'refused', 'open']);
  });
});

describe('the fields of an answer to a page', () => {
  it('stand first and last, as Ollama has them', () => {
    assert.deepEqual(withOrigin(['A', '1'], null), ['A', '1']);
    assert.deepEqual(withOrigin(['A', '1'], 'app://x'), [
      'Access-Control-Allow-Origin',
      'app://x',
      'A',
      '1',
      'Vary',
      'Origin',
    ]);
    assert.deepEqual(withOrigin(['A', '1'], '*'), ['Access-Control-Allow-Origin', '*', 'A', '1']);
  });

  it('allow the fields of every client in a preflight', () => {
    const fields = preflightHeaders('app://x', null);
    assert.ok(!fields.includes('Allow'));
    assert.match(fields[1]!, /^Authorization,Content-Type,.*X-Api-Key,Anthropic-Version/);
    assert.ok(preflightHeaders('app://x', 'POST').includes('Allow'));
  });
});
