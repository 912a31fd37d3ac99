/** What ends, and closes then what was opened for it: a test, or a stretch of any other program. */
export interface Closer {
  after(close: () => unknown): void;
}

/** Runs with a closer of its own, and closes everything before it answers, what was opened last first. */
export async function withCloser<T>(run: (closer: Closer) => Promise<T>): Promise<T> {
  const closes: (() => unknown)[] = [];
  try {
    return await run({ after: (close) => void closes.unshift(close) });
  } finally {
    for (const close of closes) await close();
  }
}
