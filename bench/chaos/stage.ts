/** What a scenario plays on: backends, a gateway in front of them, clients, and the history of all of it. */
import { existsSync, mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { nowMicros } from '../load/script.ts';
import { check, usualRules, type Rules, type Verdict } from './check.ts';
import { Clients, type Wish } from './client.ts';
import { Gateway, type GatewayOptions } from './gateway.ts';
import { Herd } from './herd.ts';
import { parseHistory, writeHistory, type HistoryEvent, type Sampled } from './history.ts';
import { seeded } from './luck.ts';
import type { Script } from './voice.ts';

export interface StageOptions {
  /** A directory of the run's own. */
  readonly directory: string;
  readonly backends: number;
  /** Slots of each. */
  readonly slots: number;
  /** Whether a second process stands by for each backend: for those that are killed often. */
  readonly spares?: boolean;
  /** YAML sections beside `backends`, `listen.address` and `admin.address`. */
  readonly config?: string;
  readonly rules?: Partial<Rules>;
  readonly seed: number;
  readonly program?: string;
  readonly wallShifts?: GatewayOptions['wallShifts'];
  readonly socket?: GatewayOptions['socket'];
}

/** Everything a wish may leave out. */
export type PartialWish = Pick<Wish, 'voice' | 'stream' | 'leave' | 'isAlone'> &
  Partial<Script> & { readonly deadlineMs?: number };

export class Stage {
  readonly directory: string;
  readonly herd: Herd;
  gateway: Gateway;
  readonly clients: Clients;
  readonly luck: () => number;
  /** What a wish may take when it does not say. */
  deadlineMs = 30_000;
  readonly #gatewayOptions: GatewayOptions;
  readonly #rules: Rules;
  readonly #told: HistoryEvent[];
  readonly #read = new Map<string, number>();
  #count = 0;

  private constructor(
    options: StageOptions,
    parts: { herd: Herd; gateway: Gateway; gatewayOptions: GatewayOptions; told: HistoryEvent[] },
  ) {
    this.directory = options.directory;
    this.herd = parts.herd;
    this.gateway = parts.gateway;
    this.#gatewayOptions = parts.gatewayOptions;
    this.#told = parts.told;
    this.luck = seeded(options.seed);
    this.#rules = { ...usualRules, slots: options.slots, ...options.rules };
    this.clients = new Clients(this.gateway.port, (event) => this.tell(event));
  }

  static async open(options: StageOptions): Promise<Stage> {
    const { directory, backends } = options;
    mkdirSync(directory, { recursive: true });
    const told: HistoryEvent[] = [];
    const herd = new Herd(backends, {
      directory,
      spares: options.spares === true,
      tell: (event) => void told.push(event),
    });
    await herd.start();
    const config = configOf(herd, options);
    const { program, socket, wallShifts } = options;
    const gatewayOptions: GatewayOptions = {
      directory,
      config,
      ...(program !== undefined && { program }),
      ...(wallShifts !== undefined && { wallShifts }),
      ...(socket !== undefined && { socket }),
    };
    try {
      const gateway = await Gateway.start(gatewayOptions);
      return new Stage(options, { herd, gateway, gatewayOptions, told });
    } catch (error) {
      await herd.stop();
      throw error;
    }
  }

  /** Gateways with the same configuration and the same inherited socket, which wait to begin. */
  successors(count: number): Promise<readonly Gateway[]> {
    return Promise.all(Array.from({ length: count }, () => Gateway.prepare(this.#gatewayOptions)));
  }

  tell(event: HistoryEvent): void {
    this.#told.push(event);
  }

  mark(what: string): number {
    const at = nowMicros() / 1000;
    this.tell({ kind: 'marked', at, what });
    return at;
  }

  /** A wish with an id of its own, which is also its nonce when it has none. */
  wish(partial: PartialWish): Wish {
    const { voice, stream, leave, isAlone = false, deadlineMs = this.deadlineMs, nonce, ...script } = partial;
    const id = `n${++this.#count}`;
    return {
      id,
      voice,
      stream,
      deadlineMs,
      isAlone,
      script: { nonce: nonce ?? id, pieces: 4, everyMs: 5, delayMs: 0, padding: 0, ...script },
      ...(leave !== undefined && { leave }),
    };
  }

  /** Waits a second after the last request has ended, and notes the gauges. */
  async quiet(): Promise<void> {
    await delay(1000);
    const gauges = await this.gateway.gauges();
    this.tell({ kind: 'quiet', at: nowMicros() / 1000, gauges });
  }

  /** What has been told since the last call. */
  gather(): HistoryEvent[] {
    const events = this.#told.splice(0);
    const samples = this.#newText(this.gateway.witnessFile);
    events.push(...parseHistory(samples));
    for (const { file } of this.herd.members) events.push(...parseHistory(this.#newText(file)));
    const wallOffset = this.#wallOffset();
    for (const line of this.#newText(this.gateway.logFile).split('\n')) {
      const logged = readLine(line, wallOffset);
      if (logged !== null) events.push(logged);
    }
    return events;
  }

  /** Checks what has happened since the last check. */
  check(): { readonly verdict: Verdict; readonly events: readonly HistoryEvent[] } {
    const events = this.gather();
    return { verdict: check(events, this.#rules), events };
  }

  /** Stops everything; resolves with the gateway's exit code. */
  async close(): Promise<number | null> {
    this.clients.close();
    const code = await this.gateway.stop();
    await this.herd.stop();
    return code;
  }

  /** Writes what has been told to a file and returns its name. */
  write(events: readonly HistoryEvent[]): string {
    const file = join(this.directory, 'history.jsonl');
    writeHistory(file, events);
    return file;
  }

  /** What the gateway's process has told of itself so far. */
  samples(): Sampled[] {
    return parseHistory(readFileSync(this.gateway.witnessFile, 'utf8')) as Sampled[];
  }

  /** The gateway's complaints outside its log; '' when there are none but its banner. */
  complaints(): string {
    const text = readFileSync(this.gateway.complaintFile, 'utf8');
    return /(?:Error|Warning|rejection)\b/i.test(text) ? text.slice(-2000) : '';
  }

  /** Epoch milliseconds at the monotonic clock's zero. */
  #wallOffset(): number {
    const [first] = this.samples();
    return first === undefined ? Date.now() - nowMicros() / 1000 : first.wall - first.at;
  }

  /** What has been appended to a file since the last call, in whole lines. */
  #newText(file: string): string {
    if (!existsSync(file)) return '';
    const bytes = readFileSync(file);
    const from = this.#read.get(file) ?? 0;
    const to = bytes.lastIndexOf(10) + 1;
    this.#read.set(file, to);
    return bytes.toString('utf8', from, Math.max(from, to));
  }
}

function readLine(line: string, wallOffset: number): HistoryEvent | null {
  if (!line.startsWith('{')) return null;
  const fields = JSON.parse(line) as Readonly<Record<string, unknown>>;
  return { kind: 'logged', at: Date.parse(String(fields['time'])) - wallOffset, line: fields };
}

/** A machine that is busy with other things must not make the gateway refuse requests, unless a scenario wants just that. */
const calm = 'overload: {loopDelay: 0}\n';

function configOf(herd: Herd, { config = '', slots }: Pick<StageOptions, 'config' | 'slots'>): string {
  return `${backendLines(herd, slots)}\n${config.includes('overload:') ? '' : calm}${config}\n`;
}

/** The most that can be said of one model on one backend. */
const parallelLimit = 1000;

/** The `backends` section. `weights` go by position; those that are 0 are left out. */
export function backendLines(herd: Herd, slots: number, weights: readonly number[] = []): string {
  // Told, as an operator would, and not left to be learnt.
  const takes = `slots: ${slots}, parallel: ${Math.min(slots, parallelLimit)}`;
  const lines = herd.members.flatMap(({ name, port }, index) => {
    const weight = weights[index] ?? 1;
    return weight === 0 ? [] : [`  - {name: ${name}, url: 'http://127.0.0.1:${port}', ${takes}, weight: ${weight}}`];
  });
  return `backends:\n${lines.join('\n')}`;
}
