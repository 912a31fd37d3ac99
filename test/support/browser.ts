/** A headless Chromium, where there is one. */
import { accessSync, constants } from 'node:fs';
import { delimiter, join } from 'node:path';
import { chromium, type Browser } from 'playwright-core';
import type { Closer } from './closer.ts';

const names = ['chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable'];

/** Silent by itself: nothing is asked of anybody but the pages that are opened. */
const args = [
  '--headless',
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];

/** Null when there is none. */
export function chromiumPath(): string | null {
  const named = process.env['LLAMERO_CHROMIUM'];
  if (named !== undefined && named !== '') return named;
  const folders = (process.env['PATH'] ?? '').split(delimiter);
  return folders.flatMap((folder) => names.map((name) => join(folder, name))).find(isExecutable) ?? null;
}

/** Why there is no browser, or the browser; closed with the closer. */
export async function openBrowser(closer: Closer): Promise<Browser | string> {
  const executablePath = chromiumPath();
  if (executablePath === null) return 'there is no Chromium in PATH; LLAMERO_CHROMIUM can name one';
  const browser = await chromium.launch({ executablePath, args, timeout: 90_000 });
  closer.after(() => browser.close());
  return browser;
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
