/**
 * What clients and models say stays between them: words planted in every place a request or an answer has must not come up in the
 * log at its most talkative, in metrics, traces, the page or the admin API, whether a request goes well, waits, fails or is cut.
 */
import assert from 'node:assert/strict';
import { describe, it, type TestContext } from 'node:test';
import { endpoints, type Endpoint } from '../../src/http/admin/endpoints.ts';
import { lineOf } from '../../src/observe/log-line.ts';
import { createPrettifier } from '../../src/observe/pretty.ts';
import { chatLine, fakeOllama, startStream, type Asked } from '../support/fake-ollama.ts';
import { startGateway, type Gateway } from '../support/gateway.ts';
import { otlpReceiver } from '../support/otlp-receiver.ts';

/** Each is also looked for in base64, in which credentials and images travel. */
const canaries = {
  prompt: 'canary-prompt-7d1f',
  system: 'canary-system-82ac',
  output: 'canary-output-3e90',
  fault: 'canary-fault-b6d2',
  image: 'canary-image-c471',
  tool: 'canary-tool-05be',
  key: 'canary-key-e1f8',
  cookie: 'canary-cookie-9a36',
  query: 'canary-query-f2c7',
  header: 'canary-header-64d9',
  operator: 'canary-operator-1b5e',
};
const base64 = (text: string) => Buffer.from(text).toString('base64');

interface Telling {
  readonly path: string;
  readonly body: object;
}

const image = base64(canaries.image);
const tools = [{ type: 'function', function: { name: canaries.tool, description: canaries.tool, parameters: {} } }];

/** A request of every dialect with a planted word wherever one may stand. */
const tellings: readonly Telling[] = [
  {
    path: '/api/chat',
    body: {
      tools,
      messages: [
        { role: 'system', content: canaries.system },
        { role: 'user', content: canaries.prompt, images: [image] },
      ],
    },
  },
  {
    path: '/api/generate',
    body: { prompt: canaries.prompt, system: canaries.system, suffix: canaries.prompt, images: [image] },
  },
  { path: '/api/embed', body: { input: [canaries.prompt] } },
  {
    path: '/v1/chat/completions',
    body: {
      tools,
      user: canaries.header,
      messages: [
        { role: 'system', content: canaries.system },
        {
          role: 'user',
          content: [
            { type: 'text', text: canaries.prompt },
            { type: 'image_url', image_url: { url: `data:image/png;base64,${image}` } },
          ],
        },
      ],
    },
  },
  { path: '/v1/completions', body: { prompt: canaries.prompt } },
  { path: '/v1/responses', body: { input: canaries.prompt, instructions: canaries.system } },
  {
    path: '/v1/messages',
    body: {
      max_tokens: 5,
      system: canaries.system,
      metadata: { user_id: canaries.header },
      messages: [{ role: 'user', content: canaries.prompt }],
    },
  },
  { path: '/api/show', body: { system: canaries.system } },
  { path: '/api/something-new', body: { prompt: canaries.prompt } },
];

const telltale = {
  authorization: `Bearer ${canaries.key}`,
  'x-api-key': canaries.key,
  cookie: `session=${canaries.cookie}`,
  'x-session-id': canaries.header,
  'x-custom': canaries.header,
  'user-agent': `agent/1.0 (${canaries.header})`,
  referer: `http://localhost/${canaries.header}`,
};

async function tell(gateway: Gateway, { body, path }: Telling, init: RequestInit = {}): Promise<string> {
  const text = JSON.stringify({ model: 'tiny', stream: true, ...body });
  const url = `${gateway.url}${path}?api_key=${canaries.query}`;
  const answer = await fetch(url, { method: 'POST', headers: telltale, body: text, ...init });
  return answer.text().catch(() => 'cut');
}

const handlers: Readonly<Record<string, (asked: Asked) => void>> = {
  well: (asked) => {
    startStream(asked);
    asked.response.end(chatLine(canaries.output) + chatLine('', true));
  },
  refusing: ({ response }) => void response.writeHead(400).end(JSON.stringify({ error: `bad: ${canaries.fault}` })),
  failing: ({ response }) =>
    void response.writeHead(500).end(JSON.stringify({ error: `llama runner: ${canaries.fault}` })),
  'failing inside the stream': (asked) => {
    startStream(asked);
    asked.response.end(`${chatLine(canaries.output)}{"error":"${canaries.fault}"}\n`);
  },
  cut: (asked) => {
    startStream(asked);
    asked.response.write(chatLine(canaries.output), () => asked.response.destroy());
  },
  mad: ({ response }) => void response.writeHead(200, { 'X-Secret': canaries.output }).end(`<p>${canaries.output}`),
};

/** Everything an operator can look at, as one text. */
async function everythingShown(gateway: Gateway): Promise<string> {
  const headers = { authorization: `Bearer ${canaries.operator}` };
  const paths = Object.values<Endpoint>(endpoints)
    .filter(({ method, path }) => method === 'GET' && !path.includes(':') && path !== '/gateway/events')
    .map(({ path }) => path);
  const asked = ['/metrics', '/readyz?verbose', '/gateway/', ...paths].map(async (path) => {
    const answer = await fetch(`${gateway.adminUrl}${path}`, { headers });
    return answer.text();
  });
  const events = await fetch(`${gateway.adminUrl}/gateway/events`, { headers });
  const reader = events.body!.getReader();
  const { value } = await reader.read();
  await reader.cancel();
  const requests = (await (await fetch(`${gateway.adminUrl}/gateway/history`, { headers })).json()) as {
    requests: readonly { id: string }[];
  };
  const details = requests.requests.slice(0, 5).map(async ({ id }) => {
    const answer = await fetch(`${gateway.adminUrl}/gateway/requests/${encodeURIComponent(id)}`, { headers });
    return answer.text();
  });
  return [...(await Promise.all([...asked, ...details])), Buffer.from(value ?? []).toString()].join('\n');
}

function assertSilent(place: string, text: string): void {
  for (const [what, canary] of Object.entries(canaries))
    for (const spelling of [canary, base64(canary)]) assert.ok(!text.includes(spelling), `${what} in ${place}`);
}

async function watched(t: TestContext) {
  const receiver = await otlpReceiver(t);
  const ollamas = [await fakeOllama(t), await fakeOllama(t)];
  const config = `log: {level: debug}\nadmin: {address: '127.0.0.1:0', token: ${canaries.operator}}\nsurface: {unknown: forward}\nhealth: {ejectTime: 100ms}\n`;
  const backends = ollamas.map(({ url }) => ({ url, slots: 1 }));
  const gateway = await startGateway(t, backends, { config, traceEndpoint: `${receiver.url}/v1/traces` });
  return { gateway, ollamas, receiver };
}

describe('what clients and models say', () => {
  it('is in no log line, metric, span, page or answer of the admin API', async (t) => {
    const { gateway, ollamas, receiver } = await watched(t);
    const shown: string[] = [];
    let answers = '';
    // While requests wait and run.
    const held: Asked[] = [];
    for (const ollama of ollamas) ollama.handler = (asked) => void held.push(asked);
    const leave = new AbortController();
    const waiting = Array.from({ length: 4 }, () =>
      tell(gateway, tellings[0]!, { signal: leave.signal }).catch(() => ''),
    );
    while (held.length < 2 || (await gateway.metric('llamero_queue_depth')) < 2)
      await new Promise((resolve) => setImmediate(resolve));
    shown.push(await everythingShown(gateway));
    leave.abort();
    await Promise.all(waiting);
    for (const handler of Object.values(handlers)) {
      for (const ollama of ollamas) ollama.handler = handler;
      for (const telling of tellings) answers += await tell(gateway, telling);
    }
    // What is no request at all.
    for (const ollama of ollamas) ollama.handler = handlers['well']!;
    for (const body of [
      `{"model": "tiny", "prompt": ${canaries.prompt}`,
      `{"model": {"${canaries.prompt}": 1}}`,
      canaries.prompt,
    ])
      answers += await tell(gateway, tellings[1]!, { body });
    await tell(gateway, tellings[0]!, { headers: { ...telltale, origin: `http://${canaries.header}.example` } });
    shown.push(await everythingShown(gateway));
    await gateway.app.close();

    assert.ok(answers.includes(canaries.output) && answers.includes(canaries.fault), 'the words went through');
    assert.ok(ollamas.some(({ asked }) => asked.some(({ body }) => body.includes(canaries.prompt))));
    const log = gateway.log.map((line) => JSON.stringify(line));
    assert.ok(log.length > tellings.length * Object.keys(handlers).length);
    assert.ok(log.some((line) => line.includes('"level":"debug"')));
    assertSilent('the log', log.join('\n'));
    assertSilent('the log for eyes', log.map(createPrettifier({ colour: true })).join(''));
    assertSilent('what operators are shown', shown.join('\n'));
    assert.ok(shown[0]!.includes('"phase":"queued"') && shown[0]!.includes('llamero_requests_total'));
    assert.ok(receiver.spans.length > log.length / 4);
    assertSilent('traces', receiver.posts.map(({ body }) => body).join('\n'));
  });

  it('is not in the report of a mistake of ours either, which quotes what it stumbled over', () => {
    const context = { slowRequest: 0, isSimulated: () => false };
    const errors = [
      () => JSON.parse(`{"a": ${canaries.prompt}}`) as unknown,
      () => assert.deepEqual({ said: canaries.prompt }, { said: canaries.output }),
      () => assert.equal(canaries.prompt, canaries.output),
      () => new URL(canaries.prompt),
      () => Reflect.get({}, canaries.prompt).length as unknown,
    ];
    for (const fails of errors) {
      let thrown: unknown = null;
      try {
        fails();
      } catch (error) {
        thrown = error;
      }
      assert.ok(thrown instanceof Error);
      const event = { kind: 'bug', message: String(thrown), stack: thrown.stack } as const;
      const line = JSON.stringify(lineOf(event, context));
      assertSilent('a bug', line);
      assert.match(line, /canaries\.test\.ts:\d+/, 'it still says where');
    }
  });
});
