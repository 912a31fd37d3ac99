/** The recordings of a real Ollama, as requests and answers. */
import { readdirSync, readFileSync } from 'node:fs';
import type { Dialect, Route } from '../../src/dialects/dialect.ts';
import { dialectOfPath } from '../../src/dialects/dialect-of-path.ts';
import { dialects } from '../../src/dialects/index.ts';

const directory = new URL('../fixtures/recordings/', import.meta.url);

export interface Recording {
  readonly name: string;
  readonly dialect: Dialect;
  /** Null when no route serves the request. */
  readonly route: Route | null;
  readonly method: string;
  readonly path: string;
  readonly requestHeaders: Readonly<Record<string, string>>;
  /** Empty where the recording only says how long the body was. */
  readonly requestBody: Buffer;
  readonly status: number;
  readonly contentType: string;
  readonly answer: Buffer;
}

interface Stored {
  readonly name: string;
  readonly request: {
    readonly method: string;
    readonly path: string;
    readonly headers: readonly (readonly [string, string])[];
    readonly body?: string | { readonly latin1: string };
  };
  readonly response: {
    readonly status_line: string;
    readonly headers: readonly (readonly [string, string])[];
    readonly chunks: readonly { readonly data: string }[];
  };
}

export const recordings: readonly Recording[] = readdirSync(directory)
  .filter((file) => file.endsWith('.json'))
  .toSorted()
  .map((file) => recordingOf(JSON.parse(readFileSync(new URL(file, directory), 'utf8')) as Stored));

export function recording(name: string): Recording {
  const found = recordings.find((each) => each.name === name);
  if (found === undefined) {
    throw new Error(`no recording is called ${name}`);
  }
  return found;
}

function recordingOf({ name, request, response }: Stored): Recording {
  const dialect = dialects[dialectOfPath(request.path)];
  const { body } = request;
  return {
    name,
    dialect,
    route: routeOf(dialect, request.method, request.path),
    method: request.method,
    path: request.path,
    requestHeaders: lowerCase(request.headers),
    requestBody: typeof body === 'object' ? Buffer.from(body.latin1, 'latin1') : Buffer.from(body ?? ''),
    status: Number(response.status_line.split(' ')[1]),
    contentType: lowerCase(response.headers)['content-type'] ?? '',
    answer: Buffer.concat(response.chunks.map((chunk) => Buffer.from(chunk.data))),
  };
}

function lowerCase(headers: readonly (readonly [string, string])[]): Readonly<Record<string, string>> {
  return Object.fromEntries(headers.map(([name, value]) => [name.toLowerCase(), value]));
}

/** As the router finds it: by method and path, with a parameter of one segment at the end. */
function routeOf(dialect: Dialect, method: string, path: string): Route | null {
  return (
    dialect.routes.find((route) => {
      const pattern = route.path.replace(/:\w+$/, '[^/]+').replaceAll('.', '\\.');
      return route.method === method && new RegExp(`^${pattern}$`).test(path);
    }) ?? null
  );
}
