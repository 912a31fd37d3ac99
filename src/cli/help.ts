/** `llamero help`. */
import { wellKnownFiles } from '../config/load.ts';
import { commands } from './commands.ts';
import { configFlags, type FlagDefinition } from './flags.ts';
import type { Io } from './io.ts';

export async function helpCommand(_argv: readonly string[], io: Io): Promise<number> {
  io.stdout.write(helpText());
  return 0;
}

export function helpText(): string {
  const listed = Object.entries(commands).map(([name, { summary }]) => [name, summary] as const);
  const flags = Object.entries<FlagDefinition>(configFlags).map(([name, { short, value, help }]) => {
    return [`${short === undefined ? '    ' : `-${short}, `}--${name} ${value ?? ''}`.trimEnd(), help] as const;
  });
  const general = [
    ['-h, --help', 'print this'],
    ['-V, --version', 'print the version'],
  ] as const;
  return `Llamero: one address in front of several Ollamas.

Usage: llamero [command] [options]

Commands:
${columns(listed)}

Options:
${columns([...flags, ...general])}

Without --config and LLAMERO_CONFIG, ${wellKnownFiles.map((file) => `\`${file}\``).join(' or ')} is read if it is there.
Every option can stand in the file, as \`queue.limit\`, or in the environment, as LLAMERO_QUEUE_LIMIT:
flag > environment > file > default. docs/configuration.md lists them all.
`;
}

function columns(rows: readonly (readonly [string, string])[]): string {
  const width = Math.min(30, Math.max(...rows.map(([left]) => left.length)));
  return rows
    .map(([left, right]) =>
      left.length > width ? `  ${left}\n  ${' '.repeat(width)}  ${right}` : `  ${left.padEnd(width)}  ${right}`,
    )
    .join('\n');
}
