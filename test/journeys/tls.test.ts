import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { connect, type ConnectionOptions, type TLSSocket } from 'node:tls';
import { issueCertificate, makeAuthority } from '../support/certificates.ts';
import { fakeOllama } from '../support/fake-ollama.ts';
import { startGateway } from '../support/gateway.ts';

const authority = makeAuthority('test authority');
const chat = JSON.stringify({ model: 'tiny', messages: [{ role: 'user', content: 'x' }], stream: false });

function folder(t: TestContext) {
  const path = mkdtempSync(join(tmpdir(), 'llamero-tls-'));
  t.after(() => rmSync(path, { recursive: true }));
  const write = (name: string, text: string) => {
    writeFileSync(join(path, name), text);
    return join(path, name);
  };
  return { write, at: (name: string) => join(path, name) };
}

/** The files of a certificate for the name, and the lines of a configuration that names them. */
function served(t: TestContext, more = '') {
  const files = folder(t);
  const write = (name: string) => {
    const { cert, key } = issueCertificate(authority, name);
    files.write('cert.pem', cert);
    files.write('key.pem', key);
  };
  write('first');
  const tls = `cert: '${files.at('cert.pem')}', key: '${files.at('key.pem')}'${more}`;
  return { ...files, renew: write, config: `listen: {address: '127.0.0.1:0', tls: {${tls}}}\n` };
}

async function open(t: TestContext, port: number, options: ConnectionOptions = {}): Promise<TLSSocket> {
  const socket = connect({ port, host: '127.0.0.1', ca: authority.cert, ...options });
  t.after(() => socket.destroy());
  await once(socket, 'secureConnect');
  return socket;
}

/** Sends a chat over the connection, and reads its answer, which ends with this text. */
async function asked(socket: TLSSocket): Promise<string> {
  let text = '';
  const isWhole = new Promise<void>((resolve) => {
    const take = (data: Buffer): void => {
      text += data.toString();
      if (!text.includes('"done":true')) return;
      socket.off('data', take);
      resolve();
    };
    socket.on('data', take);
  });
  socket.write(`POST /api/chat HTTP/1.1\r\nHost: localhost\r\nContent-Length: ${chat.length}\r\n\r\n${chat}`);
  await isWhole;
  return text;
}

const nameOf = (socket: TLSSocket) => socket.getPeerCertificate().subject.CN;

describe('the listener for clients', () => {
  it('speaks HTTPS, and HTTP/1.1 in it', async (t) => {
    const { config } = served(t);
    const gateway = await startGateway(t, [await fakeOllama(t)], { config });
    const socket = await open(t, gateway.port, { ALPNProtocols: ['h2', 'http/1.1'] });
    assert.equal(socket.alpnProtocol, 'http/1.1');
    assert.match(await asked(socket), /^HTTP\/1\.1 200 /);
    await assert.rejects(open(t, gateway.port, { maxVersion: 'TLSv1.1' }));
    await assert.rejects(fetch(gateway.url), 'plain HTTP is not spoken there');
  });

  it('takes a new certificate at a reload, and drops nobody', async (t) => {
    const { config, renew, write } = served(t);
    const gateway = await startGateway(t, [await fakeOllama(t)], { config });
    const before = await open(t, gateway.port);
    await asked(before);
    renew('second');
    await gateway.reload(config);
    const after = await open(t, gateway.port);
    assert.deepEqual([nameOf(before), nameOf(after)], ['first', 'second']);
    assert.match(await asked(before), /200/, 'who was there goes on');
    assert.match(await asked(after), /200/);
    write('key.pem', issueCertificate(authority, 'third').key);
    await gateway.reload(config);
    assert.equal(nameOf(await open(t, gateway.port)), 'second', 'a key that does not fit changes nothing');
    assert.ok(gateway.log.some(({ msg }) => msg === 'certificate not renewed'));
  });

  it('asks for certificates of clients where an authority is named for them', async (t) => {
    const clients = makeAuthority('test authority');
    const { write } = folder(t);
    const { config } = served(t, `, ca: '${write('ca.pem', clients.cert)}'`);
    const gateway = await startGateway(t, [await fakeOllama(t)], { config });
    assert.match(await asked(await open(t, gateway.port, issueCertificate(clients, 'a client'))), /200/);
    for (const shown of [{}, issueCertificate(authority, 'somebody else')]) {
      const socket = connect({ port: gateway.port, host: '127.0.0.1', ca: authority.cert, ...shown });
      socket.write('GET / HTTP/1.1\r\nHost: localhost\r\n\r\n');
      let text = '';
      socket.on('data', (data) => (text += String(data)));
      socket.on('error', () => {});
      await new Promise((resolve) => socket.once('close', resolve));
      assert.equal(text, '', 'nothing is served without');
    }
  });
});

describe('a backend over TLS', () => {
  async function secureBackend(t: TestContext): Promise<string> {
    const behind = await fakeOllama(t);
    const { cert, key } = issueCertificate(authority, 'backend');
    const options = { cert, key, ca: authority.cert, requestCert: true, rejectUnauthorized: true };
    const server = createServer(options, (incoming, response) => {
      void (async () => {
        const chunks: Buffer[] = [];
        for await (const chunk of incoming) chunks.push(chunk as Buffer);
        const { method = 'GET', url = '' } = incoming;
        const body = method === 'GET' ? null : Buffer.concat(chunks);
        const answer = await fetch(behind.url + url, { method, body });
        response.writeHead(answer.status, { 'Content-Type': answer.headers.get('content-type') ?? '' });
        response.end(Buffer.from(await answer.arrayBuffer()));
      })().catch(() => response.destroy());
    });
    server.on('tlsClientError', () => {});
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    t.after(() => {
      server.close();
      server.closeAllConnections();
    });
    return `https://127.0.0.1:${(server.address() as AddressInfo).port}`;
  }

  it('is shown a certificate, and is checked', async (t) => {
    const url = await secureBackend(t);
    const { write } = folder(t);
    const { cert, key } = issueCertificate(authority, 'gateway');
    const ca = write('ca.pem', authority.cert);
    const both = { ca, cert: write('cert.pem', cert), key: write('key.pem', key), insecureSkipVerify: false };
    const stateWith = async (tls: Readonly<Record<string, unknown>>) => {
      const gateway = await startGateway(t, [{ url, tls }]);
      return gateway.app.view()[0]!.state;
    };
    assert.equal(await stateWith(both), 'up');
    assert.notEqual(await stateWith({ ca }), 'up', 'without a certificate of ours');
    const other = write('other.pem', makeAuthority('another').cert);
    assert.notEqual(
      await stateWith({ ...both, ca: other }),
      200,
      'with a certificate of theirs that nobody vouches for',
    );
  });
});
