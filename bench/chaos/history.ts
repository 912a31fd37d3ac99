/**
 * What happened during a run, as one list of events in the order of the machine's monotonic clock: what clients sent and saw,
 * what backends got and answered, what the gateway logged, and what was done to all of them. It is written as JSONL, so that it
 * can be read with `jq` and checked again later.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import type { Voice } from './voice.ts';

/** A stretch of content from one answer of one backend: pieces `from` to `to`, in order and without a gap. */
export interface Run {
  readonly nonce: string;
  /** The answer's number: backend, life of its process, count. */
  readonly serial: string;
  readonly from: number;
  readonly to: number;
}

/** A client sends a request. */
export interface Sent {
  readonly kind: 'sent';
  readonly at: number;
  /** The request's own id; also its `X-Request-Id`. */
  readonly id: string;
  /** What its prompt says, and every piece of the answer has to repeat. */
  readonly nonce: string;
  readonly voice: Voice;
  readonly stream: boolean;
  /** Pieces of content in a whole answer. */
  readonly pieces: number;
  /** Milliseconds within which it must have ended. */
  readonly deadlineMs: number;
  /** Nobody reads the answer, so nobody tells of its end. */
  readonly isUnread?: true;
}

/**
 * How a request ended for its client. `complete`: whole, with its marker. `error`: an error answer. `error-frame`: an error inside
 * the stream. `cut`: the connection or the stream ended and nothing said why. `unanswered`: closed before an answer began.
 * `left`: the client left by its own will. `hung`: still open long after its deadline.
 */
export type Ending = 'complete' | 'error' | 'error-frame' | 'cut' | 'unanswered' | 'left' | 'hung';

export interface Ended {
  readonly kind: 'ended';
  readonly at: number;
  readonly sentAt: number;
  readonly id: string;
  readonly ending: Ending;
  /** 0 when no head came. */
  readonly status: number;
  /** When the first content came; null when none did. */
  readonly firstAt: number | null;
  readonly runs: readonly Run[];
  /** Success markers seen. */
  readonly markers: number;
  /** Error frames seen. */
  readonly errorFrames: number;
  /** What of the answer was not as its dialect has it; '' when all was. */
  readonly fault: string;
  readonly retryAfter: string | null;
  /** The error's text, shortened; '' when there was none. */
  readonly text: string;
}

/** A backend has received a request whole. */
export interface Arrived {
  readonly kind: 'arrived';
  readonly at: number;
  readonly backend: string;
  readonly serial: string;
  readonly nonce: string;
  /** `X-Request-Id` as it came. */
  readonly id: string;
  readonly voice: Voice;
}

/** A backend is about to send the first content of an answer. */
export interface Started {
  readonly kind: 'started';
  readonly at: number;
  readonly serial: string;
}

/** A backend is about to send the last it will send. `unmarked`: a clean end without the terminal marker. */
export interface Answered {
  readonly kind: 'answered';
  readonly at: number;
  readonly serial: string;
  readonly how: 'complete' | 'error' | 'error-frame' | 'cut' | 'unmarked';
  readonly status: number;
}

/** The gateway closed the connection before a backend's answer was complete. */
export interface Aborted {
  readonly kind: 'aborted';
  readonly at: number;
  readonly serial: string;
}

/** Written before the signal is sent. */
export interface Killed {
  readonly kind: 'killed';
  readonly at: number;
  readonly backend: string;
}

export interface Listening {
  readonly kind: 'listening';
  readonly at: number;
  readonly backend: string;
}

/** A line of the gateway's log. */
export interface Logged {
  readonly kind: 'logged';
  readonly at: number;
  readonly line: Readonly<Record<string, unknown>>;
}

/** What the gateway's process told of itself. */
export interface Sampled {
  readonly kind: 'sampled';
  readonly at: number;
  /** Its wall clock, epoch milliseconds. */
  readonly wall: number;
  readonly rss: number;
  readonly heap: number;
  /** Buffers and the like, outside of the heap. */
  readonly external: number;
  /** Active resources by kind (`process.getActiveResourcesInfo`). */
  readonly resources: Readonly<Record<string, number>>;
  /** Milliseconds the event loop came late, since the last mark. */
  readonly lagP99: number;
  readonly lagMax: number;
}

/** Gauges of the gateway after everything has ended: in flight, queued, and the like; all of them should be 0. */
export interface Quiet {
  readonly kind: 'quiet';
  readonly at: number;
  readonly gauges: Readonly<Record<string, number>>;
}

/** Something a scenario did, for whoever reads the history. */
export interface Marked {
  readonly kind: 'marked';
  readonly at: number;
  readonly what: string;
}

export type HistoryEvent =
  | Sent
  | Ended
  | Arrived
  | Started
  | Answered
  | Aborted
  | Killed
  | Listening
  | Logged
  | Sampled
  | Quiet
  | Marked;

export function inOrder(events: readonly HistoryEvent[]): HistoryEvent[] {
  return events.toSorted((a, b) => a.at - b.at);
}

/** One event a line; a line that was cut short by a kill is left out. */
export function parseHistory(text: string): HistoryEvent[] {
  return text.split('\n').flatMap((line) => {
    if (line === '') return [];
    try {
      return [JSON.parse(line) as HistoryEvent];
    } catch {
      return [];
    }
  });
}

export function readHistory(file: string): HistoryEvent[] {
  return parseHistory(readFileSync(file, 'utf8'));
}

export function writeHistory(file: string, events: readonly HistoryEvent[]): void {
  // In parts, because the whole of a long run is more than one string can hold.
  writeFileSync(file, '');
  for (let from = 0; from < events.length; from += 10_000) {
    const part = events.slice(from, from + 10_000).map((event) => `${JSON.stringify(event)}\n`);
    writeFileSync(file, part.join(''), { flag: 'a' });
  }
}
