/**
 * Who may look and who may change something. Looking is free on loopback; from elsewhere it needs the admin token where there is
 * one. Changes need the token, or, without one, a listener that only this machine can reach. A page of a browser that was opened
 * by somebody else must not be able to do either: it can't send the token, and the door refuses foreign origins and names.
 */
import { createHash, timingSafeEqual } from 'node:crypto';
import type { IncomingHttpHeaders } from 'node:http';
import type { Endpoint } from './endpoints.ts';
import { Problem } from './problem.ts';

export interface GuardOptions {
  /** Null when none is configured. */
  readonly token: string | null;
  /** Whether only this machine can reach the listener. */
  readonly isLoopback: boolean;
}

/** Throws a Problem when the request may not. */
export type Guard = (access: Endpoint['access'], headers: IncomingHttpHeaders) => void;

export function createGuard({ isLoopback, token }: GuardOptions): Guard {
  return (access, headers) => {
    if (access === 'open') return;
    if (access === 'read' && isLoopback) return;
    if (token !== null) {
      const given = /^Bearer (.+)$/i.exec(headers.authorization ?? '')?.[1] ?? '';
      if (!sameSecret(given, token)) throw new Problem(401, 'send the admin token as `Authorization: Bearer …`');
      return;
    }
    if (access === 'read') return;
    if (!isLoopback) throw new Problem(403, 'set `admin.token`: this listener can be reached from other machines');
    refuseStrangers(headers);
  };
}

/** Without a credential, whoever asks for a change must be on this machine and know it. */
function refuseStrangers({ host = '', 'sec-fetch-site': site }: IncomingHttpHeaders): void {
  if (!/^(?:127\.0\.0\.1|localhost|\[::1\])(?::\d+)?$/.test(host))
    throw new Problem(403, 'use the address 127.0.0.1 or localhost');
  if (site !== undefined && site !== 'same-origin' && site !== 'none')
    throw new Problem(403, 'requests from other sites are refused');
}

function sameSecret(a: string, b: string): boolean {
  const digest = (text: string) => createHash('sha256').update(text).digest();
  return timingSafeEqual(digest(a), digest(b));
}
