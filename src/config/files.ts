/** The files a configuration is made of, as a value: tests hand in their own. */

export interface Files {
  /** The bytes of a file; rejects with an error that has a `code` as node:fs has (`ENOENT`, `EISDIR`, `EACCES`). */
  read(path: string): Promise<Uint8Array>;
}

/** More than any configuration or secret needs; what keeps a wrong path from being swallowed whole. */
const MAX_BYTES = 1024 * 1024;

/** The text of a file without its last line break, or an Error whose message is a sentence for the operator. */
export async function readText(files: Files, path: string): Promise<string | Error> {
  let bytes: Uint8Array;
  try {
    bytes = await files.read(path);
  } catch (error) {
    return new Error(reason(path, error), { cause: error });
  }
  if (bytes.byteLength > MAX_BYTES) return new Error(`\`${path}\` is larger than 1 MiB, which is no configuration`);
  try {
    const text = new TextDecoder('utf-8', { fatal: true }).decode(bytes);
    return text.replace(/\r?\n$/, '');
  } catch (error) {
    return new Error(`\`${path}\` is not UTF-8 text`, { cause: error });
  }
}

/** Whether the read failed because nothing is there. */
export function isMissing(error: Error): boolean {
  return (error.cause as { code?: unknown } | undefined)?.code === 'ENOENT';
}

function reason(path: string, error: unknown): string {
  const code = (error as { code?: unknown } | null)?.code;
  switch (code) {
    case 'ENOENT':
      return `there is no file \`${path}\``;
    case 'EISDIR':
      return `\`${path}\` is a directory; name the file in it`;
    case 'EACCES':
    case 'EPERM':
      return `\`${path}\` may not be read by this user`;
    default:
      return `\`${path}\` cannot be read: ${error instanceof Error ? error.message : String(error)}`;
  }
}
