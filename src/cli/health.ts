/** `llamero health`: whether the gateway that this configuration describes is alive; for a container's health check. */
import { get } from 'node:http';
import { formatAddress } from '../config/units.ts';
import { reachable } from './reachable.ts';
import { readConfig } from './read-config.ts';
import type { Io } from './io.ts';

const TIMEOUT_MS = 3000;

export async function healthCommand(argv: readonly string[], io: Io): Promise<number> {
  const read = await readConfig(argv, io);
  if (typeof read === 'number') return read;
  const { admin, listen } = read.loaded.config;
  // Whose certificate is for another name than the address here, and who may ask for ours, is asked on the other listener.
  const { address } = listen.tls === undefined ? listen : admin;
  const url = `http://${formatAddress(reachable(address))}/livez`;
  const answer = await ask(url, io.signal);
  if (answer === 200) return 0;
  io.stderr.write(`llamero: ${url} ${typeof answer === 'number' ? `answered ${answer}` : answer}\n`);
  return 1;
}

/** The status, or a sentence's end that says why there is none. */
function ask(url: string, stop: AbortSignal): Promise<number | string> {
  const signal = AbortSignal.any([stop, AbortSignal.timeout(TIMEOUT_MS)]);
  return new Promise((resolve) => {
    const request = get(url, { agent: false, signal }, (response) => {
      response.resume();
      resolve(response.statusCode ?? 0);
    });
    request.on('error', (error) => {
      resolve(signal.aborted ? 'did not answer in time' : `cannot be reached: ${error.message}`);
    });
  });
}
