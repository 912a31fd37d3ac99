import assert from 'node:assert/strict';
import { describe, it, type TestContext } from 'node:test';
import type { Fault } from '../../src/simulator/faults.ts';
import type { SimulatedOllama } from '../../src/simulator/server.ts';
import { jsonRequest, rawClient } from '../support/raw-client.ts';
import { sendBytes, type WireAnswer } from '../support/recordings.ts';
import { simulatedOllama } from '../support/simulated.ts';

/** A streaming request of each dialect, and the mark with which its stream ends well. */
const dialects: readonly { readonly path: string; readonly body: object; readonly marker: string }[] = [
  { path: '/api/chat', body: { model: 'tiny', messages: [{ role: 'user', content: 'hi' }] }, marker: '"done":true' },
  { path: '/api/generate', body: { model: 'tiny', prompt: 'hi' }, marker: '"done":true' },
  {
    path: '/v1/chat/completions',
    body: { model: 'tiny', messages: [{ role: 'user', content: 'hi' }], stream: true },
    marker: 'data: [DONE]',
  },
  { path: '/v1/completions', body: { model: 'tiny', prompt: 'hi', stream: true }, marker: 'data: [DONE]' },
  { path: '/v1/responses', body: { model: 'tiny', input: 'hi', stream: true }, marker: 'response.completed' },
  {
    path: '/v1/messages',
    body: { model: 'tiny', max_tokens: 99, messages: [{ role: 'user', content: 'hi' }], stream: true },
    marker: 'message_stop',
  },
];

async function faulty(t: TestContext, fault: Fault): Promise<SimulatedOllama> {
  const simulated = await simulatedOllama(t, { models: ['tiny'], answerTokens: 6 });
  simulated.control.faults.add(fault);
  return simulated;
}

async function answerOf(
  simulated: SimulatedOllama,
  { path, body }: { path: string; body: object },
): Promise<WireAnswer> {
  return sendBytes(simulated.port, jsonRequest(path, body), 'POST');
}

function header(answer: WireAnswer, name: string): string | undefined {
  return answer.headers.find(([key]) => key === name)?.[1];
}

describe('a fault, in every dialect', () => {
  it('none: the stream ends with its marker', async (t) => {
    const simulated = await simulatedOllama(t, { models: ['tiny'], answerTokens: 6 });
    for (const dialect of dialects) {
      const answer = await answerOf(simulated, dialect);
      assert.equal(answer.ended, 'chunked');
      assert.match(answer.chunks.at(-1)!, new RegExp(dialect.marker.replace('[', '\\[')), dialect.path);
    }
  });

  it('truncate: ends cleanly, without the marker', async (t) => {
    const simulated = await faulty(t, { kind: 'truncate', afterChunks: 2 });
    for (const dialect of dialects) {
      const answer = await answerOf(simulated, dialect);
      assert.deepEqual([answer.ended, answer.chunks.length], ['chunked', 2], dialect.path);
      assert.ok(!answer.chunks.join('').includes(dialect.marker));
      assert.equal(simulated.control.machine.resident()[0]!.active, 0);
      const { id } = simulated.control.journal.requests.at(-1)!;
      await simulated.control.journal.until(({ kind, request }) => kind === 'cut' && request === id);
    }
  });

  it('cut: the body stops in the middle and the connection closes in good order', async (t) => {
    const simulated = await faulty(t, { kind: 'cut', afterChunks: 2 });
    for (const dialect of dialects) {
      const client = await rawClient(simulated.port, jsonRequest(dialect.path, dialect.body));
      assert.equal(await client.ended, 'end');
      assert.ok(!client.text().endsWith('0\r\n\r\n'), dialect.path);
      assert.match(client.text(), /^HTTP\/1\.1 200 OK\r\n/);
      const { id } = simulated.control.journal.requests.at(-1)!;
      await simulated.control.journal.until(({ kind, request }) => kind === 'cut' && request === id);
    }
  });

  it('reset: so many bytes of the body, then a reset', async (t) => {
    const simulated = await faulty(t, { kind: 'reset', atByte: 100 });
    for (const dialect of dialects) {
      const client = await rawClient(simulated.port, jsonRequest(dialect.path, dialect.body));
      assert.equal(await client.ended, 'ECONNRESET', dialect.path);
      assert.equal(simulated.control.journal.requests.at(-1)!.bytesSent, 100);
    }
  });

  it('reset without a byte: before the head', async (t) => {
    const simulated = await faulty(t, { kind: 'reset' });
    for (const dialect of dialects) {
      const client = await rawClient(simulated.port, jsonRequest(dialect.path, dialect.body));
      assert.deepEqual([await client.ended, client.text()], ['ECONNRESET', ''], dialect.path);
    }
  });

  it('status: the error in the shape of the dialect', async (t) => {
    const simulated = await faulty(t, { kind: 'status', status: 503, text: 'no' });
    const bodies: string[] = [];
    for (const dialect of dialects) {
      const answer = await answerOf(simulated, dialect);
      assert.equal(answer.statusLine, 'HTTP/1.1 503 Service Unavailable');
      bodies.push(answer.chunks.join('').replace(/req_\w+/, 'req_'));
    }
    const openai = '{"error":{"message":"no","type":"api_error","param":null,"code":null}}\n';
    const anthropic = '{"type":"error","error":{"type":"overloaded_error","message":"no"},"request_id":"req_"}\n';
    assert.deepEqual(bodies, ['{"error":"no"}', '{"error":"no"}', openai, openai, openai, anthropic]);
  });

  it('error-line: what Ollama says in-band, and no marker', async (t) => {
    const simulated = await faulty(t, { kind: 'error-line', afterChunks: 2, text: 'no' });
    for (const dialect of dialects) {
      const answer = await answerOf(simulated, dialect);
      const body = answer.chunks.join('');
      assert.equal(answer.ended, 'chunked');
      assert.ok(!body.includes(dialect.marker), dialect.path);
      if (dialect.path.startsWith('/api/')) assert.equal(answer.chunks.at(-1), '{"error":"no"}\n');
      if (dialect.path.endsWith('completions')) assert.match(answer.chunks.at(-1)!, /"model":""/);
    }
  });

  it('content-type: another one, and nothing else', async (t) => {
    const simulated = await faulty(t, { kind: 'content-type', value: 'text/html' });
    for (const dialect of dialects) {
      const answer = await answerOf(simulated, dialect);
      assert.equal(header(answer, 'Content-Type'), 'text/html');
      assert.ok(answer.chunks.at(-1)!.includes(dialect.marker), dialect.path);
    }
  });

  it('merge: several objects in one chunk', async (t) => {
    const simulated = await faulty(t, { kind: 'merge', objects: 4 });
    for (const dialect of dialects) {
      const answer = await answerOf(simulated, dialect);
      assert.equal(answer.chunks[0]!.trimEnd().split(/\n+(?=\{|data:|event:)/).length % 4, 0, dialect.path);
      assert.ok(answer.chunks.at(-1)!.includes(dialect.marker));
    }
  });

  it('split: every object over several chunks', async (t) => {
    const simulated = await faulty(t, { kind: 'split', pieces: 3, gapMs: 0 });
    for (const dialect of dialects) {
      const answer = await answerOf(simulated, dialect);
      assert.ok(
        answer.chunks.every((chunk) => !/^(?:\{|data: |event: )[^]*\n$/.test(chunk)),
        dialect.path,
      );
      assert.ok(answer.chunks.join('').includes(dialect.marker));
    }
  });

  it('split-utf8: no chunk but the last of a frame ends where a character does', async (t) => {
    const simulated = await faulty(t, { kind: 'split-utf8', gapMs: 0 });
    for (const { path, body, marker } of dialects) {
      const client = await rawClient(simulated.port, jsonRequest(path, { ...body }));
      await client.receives('0\r\n\r\n');
      client.leave();
      // The first byte of a llama, then the end of the chunk.
      assert.match(client.text(), /\xf0\r\n[0-9a-f]+\r\n\x9f/, path);
      assert.ok(client.text().includes(marker));
    }
  });

  it('oversized-line: one token as long as it was asked for', async (t) => {
    const simulated = await faulty(t, { kind: 'oversized-line', afterTokens: 1, bytes: 50_000 });
    for (const dialect of dialects) {
      const answer = await answerOf(simulated, dialect);
      assert.equal(answer.chunks.filter((chunk) => chunk.includes('x'.repeat(50_000))).length > 0, true, dialect.path);
      assert.ok(answer.chunks.at(-1)!.includes(dialect.marker));
    }
  });

  it('hang-before-head: takes the request and says nothing', async (t) => {
    const simulated = await faulty(t, { kind: 'hang-before-head', path: '/api/chat' });
    const hung = await rawClient(simulated.port, jsonRequest('/api/chat', dialects[0]!.body));
    await simulated.control.journal.until(({ kind }) => kind === 'request');
    await answerOf(simulated, dialects[1]!);
    assert.equal(hung.text(), '');
    hung.leave();
    const left = await simulated.control.journal.until(({ kind }) => kind === 'client-left');
    assert.equal(left.request, 1);
  });

  it('hang-mid-stream: falls silent and keeps its slot until the client leaves', async (t) => {
    const simulated = await faulty(t, { kind: 'hang-mid-stream', afterChunks: 2, times: 1 });
    for (const { path, body } of dialects) {
      simulated.control.faults.add({ kind: 'hang-mid-stream', afterChunks: 2, times: 1 });
      const client = await rawClient(simulated.port, jsonRequest(path, body));
      await client.receives('\n\r\n');
      await answerOf(simulated, { path: '/api/chat', body: dialects[0]!.body });
      assert.equal(simulated.control.machine.resident()[0]!.active, 1, path);
      client.leave();
      await simulated.control.journal.until(({ kind }) => kind === 'client-left');
      assert.equal(simulated.control.machine.resident()[0]!.active, 0);
      simulated.control.journal.clear();
      simulated.control.faults.clear();
    }
  });

  it('runner-error: an answer before the first token, the same in a whole answer after it', async (t) => {
    const simulated = await faulty(t, { kind: 'runner-error', afterTokens: 2, text: 'no' });
    const answer = await answerOf(simulated, { path: '/api/chat', body: { ...dialects[0]!.body, stream: false } });
    assert.deepEqual([answer.statusLine, answer.chunks], ['HTTP/1.1 500 Internal Server Error', ['{"error":"no"}']]);
  });

  it('crash: every connection is cut, and the server is back with nothing loaded', async (t) => {
    const simulated = await faulty(t, { kind: 'crash', afterChunks: 2, downMs: 20, times: 1 });
    const idle = await rawClient(simulated.port);
    const client = await rawClient(simulated.port, jsonRequest('/api/chat', dialects[0]!.body));
    await Promise.all([client.ended, idle.ended]);
    const { journal } = simulated.control;
    const { at: since } = await journal.until(({ kind }) => kind === 'crashed');
    await journal.until(({ kind, at }) => kind === 'listening' && at > since);
    assert.deepEqual(simulated.control.machine.resident(), []);
    const answer = await answerOf(simulated, dialects[0]!);
    assert.equal(answer.ended, 'chunked');
  });

  it('slow and delay: later, and whole', async (t) => {
    const simulated = await simulatedOllama(t, { models: ['tiny'], answerTokens: 3 });
    simulated.control.faults.add({ kind: 'delay', delayMs: 15 });
    simulated.control.faults.add({ kind: 'slow', delayMs: 5 });
    const answer = await answerOf(simulated, dialects[0]!);
    assert.equal(answer.chunks.length, 4);
    const { at, answeredAt, endedAt } = simulated.control.journal.requests.at(-1)!;
    assert.ok(answeredAt! - at >= 15 && endedAt! - answeredAt! >= 20);
  });
});

describe('a crash', () => {
  it('in the middle of a load ends the load', async (t) => {
    const { port, control } = await simulatedOllama(t, { models: ['tiny'], loadMs: 30 });
    const client = await rawClient(port, jsonRequest('/api/generate', { model: 'tiny' }));
    await control.journal.until(({ kind }) => kind === 'load-started');
    control.journal.clear();
    control.crash(0);
    await client.ended;
    await control.journal.until(({ kind }) => kind === 'listening');
    await sendBytes(port, jsonRequest('/api/generate', { model: 'tiny' }), 'POST');
    const loads = control.journal.events.map(({ kind }) => kind).filter((kind) => kind.startsWith('load'));
    assert.deepEqual(loads, ['load-aborted', 'load-started', 'load-finished']);
  });
});

describe('a refusing simulator', () => {
  it('refuses connections and, after its time, takes them again on the same port', async (t) => {
    const { port, control } = await simulatedOllama(t, { models: ['tiny'] });
    await control.refuse();
    await assert.rejects(rawClient(port), { code: 'ECONNREFUSED' });
    await control.accept();
    const client = await rawClient(port);
    client.leave();
  });
});

describe('the book of faults', () => {
  it('meets only the requests a fault is for, and as often as it says', async (t) => {
    const { port, control } = await simulatedOllama(t, { models: ['tiny', 'other'] });
    control.faults.add({ kind: 'status', status: 500, model: 'tiny:latest', path: '/api/*', skip: 1, times: 2 });
    const ask = async (path: string, model: string): Promise<string> => {
      const body = { model, input: 'hi', messages: [], prompt: '', stream: false };
      return (await sendBytes(port, jsonRequest(path, body), 'POST')).statusLine.split(' ')[1]!;
    };
    const seen: string[] = [];
    for (const model of ['other', ' TINY ', 'tiny', 'other', 'library/tiny', 'tiny'])
      seen.push(await ask('/api/chat', model));
    assert.deepEqual(seen, ['200', '200', '500', '200', '500', '200']);
  });
});

describe('a whole answer', () => {
  it('that is to end early ends with its connection, for its length was stated', async (t) => {
    for (const kind of ['truncate', 'error-line', 'cut'] as const) {
      const simulated = await faulty(t, { kind });
      const client = await rawClient(simulated.port, jsonRequest('/api/chat', { ...dialects[0]!.body, stream: false }));
      assert.equal(await client.ended, 'end', kind);
      assert.match(client.text(), /Content-Length: \d+\r\n\r\n$/);
    }
  });
});
