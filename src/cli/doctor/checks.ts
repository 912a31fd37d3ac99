/** Facts to findings, one function a fault. Each finding says what to do next. */
import { compareVersions } from '../../core/version.ts';
import { unanswered } from './unanswered.ts';
import type { BackendFacts, Facts, Finding } from './facts.ts';

/** In the order in which findings are shown. */
const checks: readonly ((facts: Facts) => readonly Finding[])[] = [
  noBackend,
  ports,
  loops,
  answers,
  duplicates,
  certificates,
  versions,
  digests,
  requirements,
  contexts,
  thrash,
  slots,
  clocks,
  openFiles,
];

/** Errors first. */
export function diagnose(facts: Facts): readonly Finding[] {
  const found = checks.flatMap((check) => check(facts));
  return [...found.filter(({ level }) => level === 'error'), ...found.filter(({ level }) => level === 'warning')];
}

function error(code: string, about: string, problem: string, fix: string): Finding {
  return { level: 'error', code, about, problem, fix };
}

function warning(code: string, about: string, problem: string, fix: string): Finding {
  return { level: 'warning', code, about, problem, fix };
}

function noBackend({ source }: Facts): Finding[] {
  if (source !== 'none') return [];
  return [
    error(
      'no-backend',
      'configuration',
      'names no backend, and no Ollama answers on this machine',
      'start one with `ollama serve`, or name yours: `--backend gpu1=http://HOST:11434`',
    ),
  ];
}

function ports({ admin, listen }: Facts): Finding[] {
  const found: Finding[] = [];
  const port = (address: string) => address.slice(address.lastIndexOf(':') + 1);
  if (listen.address === admin.address && port(listen.address) !== '0') {
    const fix = 'give one of them another port: `listen.address` is for clients, `admin.address` for operators';
    found.push(error('same-port', listen.address, 'is both `listen.address` and `admin.address`', fix));
  }
  for (const [option, { address, state }] of [
    ['listen', listen],
    ['admin', admin],
  ] as const) {
    const change = `or choose another with \`--${option} HOST:PORT\``;
    if (state === 'ollama') {
      const fix = `move that Ollama (\`OLLAMA_HOST=127.0.0.1:11434\` in its environment), ${change}`;
      found.push(error('port-taken', address, 'is the port of an Ollama already', fix));
    } else if (state === 'taken') {
      const fix = `find out who with \`ss -ltnp 'sport = :${port(address)}'\` and stop it, ${change}`;
      found.push(error('port-taken', address, 'is in use by another program', fix));
    } else if (state === 'forbidden') {
      const fix = `use a port from 1024 on, or give the program the right to a lower one (CAP_NET_BIND_SERVICE), ${change}`;
      found.push(error('port-forbidden', address, 'may not be listened on by this user', fix));
    } else if (state === 'not-ours') {
      const fix = `take 0.0.0.0 for all addresses of this machine, ${change}`;
      found.push(error('not-our-address', address, 'is not an address of this machine', fix));
    }
  }
  return found;
}

function loops({ backends, listen }: Facts): Finding[] {
  const port = listen.address.slice(listen.address.lastIndexOf(':'));
  const host = listen.address.slice(0, -port.length);
  const ours = [host, '127.0.0.1', '[::1]'].map((name) => `${name}${port}`);
  return backends
    .filter(({ addresses }) => port !== ':0' && addresses.some((address) => ours.includes(address)))
    .map(({ name }) =>
      error(
        'loop',
        name,
        'is the gateway itself: requests would go round in a circle',
        'give the address of the Ollama behind it; Ollama’s own port is 11434',
      ),
    );
}

function answers({ backends }: Facts): Finding[] {
  return backends.flatMap(({ answer, name, url }) => {
    if (answer.kind === 'ollama') return [];
    if (answer.kind === 'unanswered') return [{ level: 'error' as const, about: name, ...unanswered(url, answer) }];
    if (answer.kind === 'strange') {
      const fix = `open ${url}/api/version: it has to say {"version":…}. A web page there is often a proxy; give the Ollama’s own address`;
      return [error('not-ollama', name, 'answers, but not as an Ollama does', fix)];
    }
    return [refusal(name, url, answer)];
  });
}

function refusal(name: string, url: string, { asLocal, status }: { status: number; asLocal: number | null }): Finding {
  const { hostname } = new URL(url);
  if (status === 403 && asLocal === 200) {
    return error(
      'host-refused',
      name,
      `answers 403 to the name \`${hostname}\` and 200 to \`localhost\`: it is bound to its loopback address, behind a tunnel or a proxy`,
      'set OLLAMA_HOST=0.0.0.0 in the environment of that Ollama and restart it, or let the proxy send `Host: localhost`',
    );
  }
  if (status === 403) {
    return error(
      'origin-refused',
      name,
      'answers 403 under every name, though Llamero sends no Origin: something on the way adds one that this Ollama does not allow',
      'set OLLAMA_ORIGINS=* in the environment of that Ollama and restart it, or let the proxy in front of it drop `Origin`',
    );
  }
  if (status === 401) {
    const fix =
      'put the credential that its proxy wants in the backend’s URL (http://user:password@HOST), or go round that proxy';
    return error('credential', name, 'answers 401: it wants a credential', fix);
  }
  const fix = `\`curl -i ${url}/api/version\` shows what it says; a 404 is often a missing or wrong path in the URL`;
  return error('not-ollama', name, `answers ${status} where an Ollama tells its version`, fix);
}

function duplicates({ backends }: Facts): Finding[] {
  return pairs(backends).flatMap(([one, other]) => {
    const shared = one.addresses.find((address) => other.addresses.includes(address));
    const why = shared === undefined ? sameMemory(one, other) : `both are ${shared}`;
    if (why === null) return [];
    const about = `${one.name} and ${other.name}`;
    const fix = `remove one of them: the gateway would send that server twice what it can take`;
    return [error('duplicate', about, `are the same server: ${why}`, fix)];
  });
}

/** Models that are in memory until the very same nanosecond. */
function sameMemory(one: BackendFacts, other: BackendFacts): string | null {
  const marks = new Set((one.resident ?? []).map(({ expiresAt, name }) => `${name} ${expiresAt}`));
  const shared = (other.resident ?? []).find(
    ({ expiresAt, name }) => !isForever(expiresAt) && marks.has(`${name} ${expiresAt}`),
  );
  return shared === undefined ? null : `both have ${shared.name} in memory until ${shared.expiresAt}`;
}

/** Far-away ends are made of no clock, and whole seconds are no fingerprint. */
function isForever(expiresAt: string): boolean {
  return !/\.\d{4,}/.test(expiresAt) || Number(expiresAt.slice(0, 4)) > 2200;
}

const dayMs = 86_400_000;

function certificates({ backends, now }: Facts): Finding[] {
  return backends.flatMap(({ certificateEnds: ends, name }) => {
    if (ends === null || ends - now > 14 * dayMs) return [];
    const days = Math.max(0, Math.floor((ends - now) / dayMs));
    const problem = `has a certificate that ends in ${days} ${days === 1 ? 'day' : 'days'}`;
    return [warning('certificate-ends', name, problem, 'renew it before the backend goes down with it')];
  });
}

function versions({ backends }: Facts): Finding[] {
  const told = backends.flatMap(({ answer, name }) =>
    answer.kind === 'ollama' ? [{ name, version: answer.version }] : [],
  );
  const sorted = told.toSorted((a, b) => compareVersions(a.version, b.version));
  const newest = sorted.at(-1)?.version;
  const old = sorted.filter(({ version }) => version !== newest);
  if (old.length === 0) return [];
  const list = old.map(({ name, version }) => `${name} ${version}`).join(', ');
  const fix = `update ${old.map(({ name }) => name).join(', ')} to ${newest}: clients are told the oldest version, and the same request can be answered differently`;
  return [warning('version-skew', list, `older than the newest backend, ${newest}`, fix)];
}

function requirements({ backends, required }: Facts): Finding[] {
  if (backends.some(({ models }) => models === null)) return [];
  return required.flatMap(({ model, pulls, wanted }) => {
    const have = backends.filter(({ models }) => models?.some(({ name }) => name === model)).length;
    if (have >= wanted) return [];
    const problem = `is on ${have} ${have === 1 ? 'backend' : 'backends'}, and \`models.required\` wants ${wanted}`;
    const fix = pulls
      ? 'the gateway pulls it while it runs; its log says how that goes'
      : `pull it there (\`llamero pull ${model} --on BACKEND\`), or let the gateway do that: \`pull: true\``;
    return [warning('required-missing', model, problem, fix)];
  });
}

function digests({ backends }: Facts): Finding[] {
  const byModel = new Map<string, Map<string, string[]>>();
  for (const { models, name } of backends)
    for (const model of models ?? []) {
      const digestsOf = byModel.get(model.name) ?? new Map<string, string[]>();
      byModel.set(model.name, digestsOf.set(model.digest, [...(digestsOf.get(model.digest) ?? []), name]));
    }
  return [...byModel].flatMap(([model, found]) => {
    if (found.size < 2) return [];
    const list = [...found].map(([digest, names]) => `${digest.slice(0, 12)} on ${names.join(', ')}`).join('; ');
    const fix = `\`llamero pull ${model} --all\` gives every backend the newest; until then answers depend on where a request lands`;
    return [warning('digest-skew', model, `is another model on some backends: ${list}`, fix)];
  });
}

/** The same model with several contexts: each change of it is a load. */
function contexts({ backends, gateway }: Facts): Finding[] {
  const seen = new Map<string, Set<string>>();
  const note = (model: string, context: string) => seen.set(model, (seen.get(model) ?? new Set()).add(context));
  for (const { resident } of backends)
    for (const { contextLength, name } of resident ?? []) if (contextLength !== null) note(name, String(contextLength));
  for (const { model, options } of gateway?.runners ?? []) {
    const context = /"?num_ctx"?\s*[:=]\s*(\d+)/.exec(options)?.[1];
    if (context !== undefined) note(model, context);
  }
  return [...seen].flatMap(([model, found]) => {
    if (found.size < 2) return [];
    const sizes = [...found].map(Number).sort((a, b) => a - b);
    const problem = `is loaded with different contexts (num_ctx ${sizes.join(', ')}): a request for another one reloads it for everybody`;
    const fix = `settle on one: \`models: {rules: [{match: ["${model}"], numCtx: ${sizes.at(-1)}}]}\` in the configuration, or the same num_ctx in every client`;
    return [warning('num-ctx', model, problem, fix)];
  });
}

/** Loads a minute above which a backend does little else. */
const thrashPerMinute = 2;

function thrash({ gateway }: Facts): Finding[] {
  if (gateway === null || gateway.uptimeMs < 60_000) return [];
  const byBackend = new Map<string, number>();
  for (const { backend, count } of gateway.loads) byBackend.set(backend, (byBackend.get(backend) ?? 0) + count);
  return [...byBackend].flatMap(([backend, count]) => {
    const rate = count / (gateway.uptimeMs / 60_000);
    if (rate <= thrashPerMinute || count < 10) return [];
    const problem = `has loaded models ${rate.toFixed(1)} times a minute since the gateway started: they push each other out of memory`;
    const fix =
      'give it fewer models (`models` of the backend), more memory, or add a backend; OLLAMA_KEEP_ALIVE longer there';
    return [warning('thrash', backend, problem, fix)];
  });
}

function slots({ backends, gateway }: Facts): Finding[] {
  return backends.flatMap(({ name, told }) => {
    const bounds = (gateway?.runners ?? []).flatMap(({ backend, slotsAtMost }) =>
      backend === name && slotsAtMost !== null ? [slotsAtMost] : [],
    );
    if (told === null || bounds.length === 0 || Math.max(...bounds) >= told) return [];
    const most = Math.max(...bounds);
    const problem = `is told to take ${told} requests at once, and those beyond ${most} have had to wait inside it`;
    const fix = `set OLLAMA_NUM_PARALLEL=${told} in its environment if its GPU has room, or \`parallel: ${most}\` here; left out, it is learnt`;
    return [warning('slots', name, problem, fix)];
  });
}

/** Below this, a clock's second and the way there may be all it is. */
const noticeableSkewMs = 5000;

function clocks({ backends }: Facts): Finding[] {
  return backends.flatMap(({ name, skewMs }) => {
    if (skewMs === null || Math.abs(skewMs) < noticeableSkewMs) return [];
    const seconds = Math.round(Math.abs(skewMs) / 1000);
    const problem = `has a clock that is ${seconds} s ${skewMs < 0 ? 'behind' : 'ahead of'} this machine’s`;
    const fix =
      'let both follow a time server (`timedatectl set-ntp true`): expiry times, logs and certificates are read by it';
    return [warning('clock', name, problem, fix)];
  });
}

function openFiles({ filesNeeded, openFiles: limit }: Facts): Finding[] {
  if (limit === null || limit >= filesNeeded) return [];
  const problem = `lets a process open ${limit} files; ${filesNeeded} are needed for as many requests as may run and wait`;
  const fix = `\`ulimit -n 65536\` in the shell that starts the gateway, LimitNOFILE=65536 in its systemd unit`;
  return [warning('open-files', 'this system', problem, fix)];
}

function pairs<T>(list: readonly T[]): [T, T][] {
  return list.flatMap((one, index) => list.slice(index + 1).map((other): [T, T] => [one, other]));
}
