/** The gateway of a run: a process of its own, started as an operator would, with a witness inside. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync, readdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { freePort } from '../proxies/proxy.ts';
import { residentOf } from '../load/procfs.ts';

/** A socket that listens already, and that gateways inherit one after the other. */
export interface InheritedSocket {
  readonly descriptor: number;
  readonly port: number;
}

export interface GatewayOptions {
  readonly directory: string;
  /** YAML without `listen.address` and `admin.address`. */
  readonly config: string;
  /** The gateway's `src/main.ts`; this repository's when absent. */
  readonly program?: string;
  /** [milliseconds after the start, offset in milliseconds] of its wall clock. */
  readonly wallShifts?: readonly (readonly [number, number])[];
  /** Where it takes its connections from; absent: a port of its own. */
  readonly socket?: InheritedSocket | undefined;
}

/** Holds the socket it inherits without touching it, until it is told to go on: then it is the gateway. */
const WAIT = 'read -r _ && exec "$0" "$@"';

/** Long, because on a machine that is busy with other things a start takes its time. */
const READY_MS = 60_000;
/** More than `shutdown.grace`. */
const STOP_MS = 40_000;

export class Gateway {
  readonly port: number;
  readonly adminPort: number;
  readonly logFile: string;
  readonly witnessFile: string;
  readonly complaintFile: string;
  readonly #configFile: string;
  readonly #child: ChildProcess;
  #hasExited = false;

  private constructor(ports: readonly [number, number], options: GatewayOptions) {
    const { directory, program, socket, wallShifts } = options;
    [this.port, this.adminPort] = ports;
    this.logFile = join(directory, 'gateway.log');
    this.witnessFile = join(directory, 'witness.jsonl');
    this.complaintFile = join(directory, 'gateway.err');
    this.#configFile = join(directory, `llamero-${this.adminPort}.yaml`);
    writeFileSync(this.#configFile, whole(options.config, ports));
    const witness = import.meta.resolve('./witness.ts');
    const main = program ?? fileURLToPath(import.meta.resolve('../../src/main.ts'));
    const args = ['--expose-gc', '--import', witness, main, '--config', this.#configFile];
    const [log, complaints] = [openSync(this.logFile, 'a'), openSync(this.complaintFile, 'a')];
    const [command, words] =
      socket === undefined ? [process.execPath, args] : ['sh', ['-c', WAIT, process.execPath, ...args]];
    this.#child = spawn(command, words, {
      stdio: socket === undefined ? ['ignore', log, complaints] : ['pipe', log, complaints, socket.descriptor],
      cwd: directory,
      env: {
        ...process.env,
        CHAOS_WITNESS: this.witnessFile,
        ...(socket !== undefined && { LISTEN_FDS: '1' }),
        ...(wallShifts !== undefined && { CHAOS_WALL_SHIFTS: JSON.stringify(wallShifts) }),
      },
    });
    closeSync(log);
    closeSync(complaints);
    this.#child.once('exit', () => {
      this.#hasExited = true;
    });
  }

  /** Resolves when `/readyz` says yes. */
  static async start(options: GatewayOptions): Promise<Gateway> {
    const gateway = await Gateway.prepare(options);
    await gateway.begin();
    return gateway;
  }

  /** With an inherited socket it waits for `begin`; without one it starts now. */
  static async prepare(options: GatewayOptions): Promise<Gateway> {
    return new Gateway([options.socket?.port ?? (await freePort()), await freePort()], options);
  }

  /** Resolves when `/readyz` says yes. */
  async begin(): Promise<void> {
    this.#child.stdin?.end('go\n');
    const deadline = performance.now() + READY_MS;
    while (!(await this.#isReady())) {
      if (this.hasExited || performance.now() > deadline) {
        throw new Error(`the gateway does not serve:\n${readFileSync(this.complaintFile, 'utf8')}`);
      }
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }

  get pid(): number {
    return this.#child.pid!;
  }

  get hasExited(): boolean {
    return this.#hasExited;
  }

  /** Replaces the configuration file as an editor does. It is not read before a reload. */
  configure(config: string): void {
    writeFileSync(`${this.#configFile}.new`, whole(config, [this.port, this.adminPort]));
    renameSync(`${this.#configFile}.new`, this.#configFile);
  }

  /** A request to the admin listener; resolves with its status. */
  async operate(method: string, path: string, body?: object): Promise<number> {
    const response = await fetch(`http://127.0.0.1:${this.adminPort}${path}`, {
      method,
      ...(body !== undefined && { body: JSON.stringify(body), headers: { 'Content-Type': 'application/json' } }),
    });
    await response.arrayBuffer();
    return response.status;
  }

  signal(signal: NodeJS.Signals): void {
    this.#child.kill(signal);
  }

  /** Sums of the gauges that have to be 0 while nothing is asked. */
  async gauges(): Promise<Record<string, number>> {
    const text = await (await fetch(`http://127.0.0.1:${this.adminPort}/metrics`)).text();
    const gauges: Record<string, number> = { inflight: 0, queued: 0, bugs: 0 };
    const names: Readonly<Record<string, string>> = {
      llamero_inflight_requests: 'inflight',
      llamero_queue_depth: 'queued',
      llamero_bugs_total: 'bugs',
    };
    for (const line of text.split('\n')) {
      const name = names[/^\w+/.exec(line)?.[0] ?? ''];
      if (name !== undefined) gauges[name] = (gauges[name] ?? 0) + Number(line.slice(line.lastIndexOf(' ') + 1));
    }
    return gauges;
  }

  /** Bytes of resident memory, and open descriptors. Linux only. */
  footprint(): { readonly rss: number; readonly descriptors: number } {
    return {
      rss: residentOf(readFileSync(`/proc/${this.pid}/status`, 'latin1')),
      descriptors: readdirSync(`/proc/${this.pid}/fd`).length,
    };
  }

  /** As an operator stops it. Resolves with the exit code; null when it had to be killed. */
  async stop(): Promise<number | null> {
    if (this.#hasExited) return this.#child.exitCode;
    const gone = once(this.#child, 'exit');
    const timer = setTimeout(() => this.#child.kill('SIGKILL'), STOP_MS);
    this.#child.kill('SIGTERM');
    await gone;
    clearTimeout(timer);
    return this.#child.exitCode;
  }

  async #isReady(): Promise<boolean> {
    try {
      const response = await fetch(`http://127.0.0.1:${this.adminPort}/readyz`);
      await response.arrayBuffer();
      return response.status === 200;
    } catch {
      return false;
    }
  }
}

function whole(config: string, [port, adminPort]: readonly [number, number]): string {
  const addresses: Readonly<Record<string, number>> = { listen: port, admin: adminPort };
  let text = config;
  for (const [section, at] of Object.entries(addresses)) {
    const address = `address: '127.0.0.1:${at}'`;
    const mark = `${section}: {`;
    text = text.includes(mark) ? text.replace(mark, `${mark}${address}, `) : `${text}\n${section}: {${address}}\n`;
  }
  return text;
}
