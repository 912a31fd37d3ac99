/** THE LIST of commands, and which of them the arguments ask for. */
import { nearest } from '../config/nearest.ts';
import type { Command, Io } from './io.ts';

export interface CommandEntry {
  /** One line for the help. */
  readonly summary: string;
  /** The code of a command is loaded when it is run. */
  load(): Promise<Command>;
}

export const defaultCommand = 'serve';

export const commands: Readonly<Record<string, CommandEntry>> = {
  serve: {
    summary: 'start the gateway; what is done when no command is given',
    load: async () => (await import('./serve.ts')).serveCommand,
  },
  simulate: {
    summary: 'start simulated Ollamas and no gateway; docs/simulator.md lists its flags',
    load: async () => (await import('./simulate.ts')).simulateCommand,
  },
  check: {
    summary: 'check the configuration and start nothing; exit 1 when something is wrong',
    load: async () => (await import('./check.ts')).checkCommand,
  },
  explain: {
    summary: '[REQUEST-ID]: ask a running gateway why requests went where they went',
    load: async () => (await import('./explain.ts')).explainCommand,
  },
  usage: {
    summary: '[--since DAY] [--by client|model|day] [--json|--csv]: who has used how many tokens of which model',
    load: async () => (await import('./usage.ts')).usageCommand,
  },
  status: {
    summary: '[--json]: how a running gateway and its backends stand; exit 1 when it takes no requests',
    load: async () => (await import('./status.ts')).statusCommand,
  },
  top: {
    summary: '[--once]: the same, live: backends, queue and requests, with keys to sort, drain and resume',
    load: async () => (await import('./top/top.ts')).topCommand,
  },
  pull: {
    summary: 'MODEL --all | --on BACKEND: have backends pull a model, with a bar for each',
    load: async () => (await import('./pull.ts')).pullCommand,
  },
  drain: {
    summary: 'BACKEND: no new requests for it; those under way finish',
    load: async () => (await import('./drain.ts')).drainCommand,
  },
  resume: {
    summary: 'BACKEND: take a drained backend back',
    load: async () => (await import('./drain.ts')).resumeCommand,
  },
  doctor: {
    summary:
      '[--json]: look for what is wrong with backends, machine and gateway, and say what to do; exit 1 on errors',
    load: async () => (await import('./doctor/doctor.ts')).doctorCommand,
  },
  keys: {
    summary: 'create|list|rotate|revoke [ID]: the keys of clients; docs/security.md tells how',
    load: async () => (await import('./keys.ts')).keysCommand,
  },
  config: {
    summary: '--effective: print the merged configuration, each value with its source',
    load: async () => (await import('./config.ts')).configCommand,
  },
  health: {
    summary: 'exit 0 when the configured gateway is alive; for health checks of containers',
    load: async () => (await import('./health.ts')).healthCommand,
  },
  help: {
    summary: 'print this',
    load: async () => {
      const { helpText } = await import('./help.ts');
      return async (_argv, io) => {
        io.stdout.write(helpText(Object.entries(commands).map(([name, { summary }]) => [name, summary])));
        return 0;
      };
    },
  },
  version: {
    summary: 'print the version',
    load: async () => (await import('./version.ts')).versionCommand,
  },
};

/** Runs what the arguments (without node and the script) ask for and resolves with the exit code. */
export async function runCommand(argv: readonly string[], io: Io): Promise<number> {
  const [name, rest] = chosen(argv);
  if (Object.hasOwn(commands, name)) return (await commands[name]!.load())(rest, io);
  const near = nearest(name, Object.keys(commands));
  const hint = near === null ? '`llamero help` lists them' : `did you mean \`${near}\`?`;
  io.stderr.write(`llamero: unknown command \`${name}\`; ${hint}\n`);
  return 2;
}

function chosen(argv: readonly string[]): readonly [string, readonly string[]] {
  const [first, ...rest] = argv;
  if (argv.some((argument) => argument === '--help' || argument === '-h')) return ['help', []];
  if (first === '--version' || first === '-V') return ['version', rest];
  return first === undefined || first.startsWith('-') ? [defaultCommand, argv] : [first, rest];
}
