/** What `llamero help` prints. */
import { wellKnownFiles } from '../config/load.ts';
import { configFlags, type FlagDefinition } from './flags.ts';

/** `commands`: name and summary of each. */
export function helpText(commands: readonly (readonly [string, string])[]): string {
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
${columns(commands)}

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
