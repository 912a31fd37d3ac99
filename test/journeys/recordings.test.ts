import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { SimulatedOllama } from '../../src/simulator/server.ts';
import { startGateway, type Gateway } from '../support/gateway.ts';
import {
  differences,
  loadRecordings,
  requestBytes,
  sendBytes,
  type Difference,
  type Recording,
  type WireAnswer,
} from '../support/recordings.ts';
import { arrange, replaced, setStages } from '../support/stages.ts';

/** What an answer through the gateway may have beside the backend's own fields. */
const added: ReadonlySet<string> = new Set([
  'X-Request-Id',
  'X-Llamero-Backend',
  'X-Llamero-Route',
  'X-Llamero-Attempts',
  'X-Llamero-Cache',
  'X-Accel-Buffering',
]);

/** What may differ between the direct answer and the one through the gateway, where, and why. */
const tolerated: readonly {
  readonly why: string;
  readonly at: RegExp;
  readonly cases?: RegExp;
  readonly direct?: RegExp;
  readonly through?: RegExp;
}[] = [
  { why: 'the clock', at: /^header Date$/ },
  { why: 'the clock', at: /\.(?:created_at|modified_at|expires_at|created|completed_at)$/ },
  { why: 'the clock', at: /\.(?:total|load|prompt_eval|eval)_duration$/ },
  { why: 'Ollama draws these ids at random', at: /\.(?:id|item_id)$/ },
  {
    why: 'the gateway’s own request id stands in errors that the gateway says',
    at: /\.request_id$/,
    direct: /^req_/,
    through: /^req_/,
  },
  {
    why: 'lengths follow from clocks and ids',
    at: /^header Content-Length$/,
    cases: /^(?:tags|ps|show|v1\.|generate|chat|embed)/,
    direct: /^\d+$/,
    through: /^\d+$/,
  },
  {
    why: 'a backend that is busy is worth another try, and clients that read Retry-After wait for it',
    at: /^header Retry-After$/,
    cases: /^busy\./,
    direct: /^undefined$/,
    through: /^1$/,
  },
  {
    why: 'Connection is between two neighbours',
    at: /^header Connection$/,
    cases: /^v1\.(?:messages|responses)|^(?:timed|crash|busy|runner-500)\.v1\./,
    direct: /^keep-alive$/,
    through: /^undefined$/,
  },
  {
    why: 'more fields are allowed to pages than Ollama allows',
    at: /^header Access-Control-Allow-Headers$/,
    cases: /^preflight$/,
    direct: /X-Stainless-Timeout$/,
    through: /X-Stainless-Timeout,X-Api-Key,/,
  },
  {
    why: 'a path with a slash too many is served, not redirected',
    at: /^(?:status|framing|ended|number of chunks|header (?:Location|Content-Type|Content-Length|Transfer-Encoding))$/,
    cases: /^route\.(?:double-slash|trailing-slash)$/,
  },
  {
    why: 'the loss of a runner, which Ollama keeps quiet about on /v1, is told in the stream, and the stream is cut',
    at: /^(?:ended|chunk 0 frames)$/,
    cases: /^crash\.v1\./,
  },
];

/** The direct answer as if it had been recorded. */
function asRecorded(recording: Recording, answer: WireAnswer): Recording {
  const { statusLine, ...rest } = joined(answer);
  return {
    ...recording,
    response: { ...rest, status_line: statusLine, chunks: rest.chunks.map((data) => ({ data })) },
  };
}

/** With its body in one piece: where chunks begin is nobody's promise. Fields are compared apart, without their order. */
function joined(answer: WireAnswer): WireAnswer {
  return { ...answer, headers: [], chunks: answer.chunks.length > 1 ? [answer.chunks.join('')] : answer.chunks };
}

function fieldDifferences(direct: WireAnswer, through: WireAnswer): Difference[] {
  const values = ({ headers }: WireAnswer, name: string) =>
    headers.filter(([each]) => each === name).map(([, value]) => value);
  const names = [...new Set([...direct.headers, ...through.headers].map(([name]) => name))];
  return names
    .filter((name) => !added.has(name))
    .map((name) => ({
      at: `header ${name}`,
      recorded: values(direct, name).join() || undefined,
      answered: values(through, name).join() || undefined,
    }))
    .filter(({ recorded, answered }) => recorded !== answered);
}

/** Until the gateway's list of what is in memory is the backend's. */
async function untilKnown(gateway: Gateway, { url }: SimulatedOllama): Promise<void> {
  const ps = async (from: string) => (await fetch(`${from}/api/ps`)).text();
  const plain = (text: string) => text.replace(/(T\d\d:\d\d:)[\d.]+Z/g, '$1Z');
  const wanted = plain(await ps(url));
  while (plain(await ps(gateway.url)) !== wanted);
}

describe('the recordings, sent to a simulator and to a gateway in front of another', () => {
  it('get the same bytes but for what is named', async (t) => {
    const [direct, behind] = [await setStages(), await setStages()];
    t.after(() => Promise.all([direct.close(), behind.close()]));
    const gateways = new Map<SimulatedOllama, Gateway>();
    for (const simulated of [behind.empty, behind.scripted, behind.busy]) {
      gateways.set(simulated, await startGateway(t, [{ url: simulated.url, name: 'sim' }]));
    }
    const used = new Set<string>();
    const recordings = loadRecordings();
    assert.equal(recordings.length, 125);
    for (const recording of recordings) {
      await t.test(recording.name, async () => {
        const { method, path } = recording.request;
        const bytes = requestBytes(recording, replaced);
        const simulated = behind.of(recording);
        const gateway = gateways.get(simulated)!;
        arrange(recording, direct.of(recording));
        arrange(recording, simulated);
        if (path === '/api/ps' && method === 'GET') await untilKnown(gateway, simulated);
        const one = await sendBytes(direct.of(recording).port, bytes, method);
        const other = await sendBytes(gateway.port, bytes, method);
        const unexplained = [
          ...differences(asRecorded(recording, one), joined(other)),
          ...fieldDifferences(one, other),
        ].filter((difference) => {
          const excuse = tolerated.find(
            (each) =>
              each.at.test(difference.at) &&
              (each.cases?.test(recording.name) ?? true) &&
              (each.direct?.test(String(difference.recorded)) ?? true) &&
              (each.through?.test(String(difference.answered)) ?? true),
          );
          if (excuse !== undefined) used.add(excuse.why);
          return excuse === undefined;
        });
        assert.deepEqual(unexplained, []);
      });
    }
    assert.deepEqual(
      tolerated.map(({ why }) => why).filter((why) => !used.has(why)),
      [],
    );
  });
});
