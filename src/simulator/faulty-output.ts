/** Faults of the wire: each stands between an exchange and its connection and spoils what passes. */
import type { Clock, Millis } from '../core/types.ts';
import type { Fault } from './faults.ts';
import type { Output } from './output.ts';

export interface FaultContext {
  /** Real time: faults are of the wire, not of the simulated hardware. */
  readonly clock: Clock;
  /** Frames that say an error in-band in the answer's dialect. */
  readonly broken: (text: string) => readonly string[];
  /** Stops whoever writes the answer: nobody will hear the rest. */
  readonly abandon: () => void;
  readonly crash: (downMs: Millis) => void;
}

export const runnerDied = 'an error was encountered while running the model: unexpected EOF';

type Kind = Fault['kind'];
type Of<K extends Kind> = Extract<Fault, { kind: K }>;
type Spoiler<K extends Kind> = (output: Output, fault: Of<K>, context: FaultContext) => Output;

const same = (output: Output): Output => output;

/** Faults that are not of the wire leave it as it is. */
const spoilers: { readonly [K in Kind]: Spoiler<K> } = {
  'hang-before-head': same,
  delay: same,
  status: same,
  'oversized-line': same,
  'runner-error': same,
  'content-type': (output, { value }) => ({
    ...output,
    head: (status, fields) => output.head(status, retyped(fields, value)),
  }),
  reset: (output, { atByte }, context) => (atByte === undefined ? output : resetting(output, atByte, context)),
  cut: (output, fault, context) => after(output, fault.afterChunks, context, () => output.cut('close')),
  truncate: (output, fault, context) =>
    after(output, fault.afterChunks, context, (isStream) => stopShort(output, isStream)),
  'error-line': (output, fault, context) =>
    after(output, fault.afterChunks, context, (isStream) => {
      if (!isStream) return stopShort(output, isStream);
      for (const frame of context.broken(fault.text ?? runnerDied)) output.flush(frame);
      output.end();
    }),
  crash: (output, fault, context) =>
    after(output, fault.afterChunks, context, () => context.crash(fault.downMs ?? 1_000)),
  'hang-mid-stream': (output, fault) => hanging(output, fault.afterChunks ?? 0),
  slow: (output, fault, { clock }) => paced(output, clock, fault.delayMs, (bytes) => [bytes]),
  split: (output, fault, { clock }) =>
    paced(output, clock, fault.gapMs ?? 1, (bytes) => pieces(bytes, fault.pieces ?? 3)),
  'split-utf8': (output, fault, { clock }) => paced(output, clock, fault.gapMs ?? 1, cutInsideCharacters),
  merge: (output, fault) => merging(output, fault.objects ?? 2),
};

/** The output with the fault in front of it. */
export function withFault<K extends Kind>(output: Output, fault: Of<K>, context: FaultContext): Output {
  return spoilers[fault.kind](output, fault, context);
}

function retyped(fields: readonly string[], value: string): string[] {
  return fields.map((field, place) => (place % 2 === 1 && fields[place - 1] === 'Content-Type' ? value : field));
}

/** Lets `chunks` flushes pass, then ends the answer in its own way; an answer that is shorter ends so at its end. */
function after(output: Output, chunks = 0, context: FaultContext, finish: (isStream: boolean) => void): Output {
  let left = chunks;
  let done = false;
  let isStream = true;
  const stop = (): void => {
    if (done) return;
    done = true;
    finish(isStream);
    context.abandon();
  };
  return {
    ...output,
    head(status, fields) {
      isStream = !fields.includes('Content-Length');
      output.head(status, fields);
    },
    flush(bytes) {
      if (done) return true;
      if (left === 0) {
        stop();
        return true;
      }
      left--;
      return output.flush(bytes);
    },
    end: stop,
  };
}

/** A body whose length was stated cannot end cleanly before it: its connection does. */
function stopShort(output: Output, isStream: boolean): void {
  if (isStream) output.end();
  else output.cut('close');
}

function resetting(output: Output, atByte: number, { abandon }: FaultContext): Output {
  let left = atByte;
  let done = false;
  const stop = (): void => {
    if (done) return;
    done = true;
    output.cut('reset');
    abandon();
  };
  return {
    ...output,
    flush(given) {
      if (done) return true;
      const bytes = Buffer.from(given);
      if (bytes.length < left) {
        left -= bytes.length;
        return output.flush(bytes);
      }
      if (left > 0) output.flush(bytes.subarray(0, left));
      stop();
      return true;
    },
    end: stop,
  };
}

/** Says it is full for ever, so that whoever writes stalls as with a reader that has stopped. */
function hanging(output: Output, chunks: number): Output {
  let left = chunks;
  return {
    ...output,
    flush(bytes) {
      if (left === 0) return false;
      left--;
      return output.flush(bytes);
    },
    end: () => undefined,
    onDrain: () => undefined,
  };
}

/** Sends what `cut` makes of each flush piece by piece, each `gapMs` after the one before. */
function paced(output: Output, clock: Clock, gapMs: Millis, cut: (bytes: Buffer) => readonly Buffer[]): Output {
  const queue: (Buffer | 'end')[] = [];
  let waiting = false;
  const next = (): void => {
    waiting = false;
    const piece = queue.shift();
    if (piece === undefined) return;
    if (piece === 'end') output.end();
    else output.flush(piece);
    wait();
  };
  const wait = (): void => {
    if (waiting || queue.length === 0) return;
    waiting = true;
    clock.after(queue[0] === 'end' ? 0 : gapMs, next);
  };
  return {
    ...output,
    flush(bytes) {
      queue.push(...cut(Buffer.from(bytes)));
      wait();
      return true;
    },
    end() {
      queue.push('end');
      wait();
    },
  };
}

function pieces(bytes: Buffer, count: number): Buffer[] {
  const size = Math.max(1, Math.ceil(bytes.length / count));
  const cut: Buffer[] = [];
  for (let at = 0; at < bytes.length; at += size) cut.push(bytes.subarray(at, at + size));
  return cut;
}

/** Cuts after the first byte of every character that has several. */
function cutInsideCharacters(bytes: Buffer): Buffer[] {
  const cut: Buffer[] = [];
  let from = 0;
  for (let at = 0; at < bytes.length; at++) {
    if (bytes[at]! < 0xc0) continue;
    cut.push(bytes.subarray(from, at + 1));
    from = at + 1;
  }
  return [...cut, bytes.subarray(from)];
}

function merging(output: Output, objects: number): Output {
  let held: Buffer[] = [];
  const release = (): boolean => {
    const bytes = Buffer.concat(held);
    held = [];
    return bytes.length === 0 || output.flush(bytes);
  };
  return {
    ...output,
    flush(bytes) {
      held.push(Buffer.from(bytes));
      return held.length < objects || release();
    },
    end() {
      release();
      output.end();
    },
  };
}
