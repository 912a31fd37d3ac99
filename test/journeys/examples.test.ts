/** The examples are run as they are, each in a process of its own, against a gateway in front of simulated Ollamas. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { access, readdir, readFile } from 'node:fs/promises';
import { describe, it, type TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { parse } from 'yaml';
import { startGateway } from '../support/gateway.ts';
import { simulatedOllamas } from '../support/simulated.ts';

const examples = new URL('../../examples/', import.meta.url);
const run = promisify(execFile);

async function gateway(t: TestContext): Promise<string> {
  const models = 'llama3.2:3b,nomic-embed-text';
  const ollamas = await simulatedOllamas(t, 2, { models: models.split(',') });
  return (
    await startGateway(
      t,
      ollamas.map(({ url }) => ({ url })),
    )
  ).url;
}

/** What it prints. Rejects when it fails. */
async function output(command: string, file: string, url: string): Promise<string> {
  const env = { ...process.env, GATEWAY_URL: url, NO_PROXY: '127.0.0.1', no_proxy: '127.0.0.1' };
  const { stdout } = await run(command, [fileURLToPath(new URL(file, examples))], { env, timeout: 60_000 });
  return stdout;
}

async function isThere(command: string, ...argv: readonly string[]): Promise<boolean> {
  return run(command, argv).then(
    () => true,
    () => false,
  );
}

/** What each has to print, beside an answer. */
const programs: Readonly<Record<string, readonly RegExp[]>> = {
  'curl/ollama.sh': [/"name":"llama3\.2:3b"/, /"done":true/, /"embeddings":\[\[/, /x-llamero-backend: b[12]/i],
  'curl/openai.sh': [/"id":"llama3\.2:3b"/, /data: \[DONE\]/, /"output_text"/],
  'curl/anthropic.sh': [/event: message_stop/],
  'javascript/ollama.mjs': [/models: .*llama3\.2:3b/, /embeddings: 2 of \d+ numbers/],
  'javascript/openai.mjs': [/\w+ \w+.*\n.*\w+ \w+/],
  'javascript/anthropic.mjs': [/\d+ tokens in, \d+ out/],
  'javascript/langchain.mjs': [/embedding: \d+ numbers/],
  'python/ollama_chat.py': [/models: .*llama3\.2:3b/, /embeddings: 2 of \d+ numbers/],
  'python/openai_chat.py': [/\w+ \w+.*\n.*\w+ \w+/],
  'python/anthropic_messages.py': [/\d+ tokens in, \d+ out/],
};

/** Where `npm run test:clients` keeps the Python libraries. */
const python = fileURLToPath(new URL('../../.venv/clients/bin/python', import.meta.url));

async function interpreterOf(file: string): Promise<{ command: string } | { missing: string }> {
  if (file.endsWith('.mjs')) return { command: process.execPath };
  if (file.endsWith('.py')) {
    const there = await access(python).then(
      () => true,
      () => false,
    );
    return there ? { command: python } : { missing: 'npm run test:clients installs the Python libraries' };
  }
  return (await isThere('curl', '--version')) ? { command: 'sh' } : { missing: 'there is no curl' };
}

describe('the examples', { concurrency: 2 }, () => {
  it('are all listed, here and on their page', async () => {
    const files = (await readdir(examples, { recursive: true })).filter(
      (file) => /\.\w+$/.test(file) && file !== 'README.md',
    );
    const settings = files.filter((file) => file.startsWith('clients/'));
    assert.deepEqual(files.sort(), [...Object.keys(programs), ...settings].sort());
    const page = await readFile(new URL('README.md', examples), 'utf8');
    for (const file of files) assert.ok(page.includes(`[${file}](${file})`), file);
  });

  for (const [file, expected] of Object.entries(programs)) {
    it(`run: ${file}`, async (t) => {
      const interpreter = await interpreterOf(file);
      if ('missing' in interpreter) return t.skip(interpreter.missing);
      const printed = await output(interpreter.command, file, await gateway(t));
      for (const pattern of expected) assert.match(printed, pattern);
    });
  }

  it('of settings are of their format, and point at the gateway', async () => {
    for (const file of await readdir(new URL('clients/', examples))) {
      const text = await readFile(new URL(`clients/${file}`, examples), 'utf8');
      if (file.endsWith('.json')) assert.ok(JSON.parse(text), file);
      else if (file.endsWith('.yaml')) assert.ok(parse(text), file);
      else assert.match(text, /^\[[\w.]+\]$/m, file);
      assert.match(text, /http:\/\/(?:127\.0\.0\.1|host\.docker\.internal):11435/, file);
    }
  });
});
