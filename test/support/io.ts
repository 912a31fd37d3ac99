/** A command's world in memory: files by path, an environment, and what was written. */
import type { Io, Output } from '../../src/cli/io.ts';
import type { Files } from '../../src/config/files.ts';

export type FileTree = Readonly<Record<string, string | Uint8Array | { readonly code: string }>>;

/** Files by path; an object with a code stands for an error that reading gives. */
export function memoryFiles(tree: FileTree): Files {
  return {
    async read(path) {
      const content = Object.hasOwn(tree, path) ? tree[path]! : { code: 'ENOENT' };
      if (typeof content === 'string') return new TextEncoder().encode(content);
      if (content instanceof Uint8Array) return content;
      throw Object.assign(new Error(`${content.code}: ${path}`), { code: content.code });
    },
  };
}

export interface RecordedIo extends Io {
  readonly out: () => string;
  readonly err: () => string;
}

export function recordedIo(world: {
  readonly files?: FileTree;
  readonly env?: Record<string, string>;
  readonly isTTY?: boolean;
  readonly columns?: number;
  readonly rows?: number;
  readonly keys?: Io['keys'];
  readonly signal?: AbortSignal;
}): RecordedIo {
  const written = { out: '', err: '' };
  const output = (name: 'out' | 'err'): Output => ({
    isTTY: world.isTTY ?? false,
    columns: world.columns,
    rows: world.rows,
    write(text) {
      written[name] += text;
      return true;
    },
  });
  return {
    stdout: output('out'),
    stderr: output('err'),
    env: world.env ?? {},
    files: memoryFiles(world.files ?? {}),
    signal: world.signal ?? new AbortController().signal,
    pid: 1,
    keys: world.keys ?? null,
    onHangup: () => () => {},
    out: () => written.out,
    err: () => written.err,
  };
}
