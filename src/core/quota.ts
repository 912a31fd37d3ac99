/**
 * Tokens a client may use in any minute and in any day. What a request will probably take is reserved before it is queued, and replaced
 * by what it took when it is over, however it ended; so that many requests at once can't pass a bound that each alone would keep.
 */
import { GatewayError } from './errors.ts';
import type { Client } from './grants.ts';
import { Recent } from './recent.ts';
import type { ClientId, Millis } from './types.ts';

/** The bound that is nearest, for whoever wants to know how much is left. */
export interface QuotaState {
  readonly limit: number;
  readonly remaining: number;
  /** Until nothing of it is used any more. */
  readonly resetMs: Millis;
}

export interface Reservation {
  /** Of the tighter bound, this reservation included. */
  readonly state: QuotaState;
  /** The request is over and has taken so many tokens. Once. */
  settle(tokens: number, now: Millis): void;
}

export interface Quotas {
  /**
   * Null for clients without a bound on tokens. Throws GatewayError `tokens-per-minute` or `tokens-per-day`, with the time after
   * which so many may be used. A request larger than the bound is let in when nothing of the bound is used.
   */
  reserve(client: Client, tokens: number, now: Millis): Reservation | null;
  /** Null for clients without a bound. */
  state(client: Client, now: Millis): QuotaState | null;
}

const MINUTE_MS = 60_000;
const DAY_MS = 24 * 60 * MINUTE_MS;

/** Parts a window is counted in: how exact "any" is. */
const PARTS = 60;

/** Clients that are remembered before those who have used nothing lately are looked for. */
const KEPT = 10_000;

export function createQuotas(): Quotas {
  return new Bounds();
}

/** How much was used in the last `lengthMs`, in parts of a sixtieth. */
class Window {
  readonly lengthMs: Millis;
  readonly #partMs: Millis;
  readonly #used = new Float64Array(PARTS);
  /** The part that `now` lies in, counted from the beginning of time. */
  #part = 0;
  #total = 0;
  /** Of requests that are not over; they don't grow old. */
  reserved = 0;

  constructor(lengthMs: Millis) {
    this.lengthMs = lengthMs;
    this.#partMs = lengthMs / PARTS;
  }

  used(now: Millis): number {
    this.#advance(now);
    return this.#total + this.reserved;
  }

  add(tokens: number, now: Millis): void {
    this.#advance(now);
    this.#used[this.#part % PARTS]! += tokens;
    this.#total += tokens;
  }

  /** When no more than `most` are used, if nothing is added; what is reserved is taken to be over soon. */
  freeIn(most: number, now: Millis): Millis {
    this.#advance(now);
    let left = this.#total + this.reserved;
    for (let ago = PARTS - 1; ago >= 0; ago -= 1) {
      if (left <= most) break;
      const part = this.#part - ago;
      left -= part < 0 ? 0 : this.#used[part % PARTS]!;
      if (left <= most) return Math.max(1000, (part + PARTS) * this.#partMs - now);
    }
    return 1000;
  }

  #advance(now: Millis): void {
    const part = Math.max(this.#part, Math.floor(now / this.#partMs));
    const passed = Math.min(PARTS, part - this.#part);
    for (let step = 1; step <= passed; step += 1) {
      const index = (part - passed + step) % PARTS;
      this.#total -= this.#used[index]!;
      this.#used[index] = 0;
    }
    if (passed === PARTS) this.#total = 0;
    this.#part = part;
  }
}

interface Bound {
  readonly code: 'tokens-per-minute' | 'tokens-per-day';
  readonly words: string;
  readonly limit: number;
  readonly window: Window;
}

/** What a client has used. */
interface Windows {
  readonly minute: Window;
  readonly day: Window;
}

class Bounds implements Quotas {
  /** Whoever has asked for nothing for the longest, and has nothing under way, is forgotten first. */
  readonly #clients = new Recent<ClientId, Windows>(KEPT, ({ day }) => day.reserved <= 0);

  reserve(client: Client, tokens: number, now: Millis): Reservation | null {
    const bounds = this.#boundsOf(client);
    if (bounds.length === 0) return null;
    for (const { code, limit, window, words } of bounds) {
      const most = Math.max(0, limit - tokens);
      if (window.used(now) <= most) continue;
      const retryAfterMs = window.freeIn(most, now);
      throw new GatewayError(code, `${words} tokens are used up; try again in ${Math.ceil(retryAfterMs / 1000)} s`, {
        retryAfterMs,
      });
    }
    for (const { window } of bounds) window.reserved += tokens;
    return {
      state: tightest(bounds, now),
      settle(taken, at) {
        for (const { window } of bounds) {
          window.reserved -= tokens;
          window.add(taken, at);
        }
      },
    };
  }

  state(client: Client, now: Millis): QuotaState | null {
    const bounds = this.#boundsOf(client);
    return bounds.length === 0 ? null : tightest(bounds, now);
  }

  #boundsOf({ id, grant: { tokensPerDay, tokensPerMinute } }: Client): readonly Bound[] {
    if (tokensPerMinute === undefined && tokensPerDay === undefined) return [];
    const known = this.#clients.get(id);
    if (known !== undefined) this.#clients.touch(id);
    const { day, minute } = known ?? this.#clients.add(id, { minute: new Window(MINUTE_MS), day: new Window(DAY_MS) });
    const bounds: Bound[] = [];
    if (tokensPerMinute !== undefined) {
      const words = `${tokensPerMinute} tokens a minute are granted;`;
      bounds.push({ code: 'tokens-per-minute', words, limit: tokensPerMinute, window: minute });
    }
    if (tokensPerDay !== undefined) {
      const words = `${tokensPerDay} tokens a day are granted;`;
      bounds.push({ code: 'tokens-per-day', words, limit: tokensPerDay, window: day });
    }
    return bounds;
  }
}

function tightest(bounds: readonly Bound[], now: Millis): QuotaState {
  const states = bounds.map(({ limit, window }): QuotaState => {
    const used = window.used(now);
    return { limit, remaining: Math.max(0, Math.floor(limit - used)), resetMs: used === 0 ? 0 : window.freeIn(0, now) };
  });
  return states.reduce((least, state) => (state.remaining < least.remaining ? state : least));
}
