/** Speaks HTTP by hand over a socket, for tests that care about bytes. */
import { connect, type Socket } from 'node:net';
import { once } from 'node:events';

/** Sends `text` and resolves with every byte that came until the peer closed. */
export async function exchangeBytes(port: number, text: string): Promise<string> {
  const socket = connect(port, '127.0.0.1');
  const chunks: Buffer[] = [];
  socket.on('data', (chunk: Buffer) => chunks.push(chunk));
  socket.on('error', () => {});
  socket.write(text, 'latin1');
  await once(socket, 'close');
  return Buffer.concat(chunks).toString('latin1');
}

export interface Answer {
  readonly status: number;
  readonly headers: readonly (readonly [string, string])[];
  readonly body: string;
}

/** Parses one answer whose body is chunked, has a length, or ends with the connection. Throws when it is cut. */
export function parseAnswer(bytes: string): Answer & { readonly rest: string } {
  const end = bytes.indexOf('\r\n\r\n');
  if (end === -1) throw new Error(`no head in ${JSON.stringify(bytes.slice(0, 200))}`);
  const [start = '', ...lines] = bytes.slice(0, end).split('\r\n');
  const headers = lines.map(
    (line) => [line.slice(0, line.indexOf(':')), line.slice(line.indexOf(':') + 1).trim()] as const,
  );
  const field = (name: string) => headers.find(([key]) => key.toLowerCase() === name)?.[1];
  const status = Number(start.split(' ')[1]);
  let rest = bytes.slice(end + 4);
  if (field('transfer-encoding') === 'chunked') {
    let body = '';
    for (;;) {
      const line = rest.indexOf('\r\n');
      const size = Number.parseInt(rest.slice(0, line), 16);
      if (line === -1 || Number.isNaN(size)) throw new Error('the chunked body is cut');
      if (rest.length < line + 4 + size) throw new Error('the chunked body is cut');
      body += rest.slice(line + 2, line + 2 + size);
      rest = rest.slice(line + 4 + size);
      if (size === 0) return { status, headers, body, rest };
    }
  }
  const length = field('content-length');
  if (length === undefined) return { status, headers, body: rest, rest: '' };
  if (rest.length < Number(length)) throw new Error('the body is cut');
  return { status, headers, body: rest.slice(0, Number(length)), rest: rest.slice(Number(length)) };
}

/** Resolves when the socket has received at least `count` bytes in all. */
export async function received(socket: Socket, count: number): Promise<string> {
  let text = '';
  for await (const chunk of socket) {
    text += (chunk as Buffer).toString('latin1');
    if (text.length >= count) break;
  }
  return text;
}
