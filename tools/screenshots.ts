/**
 * Takes the pictures of the page that the documentation shows: `npm run screenshots`. A small fleet of simulated Ollamas, clients that
 * ask it things, and a headless Chromium that looks. Needs one: in PATH, or named by LLAMERO_CHROMIUM.
 */
import { mkdirSync } from 'node:fs';
import { request } from 'node:http';
import { setTimeout } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import type { Page } from 'playwright-core';
import packageFile from '../package.json' with { type: 'json' };
import { createSimulatedOllama } from '../src/simulator/server.ts';
import type { SimulatorOptions } from '../src/simulator/options.ts';
import { realSystem } from '../src/system.ts';
import { openBrowser } from '../test/support/browser.ts';
import { withCloser, type Closer } from '../test/support/closer.ts';
import { startGateway, type Gateway } from '../test/support/gateway.ts';

const GiB = 1024 ** 3;
const folder = new URL('../docs/images/', import.meta.url);

/** Contexts as people set them, so that several models fit beside each other. */
const model = (name: string, more: object = {}) => ({ name, contextLength: 8192, ...more });

const machines: readonly (Partial<SimulatorOptions> & { readonly name: string; readonly memory: string })[] = [
  {
    name: 'gpu1',
    memory: '24GiB',
    vramBytes: 24 * GiB,
    models: ['llama3.1:8b', 'qwen3:8b', 'gemma3:12b', 'nomic-embed-text', 'deepseek-r1:14b'].map((name) => model(name)),
    slots: 4,
    tokensPerSecond: 78,
  },
  {
    name: 'gpu2',
    memory: '16GiB',
    vramBytes: 16 * GiB,
    models: [
      ...['llama3.1:8b', 'qwen3:8b', 'nomic-embed-text'].map((name) => model(name)),
      model('gemma3:12b', { revision: 'older' }),
    ],
    slots: 2,
    tokensPerSecond: 52,
  },
  {
    name: 'mac-studio',
    memory: '64GiB',
    vramBytes: 64 * GiB,
    models: ['llama3.3:70b', 'qwen3:8b', 'deepseek-r1:14b', 'mistral-small:24b'].map((name) => model(name)),
    slots: 2,
    tokensPerSecond: 24,
  },
];

interface Client {
  readonly address: string;
  readonly model: string;
  readonly path: string;
  /** How many at a time. */
  readonly at: number;
  readonly pauseMs: number;
}

const clients: readonly Client[] = [
  { address: '127.0.0.11', model: 'llama3.1:8b', path: '/api/chat', at: 4, pauseMs: 300 },
  { address: '127.0.0.12', model: 'qwen3:8b', path: '/v1/chat/completions', at: 3, pauseMs: 900 },
  { address: '127.0.0.13', model: 'llama3.3:70b', path: '/v1/messages', at: 4, pauseMs: 100 },
  { address: '127.0.0.14', model: 'nomic-embed-text', path: '/api/embed', at: 1, pauseMs: 4000 },
  { address: '127.0.0.15', model: 'gemma3:12b', path: '/api/chat', at: 1, pauseMs: 60_000 },
];

async function startFleet(closer: Closer): Promise<Gateway> {
  const backends = [];
  for (const [index, { memory, ...options }] of machines.entries()) {
    const ollama = await createSimulatedOllama(
      {
        loadMs: 1500,
        prefillTokensPerSecond: 900,
        pullBytesPerSecond: 120_000_000,
        sharing: 0.3,
        seed: index,
        ...options,
      },
      realSystem,
    );
    closer.after(() => ollama.close());
    backends.push({ url: ollama.url, name: options.name, memory });
  }
  backends.push({ url: 'http://127.0.0.1:9', name: 'old-laptop' });
  return startGateway(closer, backends, {
    config: 'timeouts: {connect: 200ms}\n',
    version: packageFile.version,
  });
}

/** Asks again and again until it is told to stop. */
async function keepAsking({ port }: Gateway, client: Client, signal: AbortSignal): Promise<void> {
  let number = 0;
  while (!signal.aborted) {
    number += 1;
    const prompt = `Tell me about the ${number}th llama, and what it thought of ${client.model}. `.repeat(
      1 + (number % 9) * 4,
    );
    const messages = [{ role: 'user', content: prompt }];
    const body =
      client.path === '/api/embed'
        ? { model: client.model, input: prompt }
        : { model: client.model, messages, stream: true, max_tokens: 200 };
    await send(port, client, JSON.stringify(body), signal).catch(() => {});
    await setTimeout(client.pauseMs, null, { signal }).catch(() => {});
  }
}

function send(port: number, { address, path }: { address: string; path: string }, body: string, signal: AbortSignal) {
  return new Promise<void>((resolve, reject) => {
    const asked = request({ port, path, method: 'POST', localAddress: address, signal }, (answer) => {
      answer.on('error', reject);
      answer.on('end', resolve);
      answer.resume();
    });
    asked.on('error', reject);
    asked.end(body);
  });
}

async function shoot(page: Page, name: string): Promise<void> {
  await page.screenshot({ path: fileURLToPath(new URL(`${name}.png`, folder)), animations: 'disabled' });
}

await withCloser(async (closer) => {
  mkdirSync(folder, { recursive: true });
  const browser = await openBrowser(closer);
  if (typeof browser === 'string') throw new Error(browser);
  const gateway = await startFleet(closer);
  const page = await browser.newPage({ viewport: { width: 1280, height: 1010 }, colorScheme: 'light' });
  await page.goto(`${gateway.adminUrl}/gateway/`);
  const stop = new AbortController();
  const asking = clients.flatMap((client) =>
    Array.from({ length: client.at }, () => keepAsking(gateway, client, stop.signal)),
  );
  closer.after(async () => {
    stop.abort();
    await Promise.all(asking);
  });
  await setTimeout(60_000);
  await fetch(`${gateway.adminUrl}/gateway/backends/gpu2/pull`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ model: 'phi4:14b' }),
  });
  await setTimeout(4000);
  await shoot(page, 'page-light');
  await page.emulateMedia({ colorScheme: 'dark' });
  await setTimeout(700);
  await shoot(page, 'page-dark');
  await page.goto(`${gateway.adminUrl}/gateway/#requests`);
  await page.locator('#history tbody tr', { hasText: 'llama3.1' }).first().click();
  await page.locator('.candidates').waitFor();
  await page.mouse.move(0, 0);
  await setTimeout(300);
  await page.setViewportSize({ width: 1280, height: 620 });
  await shoot(page, 'page-requests');
  await page.emulateMedia({ colorScheme: 'light' });
  await page.goto(`${gateway.adminUrl}/gateway/#models`);
  await page.locator('.matrix .dot.resident').first().waitFor();
  await page.setViewportSize({ width: 1280, height: 520 });
  await shoot(page, 'page-models');
});
