/** What is tried with every client: the columns of both tables. */
import type { Fault } from '../../src/simulator/faults.ts';
import type { SimulatedOllama } from '../../src/simulator/server.ts';
import type { Call } from './client.ts';
import { chatModel, embeddingModel, thinkingModel } from './stage.ts';
import { tolerances, type Tolerance } from './tolerated.ts';

export interface Step {
  readonly call: Call;
  readonly model: string;
}

export interface Column {
  readonly name: string;
  /** Those that a client has no call for are left out. */
  readonly steps: readonly Step[];
  /** How each call ends through the gateway, and of an Ollama unless a tolerance says otherwise. */
  readonly ends: 'answered' | 'raised' | 'left';
  /** Whether the client has to have seen some of the answer through the gateway before it raises. */
  readonly midStream?: true;
  /** Done to each backend before. */
  readonly prepare?: (backend: SimulatedOllama) => unknown;
  readonly tolerates?: readonly Tolerance[];
  /** An Ollama would hang, so that only the gateway is tried. */
  readonly gatewayOnly?: true;
  /** YAML of the gateway. */
  readonly config?: string;
}

const unknown = 'no-such-model';
/** What Ollama says when OLLAMA_MAX_QUEUE is reached. */
const busyText = 'server busy, please try again.  maximum pending requests exceeded';
const chat: Step = { call: 'chat', model: chatModel };
const stream: Step = { call: 'stream', model: chatModel };

function has(...faults: readonly Fault[]): (backend: SimulatedOllama) => void {
  return ({ control }) => {
    for (const fault of faults) control.faults.add(fault);
  };
}

/** Slow enough that what a backend has sent is with its reader when the backend dies. */
const paced: Fault = { kind: 'slow', delayMs: 3 };
const crashes = has({ kind: 'crash', afterChunks: 6 }, paced);

/** The connection is refused from now on, and the gateway has not noticed yet. */
function refuses({ control }: SimulatedOllama): Promise<void> {
  return control.refuse();
}

const { ended, raised, told, torn } = tolerances;

/** Otherwise a request waits for a backend to come back. */
const noWaiting = 'queue: {waitForBackend: false}\n';
const down = { steps: [stream], ends: 'raised', prepare: refuses, tolerates: [told], config: noWaiting } as const;

export const uses: readonly Column[] = [
  { name: 'list', steps: [{ call: 'list', model: '' }], ends: 'answered' },
  {
    name: 'show',
    steps: [
      { call: 'show', model: chatModel },
      { call: 'show', model: embeddingModel },
    ],
    ends: 'answered',
  },
  { name: 'chat', steps: [chat, { call: 'chat', model: thinkingModel }], ends: 'answered' },
  { name: 'generate', steps: [{ call: 'generate', model: chatModel }], ends: 'answered' },
  { name: 'embed', steps: [{ call: 'embed', model: embeddingModel }], ends: 'answered' },
  { name: 'stream', steps: [stream, { call: 'stream', model: thinkingModel }], ends: 'answered' },
  { name: 'tool call', steps: [{ call: 'tools', model: chatModel }], ends: 'answered' },
  {
    name: 'abort',
    steps: [{ call: 'leave', model: chatModel }],
    ends: 'left',
    prepare: has({ kind: 'hang-mid-stream', afterChunks: 8 }),
  },
  {
    name: '404',
    steps: (['show', 'chat', 'generate', 'embed', 'stream'] as const).map((call) => ({ call, model: unknown })),
    ends: 'raised',
  },
  {
    name: '503',
    steps: [chat, stream, { call: 'generate', model: chatModel }, { call: 'embed', model: embeddingModel }],
    ends: 'raised',
    prepare: has({ kind: 'status', status: 503, text: busyText }),
  },
  { ...down, name: 'down', steps: [chat, stream] },
  {
    name: 'crash',
    steps: [stream],
    ends: 'raised',
    midStream: true,
    prepare: crashes,
    tolerates: [told],
  },
];

const impatient = 'timeouts: {firstByte: 400ms, firstByteWarm: 400ms, idle: 400ms}\n';

/** Fails before the first byte. */
function fails(name: string, fault: Fault): Column {
  return { name, steps: [stream], ends: 'raised', prepare: has(fault), tolerates: [told] };
}

/** Ends the answer too early. */
function breaks(name: string, fault: Fault, ...more: readonly Tolerance[]): Column {
  const tolerates = [told, raised, ...more];
  return { name, steps: [stream], ends: 'raised', midStream: true, prepare: has(fault, paced), tolerates };
}

/** Makes the answer odd, or late; but it is all there. */
function passes(name: string, fault: Fault): Column {
  return { name, steps: [stream], ends: 'answered', prepare: has(fault) };
}

/** Never comes to an end. */
function hangs(name: string, fault: Fault): Column {
  return {
    name,
    steps: [stream],
    ends: 'raised',
    prepare: has(fault),
    tolerates: [ended],
    gatewayOnly: true,
    config: impatient,
  };
}

/** Every fault of the simulator, met by a stream. */
export const faults: readonly Column[] = [
  { ...down, name: 'refused' },
  fails('reset before', { kind: 'reset' }),
  breaks('reset in it', { kind: 'reset', atByte: 1_500 }, torn),
  breaks('cut', { kind: 'cut', afterChunks: 6 }),
  breaks('ends early', { kind: 'truncate', afterChunks: 6 }),
  breaks('error line', { kind: 'error-line', afterChunks: 6 }),
  breaks('runner dies', { kind: 'runner-error', afterTokens: 4 }),
  breaks('crash', { kind: 'crash', afterChunks: 6 }),
  fails('500', { kind: 'status', status: 500, text: 'llama runner process has terminated' }),
  fails('503', { kind: 'status', status: 503, text: busyText }),
  hangs('silent', { kind: 'hang-before-head' }),
  hangs('falls silent', { kind: 'hang-mid-stream', afterChunks: 6 }),
  passes('late', { kind: 'delay', delayMs: 50 }),
  passes('slow', { kind: 'slow', delayMs: 5 }),
  passes('odd type', { kind: 'content-type', value: 'text/plain' }),
  passes('merged', { kind: 'merge', objects: 3 }),
  passes('split', { kind: 'split', pieces: 3, gapMs: 1 }),
  passes('split UTF-8', { kind: 'split-utf8', gapMs: 1 }),
  passes('long line', { kind: 'oversized-line', bytes: 1_048_576 }),
];
