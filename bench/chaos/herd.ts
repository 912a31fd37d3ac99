/** The backends of a run: real processes on fixed ports, that are killed and started again. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { nowMicros } from '../load/script.ts';
import type { Mood } from './backend.ts';
import type { HistoryEvent } from './history.ts';

export class Member {
  readonly name: string;
  readonly file: string;
  port = 0;
  life = 0;
  kills = 0;
  readonly #tell: (event: HistoryEvent) => void;
  #child: ChildProcess | null = null;
  #isListening = false;
  /** Called when the process has ended without being asked to. */
  onDeath: (() => void) | null = null;

  constructor(name: string, directory: string, tell: (event: HistoryEvent) => void) {
    this.name = name;
    this.file = join(directory, `${name}.jsonl`);
    this.#tell = tell;
  }

  get isUp(): boolean {
    return this.#isListening;
  }

  /** Resolves when it listens. */
  async start(): Promise<void> {
    this.life += 1;
    const program = fileURLToPath(import.meta.resolve('./backend.ts'));
    const child = spawn(process.execPath, [program, this.name, String(this.life), String(this.port), this.file], {
      stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
    });
    this.#child = child;
    child.once('exit', () => {
      this.#isListening = false;
      if (this.#child !== child) return;
      this.#child = null;
      this.#tell({ kind: 'killed', at: nowMicros() / 1000, backend: this.name });
      this.kills += 1;
      this.onDeath?.();
    });
    const [message] = (await Promise.race([once(child, 'message'), once(child, 'exit')])) as [{ port?: number } | null];
    if (typeof message !== 'object' || message?.port === undefined) return;
    this.port = message.port;
    this.#isListening = true;
  }

  /** As `kill -9`; resolves when it is dead. */
  async kill(): Promise<void> {
    const child = this.#child;
    if (child === null) return;
    this.#child = null;
    this.#isListening = false;
    this.kills += 1;
    const gone = once(child, 'exit');
    this.#tell({ kind: 'killed', at: nowMicros() / 1000, backend: this.name });
    child.kill('SIGKILL');
    await gone;
  }

  become(mood: Mood): void {
    this.#child?.send(mood);
  }
}

export class Herd {
  readonly members: readonly Member[];

  constructor(count: number, directory: string, tell: (event: HistoryEvent) => void) {
    this.members = Array.from({ length: count }, (_, index) => new Member(`b${index + 1}`, directory, tell));
  }

  async start(): Promise<void> {
    await Promise.all(this.members.map((member) => member.start()));
  }

  async stop(): Promise<void> {
    await Promise.all(this.members.map((member) => member.kill()));
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
