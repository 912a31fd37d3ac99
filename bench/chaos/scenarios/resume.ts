/**
 * G22: streams are lost at a random chunk while resume is on. The backends are simulated Ollamas, which say the same to the same
 * request and go on from wherever an answer has been begun; so the other one, asked directly, is the oracle.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { freePort } from '../../proxies/proxy.ts';
import { Gateway } from '../gateway.ts';
import { oneOf, seeded } from '../luck.ts';
import { bar, type Finding, type Scenario } from '../scenario.ts';

type Json = Readonly<Record<string, unknown>>;

interface Wanted {
  readonly path: '/api/chat' | '/api/generate' | '/v1/chat/completions';
  readonly body: Json;
  /** Whether it may be gone on with. */
  readonly plain: boolean;
}

interface Heard {
  readonly text: string;
  /** Frames before the last one. */
  readonly frames: number;
  readonly markers: number;
  readonly hasError: boolean;
  readonly resumed: boolean;
}

/** One request in so many asks for something that can't be gone on with. */
const EXCLUDED_EVERY = 10;

const config = `
resume: {enabled: true}
policy: weighted
health: {ejectAfter: 1000000, ejectRatio: 1, ejectMinimum: 1000000}
breaker: {failureRatio: 1, minimumVerdicts: 1000000}
quarantine: {after: 0}
retry: {budget: 1, budgetFloor: 1000000}
overload: {loopDelay: 0}
`;

export const resume: Scenario = {
  id: 'G22',
  title: 'streams lost at a random chunk, with resume on',
  async run({ directory, program, quick, seed }) {
    mkdirSync(directory, { recursive: true });
    const doomed = await Simulated.start();
    const other = await Simulated.start();
    const lines = [
      `  - {name: doomed, url: '${doomed.url}', slots: 8, weight: 1000}`,
      `  - {name: other, url: '${other.url}', slots: 8, weight: 1}`,
    ];
    const whole = `backends:\n${lines.join('\n')}\n${config}`;
    const gateway = await Gateway.start({ directory, config: whole, ...(program !== undefined && { program }) });
    try {
      return await play({ doomed, other, gateway, luck: seeded(seed) }, quick ? 100 : 1000);
    } finally {
      await gateway.stop();
      await doomed.stop();
      await other.stop();
    }
  },
};

interface Scene {
  readonly doomed: Simulated;
  readonly other: Simulated;
  readonly gateway: Gateway;
  readonly luck: () => number;
}

async function play({ doomed, other, gateway, luck }: Scene, kills: number): Promise<Finding> {
  const counts = { plain: 0, excluded: 0, same: 0, wholes: 0, told: 0, wrongly: 0, asked: 0 };
  const wrong: string[] = [];
  const url = `http://127.0.0.1:${gateway.port}`;
  while (counts.plain < kills) {
    const wanted = want((counts.asked += 1), luck);
    const oracle = await hear(other.url, wanted);
    // When all that was asked for has been said, there is nothing to go on with but the last frame.
    const places = oracle.frames === limitOf(wanted) ? oracle.frames : oracle.frames + 1;
    await doomed.cutNext(Math.floor(luck() * places), oneOf(['cut', 'truncate'] as const, luck));
    const heard = await hear(url, wanted);
    // Now and then the other one gets the request itself, and nothing is cut.
    if (!(await doomed.hasCut())) continue;
    if (wanted.plain) {
      counts.plain += 1;
      if (heard.text === oracle.text) counts.same += 1;
      else wrong.push(`${wanted.path}: ${JSON.stringify(heard.text)}, not ${JSON.stringify(oracle.text)}`);
      if (heard.markers === 1 && heard.resumed && !heard.hasError) counts.wholes += 1;
    } else {
      counts.excluded += 1;
      if (heard.hasError && heard.markers === 0 && oracle.text.startsWith(heard.text)) counts.told += 1;
      if (heard.resumed) counts.wrongly += 1;
    }
  }
  const { plain, excluded, same, wholes, told, wrongly, asked } = counts;
  const counted = await resumes(gateway);
  return {
    bars: [
      bar(same === plain, `${same} of ${plain} texts are the oracle's`),
      bar(wholes === plain, `${wholes} of ${plain} end with one marker, say that they were resumed, and have no error`),
      bar(wrongly === 0, `${wrongly} of ${excluded} streams of excluded kinds were resumed (0)`),
      bar(told === excluded, `${told} of ${excluded} of them end with the error and nothing wrong before it`),
      bar(
        counted['resumed'] === plain && counted['ineligible'] === excluded,
        `the metric says ${counted['resumed']} resumed, ${counted['ineligible']} ineligible, ${counted['failed']} failed`,
      ),
    ],
    figures: [`${asked} requests`, ...wrong.slice(0, 5)],
    violations: [],
    events: [],
  };
}

function want(number: number, luck: () => number): Wanted {
  const prompt = `Number ${number}: say ${Math.floor(luck() * 1e9)} words.`;
  const messages = [{ role: 'user', content: prompt }];
  const options = luck() < 0.3 ? { num_predict: 20 + Math.floor(luck() * 40) } : {};
  const chat = { path: '/api/chat', body: { model: 'tiny', messages, options } } as const;
  const generate = { path: '/api/generate', body: { model: 'tiny', prompt, options } } as const;
  const openai = { path: '/v1/chat/completions', body: { model: 'tiny', messages, stream: true } } as const;
  if (number % EXCLUDED_EVERY !== 0) return { ...oneOf([chat, generate, openai], luck), plain: true };
  const [to, more] = oneOf(
    [
      [chat, { format: 'json' }],
      [chat, { logprobs: true }],
      [generate, { raw: true }],
      [openai, { response_format: { type: 'json_object' } }],
      [openai, { n: 2 }],
    ] as const,
    luck,
  );
  return { path: to.path, body: { ...to.body, ...more }, plain: false };
}

function limitOf({ body }: Wanted): unknown {
  return (body['options'] as Json | undefined)?.['num_predict'];
}

async function hear(url: string, { path, body }: Wanted): Promise<Heard> {
  const answer = await fetch(url + path, { method: 'POST', body: JSON.stringify(body) });
  const chunks: Uint8Array[] = [];
  try {
    for await (const chunk of answer.body!) chunks.push(chunk);
  } catch {
    // Cut: what has come until then is looked at.
  }
  const lines = Buffer.concat(chunks).toString('utf8').split('\n').filter(Boolean);
  const values = lines.map((line) => read(line.replace(/^data: /, '')));
  const isLast = (value: Json) => value['done'] === true || finishOf(value) !== null;
  return {
    text: values.map(textOf).join(''),
    frames: values.findIndex(isLast),
    markers: values.filter((value) => value['done'] === true).length,
    hasError: values.some((value) => 'error' in value),
    resumed: values.some((value) => 'llamero' in value),
  };
}

/** `[DONE]` is read as NDJSON's marker is. */
function read(line: string): Json {
  if (line === '[DONE]') return { done: true };
  try {
    return JSON.parse(line) as Json;
  } catch {
    return {};
  }
}

interface Choice {
  readonly delta: Json;
  readonly finish_reason: string | null;
}

function choiceOf(value: Json): Choice | undefined {
  return (value['choices'] as readonly Choice[] | undefined)?.[0];
}

function finishOf(value: Json): string | null {
  return choiceOf(value)?.finish_reason ?? null;
}

function textOf(value: Json): string {
  const said = choiceOf(value)?.delta ?? (value['message'] as Json | undefined) ?? value;
  const text = said['content'] ?? said['response'];
  return typeof text === 'string' ? text : '';
}

async function resumes({ adminPort }: Gateway): Promise<Record<string, number>> {
  const text = await (await fetch(`http://127.0.0.1:${adminPort}/metrics`)).text();
  const samples = text.matchAll(/^llamero_resumes_total\{outcome="(\w+)"\} (\d+)$/gm);
  return Object.fromEntries([...samples].map(([, outcome, count]) => [outcome!, Number(count)]));
}

/** A simulated Ollama as a process of its own. */
class Simulated {
  readonly url: string;
  readonly #child: ChildProcess;

  private constructor(port: number) {
    this.url = `http://127.0.0.1:${port}`;
    const main = fileURLToPath(import.meta.resolve('../../../src/main.ts'));
    const flags = ['--port', `${port}`, '--models', 'tiny', '--slots', '8', '--load-time', '0', '--seed', '7'];
    const fast = ['--tokens-per-second', '20000', '--speed', '10'];
    this.#child = spawn(process.execPath, [main, 'simulate', ...flags, ...fast], { stdio: 'ignore' });
  }

  static async start(): Promise<Simulated> {
    const simulated = new Simulated(await freePort());
    for (let attempt = 0; attempt < 200; attempt += 1) {
      try {
        await (await fetch(`${simulated.url}/api/version`)).arrayBuffer();
        return simulated;
      } catch {
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
    }
    throw new Error('a simulated Ollama does not start');
  }

  /** The next answer to a POST is cut, or ends early, after so many chunks. */
  async cutNext(afterChunks: number, kind: 'cut' | 'truncate'): Promise<void> {
    const faults = `${this.url}/__sim/faults`;
    await (await fetch(faults, { method: 'DELETE' })).arrayBuffer();
    const fault = { kind, afterChunks, times: 1, method: 'POST' };
    await (await fetch(faults, { method: 'POST', body: JSON.stringify(fault) })).arrayBuffer();
  }

  async hasCut(): Promise<boolean> {
    return ((await (await fetch(`${this.url}/__sim/faults`)).json()) as unknown[]).length === 0;
  }

  async stop(): Promise<void> {
    const gone = once(this.#child, 'exit');
    this.#child.kill('SIGKILL');
    await gone;
  }
}
