/** Speaking with the gateway: events that come, and what is asked of it. All addresses are relative, so that tunnels and prefixes work. */
import { setLink, takeDelta, takeSnapshot } from './state.mjs';

const TOKEN = 'llamero.token';
/** The gateway says something every fifteen seconds; who is silent for so long is gone. */
const SILENCE_MS = 40_000;
const LONGEST_PAUSE_MS = 8000;

export function credential() {
  return sessionStorage.getItem(TOKEN) ?? '';
}

export function setCredential(token) {
  if (token === '') sessionStorage.removeItem(TOKEN);
  else sessionStorage.setItem(TOKEN, token);
}

function headers() {
  const token = credential();
  return token === '' ? {} : { authorization: `Bearer ${token}` };
}

/** Resolves with the answer; rejects with an Error whose message is for people, and whose `status` tells which. */
export async function ask(method, path, body) {
  const init = { method, headers: headers(), cache: 'no-store' };
  if (body !== undefined) {
    init.headers['content-type'] = 'application/json';
    init.body = JSON.stringify(body);
  }
  let answer;
  try {
    answer = await fetch(path, init);
  } catch {
    throw new Error('the gateway does not answer');
  }
  if (answer.ok) return answer.status === 204 ? null : answer.json();
  const told = await answer.json().catch(() => ({}));
  throw Object.assign(new Error(told.detail ?? `it answered ${answer.status}`), { status: answer.status });
}

/** Listens for ever. `refused` is called when a credential is asked for, and resolves when there is another. */
export async function listen(refused) {
  let pause = 500;
  for (;;) {
    try {
      const status = await hear(() => {
        pause = 500;
      });
      if (status === 401) await refused();
    } catch {
      // Lost, or not reached: it is tried again.
    }
    setLink('lost');
    await new Promise((resolve) => setTimeout(resolve, pause));
    pause = Math.min(LONGEST_PAUSE_MS, pause * 2);
  }
}

async function hear(heard) {
  const stop = new AbortController();
  let timer = setTimeout(() => stop.abort(), SILENCE_MS);
  try {
    const answer = await fetch('events', { headers: headers(), cache: 'no-store', signal: stop.signal });
    if (!answer.ok) return answer.status;
    const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
    let text = '';
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return 0;
      clearTimeout(timer);
      timer = setTimeout(() => stop.abort(), SILENCE_MS);
      const events = (text + value).split('\n\n');
      text = events.pop();
      for (const event of events) take(event);
      heard();
    }
  } finally {
    clearTimeout(timer);
    stop.abort();
  }
}

function take(event) {
  const lines = event.split('\n');
  const field = (name) => lines.find((line) => line.startsWith(`${name}: `))?.slice(name.length + 2);
  const data = field('data');
  if (data === undefined) return;
  if (field('event') === 'snapshot') takeSnapshot(JSON.parse(data));
  else takeDelta(JSON.parse(data));
  setLink('live');
}
