/** Every door of an Ollama, tried in every spelling with a key that may only run and look. */
import assert from 'node:assert/strict';
import { connect } from 'node:net';
import { describe, it, type TestContext } from 'node:test';
import { dialects } from '../../src/dialects/index.ts';
import { fakeOllama } from '../support/fake-ollama.ts';
import { startGateway } from '../support/gateway.ts';
import { keyFile } from '../support/keys.ts';

/** Sends them one after the other on one connection each, as they are: fetch would tidy the paths up. */
function statusOf(port: number, head: string, body: string): Promise<number> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, '127.0.0.1', () => socket.end(`${head}\r\n\r\n${body}`));
    let text = '';
    socket.setEncoding('latin1');
    socket.on('data', (chunk) => (text += chunk));
    socket.on('close', () => resolve(Number(/^HTTP\/1\.1 (\d{3})/.exec(text)?.[1] ?? 0)));
    socket.on('error', reject);
  });
}

function spellings(path: string): string[] {
  const inner = path.slice(1);
  const [first = '', ...rest] = inner.split('/');
  const last = inner.at(-1)!;
  return [
    path,
    `/${path}`,
    `${path}/`,
    `//${inner.replaceAll('/', '//')}//`,
    `/${first}/./${rest.join('/')}`,
    `/${first}/x/../${rest.join('/')}`,
    `/v1/..${path}`,
    `/v1/..%2f${inner}`,
    `/%2e%2e${path}`,
    path.toUpperCase(),
    `/${first}/${rest.join('/').toUpperCase()}`,
    `${path}/more`,
    `/${first.toUpperCase()}/${rest.join('/')}`,
    `/${inner.slice(0, -1)}%${last.charCodeAt(0).toString(16)}`,
    `/%${inner.charCodeAt(0).toString(16)}${inner.slice(1)}`,
    `/${first}%2f${rest.join('%2f')}`,
    `${path}?x=1`,
    `${path}%3fx`,
    `${path};x`,
    `${path}%00`,
    `${path}%20`,
    `http://127.0.0.1${path}`,
  ];
}

async function setUp(t: TestContext, config: string) {
  const ollama = await fakeOllama(t);
  ollama.handler = ({ response }) => void response.end('{"done":true}');
  const { keys, path } = await keyFile(t, {
    plain: {},
    operator: { profile: 'operator' },
    looker: { profile: 'looker' },
  });
  const gateway = await startGateway(t, [ollama], {
    config: `clients: {keys: ${JSON.stringify(path)}}\nprofiles: {looker: {cloud: true}}\n${config}`,
  });
  const send = (method: string, target: string, key: string | null) => {
    const body = method === 'GET' || method === 'HEAD' ? '' : '{"model":"tiny","stream":false}';
    const authorization = key === null ? '' : `\r\nAuthorization: Bearer ${key}`;
    const length = body === '' ? '' : `\r\nContent-Length: ${body.length}`;
    const host = `127.0.0.1:${gateway.port}`;
    const sent = target.replace('http://127.0.0.1', `http://${host}`);
    return statusOf(
      gateway.port,
      `${method} ${sent} HTTP/1.1\r\nHost: ${host}\r\nConnection: close${authorization}${length}`,
      body,
    );
  };
  return { ollama, keys, send };
}

const routes = Object.values(dialects).flatMap((dialect) => dialect.routes);
const denied = routes.filter(
  ({ kind, endpoint }) =>
    kind === 'manage' || ['me', 'signout', 'user-key', 'web-search', 'web-fetch'].includes(endpoint),
);
const methods = ['GET', 'HEAD', 'POST', 'DELETE', 'PUT', 'PATCH', 'OPTIONS', 'get'];
const concrete = (path: string) => path.replace(/:digest$/, `sha256:${'a'.repeat(64)}`).replace(/:\w+$/, 'AAAA');

describe('a key that may run and look', () => {
  for (const unknown of ['refuse', 'forward']) {
    it(`reaches a backend with no spelling of a route that changes something, where unknown paths are told to ${unknown}`, async (t) => {
      const { keys, ollama, send } = await setUp(t, `surface: {unknown: ${unknown}}`);
      let tried = 0;
      for (const path of new Set(denied.map((route) => concrete(route.path)))) {
        const all = methods.flatMap((method) => spellings(path).map((target) => [method, target] as const));
        for (let i = 0; i < all.length; i += 40) {
          const statuses = await Promise.all(
            all
              .slice(i, i + 40)
              .map(([method, target]) =>
                send(method, target, path.includes('web_') || i % 80 === 0 ? keys.plain : keys.looker),
              ),
          );
          for (const [index, status] of statuses.entries()) {
            const what = all[i + index]!.join(' ');
            // `*/x/../` and the like are paths of their own here, and no route's.
            assert.ok([204, 400, 403, 404, 405, 421, 501].includes(status), `${what}: ${status}`);
            tried += 1;
          }
        }
      }
      assert.deepEqual(
        ollama.asked.map(({ method, path }) => `${method} ${path}`),
        [],
      );
      assert.ok(tried >= 1500, `${tried} tried`);
    });
  }

  it('may use every route that runs or shows a model, and one that may change things every other', async (t) => {
    const { keys, send } = await setUp(t, '');
    for (const route of routes) {
      const target = concrete(route.path);
      const isDenied = denied.includes(route);
      const status = await send(route.method, target, keys.plain);
      assert.equal(status === 403, isDenied, `${route.method} ${target}: ${status}`);
      const allowed = await send(route.method, target, keys.operator);
      assert.ok(allowed !== 401 && allowed !== 403, `${route.method} ${target}: ${allowed}`);
    }
  });

  it('is needed for every route but the greeting', async (t) => {
    const { ollama, send } = await setUp(t, '');
    for (const { endpoint, method, path } of routes) {
      const status = await send(method, concrete(path), null);
      assert.equal(status, endpoint === 'root' ? 200 : 401, `${method} ${path}`);
      assert.equal(await send(method, concrete(path), 'llm_plain_nothing'), endpoint === 'root' ? 200 : 401);
    }
    assert.equal(ollama.asked.length, 0);
  });
});
