/** The page in a real browser: one browser, one start, everything it is for. */
import assert from 'node:assert/strict';
import { describe, it, type TestContext } from 'node:test';
import type { Page } from 'playwright-core';
import { chromiumPath, openBrowser } from '../support/browser.ts';
import { chatLine, fakeOllama, startStream } from '../support/fake-ollama.ts';
import { startGateway, type Gateway } from '../support/gateway.ts';

const token = 'correct-horse-battery';
const patience = { timeout: 60_000 };
const skip = chromiumPath() === null ? 'there is no Chromium in PATH; LLAMERO_CHROMIUM can name one' : false;
/** A text that would be more than a text to whoever does not treat it as text. */
const hostile = '"><img/src=x/onerror=document.title="owned">';

async function openPage(
  t: TestContext,
  gateway: Gateway,
): Promise<{ page: Page; complaints: string[]; asked: string[] }> {
  const browser = await openBrowser(t);
  if (typeof browser === 'string') throw new Error(browser);
  const page = await browser.newPage();
  page.setDefaultTimeout(patience.timeout);
  const complaints: string[] = [];
  const asked: string[] = [];
  page.on('console', (message) => {
    if (message.type() === 'error' || message.type() === 'warning') complaints.push(message.text());
  });
  page.on('pageerror', (error) => complaints.push(String(error)));
  page.on('request', (request) => asked.push(request.url()));
  const answer = await page.goto(`${gateway.adminUrl}/gateway`);
  assert.equal(answer?.status(), 200);
  return { page, complaints, asked };
}

describe('the page, in Chromium', { skip }, () => {
  it('shows what happens as it happens, and does what it is told', async (t) => {
    const two = await fakeOllama(t, { version: hostile });
    const one = await fakeOllama(t, { digest: 'e'.repeat(64), models: ['tiny:latest'] });
    const config = `policy: round-robin\nadmin: {address: '127.0.0.1:0', token: ${token}}\n`;
    const gateway = await startGateway(t, [one, two], { config, simulated: ['b2'] });
    const { asked, complaints, page } = await openPage(t, gateway);
    const card = (name: string) => page.locator(`[data-backend="${name}"]`);

    // First paint: what is there, the made-up marked as such, and hostile text as text.
    await page.locator('#link.live').waitFor();
    await card('b1').locator('.state', { hasText: 'up' }).waitFor();
    assert.equal(await card('b1').locator('.badge').isVisible(), false);
    assert.equal(await card('b2').locator('.badge').isVisible(), true);
    assert.match((await page.locator('#simulated').textContent()) ?? '', /^SIMULATED b2/);
    await card('b2').locator('.facts', { hasText: hostile }).waitFor();

    // A request while it runs, and when it has ended, without anybody asking.
    const running = Promise.withResolvers<() => void>();
    one.handler = two.handler = (next) => {
      startStream(next);
      next.response.write(chatLine('a').repeat(5));
      running.resolve(() => next.response.end(chatLine('', true)));
    };
    const answer = gateway.chat({}, { headers: { 'x-request-id': hostile } });
    const finish = await running.promise;
    const row = page.locator('#active tbody tr', { hasText: 'streaming' });
    await row.locator('td', { hasText: /^5$/ }).waitFor();
    finish();
    await (await answer).text();
    const finished = page.locator('#latest tbody tr', { hasText: 'tiny' });
    await finished.waitFor();
    await page.locator('#active .none').waitFor();
    await finished.click();
    await page.locator('.told .figures', { hasText: hostile }).waitFor();

    // An action by click, with the credential, and back by keyboard.
    await page.locator('#credential').click();
    await page.locator('#dialog input').fill(token);
    await page.locator('#dialog button.main').click();
    const drain = card('b1').locator('button.drain');
    await drain.click();
    await card('b1').locator('.state', { hasText: 'draining' }).waitFor();
    assert.equal(gateway.app.view()[0]?.state, 'draining');
    await drain.focus();
    await page.keyboard.press('Enter');
    await card('b1').locator('.state', { hasText: 'up' }).waitFor();

    // The other views, by their keys.
    await page.keyboard.press('3');
    await page.locator('.matrix .dot.differs').first().waitFor();
    await page.keyboard.press('/');
    await page.keyboard.type('nothing like it');
    await page.locator('#matrix .none').waitFor();
    await page.locator('#views a[href="#config"]').click();
    await page.locator('#config .options', { hasText: 'round-robin' }).waitFor();
    await page.locator('#log-level').selectOption('debug');
    await page.locator('.toast', { hasText: 'debug' }).waitFor();

    assert.ok(!JSON.stringify(await page.evaluate('({ ...localStorage })')).includes(token));
    assert.notEqual(await page.title(), 'owned');
    assert.deepEqual(complaints, []);
    assert.deepEqual(
      asked.filter((url) => !url.startsWith(`${gateway.adminUrl}/gateway`) && !url.startsWith('data:')),
      [],
    );
  });
});
