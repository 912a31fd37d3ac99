/** What a request for inference says, and the bytes that are sent on for it: those that came, unless it is to be metered. */
import { promisify } from 'node:util';
import { constants, zstdDecompress } from 'node:zlib';
import { needsZstd, zstdLimits } from '../dialects/content-encoding.ts';
import type { Dialect, Reading, ReadContext, Route } from '../dialects/dialect.ts';
import { blankReading } from '../dialects/reading.ts';
import { rewriteBody } from '../dialects/rewrite.ts';

export interface Incoming {
  readonly reading: Reading;
  readonly body: Buffer;
  /** The body asks for usage that its client did not ask for; it has to be taken out of the answer. */
  readonly asksForUsage: boolean;
}

/** Throws GatewayError `bad-request` for what is no JSON. */
export async function readIncoming(
  route: Route,
  dialect: Dialect,
  body: Buffer,
  { countTokens, ...context }: ReadContext & { readonly countTokens: boolean },
): Promise<Incoming> {
  const isCompressed = needsZstd(route, context.headers);
  const plain = isCompressed ? await decompressed(body) : body;
  // What can't be decompressed within Ollama's bounds is refused by whichever backend gets it, in Ollama's words.
  if (plain === null) return { reading: blankReading, body, asksForUsage: false };
  const reading = dialect.read(route, plain, context);
  const asksForUsage = countTokens && !isCompressed && isUncounted(route, reading);
  return { reading, body: asksForUsage ? rewriteBody(body, { includeUsage: true }) : body, asksForUsage };
}

/** Only OpenAI's older streams tell nothing unless they are asked. */
function isUncounted({ dialect, endpoint }: Route, { stream, wantsUsage, model }: Reading): boolean {
  const isOne = dialect === 'openai' && (endpoint === 'chat' || endpoint === 'completions');
  return isOne && stream && !wantsUsage && model !== null;
}

const decompress = promisify(zstdDecompress);

async function decompressed(body: Buffer): Promise<Buffer | null> {
  try {
    return await decompress(body, {
      maxOutputLength: zstdLimits.bodyBytes,
      params: { [constants.ZSTD_d_windowLogMax]: Math.log2(zstdLimits.windowBytes) },
    });
  } catch {
    return null;
  }
}
