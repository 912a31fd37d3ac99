/** What `llamero top` has seen, written down. */
import type { Seen, SeenBackend } from '../../src/cli/top/state.ts';

export function seenBackend(name: string, changes: Partial<SeenBackend> = {}): SeenBackend {
  return {
    name,
    url: `http://${name}:11434`,
    simulated: false,
    state: 'up',
    reason: '',
    breaker: 'closed',
    last_error: null,
    version: '0.33.0',
    weight: 1,
    slots: 4,
    in_flight: 0,
    in_flight_by_model: {},
    memory_bytes: null,
    resident: [],
    troubled: [],
    learnt: null,
    tokens_per_second: 0,
    ...changes,
  };
}

type Finished = Seen['history'][number];

export function seenAnswer(by: string, firstByteMs: number, changes: Partial<Finished> = {}): Finished {
  return {
    id: by,
    ended_at: 1,
    route: '/api/chat',
    model: 'llama3.2:3b',
    client: '10.0.0.9',
    backend: by,
    reason: 'warm',
    warm: true,
    stream: true,
    attempts: 1,
    failovers: 0,
    status: 200,
    outcome: 'ok',
    queue_ms: 100,
    first_byte_ms: firstByteMs,
    duration_ms: 2000,
    prompt_tokens: 5,
    output_tokens: 50,
    load_ms: null,
    tokens_per_second: 30,
    ...changes,
  };
}
