/** One control API for several simulated Ollamas, on a port of its own: it answers also while they refuse or are down. */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { SimulatedOllama } from './server.ts';

export interface ControlServer {
  readonly url: string;
  close(): Promise<void>;
}

/** `GET /` lists them; `/NAME/faults` and the like is what `/__sim/faults` is on the simulated Ollama of that name. */
export async function createControlServer(
  simulated: readonly SimulatedOllama[],
  { host, port }: { readonly host: string; readonly port: number },
): Promise<ControlServer> {
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      const { method = 'GET', url = '/' } = request;
      void route(simulated, { method, url, body: Buffer.concat(chunks).toString() }).then(([status, value]) => {
        const head = status === 204 ? {} : { 'content-type': 'application/json' };
        response.writeHead(status, head).end(status === 204 ? undefined : `${JSON.stringify(value)}\n`);
      });
    });
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, host, resolve);
  });
  const { port: actual } = server.address() as AddressInfo;
  return {
    url: `http://${host.includes(':') ? `[${host}]` : host}:${actual}`,
    async close() {
      server.closeAllConnections();
      await new Promise<void>((resolve) => void server.close(() => resolve()));
    },
  };
}

async function route(
  simulated: readonly SimulatedOllama[],
  { method, url, body }: { readonly method: string; readonly url: string; readonly body: string },
): Promise<readonly [number, unknown]> {
  const [, name = '', ...rest] = url.split('?')[0]!.split('/');
  if (name === '') return [200, simulated.map((each) => ({ name: each.name, url: each.url }))];
  const target = simulated.find((each) => each.name === name);
  if (target === undefined) return [404, { error: `no simulated Ollama is called ${name}` }];
  return target.control.call({ method, path: `/${rest.join('/')}`, body });
}
