/** The two ways of asking: so many at a time, or so many a second whatever becomes of them. */
import { setTimeout as delay } from 'node:timers/promises';
import type { Clients, Wish } from './client.ts';
import type { Ended } from './history.ts';

/** Keeps `atOnce` requests open until `isDone` says so of the next one's number; resolves when the last has ended. */
export async function askInTurn(
  clients: Clients,
  atOnce: number,
  isDone: (number: number) => boolean,
  wish: (number: number) => Wish,
): Promise<Ended[]> {
  const endings: Ended[] = [];
  let next = 0;
  const worker = async (): Promise<void> => {
    for (;;) {
      const number = next;
      if (isDone(number)) return;
      next += 1;
      endings.push(await clients.ask(wish(number)));
    }
  };
  await Promise.all(Array.from({ length: atOnce }, worker));
  return endings;
}

/** Sends `rate` requests a second until `isDone` says so; resolves when the last has ended. */
export async function askAtRate(
  clients: Clients,
  { rate, isDone }: { readonly rate: number; readonly isDone: () => boolean },
  wish: (number: number) => Wish,
): Promise<Ended[]> {
  const begin = performance.now();
  const asked: Promise<Ended>[] = [];
  while (!isDone()) {
    const due = Math.floor(((performance.now() - begin) / 1000) * rate);
    while (asked.length < due) asked.push(clients.ask(wish(asked.length)));
    await delay(1);
  }
  return Promise.all(asked);
}

/** Whether `lastsMs` have passed since the call. */
export function after(lastsMs: number): () => boolean {
  const until = performance.now() + lastsMs;
  return () => performance.now() >= until;
}
