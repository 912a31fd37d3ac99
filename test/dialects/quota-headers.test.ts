import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { quotaHeaders } from '../../src/dialects/quota-headers.ts';

const noon = Date.parse('2026-11-25T12:00:00.200Z');

function headers(dialect: 'ollama' | 'openai' | 'anthropic', resetMs: number): Record<string, string> {
  const list = quotaHeaders(dialect, { limit: 600, remaining: 12, resetMs }, noon);
  const pairs = list.flatMap((name, index) => (index % 2 === 0 ? [[name, list[index + 1]!]] : []));
  return Object.fromEntries(pairs) as Record<string, string>;
}

describe('headers about tokens', () => {
  it('are OpenAI’s everywhere but in Anthropic’s API', () => {
    const expected = {
      'X-Ratelimit-Limit-Tokens': '600',
      'X-Ratelimit-Remaining-Tokens': '12',
      'X-Ratelimit-Reset-Tokens': '1m1s',
    };
    assert.deepEqual(headers('openai', 60_500), expected);
    assert.deepEqual(headers('ollama', 60_500), expected);
    assert.deepEqual(headers('anthropic', 60_500), {
      'Anthropic-Ratelimit-Tokens-Limit': '600',
      'Anthropic-Ratelimit-Tokens-Remaining': '12',
      'Anthropic-Ratelimit-Tokens-Reset': '2026-11-25T12:01:01Z',
    });
  });

  it('say a time as Go writes it', () => {
    const told = [0, 1, 59_000, 3_600_000, 86_399_000].map((ms) => headers('openai', ms)['X-Ratelimit-Reset-Tokens']);
    assert.deepEqual(told, ['0s', '1s', '59s', '1h0m0s', '23h59m59s']);
  });
});
