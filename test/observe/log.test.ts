import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { describe, it } from 'node:test';
import { promisify } from 'node:util';
import { createLog, type Log, type LogDependencies, type LogOptions } from '../../src/observe/log.ts';
import { events, finished } from './samples.ts';

const options: LogOptions = { level: 'debug', format: 'json', sample: 1, slowRequest: 60_000 };

function logWith(
  changes: Partial<LogOptions> = {},
  deps: Partial<LogDependencies> = {},
): { log: Log; lines: string[] } {
  const lines: string[] = [];
  const destination = { write: (line: string) => void lines.push(line) };
  const log = createLog(
    { destination, isTerminal: false, isSimulated: () => false, ...deps },
    { ...options, ...changes },
  );
  return { log, lines };
}

function parsed(lines: readonly string[]): Record<string, unknown>[] {
  return lines.map((line) => JSON.parse(line) as Record<string, unknown>);
}

/** What docs/operations.md promises; nothing else may be in a request's line. */
const requestFields = [
  'attempts',
  'backend',
  'bytes_in',
  'bytes_out',
  'client',
  'client_ip',
  'disconnect_phase',
  'duration_ms',
  'failovers',
  'first_byte_ms',
  'level',
  'load_ms',
  'method',
  'model',
  'msg',
  'outcome',
  'output_tokens',
  'overhead_ms',
  'prompt_tokens',
  'queue_ms',
  'reason',
  'request_id',
  'route',
  'simulated',
  'slow',
  'status',
  'stream',
  'time',
  'tokens_per_second',
  'trace_id',
  'user_agent',
  'warm',
];

/** A finished request with everything in it that must never reach a log, as if someone had widened the event. */
const indiscreet = {
  ...finished({
    traceId: '0af7651916cd43dd8448eb211c80319c',
    gonePhase: 'streaming',
    outcome: 'client-gone',
    durationMs: 90_000,
    userAgent: 'curl/8.9 CANARY-agent-tail',
  }),
  prompt: 'CANARY-prompt',
  body: { messages: [{ content: 'CANARY-body' }] },
  headers: { authorization: 'Bearer CANARY-key', cookie: 'CANARY-cookie' },
  url: '/api/chat?CANARY-query',
  usage: { ...finished().usage, text: 'CANARY-output' },
};

describe('log', () => {
  it('writes one JSON line for a finished request, with the promised fields and no other', () => {
    const { log, lines } = logWith({}, { isSimulated: () => true });
    log.observe(indiscreet);
    const [line, ...more] = parsed(lines);
    assert.deepEqual(more, []);
    assert.deepEqual(Object.keys(line!).sort(), requestFields);
  });

  for (const format of ['json', 'pretty'] as const) {
    it(`never writes a prompt, a header or a query (${format})`, () => {
      const { log, lines } = logWith({ format });
      log.observe(indiscreet);
      assert.equal(lines.length, 1);
      assert.doesNotMatch(lines.join(''), /CANARY/);
    });

    it(`keeps what a client names on its line, without control characters (${format})`, () => {
      const { log, lines } = logWith({ format });
      const model = `\u001B[2J\u009B31m"x"\r\n{"level":"error","msg":"forged"}\u2028\u202E`;
      log.observe(finished({ model, requestId: model, client: model, method: 'POST\n', userAgent: model }));
      assert.equal(lines.length, 1);
      const text = lines[0]!.slice(0, -1);
      assert.doesNotMatch(text, /[\p{Cc}\p{Cf}\u2028]/u);
      if (format === 'json') assert.equal(parsed(lines)[0]!['level'], 'info');
    });

    it(`writes a line for each event that is worth one (${format})`, () => {
      const { log, lines } = logWith({ format });
      const silent = new Set(['queued', 'dequeued', 'first-token', 'attempt-traced', 'request-rewritten']);
      for (const [kind, event] of Object.entries(events)) {
        const before = lines.length;
        log.observe(event);
        assert.equal(lines.length - before, silent.has(kind) ? 0 : 1, kind);
        assert.ok(lines.every((line) => line.endsWith('\n') && line.length > 10));
      }
    });
  }

  it('begins and ends every line alike, with the time in it', (t) => {
    const { log, lines } = logWith();
    t.mock.timers.enable({ apis: ['Date'], now: Date.UTC(2026, 0, 2, 3, 4, 5, 7) });
    for (const at of ['05.007', '05.042', '05.999', '06.000']) {
      t.mock.timers.setTime(Date.parse(`2026-01-02T03:04:${at}Z`));
      log.observe(finished());
      log.say('info', 'something else');
      for (const line of lines.splice(0)) {
        assert.ok(line.startsWith(`{"level":"info","time":"2026-01-02T03:04:${at}Z",`), line);
        assert.match(line, /,"msg":"(?:request|something else)"\}\n$/);
      }
    }
  });

  it('writes no line below its level', () => {
    const { log, lines } = logWith({ level: 'warn' });
    log.observe(finished());
    assert.deepEqual(lines, []);
  });

  it('bounds what a client names', () => {
    const { log, lines } = logWith();
    log.observe(
      finished({ model: 'm'.repeat(100_000), requestId: 'r'.repeat(100_000), userAgent: 'u'.repeat(100_000) }),
    );
    assert.ok(lines[0]!.length < 1500);
  });

  it('writes failures of the gateway and its backends, and slow requests, as warnings', () => {
    const { log, lines } = logWith();
    log.observe(finished());
    log.observe(finished({ outcome: 'client-gone', gonePhase: 'queued' }));
    log.observe(finished({ outcome: 'unknown-model', status: 404 }));
    log.observe(finished({ outcome: 'queue-full', status: 503 }));
    log.observe(finished({ outcome: 'backend-lost' }));
    log.observe(finished({ outcome: 'backend-error', status: 500 }));
    log.observe(finished({ durationMs: 60_000 }));
    log.observe(finished({ outcome: 'internal', status: 500 }));
    const levels = parsed(lines).map(({ level }) => level);
    assert.deepEqual(levels, ['info', 'info', 'info', 'warn', 'warn', 'warn', 'warn', 'error']);
    assert.deepEqual(
      parsed(lines).map(({ slow }) => slow === true),
      [false, false, false, false, false, false, true, false],
    );
  });

  it('samples ordinary requests evenly and writes every other one', () => {
    const { log, lines } = logWith({ sample: 0.25 });
    for (let i = 0; i < 100; i++) log.observe(finished());
    assert.equal(lines.length, 25);
    for (let i = 0; i < 10; i++) log.observe(finished({ outcome: 'queue-full' }));
    for (let i = 0; i < 10; i++) log.observe(finished({ durationMs: 1e6 }));
    assert.equal(lines.length, 45);
  });

  it('changes its level while running', () => {
    const { log, lines } = logWith({ level: 'warn' });
    log.observe(finished());
    assert.equal(lines.length, 0);
    log.level = 'info';
    log.observe(finished());
    assert.equal(lines.length, 1);
    assert.equal(log.level, 'info');
    log.level = 'silent';
    log.observe(events.bug);
    assert.equal(lines.length, 1);
  });

  it('takes other options while running', () => {
    const { log, lines } = logWith({ sample: 0, slowRequest: 0 });
    log.observe(finished({ durationMs: 5000 }));
    assert.equal(lines.length, 0);
    log.setOptions({ ...options, sample: 1, slowRequest: 5000 });
    log.observe(finished({ durationMs: 4999 }));
    log.observe(finished({ durationMs: 5000 }));
    assert.deepEqual(
      parsed(lines).map(({ level }) => level),
      ['info', 'warn'],
    );
    log.setOptions({ ...options, level: 'error' });
    log.observe(finished({ durationMs: 5000 }));
    assert.equal(lines.length, 2);
  });

  it('says SIMULATED where a simulated backend is named', () => {
    const { log, lines } = logWith({ format: 'pretty' }, { isSimulated: (id) => id === 'sim1' });
    log.observe(finished({ backend: 'sim1' }));
    log.observe({ ...events['backend-state'], backend: 'sim1' });
    log.observe(finished());
    assert.deepEqual(
      lines.map((line) => line.includes('SIMULATED')),
      [true, true, false],
    );
  });

  it('is pretty on a terminal, and JSON in a pipe', () => {
    const piped = logWith({ format: 'auto' });
    piped.log.observe(finished());
    assert.equal(parsed(piped.lines).length, 1);
    const shown = logWith({ format: 'auto' }, { isTerminal: true });
    shown.log.observe(finished());
    assert.match(shown.lines[0]!, /POST \/api\/chat/);
    assert.ok(shown.lines[0]!.includes('\u001B['), 'in colour');
  });

  it('lets nothing through that its destination throws', () => {
    const { log } = logWith({}, { destination: { write: () => assert.fail('disk full') } });
    log.observe(finished());
    log.say('error', 'hello');
    log.close();
  });

  it('says things about the gateway itself', () => {
    const { log, lines } = logWith();
    log.say('warn', 'unknown variable', { name: 'LLAMERO_FOO\u001B[2J', backends: 3 });
    const [line] = parsed(lines);
    assert.equal(line!['msg'], 'unknown variable');
    assert.equal(line!['name'], 'LLAMERO_FOO [2J');
    assert.equal(line!['backends'], 3);
  });

  it('goes to standard output, all of it by the time it is closed', async () => {
    const program = `
      import { createLog } from ${JSON.stringify(import.meta.resolve('../../src/observe/log.ts'))};
      const log = createLog({ isTerminal: false, isSimulated: () => false }, ${JSON.stringify(options)});
      for (let i = 0; i < 1000; i++) log.say('info', 'line', { i });
      await log.close();
      process.kill(process.pid, 'SIGKILL');
    `;
    // The process dies without another chance to write, so `close` alone must have written all.
    const died = (error: unknown) => error as { readonly stdout: string };
    const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '--eval', program]).catch(
      died,
    );
    assert.deepEqual(
      parsed(stdout.trimEnd().split('\n')).map(({ i }) => i),
      Array.from({ length: 1000 }, (_, i) => i),
    );
  });
});
