/**
 * The yardstick for what is attainable without raw sockets: `node:http` in front, undici's `dispatch` behind, nothing
 * else. It routes nothing, counts nothing and logs nothing.
 */
import { fileURLToPath } from 'node:url';
import { start } from '../load/processes.ts';
import { freePort, whenReady, type Proxy } from './proxy.ts';

export const reference: Proxy = {
  name: 'reference',
  version: () => process.versions.node,
  async start({ backendPort, core, profileDirectory }) {
    const port = await freePort();
    const profile = profileDirectory === null ? [] : ['--cpu-prof', `--cpu-prof-dir=${profileDirectory}`];
    const script = fileURLToPath(import.meta.resolve('./reference-server.ts'));
    const child = start(process.execPath, [...profile, script, String(port), String(backendPort)], { core });
    return whenReady('reference', child, port, '/api/version');
  },
};
