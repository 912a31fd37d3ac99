/** What a command is given instead of the process: output, environment, files, and a signal that says stop. */
import type { Environment } from '../config/env-layer.ts';
import type { Files } from '../config/files.ts';

export interface Output {
  write(text: string): unknown;
  /** Whether a person looks at it: colours and symbols are for them only. */
  readonly isTTY?: boolean | undefined;
  /** Size in characters, where that is known. */
  readonly columns?: number | undefined;
  readonly rows?: number | undefined;
}

export interface Io {
  readonly stdout: Output;
  readonly stderr: Output;
  readonly env: Environment;
  readonly files: Files;
  /** Calls back with each key that is pressed, until the way to stop it is called. Null where nobody has a keyboard. */
  readonly keys: ((press: (key: string) => void) => () => void) | null;
  /** The process's own id. */
  readonly pid: number;
  /** Aborts when the process is asked to stop. */
  readonly signal: AbortSignal;
  /** Calls back when the process is asked to read its configuration again (SIGHUP). Returns the way to stop. */
  readonly onHangup: (listener: () => void) => () => void;
}

/** Arguments after the command's name → exit code: 0 done, 1 found something wrong, 2 was not understood. */
export type Command = (argv: readonly string[], io: Io) => Promise<number>;
