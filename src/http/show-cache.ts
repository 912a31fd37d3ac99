/** Answers of `/api/show`, kept by the model's digest and the request's bytes: a model that has changed is another entry. */

export interface ShowAnswer {
  readonly headers: readonly string[];
  readonly length: number | null;
  readonly body: Buffer;
}

export interface ShowCache {
  get(digest: string, request: Buffer): ShowAnswer | null;
  put(digest: string, request: Buffer, answer: ShowAnswer): void;
}

/** A longer request is not a usual one. */
const LONGEST_REQUEST = 4096;

/** Keeps what was asked for last, up to `limitBytes` of answers and requests; an answer over a quarter of that is not kept. */
export function createShowCache(limitBytes: number): ShowCache {
  const answers = new Map<string, ShowAnswer>();
  let used = 0;
  const keyOf = (digest: string, request: Buffer): string => `${digest} ${request.toString('latin1')}`;
  const costOf = (key: string, answer: ShowAnswer): number => key.length + answer.body.length;

  function drop(key: string): void {
    const answer = answers.get(key);
    if (answer === undefined) return;
    answers.delete(key);
    used -= costOf(key, answer);
  }

  return {
    get(digest, request) {
      const key = keyOf(digest, request);
      const answer = answers.get(key);
      if (answer === undefined) return null;
      answers.delete(key);
      answers.set(key, answer);
      return answer;
    },
    put(digest, request, answer) {
      const key = keyOf(digest, request);
      const cost = costOf(key, answer);
      drop(key);
      if (request.length > LONGEST_REQUEST || cost > limitBytes / 4) return;
      answers.set(key, answer);
      used += cost;
      for (const oldest of answers.keys()) {
        if (used <= limitBytes) break;
        drop(oldest);
      }
    },
  };
}
