/** Feeds the texts of a prompt, wherever the API puts them, to a PromptTrail in the order they stand. */
import type { BodyFields } from './body-fields.ts';
import { plainKey } from './body-fields.ts';
import { eachElement, eachMember, keyAt, kindOf, skipSpace, type Span } from './json-outline.ts';
import type { PromptTrail } from './prompt-trail.ts';

/** Members that hold an image, a sound or a file. */
const MEDIA_KEYS: ReadonlySet<string> = new Set(['images', 'image_url', 'input_audio', 'file', 'file_data', 'source']);
/** Members that say nothing to the model, and move between turns. */
const IGNORED_KEYS: ReadonlySet<string> = new Set(['cache_control']);

/** Below this a value is taken as one text; what clients send is far shallower. */
const MAX_DEPTH = 8;

/** Takes each of the array's messages (or input items), with a boundary after each. */
export function walkMessages(fields: BodyFields, messages: Span, trail: PromptTrail): void {
  eachElement(fields.body, messages.start, (message) => {
    walkTexts(fields.body, message, trail, 0);
    trail.boundary();
  });
}

/** Takes every text in `value`, depth first. */
export function walkTexts(body: Buffer, value: Span, trail: PromptTrail, depth: number): void {
  const kind = kindOf(body, value);
  if (kind === 'string') {
    trail.text(body, value.start + 1, value.end - 1);
  } else if (depth >= MAX_DEPTH) {
    trail.text(body, value.start, value.end);
  } else if (kind === 'array') {
    eachElement(body, value.start, (element) => walkTexts(body, element, trail, depth + 1));
  } else if (kind === 'object') {
    eachMember(body, value.start, (keyStart, keyEnd, member) => {
      const key = plainKey(body, keyStart, keyEnd) ?? keyAt(body, keyStart, keyEnd);
      if (MEDIA_KEYS.has(key)) {
        takeMedia(body, member, trail);
      } else if (!IGNORED_KEYS.has(key)) {
        walkTexts(body, member, trail, depth + 1);
      }
    });
  }
}

/** True for an absent array, null and `[]`. */
export function isEmptyArray(body: Buffer, value: Span | null): boolean {
  return value === null || (kindOf(body, value) === 'array' && body[skipSpace(body, value.start + 1)] === 0x5d);
}

function takeMedia(body: Buffer, value: Span, trail: PromptTrail): void {
  if (kindOf(body, value) === 'array') {
    eachElement(body, value.start, (element) => trail.media(body, element.start, element.end));
  } else if (kindOf(body, value) !== 'null') {
    trail.media(body, value.start, value.end);
  }
}
