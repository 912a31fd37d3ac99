import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { uses } from '../clients/columns.ts';
import { anthropicJs } from '../clients/javascript/anthropic.ts';
import { ollamaJs } from '../clients/javascript/ollama.ts';
import { openaiResponsesJs } from '../clients/javascript/openai-responses.ts';
import { openaiJs } from '../clients/javascript/openai.ts';
import { judgeCell } from '../clients/matrix.ts';

/** The part of `npm run test:clients` that needs neither Python nor much time; the whole of it has more clients, and faults. */
for (const client of [ollamaJs, openaiJs, openaiResponsesJs, anthropicJs]) {
  describe(`${client.name}, through a gateway in front of three backends`, { concurrency: 3 }, () => {
    for (const column of uses.filter(({ steps }) => steps.some(({ call }) => client.can.has(call)))) {
      it(`sees the same as of an Ollama, or better: ${column.name}`, async () => {
        const verdict = await judgeCell(client, column);
        assert.deepEqual(verdict.kind === 'different' ? verdict.problems : [], []);
      });
    }
  });
}
