/** What a client carries must be found nowhere that somebody else reads: logs at every level, metrics, errors, the audit. */
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { makeKey } from '../../src/identity/key-text.ts';
import { fakeOllama } from '../support/fake-ollama.ts';
import { startGateway } from '../support/gateway.ts';
import { keyFile, testFolder } from '../support/keys.ts';

describe('a secret', () => {
  for (const level of ['debug', 'info', 'warn', 'error']) {
    it(`of a client stands nowhere that an operator looks, at the level ${level}`, async (t) => {
      const ollama = await fakeOllama(t);
      ollama.handler = ({ path, response }) => {
        if (path.startsWith('/api/chat')) response.destroy();
        else response.writeHead(500).end('{"error":"no"}');
      };
      const { keys, path } = await keyFile(t, { ana: { profile: 'operator' } });
      const audit = join(await testFolder(t), 'audit.jsonl');
      const config = [
        `clients: {keys: ${JSON.stringify(path)}, users: {}}`,
        `log: {level: ${level}, format: json, audit: ${JSON.stringify(audit)}}`,
        'surface: {unknown: forward}',
      ].join('\n');
      const gateway = await startGateway(t, [ollama], { config });
      const good = keys.ana.slice(-38);
      const bad = makeKey('eve');
      const canaries = ['canary-cookie', 'canary-query', 'canary-body', 'canary-agent', 'canary-header', 'canary-user'];
      const headers = {
        cookie: 'session=canary-cookie',
        'user-agent': 'x y canary-agent',
        'x-secret': 'canary-header',
        'x-openwebui-user-id': 'two canary-user',
        'content-type': 'application/json; canary-header',
      };
      const body = JSON.stringify({
        model: 'tiny',
        messages: [{ role: 'user', content: 'canary-body' }],
        stream: false,
      });
      const answers: string[] = [];
      const ask = async (target: string, credential: Record<string, string>) => {
        const answer = await fetch(gateway.url + target, {
          method: 'POST',
          headers: { ...headers, ...credential },
          body,
        });
        answers.push(`${JSON.stringify([...answer.headers])} ${await answer.text()}`);
      };
      for (const key of [keys.ana, bad]) {
        const basic = `Basic ${Buffer.from(`user:${key}`).toString('base64')}`;
        for (const credential of [
          { authorization: `Bearer ${key}` },
          { 'x-api-key': key },
          { authorization: basic },
          {},
        ]) {
          for (const path of [
            '/api/chat',
            '/v1/chat/completions',
            '/v1/messages',
            '/api/show',
            '/api/pull',
            '/api/unknown',
            '/nowhere',
          ])
            await ask(`${path}?token=canary-query`, credential);
        }
        for (const path of ['/api/chat', '/v1/nothing', '/nowhere', ''])
          await ask(`/k/${key}${path}?token=canary-query`, {});
        await ask(`/x/k/${key}/api/chat`, {});
        await ask(`/%6b/${key}/api/chat`, {});
      }
      const metrics = await (await fetch(`${gateway.url}/metrics`)).text();
      const ready = await (await fetch(`${gateway.url}/readyz?verbose`)).text();
      await gateway.app.close();
      const places = {
        log: JSON.stringify(gateway.log),
        metrics,
        ready,
        audit: await readFile(audit, 'utf8'),
        answers: answers.join('\n'),
      };
      assert.ok(places.audit.includes('POST /api/pull'));
      for (const [place, text] of Object.entries(places)) {
        for (const canary of [...canaries, good, bad.slice(-38), Buffer.from(`user:${keys.ana}`).toString('base64')])
          assert.ok(!text.includes(canary), `${canary} stands in ${place}`);
      }
      assert.ok(!JSON.stringify(ollama.asked.map(({ headers: sent, path: asked }) => [sent, asked])).includes(good));
    });
  }
});
