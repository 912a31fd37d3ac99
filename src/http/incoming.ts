/** What a request for inference says, and the bytes that are sent on for it: those that came, unless it is to be metered. */
import { promisify } from 'node:util';
import { constants, zstdDecompress } from 'node:zlib';
import { needsZstd, zstdLimits } from '../dialects/content-encoding.ts';
import type { Grant } from '../core/grants.ts';
import type { Dialect, Reading, ReadContext, Route } from '../dialects/dialect.ts';
import { blankReading } from '../dialects/reading.ts';
import { rewriteBody } from '../dialects/rewrite.ts';
import { applyLimits, isLimited, refuseUnseen } from './limits.ts';
import { applyRules, type RuleBook, type Ruled } from './rules.ts';
import { LARGE_BODY } from './turns.ts';

export interface Incoming {
  readonly reading: Reading;
  readonly body: Buffer;
  /** The body asks for usage that its client did not ask for; it has to be taken out of the answer. */
  readonly asksForUsage: boolean;
  /** The body came compressed and is sent on plain, because it was changed. */
  readonly isUnpacked: boolean;
}

interface IncomingContext extends ReadContext {
  readonly countTokens: boolean;
  readonly book: RuleBook;
  /** The client's. */
  readonly grant: Grant;
  /** Throws when the client may not have the model it asked for, or what the rules make of that. */
  readonly permit: (asked: Reading, runs: Reading) => void;
  /** Awaited before whatever takes long with a large body; the body itself has come in a turn of its own. */
  readonly nextTurn: () => Promise<void>;
}

/** Throws GatewayError `bad-request` for what is no JSON or can be read in two ways, and `forbidden` for what the grant denies. */
export async function readIncoming(
  route: Route,
  dialect: Dialect,
  body: Buffer,
  context: IncomingContext,
): Promise<Incoming> {
  const { countTokens, book, grant, nextTurn, permit } = context;
  const isCompressed = needsZstd(route, context.headers);
  const plain = isCompressed ? await decompressed(body, nextTurn) : body;
  if (plain === null || isStrangelyCoded(context, isCompressed)) refuseUnseen(grant);
  // What can't be decompressed within Ollama's bounds is refused by whichever backend gets it, in Ollama's words.
  if (plain === null) {
    permit(blankReading, blankReading);
    return { reading: blankReading, body, asksForUsage: false, isUnpacked: false };
  }
  const isLarge = plain.length >= LARGE_BODY;
  const first = dialect.read(route, plain, context);
  if (isLarge) await nextTurn();
  const ruled = applyRules({ route, dialect, body: plain, reading: first }, context, book);
  permit(first, ruled?.reading ?? first);
  if (isLarge && isLimited(grant)) await nextTurn();
  const { body: ours, reading } = ruled ?? { body: plain, reading: first };
  const changed = applyLimits({ route, dialect, body: ours, reading }, grant, context, book.emit) ?? ruled;
  const isUnpacked = isCompressed && changed !== null;
  const mayAsk = countTokens && isCompressed === isUnpacked;
  return counted(route, changed ?? { body, reading: first }, { isUnpacked, mayAsk });
}

/** What is sent on; it asks for usage where `mayAsk` and nobody would tell otherwise. */
function counted(
  route: Route,
  { body, reading }: Ruled,
  { isUnpacked, mayAsk }: { readonly isUnpacked: boolean; readonly mayAsk: boolean },
): Incoming {
  const asksForUsage = mayAsk && isUncounted(route, reading);
  return { reading, body: asksForUsage ? rewriteBody(body, { includeUsage: true }) : body, asksForUsage, isUnpacked };
}

/** Only OpenAI's older streams tell nothing unless they are asked. */
function isUncounted({ dialect, endpoint }: Route, { stream, wantsUsage, model }: Reading): boolean {
  const isOne = dialect === 'openai' && (endpoint === 'chat' || endpoint === 'completions');
  return isOne && stream && !wantsUsage && model !== null;
}

/** A coding that no Ollama of today undoes on the route; another day's would read another body than we do. */
function isStrangelyCoded({ headers }: ReadContext, isCompressed: boolean): boolean {
  const coding = headers['content-encoding'];
  return !isCompressed && coding !== undefined && coding !== '' && coding !== 'identity';
}

const decompress = promisify(zstdDecompress);

/** Null for what can't be decompressed. What is large comes in a turn of its own. */
async function decompressed(body: Buffer, nextTurn: () => Promise<void>): Promise<Buffer | null> {
  const plain = await unpack(body);
  if (plain !== null && plain.length >= LARGE_BODY) await nextTurn();
  return plain;
}

async function unpack(body: Buffer): Promise<Buffer | null> {
  try {
    return await decompress(body, {
      maxOutputLength: zstdLimits.bodyBytes,
      params: { [constants.ZSTD_d_windowLogMax]: Math.log2(zstdLimits.windowBytes) },
    });
  } catch {
    return null;
  }
}
