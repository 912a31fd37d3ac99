/**
 * Requests that state where their body ends in two ways, or in one that two readers could understand differently. Each carries a
 * request hidden in its body, and a canary follows it on the same connection.
 */
import assert from 'node:assert/strict';
import { after, before, describe, it, type TestContext } from 'node:test';
import { fakeOllama, type Asked, type FakeOllama } from '../support/fake-ollama.ts';
import { startGateway, type Gateway } from '../support/gateway.ts';
import { below, seededRng } from '../support/random.ts';
import { exchangeBytes, parseAnswer } from '../support/raw-http.ts';

const names = [
  'Transfer-Encoding',
  'Transfer-Encoding',
  'transfer-encoding',
  'TRANSFER-ENCODING',
  'tRANSFER-eNCODING',
  'Transfer_Encoding',
  'Transfer-Encoding ',
  'Transfer-Encoding\t',
  ' Transfer-Encoding',
  '\tTransfer-Encoding',

  'Transfer-Encoding\0',
  'Transfer-Encoding\x0b',
  'X\rTransfer-Encoding',
  'X: y\nTransfer-Encoding',
  'Transfer\u00adEncoding',

  'X-Transfer-Encoding',
  'TE',
  'Transfer-Encodin\u00e7',
  'Transfer Encoding',
  'X: y\rTransfer-Encoding',
  'Connection',
];
const strangers = ['X-Transfer-Encoding', 'TE', 'Transfer_Encoding', 'Transfer-Encoding-X', 'Content-Encoding'];
const values = [
  'chunked',
  'chunked',
  'Chunked',
  'CHUNKED',
  ' chunked',
  '\tchunked',
  'chunked ',
  'chunked\t',
  '\x0bchunked',
  'chunked\x0c',

  '"chunked"',
  "'chunked'",
  'xchunked',
  'chunkedx',
  'chunked;q=1',
  'chunked;a=b',
  'chunked, identity',
  'identity, chunked',

  'gzip, chunked',
  'chunked, gzip',
  'chunked,chunked',
  ',chunked',
  'chunked,',
  'identity',
  '',
  'cow',
  'chunk',
  '\0chunked',

  'chunked\0',
  '\u00a0chunked',
  'x\r\n chunked',
  '\r\n chunked',
  '\r\n\tchunked',
  'chunked\r',
  'ch\runked',
  'chunke\u00f0',

  'identity\r\nTransfer-Encoding: chunked',
  'chunked\r\nTransfer-Encoding: cow',
  '\u017fchunked',
  'trailers, chunked',
];
const separators = [':', ': ', ': ', ': ', ':\t', ':  ', ' : ', ':\x0b', ': \x0c'];
const ends = [...Array.from({ length: 8 }, () => '\r\n'), '\n', '\r\r\n'];

/** Lengths as they may be written for `length` bytes; undefined where there is none. */
function lengthLines(length: number): readonly string[] {
  const line = (value: string) => `Content-Length: ${value}\r\n`;
  return [
    line(`${length}`),
    line(`${length}`),
    line(`${length}`),
    line(`0${length}`),
    line(`+${length}`),
    line(`${length} `),
    line(`${length}`) + line(`${length}`),
    line(`${length}`) + line('5'),
    line('5') + line(`${length}`),
    line(`${length},${length}`),
    line(`${length}, 5`),
    line(`0x${length.toString(16)}`),
    line(`${length}\x0b`),
    line(`-${length}`),
    line(`${length}.0`),
    `content-length:${length}\r\n`,
    `Content-Length : ${length}\r\n`,
    line(`${length}`) + 'Content_Length: 5\r\n',
    line(`${length}\0`),
    line(`${2n ** 64n + BigInt(length)}`),
  ];
}

interface Variant {
  readonly head: string;
  readonly body: string;
}

/** Whoever reads it as chunked finds the hidden request behind it; whoever goes by the length does not. */
function variantOf(seed: number): Variant {
  const rng = seededRng(seed);
  const pick = (from: readonly string[]) => from[below(rng, from.length)]!;
  const hidden = `GET /v1/models/hidden-${seed} HTTP/1.1\r\nHost: localhost\r\nX: `;
  const body = `0\r\n\r\n${hidden}`;
  // A quarter are no codings, however much they look like one: then the length counts.
  const isNone = below(rng, 4) === 0;
  const coding = isNone
    ? `${pick(strangers)}: ${pick(values)}\r\n`
    : `${pick(names)}${pick(separators)}${pick(values)}${pick(ends)}`;
  const length = pick(lengthLines(body.length));
  const version = below(rng, 6) === 0 ? '1.0' : '1.1';
  const kept = version === '1.0' ? 'Connection: keep-alive\r\n' : '';
  const lines = below(rng, 2) === 0 ? coding + length : length + coding;
  return { head: `POST /api/chat HTTP/${version}\r\nHost: localhost\r\n${kept}${lines}\r\n`, body };
}

const variants = 1500;

describe('a request whose end is in doubt', () => {
  let ollama: FakeOllama;
  let gateway: Gateway;
  const closers: (() => unknown)[] = [];
  const closer = { after: (close: () => unknown) => void closers.push(close) };
  before(async () => {
    const handler = ({ response }: Asked) => void response.writeHead(400).end('{"error":"no model"}');
    ollama = await fakeOllama(closer as TestContext, { handler });
    gateway = await startGateway(closer, [ollama], { config: "listen: {address: '127.0.0.1:0', bodyTimeout: 5s}\n" });
  });
  after(async () => {
    for (const close of closers.toReversed()) await close();
  });

  const canary = (nonce: string) => `GET /v1/models/${nonce} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n`;

  /** How many answers came; throws where one is to something that nobody asked. */
  async function answersTo(seed: number): Promise<number> {
    const { body, head } = variantOf(seed);
    const nonce = `canary-${seed}`;
    const bytes = await exchangeBytes(gateway.port, head + body + canary(nonce));
    const why = `${seed}: ${JSON.stringify(head)} → ${bytes}`;
    assert.doesNotMatch(bytes, /hidden-/, why);
    const first = parseAnswer(bytes);
    assert.ok(first.status >= 400, why);
    if (first.rest === '') {
      // Refused, and the connection with it: whoever sent the canary sends it again.
      const again = parseAnswer(await exchangeBytes(gateway.port, canary(nonce)));
      assert.ok(again.status === 404 && again.body.includes(nonce), why);
      return 1;
    }
    const second = parseAnswer(first.rest);
    assert.deepEqual([second.status, second.rest], [404, ''], why);
    assert.ok(second.body.includes(nonce), why);
    return 2;
  }

  it(`is refused or understood, in ${variants} ways of writing it: its neighbour is answered, and nothing hidden in it is`, async () => {
    const counts = { 1: 0, 2: 0 };
    let seed = 0;
    const walk = async (): Promise<void> => {
      while (seed < variants) counts[(await answersTo(++seed)) as 1 | 2] += 1;
    };
    await Promise.all(Array.from({ length: 8 }, walk));
    assert.equal(counts[1] + counts[2], variants);
    // Some of them are no codings at all, and their length counts.
    assert.ok(counts[1] > 1000 && counts[2] > 80, JSON.stringify(counts));
    // A body that begins with 0 is JSON, so that those with a length go on; a backend hears of nothing else.
    assert.ok(ollama.asked.length >= counts[2]);
    assert.ok(
      ollama.asked.every(
        ({ body, path }) => path === '/api/chat' && body.startsWith('0\r\n\r\nGET /v1/models/hidden-'),
      ),
    );
    const afterwards = parseAnswer(await exchangeBytes(gateway.port, canary('afterwards')));
    assert.ok(afterwards.body.includes('afterwards'));
  });
});
