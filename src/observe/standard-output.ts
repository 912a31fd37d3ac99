/**
 * Standard output for lines that never wait. Lines leave together, a few times a second: a system call for each would be a sixth of
 * the cost of a small request.
 */
import { pino } from 'pino';

export interface LineOutput {
  write(line: string): void;
  /** Resolves when every line is with the system, or nobody takes it. */
  close(): Promise<void>;
}

/** Most that is kept for a reader that does not read, in bytes; what comes on top is dropped. */
const bufferBytes = 16 * 1024 * 1024;

/** What is handed on at once, in characters, and how long a line waits for others. */
const batchLength = 256 * 1024;
const batchMs = 100;

/** How long a reader that does not read is waited for at the end. */
const closeMs = 1000;

export function standardOutput(): LineOutput {
  const destination = pino.destination({ dest: 1, sync: false, maxLength: bufferBytes });
  // The reader of the pipe has gone; the gateway serves on.
  destination.on('error', () => {});
  let lines: string[] = [];
  let length = 0;
  let timer: NodeJS.Timeout | null = null;

  const send = (): void => {
    if (timer !== null) clearTimeout(timer);
    timer = null;
    if (lines.length === 0) return;
    const batch = lines.join('');
    lines = [];
    length = 0;
    destination.write(batch);
  };

  return {
    write(line) {
      lines.push(line);
      length += line.length;
      if (length >= batchLength) send();
      else timer ??= setTimeout(send, batchMs);
    },
    async close() {
      send();
      const written = Promise.withResolvers<void>();
      destination.once('close', written.resolve);
      destination.end();
      const late = setTimeout(written.resolve, closeMs);
      await written.promise;
      clearTimeout(late);
    },
  };
}
