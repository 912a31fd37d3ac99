/** Who uses how much, for as many clients as the operator allows; the ledger is what bills are made from, this is what graphs are. */
import type { RequestFinished } from '../core/events.ts';
import type { ClientId } from '../core/types.ts';
import { other, type Series } from './series.ts';

/** Clients that somebody has named; the id of any other is its address. */
const named = /^(?:key|user|token|cli):/;

export class ClientCounts {
  readonly #series: Series;
  readonly #limit: number;
  readonly #known = new Set<ClientId>();

  /** `limit`: how many get a label of their own. */
  constructor(series: Series, limit: number) {
    this.#series = series;
    this.#limit = limit;
  }

  count({ client: id, outcome, usage }: RequestFinished): void {
    if (this.#limit === 0) return;
    const client = this.#labelOf(id);
    this.#series.add('clientRequests', { client, outcome }, 1);
    const { promptTokens, outputTokens } = usage;
    if (promptTokens !== undefined) this.#series.add('clientTokens', { client, type: 'input' }, promptTokens);
    if (outputTokens !== undefined) this.#series.add('clientTokens', { client, type: 'output' }, outputTokens);
  }

  #labelOf(id: ClientId): string {
    if (!named.test(id)) return 'address';
    if (this.#known.has(id)) return id;
    if (this.#known.size >= this.#limit) return other;
    this.#known.add(id);
    return id;
  }
}
