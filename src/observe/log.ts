/** One line per finished request and per thing that happened to the fleet. Never a prompt, never a header; never throws, never waits. */
import { pino, type DestinationStream } from 'pino';
import { Type, type Static } from 'typebox';
import type { Event } from '../core/events.ts';
import { Duration } from '../core/options.ts';
import type { BackendId } from '../core/types.ts';
import { lineOf, plain, type Level, type LogLine } from './log-line.ts';
import { createPrettifier } from './pretty.ts';
import { standardOutput } from './standard-output.ts';

export const LogOptions = Type.Object(
  {
    level: Type.Union(
      [
        Type.Literal('debug'),
        Type.Literal('info'),
        Type.Literal('warn'),
        Type.Literal('error'),
        Type.Literal('silent'),
      ],
      { description: 'The least important lines that are written; can be changed while running.', default: 'info' },
    ),
    format: Type.Union([Type.Literal('auto'), Type.Literal('json'), Type.Literal('pretty')], {
      description: '`json` is one object per line, `pretty` is for eyes; `auto` is pretty on a terminal.',
      default: 'auto',
    }),
    sample: Type.Number({
      description: 'Share of the lines of ordinary requests that is written. Slow and failed ones always are.',
      default: 1,
      minimum: 0,
      maximum: 1,
    }),
    audit: Type.Optional(
      Type.String({
        description:
          'A file to which is added, one JSON object a line, who changed models, keys or the gateway, and who was refused.',
        minLength: 1,
      }),
    ),
    slowRequest: Duration({
      description: 'From this duration on a request is logged as slow, as a warning; 0 turns that off.',
      default: '2m',
    }),
  },
  { description: 'The log, on standard output.', additionalProperties: false },
);
export type LogOptions = Static<typeof LogOptions>;
export type LogLevel = LogOptions['level'];

export interface LogDependencies {
  /** Where lines go; standard output when absent. */
  readonly destination?: DestinationStream;
  /** Whether that is a terminal: decides `auto`, and whether there are colours. */
  readonly isTerminal: boolean;
  /** Whether a backend is one of the built-in simulated ones; lines that name it say so. */
  readonly isSimulated: (backend: BackendId) => boolean;
}

export interface Log {
  observe(event: Event): void;
  /** A line about the gateway itself. Fields are the caller's own words, never a client's. */
  say(level: Level, message: string, fields?: LogLine['fields']): void;
  level: LogLevel;
  /** Level, sample and slowRequest from now on; the format is that of the start. */
  setOptions(options: LogOptions): void;
  /** Resolves when what was said is written; what is said afterwards is lost. */
  close(): Promise<void>;
}

export function createLog(deps: LogDependencies, options: LogOptions): Log {
  const own = deps.destination === undefined ? standardOutput() : null;
  const output = deps.destination ?? own!;
  const pretty = options.format === 'pretty' || (options.format === 'auto' && deps.isTerminal);
  const prettify = pretty ? createPrettifier({ colour: deps.isTerminal }) : null;
  const destination = prettify === null ? output : { write: (json: string) => output.write(prettify(json)) };
  const isoNow = createStamp();
  const logger = pino(
    {
      level: options.level,
      base: null,
      timestamp: () => `,"time":"${isoNow()}"`,
      formatters: { level: (label) => ({ level: label }) },
    },
    destination,
  );
  let context = { slowRequest: options.slowRequest, isSimulated: deps.isSimulated };
  let isSampled = createSampler(options.sample);

  /** As pino would write it, at a third of the cost: this is the one line that is written for every request. */
  function writeRequest({ level, fields, message }: LogLine): void {
    if (!logger.isLevelEnabled(level)) return;
    const own = JSON.stringify(fields).slice(1, -1);
    destination.write(`{"level":"${level}","time":"${isoNow()}",${own},"msg":"${message}"}\n`);
  }

  return {
    observe(event) {
      guarded(() => {
        const line = lineOf(event, context);
        if (line === null || (line.ordinary && !isSampled())) return;
        if (line.message === 'request') writeRequest(line);
        else logger[line.level](line.fields, line.message);
      });
    },
    say(level, message, fields = {}) {
      guarded(() => {
        const clean = Object.entries(fields).map(([name, value]) => [
          name,
          typeof value === 'string' ? plain(value, 4000) : value,
        ]);
        logger[level](Object.fromEntries(clean), plain(message, 4000));
      });
    },
    get level() {
      return logger.level as LogLevel;
    },
    set level(level) {
      logger.level = level;
    },
    setOptions({ level, sample, slowRequest }) {
      logger.level = level;
      context = { ...context, slowRequest };
      isSampled = createSampler(sample);
    },
    close: async () => {
      if (own !== null) await own.close();
    },
  };
}

/** The time as ISO 8601; formatted once a second, for the milliseconds are only digits. */
function createStamp(): () => string {
  let second = -1;
  let text = '';
  return () => {
    const now = Date.now();
    const ms = now % 1000;
    if (now - ms !== second) {
      second = now - ms;
      text = new Date(second).toISOString().slice(0, -4);
    }
    return `${text}${ms < 100 ? (ms < 10 ? '00' : '0') : ''}${ms}Z`;
  };
}

/** Passes the given share of calls, evenly spread and without luck. */
function createSampler(share: number): () => boolean {
  let owed = 0;
  return () => {
    owed += share;
    if (owed < 1) return false;
    owed -= 1;
    return true;
  };
}

/** A log that can't be written must not take a request with it, and there is nowhere left to say so. */
function guarded(write: () => void): void {
  try {
    write();
  } catch {
    // Nothing.
  }
}
