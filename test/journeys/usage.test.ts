/** The ledger against what the backends say they have done, with aborts, errors and retries among the requests. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { runCommand } from '../../src/cli/commands.ts';
import { fakeOllama, type Asked } from '../support/fake-ollama.ts';
import { startGateway } from '../support/gateway.ts';
import { recordedIo } from '../support/io.ts';
import { seededRng } from '../support/random.ts';

type Fate = 'finished' | 'aborted' | 'refused' | 'lost';

function line(content: string): string {
  return `${JSON.stringify({ model: 'tiny', message: { role: 'assistant', content }, done: false })}\n`;
}

function lastLine(promptTokens: number, outputTokens: number): string {
  const counts = { prompt_eval_count: promptTokens, eval_count: outputTokens };
  return `${JSON.stringify({ model: 'tiny', message: { role: 'assistant', content: '' }, done: true, ...counts })}\n`;
}

describe('usage', () => {
  it('is within a hundredth of what the backends have done', async (t) => {
    const rng = seededRng(11);
    /** Tokens by client's request, as a backend has worked on them. */
    let done = 0;
    const fates = new Map<string, Fate>();
    const written = new Map<string, number>();
    const handler = (asked: Asked): void => {
      const { response } = asked;
      const body = JSON.parse(asked.body) as { messages: { content: string }[] };
      const [{ content } = { content: '' }] = body.messages;
      const id = content.split(' ')[0]!;
      const fate = fates.get(id)!;
      const promptTokens = Math.round(content.length / 4);
      if (fate === 'lost') {
        // The next backend will have it.
        fates.set(id, 'finished');
        response.destroy();
        return;
      }
      if (fate === 'refused') {
        response.writeHead(400, { 'Content-Type': 'application/json' });
        response.end('{"error":"no"}');
        return;
      }
      const outputTokens = 20 + Math.floor(200 * rng.next());
      response.writeHead(200, { 'Content-Type': 'application/x-ndjson' });
      response.write(line('x').repeat(outputTokens));
      written.set(id, outputTokens);
      done += promptTokens + outputTokens;
      if (fate === 'finished') response.end(lastLine(promptTokens, outputTokens));
    };
    const ollamas = [await fakeOllama(t, { handler }), await fakeOllama(t, { handler })];
    const config = 'health: {ejectAfter: 1000}\nretry: {budget: 1, backoff: 1ms}\n';
    const gateway = await startGateway(t, ollamas, { config });

    async function ask(number: number): Promise<void> {
      const id = `request-${number}`;
      const fate = (['finished', 'finished', 'aborted', 'refused', 'lost'] as const)[number % 5]!;
      fates.set(id, fate);
      const controller = new AbortController();
      const content = `${id} ${'word '.repeat(20 + Math.floor(100 * rng.next()))}`;
      const over = gateway.finished(({ request_id: of }) => of === id);
      const answer = await gateway.chat(
        { messages: [{ role: 'user', content }] },
        { signal: controller.signal, headers: { 'x-request-id': id } },
      );
      if (fate === 'aborted') {
        const reader = answer.body!.getReader();
        for (let lines = 0; lines < written.get(id)!; ) {
          const { value: chunk = new Uint8Array() } = (await reader.read()) as { value?: Uint8Array };
          lines += chunk.filter((byte) => byte === 0x0a).length;
        }
        controller.abort();
      } else await answer.text();
      await over;
    }

    for (let number = 0; number < 40; number += 5) {
      await Promise.all([0, 1, 2, 3, 4].map((offset) => ask(number + offset)));
    }
    const io = recordedIo({});
    const { host } = new URL(gateway.adminUrl);
    assert.equal(await runCommand(['usage', '--json', '--by', 'client', '--admin', host], io), 0, io.err());
    const [row] = JSON.parse(io.out()) as { prompt_tokens: number; output_tokens: number; requests: number }[];
    const counted = row!.prompt_tokens + row!.output_tokens;
    assert.ok(Math.abs(counted - done) <= done / 100, `${counted} counted, ${done} done`);
    assert.equal(row!.requests, 40);
  });

  it('is a table for people and comma-separated values for spreadsheets', async (t) => {
    const gateway = await startGateway(t, [await fakeOllama(t)]);
    await (await gateway.chat()).text();
    const { host } = new URL(gateway.adminUrl);
    const run = async (...argv: string[]): Promise<string> => {
      const io = recordedIo({});
      assert.equal(await runCommand(['usage', ...argv, '--admin', host], io), 0);
      return io.out();
    };
    const day = new Date().toISOString().slice(0, 10);
    assert.match(
      await run(),
      new RegExp(`^day +client +model .*\n${day} +127\\.0\\.0\\.1 +tiny:latest +1 +0 +5 +2\n$`),
    );
    const sums = await run('--csv', '--by', 'model');
    assert.equal(sums, 'model,requests,aborted,prompt_tokens,output_tokens\ntiny:latest,1,0,5,2\n');
    assert.equal(await run('--since', '9999-12-31'), 'nothing was used\n');
    const refused = await fetch(`${gateway.adminUrl}/gateway/usage?by=prompt`);
    assert.equal(refused.status, 400);
  });
});
