/** Speaks to a running gateway's admin API for the commands that look at it or change it. */
import type { Config } from '../config/schema.ts';
import { formatAddress } from '../config/units.ts';
import { reachable } from './reachable.ts';

/** What came of a request; `problem` is a sentence's end, to be put after the gateway's address. */
export type AdminAnswer<T> =
  | { readonly ok: true; readonly value: T }
  | { readonly ok: false; readonly status: number | null; readonly problem: string };

export interface AdminClient {
  /** `HOST:PORT`, for messages. */
  readonly address: string;
  get<T>(path: string): Promise<AdminAnswer<T>>;
  send<T>(method: 'POST' | 'PUT' | 'PATCH' | 'DELETE', path: string, body?: object): Promise<AdminAnswer<T>>;
  /** The stream of server-sent events; each `message` is an event's name and its data. Resolves when it has ended. */
  watch(path: string, message: (event: string, data: unknown) => void, signal: AbortSignal): Promise<AdminAnswer<null>>;
}

const waitMs = 10_000;

/** `token` takes the place of the configuration's. */
export function createAdminClient(
  { address: configured, token: configuredToken }: Pick<Config['admin'], 'address' | 'token'>,
  token: string | undefined = configuredToken,
): AdminClient {
  const address = formatAddress(reachable(configured));
  const authorization = token === undefined ? {} : { authorization: `Bearer ${token}` };

  async function request(path: string, init: RequestInit): Promise<Response | AdminAnswer<never>> {
    try {
      const headers = { ...authorization, ...(init.body === undefined ? {} : { 'content-type': 'application/json' }) };
      const answer = await fetch(`http://${address}${path}`, { ...init, headers });
      return answer.ok ? answer : { ok: false, status: answer.status, problem: await problemIn(answer) };
    } catch (error) {
      return { ok: false, status: null, problem: unreached(error) };
    }
  }

  async function json<T>(path: string, init: RequestInit): Promise<AdminAnswer<T>> {
    const answer = await request(path, { ...init, signal: AbortSignal.timeout(waitMs) });
    if (!(answer instanceof Response)) return answer;
    try {
      return { ok: true, value: (answer.status === 204 ? null : await answer.json()) as T };
    } catch {
      return {
        ok: false,
        status: answer.status,
        problem: 'answers something that is not JSON; is that the admin address?',
      };
    }
  }

  return {
    address,
    get: (path) => json(path, {}),
    send: (method, path, body) => json(path, { method, ...(body === undefined ? {} : { body: JSON.stringify(body) }) }),
    async watch(path, message, signal) {
      const answer = await request(path, { signal });
      if (!(answer instanceof Response)) return answer;
      try {
        await readEvents(answer, message);
        return { ok: true, value: null };
      } catch (error) {
        return signal.aborted ? { ok: true, value: null } : { ok: false, status: null, problem: unreached(error) };
      }
    },
  };
}

async function readEvents(answer: Response, message: (event: string, data: unknown) => void): Promise<void> {
  if (answer.body === null) return;
  let rest = '';
  for await (const text of answer.body.pipeThrough(new TextDecoderStream())) {
    const whole = (rest + text).split('\n\n');
    rest = whole.pop() ?? '';
    for (const one of whole) {
      const event = /^event: (.*)$/m.exec(one)?.[1];
      const data = /^data: (.*)$/m.exec(one)?.[1];
      if (event !== undefined && data !== undefined) message(event, JSON.parse(data));
    }
  }
}

async function problemIn(answer: Response): Promise<string> {
  const text = await answer.text().catch(() => '');
  try {
    const { detail } = JSON.parse(text) as { detail?: unknown };
    if (typeof detail === 'string') return `says ${answer.status}: ${detail}`;
  } catch {
    // Not a problem document: the status has to do.
  }
  return `says ${answer.status}`;
}

function unreached(error: unknown): string {
  const { cause, name } = error as Error;
  if (name === 'TimeoutError') return 'does not answer in time';
  const { code } = (cause ?? {}) as NodeJS.ErrnoException;
  return `cannot be reached (${code ?? name}); is the gateway running, and is this its --admin address?`;
}
