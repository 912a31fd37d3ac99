/** `llamero top`: the fleet, live, from the events of a running gateway; with `--once` the same once, for scripts. */
import type { Backend } from '../../http/admin/shapes.ts';
import { createAdminClient, type AdminClient } from '../admin-client.ts';
import { adminFlags } from '../flags.ts';
import type { Io } from '../io.ts';
import { paintFor } from '../paint.ts';
import { readConfig } from '../read-config.ts';
import { ordered, orders, screen, type Order, type View } from './screen.ts';
import { after, type Seen } from './state.ts';
import { still } from './still.ts';

/** Exit codes: 0 shown, 1 no gateway answers, 2 flags not understood. */
export async function topCommand(argv: readonly string[], io: Io): Promise<number> {
  const own = { ...adminFlags, once: { help: 'print it once and exit' } };
  const read = await readConfig(argv, io, own);
  if (typeof read === 'number') return read;
  const client = createAdminClient(read.loaded.config.admin, read.flags.get('token')?.[0]);
  const isLive = io.stdout.isTTY === true && io.keys !== null && !read.flags.has('once');
  return isLive ? new Live(io, client).run() : once(io, client);
}

/** The first event is the snapshot; there is no need for more. */
async function once(io: Io, client: AdminClient): Promise<number> {
  const enough = new AbortController();
  let seen: Seen | null = null;
  const take = (event: string, data: unknown) => {
    seen = after(seen, event, data);
    enough.abort();
  };
  const answer = await client.watch('/gateway/events', take, AbortSignal.any([io.signal, enough.signal]));
  if (seen === null) return complain(io, client, answer.ok ? 'ended before it had said anything' : answer.problem);
  io.stdout.write(still(seen, io));
  return 0;
}

function complain(io: Io, { address }: AdminClient, problem: string): number {
  io.stderr.write(`llamero: ${address} ${problem}\n`);
  return 1;
}

const redrawMs = 1000;
const noticeMs = 4000;
const reconnectMs = 1000;

const enter = '\u001B[?1049h\u001B[?25l';
const leave = '\u001B[?25h\u001B[?1049l';

class Live {
  readonly #io: Io;
  readonly #client: AdminClient;
  readonly #stop = new AbortController();
  #seen: Seen | null = null;
  #seenAt = 0;
  #order: Order = 'name';
  #selected: string | null = null;
  #notice = '';
  #noticeUntil = 0;

  constructor(io: Io, client: AdminClient) {
    this.#io = io;
    this.#client = client;
  }

  async run(): Promise<number> {
    const { keys, signal, stdout } = this.#io;
    const end = AbortSignal.any([signal, this.#stop.signal]);
    const first = await this.#client.get('/gateway/fleet');
    if (!first.ok) return complain(this.#io, this.#client, first.problem);
    const release = keys!((key) => this.#press(key));
    const timer = setInterval(() => this.#draw(), redrawMs);
    stdout.write(enter);
    try {
      while (!end.aborted) {
        const answer = await this.#client.watch('/gateway/events', (...message) => this.#take(...message), end);
        if (end.aborted) break;
        this.#say(
          answer.ok
            ? 'the gateway has closed the connection; trying again'
            : `${this.#client.address} ${answer.problem}`,
        );
        await pause(reconnectMs, end);
      }
    } finally {
      clearInterval(timer);
      release();
      stdout.write(leave);
    }
    return 0;
  }

  #take(event: string, data: unknown): void {
    this.#seen = after(this.#seen, event, data);
    if (event === 'snapshot') this.#seenAt = performance.now();
    this.#draw();
  }

  #press(key: string): void {
    if (key === 'q' || key === '\u0003' || key === '\u001B') this.#stop.abort();
    else if (key === 's') this.#order = orders[(orders.indexOf(this.#order) + 1) % orders.length]!;
    else if (key === '\u001B[A' || key === 'k') this.#move(-1);
    else if (key === '\u001B[B' || key === 'j') this.#move(1);
    else if (key === 'd') void this.#act('drain');
    else if (key === 'r') void this.#act('resume');
    this.#draw();
  }

  #move(by: number): void {
    if (this.#seen === null) return;
    const names = ordered(this.#seen, this.#order).map(({ name }) => name);
    const at = names.indexOf(this.#chosen() ?? '');
    this.#selected = names[Math.min(names.length - 1, Math.max(0, at + by))] ?? null;
  }

  /** The backend that was chosen, or the first when it is there no longer. */
  #chosen(): string | null {
    if (this.#seen === null) return null;
    const names = ordered(this.#seen, this.#order).map(({ name }) => name);
    return this.#selected !== null && names.includes(this.#selected) ? this.#selected : (names[0] ?? null);
  }

  async #act(verb: 'drain' | 'resume'): Promise<void> {
    const name = this.#chosen();
    if (name === null) return;
    const answer = await this.#client.send<Backend>('POST', `/gateway/backends/${encodeURIComponent(name)}/${verb}`);
    this.#say(answer.ok ? `${name} is ${answer.value.state}` : `${this.#client.address} ${answer.problem}`);
  }

  #say(notice: string): void {
    this.#notice = notice;
    this.#noticeUntil = performance.now() + noticeMs;
    this.#draw();
  }

  #draw(): void {
    const { env, stdout } = this.#io;
    if (this.#seen === null || this.#stop.signal.aborted) return;
    const now = performance.now();
    const view: View = {
      columns: stdout.columns ?? 80,
      rows: stdout.rows ?? 24,
      order: this.#order,
      selected: this.#chosen(),
      notice: now < this.#noticeUntil ? this.#notice : '',
      elapsedMs: now - this.#seenAt,
    };
    const lines = screen(this.#seen, view, paintFor(stdout, env));
    stdout.write(`\u001B[H${lines.map((line) => `${line}\u001B[K`).join('\r\n')}\u001B[J`);
  }
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    signal.addEventListener('abort', () => (clearTimeout(timer), resolve()), { once: true });
  });
}
