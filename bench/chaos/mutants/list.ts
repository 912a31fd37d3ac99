/** THE LIST of gateways that are broken on purpose, each in one way that a user would suffer from. */
import type { Scenario } from '../scenario.ts';
import { lethal } from '../scenarios/lethal.ts';
import { closed } from './closed.ts';
import { ordeal } from './ordeal.ts';
import { reread } from './reread.ts';

/** One replacement in a file of `src`; `from` must be there exactly once. */
export interface Edit {
  readonly file: string;
  readonly from: string;
  readonly to: string;
}

export interface GatewayMutant {
  /** What it does wrong. */
  readonly name: string;
  readonly edits: readonly Edit[];
  /** What is to show it. */
  readonly scenario: Scenario;
}

/** One edit. */
function edit(file: string, from: string, to: string): Edit {
  return { file, from, to };
}

export const gatewayMutants: readonly GatewayMutant[] = [
  {
    name: 'lets the backend work on when its client has left',
    edits: [edit('http/relay.ts', '#onLeft = (): void => {\n    this.#call?.abort();', '#onLeft = (): void => {')],
    scenario: ordeal,
  },
  {
    name: 'tries another backend after content has come',
    edits: [
      edit(
        'http/relay.ts',
        'failed(failure: BackendFailure): void {\n    if (!this.#committed)',
        'failed(failure: BackendFailure): void {\n    if (true)',
      ),
      edit('core/retry.ts', "'backend-lost': { elsewhere: false", "'backend-lost': { elsewhere: true"),
    ],
    scenario: ordeal,
  },
  {
    name: 'keeps the slot of a client that has left',
    edits: [
      edit(
        'http/attempt.ts',
        'const isNews = lease.release(outcome);\n      if',
        "const isNews = outcome.kind === 'client-gone' || lease.release(outcome);\n      if",
      ),
    ],
    scenario: ordeal,
  },
  {
    name: 'cuts a stream without an error frame',
    edits: [edit('http/errors.ts', 'if (separator !== null)', 'if (separator === undefined)')],
    scenario: ordeal,
  },
  {
    name: 'ends a stream with two markers',
    edits: [
      edit(
        'http/relay.ts',
        "this.#context.exchange.end();\n    this.#over({ kind: 'done'",
        "if (this.#context.dialect.name === 'openai' && this.#inBand)\n      this.#context.exchange.write(Buffer.from('data: [DONE]\\n\\n'));\n    this.#context.exchange.end();\n    this.#over({ kind: 'done'",
      ),
    ],
    scenario: ordeal,
  },
  {
    name: 'takes an answer without its marker for whole',
    edits: [
      edit(
        'http/relay.ts',
        "if (report.ending === 'missing') {",
        "if (report.ending === 'missing' && !this.#inBand) {",
      ),
    ],
    scenario: ordeal,
  },
  {
    name: 'tries every backend there is',
    edits: [edit('core/retry.ts', 'if (attempt.tried >= options.backends)', 'if (attempt.tried >= 99)')],
    scenario: ordeal,
  },
  {
    name: 'has no budget for retries',
    edits: [edit('core/retry.ts', '!budget.withdraw(now)', '!(budget.withdraw(now) || true)')],
    scenario: ordeal,
  },
  {
    name: 'gives a backend one request more than it has slots',
    edits: [
      edit(
        'core/fleet-entry.ts',
        'slots: slotsOf(spec, autoSlots),\n    filter',
        'slots: slotsOf(spec, autoSlots) + 1,\n    filter',
      ),
      edit(
        'core/backend.ts',
        'models: models ?? null, ...connection };',
        'models: models ?? null, ...connection, parallel: (connection.parallel ?? 1) + 1 };',
      ),
    ],
    scenario: ordeal,
  },
  {
    name: 'copies a model twice',
    edits: [
      edit(
        'http/manage.ts',
        'async (id) => [id, await askWhole(grounds.client(id), ask, null)]',
        'async (id) => [id, (await askWhole(grounds.client(id), ask, null), await askWhole(grounds.client(id), ask, null))]',
      ),
    ],
    scenario: ordeal,
  },
  {
    name: 'asks a backend that is drained',
    edits: [
      edit(
        'core/fleet-entry.ts',
        "if (entry.admin === 'draining') return { state: 'draining', use: 'no'",
        "if (entry.admin === 'draining') return { state: 'draining', use: 'yes'",
      ),
    ],
    scenario: ordeal,
  },
  {
    name: 'asks a backend that is ejected',
    edits: [
      edit(
        'core/fleet-entry.ts',
        "return { state: 'ejected', use: 'last-resort'",
        "return { state: 'ejected', use: 'yes'",
      ),
    ],
    scenario: ordeal,
  },
  {
    name: 'does not say when to come back',
    edits: [edit('http/attempt.ts', "if (isForLater && !answer.headers.includes('Retry-After'))", 'if (false)')],
    scenario: ordeal,
  },
  {
    name: 'words every error in a stream as Ollama would',
    edits: [
      edit(
        'http/errors.ts',
        'dialect.renderInBandError(error, account.requestId, after)',
        '`${JSON.stringify({ error: error.message })}\\n`',
      ),
    ],
    scenario: ordeal,
  },
  {
    name: 'loses a chunk now and then',
    edits: [
      edit(
        'http/exchange.ts',
        "this.#framing === 'none' || bytes.length === 0) return;",
        "this.#framing === 'none' || bytes.length === 0 || Math.random() < 0.01) return;",
      ),
    ],
    scenario: ordeal,
  },
  {
    name: 'sends a chunk twice now and then',
    edits: [
      edit(
        'http/exchange.ts',
        'this.#pending.push(bytes);',
        'this.#pending.push(bytes);\n    if (Math.random() < 0.01) this.#pending.push(bytes);',
      ),
    ],
    scenario: ordeal,
  },
  {
    name: 'sends a backend the body of another request now and then',
    edits: [
      edit(
        'backends/client.ts',
        'headers: own.concat(ask.headers), body: ask.body }',
        'headers: own.concat(ask.headers), body: mixedUp(ask.body) }',
      ),
      edit(
        'backends/client.ts',
        'const keepAliveMs = 60_000;',
        'const keepAliveMs = 60_000;\nlet before: Buffer | null = null;\nfunction mixedUp(body: Buffer | null): Buffer | null {\n  const other = before;\n  before = body ?? before;\n  return body !== null && other !== null && Math.random() < 0.02 ? other : body;\n}',
      ),
    ],
    scenario: ordeal,
  },
  {
    name: 'waits for ever for a backend that has fallen silent',
    edits: [edit('backends/client.ts', 'return this.#paused ? 0 : this.#timeouts.idle;', 'return 0;')],
    scenario: ordeal,
  },
  {
    name: 'logs a stream that was cut as well',
    edits: [edit('http/errors.ts', 'account.outcome = error.code;\n  if (separator', 'if (separator')],
    scenario: ordeal,
  },
  {
    name: 'lets requests wait for ever',
    edits: [edit('core/scheduler.ts', 'if (waiter === undefined || waiter.deadline > now) break;', 'break;')],
    scenario: closed,
  },
  {
    name: 'sends on what has killed two backends',
    edits: [edit('core/quarantine.ts', 'if (options.after === 0) return false;', 'return false;')],
    scenario: lethal,
  },
  {
    name: 'cuts what runs when the configuration is read again',
    edits: [
      edit('backends/backends.ts', 'return parts(a) === parts(b);', 'return false;'),
      edit(
        'backends/backends.ts',
        'this.#members.delete(spec.id);',
        'this.#members.delete(spec.id);\n    void client.destroy();',
      ),
    ],
    scenario: reread,
  },
];
