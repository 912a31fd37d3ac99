/**
 * Writes what follows from the code: `npm run gen`. With `--check` it writes nothing and fails when a file is not what it
 * would be.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describeSections, editorSchema, type OptionRow, type OptionSection } from '../src/config/describe.ts';
import { configSchema } from '../src/config/schema.ts';
import { failures, type FailureKind } from '../src/core/errors.ts';
import { openApiDocument } from '../src/http/admin/openapi.ts';
import packageFile from '../package.json' with { type: 'json' };
import { describeMetrics } from '../src/observe/describe.ts';
import { dashboard } from './dashboard.ts';
import { terminalPicture } from './terminal-picture.ts';

export interface GeneratedFile {
  /** From the root of the repository. */
  readonly path: string;
  readonly text: string;
}

export function generatedFiles(): readonly GeneratedFile[] {
  return [
    { path: 'config/llamero.schema.json', text: `${JSON.stringify(editorSchema(configSchema), null, 2)}\n` },
    { path: 'docs/configuration.md', text: configurationPage() },
    { path: 'docs/errors.md', text: errorsPage() },
    { path: 'docs/metrics.md', text: describeMetrics() },
    { path: 'docs/openapi.json', text: `${JSON.stringify(openApiDocument(packageFile.version), null, 2)}\n` },
    { path: 'docs/images/terminal.svg', text: terminalPicture() },
    ...dashboards.map((path) => ({ path, text: `${JSON.stringify(dashboard(), null, 2)}\n` })),
    ...chartRules(),
  ];
}

/** For Grafana's own provisioning, and in the chart, which can only read files of its own. */
const dashboards = ['deploy/grafana/dashboards/llamero.json', 'deploy/helm/llamero/files/dashboard.json'];

function chartRules(): GeneratedFile[] {
  return ['recording.yml', 'alerts.yml'].map((name) => ({
    path: `deploy/helm/llamero/files/${name}`,
    text: readFileSync(new URL(`../deploy/prometheus/${name}`, import.meta.url), 'utf8'),
  }));
}

/** The files whose text on disk is another than the code says. */
export function staleFiles(root: URL): readonly GeneratedFile[] {
  return generatedFiles().filter(({ path, text }) => readText(new URL(path, root)) !== text);
}

function readText(file: URL): string | null {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return null;
  }
}

function notice(source: string): string {
  return `<!-- Generated from ${source} by \`npm run gen\`; edit that, not this. -->`;
}

function configurationPage(): string {
  const sections = describeSections(configSchema);
  return `# Configuration

${notice("the rooms' option schemas")}

Everything has a default: Llamero starts with no configuration at all. Options come from four places, and a higher one wins:

1. **Flags**, for the few that are changed by hand: \`llamero help\` lists them.
2. **Environment**: \`LLAMERO_QUEUE_LIMIT\` sets \`queue.limit\`. Each row below names its variable. \`LLAMERO_QUEUE_LIMIT_FILE\`
   names a file to read the value from, which is how secrets are handed to containers. An empty variable counts as unset.
   A \`LLAMERO_\` variable that means nothing is warned about.
3. **A file** in YAML: the one \`--config\` or \`LLAMERO_CONFIG\` names, or else \`llamero.yaml\` in the working directory, or else
   \`/etc/llamero/llamero.yaml\`. \`config/llamero.yaml\` is one to start from, and \`config/examples/\` has one for each situation.
4. **Defaults**, as listed here.

Sections merge option by option. A list (such as \`backends\`) and a policy are taken whole from the highest place that has one.

\`llamero check\` says everything that is wrong at once, with line and column, and starts nothing.
\`llamero config --effective\` prints what all places together come to, and where each value came from. For completion and checks
while typing, an editor with a YAML language server follows this line at the top of the file:

\`\`\`yaml
# yaml-language-server: $schema=path/to/llamero/config/llamero.schema.json
\`\`\`

## How values are written

| Type | Written |
| --- | --- |
| duration | \`250ms\`, \`30s\`, \`10m\`, \`1h30m\`, \`2d\`; \`0\` needs no unit, every other number does |
| size | \`64KiB\`, \`256MiB\`, \`16GiB\` (powers of 1024), \`10MB\` (powers of 1000), or a number of bytes |
| address | \`127.0.0.1:11435\`, \`[::1]:11435\`, or \`:11435\` for every interface; port 0 lets the system choose |
| secret | a text that is never logged or shown |
| list | in YAML as usual; in a variable separated by commas, or in brackets as in YAML |

\`\${NAME}\` in a file is replaced by the variable NAME, or by the content of the file that NAME_FILE names; it is an error when
neither is set. \`\${NAME:-default}\` has a default for that case and for an empty variable, and \`$\${\` is a literal \`\${\`. Inside
\`[ ]\` and \`{ }\` it needs quotes around it.

A backend has a short form, in a list, in \`--backend\` and in \`LLAMERO_BACKENDS\` (separated by commas, semicolons or blanks):
\`[name=]URL[#weight=2,slots=4]\`. A URL without a scheme is http, and one that has neither scheme nor port has Ollama's port 11434.

${sections.map(sectionText).join('\n')}`;
}

function sectionText({ name, description, choices, rows }: OptionSection): string {
  const meanings = choices.map((choice) => `- \`${choice.name}\`: ${choice.description}`);
  const list = meanings.length === 0 ? '' : `\n${meanings.join('\n')}\n`;
  return `## ${name}

${description}
${list}
| Option | Type | Default | Environment | |
| --- | --- | --- | --- | --- |
${rows.map(rowText).join('\n')}
`;
}

function rowText({ name, type, default: written, isRequired, env, description }: OptionRow): string {
  const shown = written === null ? (isRequired ? '**required**' : '') : `\`${written}\``;
  return `| \`${name}\` | ${cell(type)} | ${cell(shown)} | ${env === null ? '' : `\`${env}\``} | ${cell(description)} |`;
}

function cell(text: string): string {
  return text.replaceAll('|', '\\|').replaceAll('\n', ' ');
}

function errorsPage(): string {
  const rows = Object.entries<FailureKind>(failures).map(([code, { status, blame, retryable, help }]) => {
    return `| \`${code}\` | ${status} | ${blame} | ${retryable ? 'yes' : 'no'} | ${cell(help)} |`;
  });
  return `# Errors

${notice('src/core/errors.ts')}

What the gateway itself answers when it can't pass on a backend's answer. The body is an error in the API the client speaks, and
its message says what happened. What a backend answers, mistakes included, passes unchanged and is not listed here. The same
codes are the values of \`outcome\` in the log and in the metrics.

After the first byte of an answer the status can't be changed any more: the error is then said inside the stream, as the API has
it, and the connection is closed.

| Code | Status | Whose fault | Worth a retry | What to do |
| --- | --- | --- | --- | --- |
${rows.join('\n')}
`;
}

if (import.meta.main) {
  const root = new URL('..', import.meta.url);
  const stale = staleFiles(root);
  const isCheck = process.argv.includes('--check');
  for (const { path, text } of stale) {
    if (isCheck) console.error(`${path} is not what the code says; run \`npm run gen\` and commit it`);
    else {
      writeFileSync(fileURLToPath(new URL(path, root)), text);
      console.log(`wrote ${path}`);
    }
  }
  if (isCheck && stale.length > 0) process.exitCode = 1;
}
