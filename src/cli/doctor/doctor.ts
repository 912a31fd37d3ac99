/** `llamero doctor`: looks at the backends, this machine and the running gateway, and says what is wrong and what to do about it. */
import { realSystem } from '../../system.ts';
import type { Io } from '../io.ts';
import { paintFor, type Paint } from '../paint.ts';
import { readConfig } from '../read-config.ts';
import { diagnose } from './checks.ts';
import type { Facts, Finding } from './facts.ts';
import { gather } from './gather.ts';

/** Exit codes: 0 nothing is wrong or only warnings, 1 there are errors, 2 flags not understood. */
export async function doctorCommand(argv: readonly string[], io: Io): Promise<number> {
  const read = await readConfig(argv, io, { json: { help: 'print the findings as JSON' } });
  if (typeof read === 'number') return read;
  const { config, file } = read.loaded;
  const facts = await gather({ config, ollamaHost: io.env['OLLAMA_HOST'], files: io.files, system: realSystem });
  const findings = diagnose(facts);
  const errors = findings.filter(({ level }) => level === 'error').length;
  if (read.flags.has('json')) {
    const backends = facts.backends.map(({ answer, name, url }) => ({ name, url, ...shown(answer) }));
    io.stdout.write(`${JSON.stringify({ ok: errors === 0, findings, backends }, null, 2)}\n`);
  } else io.stdout.write(report(facts, findings, file, paintFor(io.stdout, io.env)));
  return errors === 0 ? 0 : 1;
}

function shown(answer: Facts['backends'][number]['answer']): Record<string, unknown> {
  return answer.kind === 'ollama' ? { version: answer.version } : { version: null };
}

function report(facts: Facts, findings: readonly Finding[], file: string | null, paint: Paint): string {
  const faulty = new Set(findings.map(({ about }) => about));
  const fine = facts.backends
    .filter(({ name }) => !faulty.has(name))
    .map((backend) => `${paint.green('ok')}       ${paint.bold(backend.name)}  ${described(backend)}`);
  const lines = [...findings.map((finding) => sentence(finding, paint)), ...fine];
  if (facts.gateway === null) {
    lines.push(
      `${paint.dim('note')}     no gateway answers on ${facts.admin.address}: what it has seen could not be asked`,
    );
  }
  return [
    `${file ?? 'no configuration file'}, backends: ${sources[facts.source]}`,
    ...(lines.length === 0 ? [] : ['', ...lines]),
    '',
    `${total(findings, 'error')}, ${total(findings, 'warning')}`,
    '',
  ].join('\n');
}

const sources: Readonly<Record<Facts['source'], string>> = {
  configured: 'as configured',
  local: 'the Ollama of this machine',
  simulated: 'simulated ones only, of which there is nothing to say',
  none: 'none',
};

function sentence({ about, code, fix, level, problem }: Finding, paint: Paint): string {
  const label = level === 'error' ? paint.red('error') : paint.yellow('warning');
  const gap = level === 'error' ? '    ' : '  ';
  return `${label}${gap}${paint.bold(about)} ${problem} ${paint.dim(`[${code}]`)}\n         ${paint.cyan('→')} ${fix}`;
}

function described({ answer, models, resident }: Facts['backends'][number]): string {
  if (answer.kind !== 'ollama') return '';
  const counts = `${models?.length ?? 0} models, ${resident?.length ?? 0} in memory`;
  return `Ollama ${answer.version}, ${counts}, answered in ${Math.max(1, Math.round(answer.tookMs))} ms`;
}

function total(findings: readonly Finding[], level: Finding['level']): string {
  const { length } = findings.filter((finding) => finding.level === level);
  return `${length} ${level}${length === 1 ? '' : 's'}`;
}
