/** Keeps what routing has learnt over a restart: read once at the start, written now and then and at the end. */
import { Type, type Static } from 'typebox';
import { Check } from 'typebox/value';
import { Duration } from '../core/options.ts';
import { Learnt } from '../core/routing/knowledge.ts';
import type { Scheduler } from '../core/scheduler.ts';
import type { Clock, Timer } from '../core/types.ts';
import { messageOf, readSmallFile, writeFileAtomically } from './atomic-file.ts';

export const StateOptions = Type.Object(
  {
    file: Type.Optional(
      Type.String({
        description:
          'Where to keep what routing learns: slots, load times, speeds; no prompts. Without it, each start learns afresh. Two ' +
          'gateways need a file each.',
        minLength: 1,
      }),
    ),
    interval: Duration({
      description: 'How often it is written; also on a reload and at the end.',
      default: '5m',
      minimum: '1s',
    }),
  },
  { additionalProperties: false, description: 'What is kept over a restart.' },
);
export type StateOptions = Static<typeof StateOptions>;

export interface LearntFileDependencies {
  readonly clock: Clock;
  /** `learnt` is null when there is nothing to keep. */
  readonly scheduler: Pick<Scheduler, 'learnt' | 'restore'>;
  /** Lines for the operator. */
  readonly log: { say(level: 'info' | 'warn', message: string, fields: Readonly<Record<string, string>>): void };
}

export interface LearntFile {
  /** Takes up what the file holds; before this nothing is written. Whatever is wrong with the file is said and no more. */
  load(): Promise<void>;
  save(): Promise<void>;
  /** From now on; what another file holds is not taken up. */
  setOptions(options: StateOptions): void;
  /** Saves once more. */
  close(): Promise<void>;
}

/** What is written stays well below: core keeps to 10,000 runners. */
const LIMIT_BYTES = 16 * 1024 * 1024;

export function createLearntFile(dependencies: LearntFileDependencies, options: StateOptions): LearntFile {
  return new Keeper(dependencies, options);
}

/** What is in the way of the file: nothing, or something that is not ours to overwrite. */
type Found =
  | { readonly kind: 'none' }
  | { readonly kind: 'learnt'; readonly learnt: Learnt }
  /** Of another version, or cut short: of no use, and no loss. */
  | { readonly kind: 'useless'; readonly why: string }
  | { readonly kind: 'foreign'; readonly why: string };

class Keeper implements LearntFile {
  readonly #dependencies: LearntFileDependencies;
  #options: StateOptions;
  #timer: Timer | null = null;
  /** The file that may be written. */
  #cleared: string | null = null;
  #loaded = false;
  #closed = false;
  /** The last thing asked of the disk: one at a time, in order. */
  #last: Promise<void> = Promise.resolve();

  constructor(dependencies: LearntFileDependencies, options: StateOptions) {
    this.#dependencies = dependencies;
    this.#options = options;
  }

  load(): Promise<void> {
    return this.#inTurn(async () => {
      const { file } = this.#options;
      this.#loaded = true;
      this.#arm();
      if (file === undefined) return;
      const found = await this.#clear(file);
      if (found.kind !== 'learnt') return;
      this.#dependencies.scheduler.restore(found.learnt);
      this.#dependencies.log.say('info', 'took up what was learnt', { file });
    });
  }

  save(): Promise<void> {
    return this.#inTurn(async () => {
      const { file } = this.#options;
      const learnt = this.#dependencies.scheduler.learnt();
      if (!this.#loaded || file === undefined || learnt === null) return;
      if (this.#cleared !== file) await this.#clear(file);
      if (this.#cleared !== file) return;
      try {
        await writeFileAtomically(file, `${JSON.stringify(learnt)}\n`);
      } catch (error) {
        this.#dependencies.log.say('warn', 'what was learnt could not be written', { file, reason: messageOf(error) });
      }
    });
  }

  setOptions(options: StateOptions): void {
    this.#options = options;
    this.#arm();
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#timer?.cancel();
    await this.save();
  }

  #inTurn(act: () => Promise<void>): Promise<void> {
    this.#last = this.#last.then(act);
    return this.#last;
  }

  #arm(): void {
    this.#timer?.cancel();
    this.#timer = null;
    if (this.#closed || !this.#loaded || this.#options.file === undefined) return;
    this.#timer = this.#dependencies.clock.after(this.#options.interval, () => {
      this.#arm();
      void this.save();
    });
  }

  /** Looks at the file, and says so when it is of no use. */
  async #clear(file: string): Promise<Found> {
    const found = await inspect(file);
    this.#cleared = found.kind === 'foreign' ? null : file;
    if (found.kind === 'useless')
      this.#dependencies.log.say('warn', 'what was learnt is of no use', { file, reason: found.why });
    if (found.kind === 'foreign') {
      this.#dependencies.log.say('warn', 'nothing is kept over a restart', { file, reason: found.why });
    }
    return found;
  }
}

async function inspect(file: string): Promise<Found> {
  let text: string | null;
  try {
    text = await readSmallFile(file, LIMIT_BYTES);
  } catch (error) {
    return { kind: 'foreign', why: messageOf(error) };
  }
  if (text === null) return { kind: 'none' };
  if (text.trim() === '') return { kind: 'useless', why: 'it is empty' };
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    // A configuration, say, that was named here by mistake.
    return { kind: 'foreign', why: 'it holds something else, and is left as it is' };
  }
  if (Check(Learnt, value)) return { kind: 'learnt', learnt: value };
  const { backends, version } = (value ?? {}) as { backends?: unknown; version?: unknown };
  const isOurs = typeof version === 'number' && Array.isArray(backends);
  return isOurs
    ? { kind: 'useless', why: `its version ${version} is another, or its contents are` }
    : { kind: 'foreign', why: 'it holds something else, and is left as it is' };
}
