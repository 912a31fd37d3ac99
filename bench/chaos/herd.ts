/** The backends of a run: real processes on fixed ports, that are killed and started again. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { nowMicros } from '../load/script.ts';
import type { Mood, Order } from './backend.ts';
import type { HistoryEvent } from './history.ts';

export interface HerdOptions {
  readonly directory: string;
  /** Whether a second process stands by for each, so that a restart takes no longer than it is meant to. */
  readonly spares: boolean;
  readonly tell: (event: HistoryEvent) => void;
}

/** A process that has started and does not listen yet. */
interface Ready {
  readonly child: ChildProcess;
  readonly ready: Promise<unknown>;
}

export class Member {
  readonly name: string;
  readonly file: string;
  port = 0;
  kills = 0;
  readonly #options: HerdOptions;
  #life = 0;
  #spare: Ready | null = null;
  #child: ChildProcess | null = null;
  #isListening = false;
  /** Called when the process has ended without being asked to. */
  onDeath: (() => void) | null = null;

  constructor(name: string, options: HerdOptions) {
    this.name = name;
    this.file = join(options.directory, `${name}.jsonl`);
    this.#options = options;
  }

  get isUp(): boolean {
    return this.#isListening;
  }

  /** Resolves when it listens. */
  async start(): Promise<void> {
    this.#life += 1;
    const { child, ready } = this.#spare ?? this.#spawn();
    this.#child = child;
    this.#spare = this.#options.spares ? this.#spawn() : null;
    child.once('exit', () => this.#ended(child));
    await ready;
    send(child, { do: 'listen', life: this.#life, port: this.port });
    const [message] = (await Promise.race([once(child, 'message'), once(child, 'exit')])) as [{ port?: number } | null];
    if (typeof message !== 'object' || message?.port === undefined) return;
    this.port = message.port;
    this.#isListening = this.#child === child;
  }

  /** As `kill -9`; resolves when it is dead. */
  async kill(): Promise<void> {
    const child = this.#child;
    if (child === null) return;
    this.#child = null;
    this.#isListening = false;
    this.kills += 1;
    const gone = once(child, 'exit');
    this.#options.tell({ kind: 'killed', at: nowMicros() / 1000, backend: this.name });
    child.kill('SIGKILL');
    await gone;
  }

  /** Kills it, and what stands by for it. */
  async end(): Promise<void> {
    this.#spare?.child.kill('SIGKILL');
    this.#spare = null;
    await this.kill();
  }

  become(mood: Mood): void {
    if (this.#child !== null) send(this.#child, { do: 'be', mood });
  }

  #spawn(): Ready {
    const program = fileURLToPath(import.meta.resolve('./backend.ts'));
    const child = spawn(process.execPath, [program, this.name, this.file], {
      stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
    });
    // It may be killed while an order is on its way.
    child.on('error', () => {});
    return { child, ready: Promise.race([once(child, 'message'), once(child, 'exit')]) };
  }

  #ended(child: ChildProcess): void {
    if (this.#child !== child) return;
    this.#child = null;
    this.#isListening = false;
    this.#options.tell({ kind: 'killed', at: nowMicros() / 1000, backend: this.name });
    this.kills += 1;
    this.onDeath?.();
  }
}

function send(child: ChildProcess, order: Order): void {
  if (child.connected) child.send(order);
}

export class Herd {
  readonly members: readonly Member[];

  constructor(count: number, options: HerdOptions) {
    this.members = Array.from({ length: count }, (_, index) => new Member(`b${index + 1}`, options));
  }

  async start(): Promise<void> {
    await Promise.all(this.members.map((member) => member.start()));
  }

  async stop(): Promise<void> {
    await Promise.all(this.members.map((member) => member.end()));
  }

  get up(): number {
    return this.members.filter((member) => member.isUp).length;
  }
}

export interface KillerOptions {
  /** How long a backend lives, on average, in milliseconds. */
  readonly lifeMs: number;
  /** How long it stays dead, at most. */
  readonly deadMs: number;
  readonly luck: () => number;
}

/** Kills each backend again and again, never the last one. Returns the way to stop, which waits until all are up again. */
export function startKiller(herd: Herd, { lifeMs, deadMs, luck }: KillerOptions): () => Promise<void> {
  const over = new AbortController();
  const haunt = async (member: Member): Promise<void> => {
    while (!over.signal.aborted) {
      await delay(lifeMs * (0.5 + luck()));
      if (over.signal.aborted || herd.up < 2 || !member.isUp) continue;
      await member.kill();
      await delay(deadMs * luck());
      await member.start();
    }
  };
  const haunting = herd.members.map(haunt);
  return async () => {
    over.abort();
    await Promise.all(haunting);
  };
}

/** Starts a backend again a while after it has died by itself. Returns the way to stop. */
export function supervise(herd: Herd, afterMs: number): () => void {
  let isStopped = false;
  for (const member of herd.members) {
    member.onDeath = () => {
      setTimeout(() => {
        if (!isStopped) void member.start();
      }, afterMs);
    };
  }
  return () => {
    isStopped = true;
    for (const member of herd.members) member.onDeath = null;
  };
}
