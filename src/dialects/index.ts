import { anthropic } from './anthropic.ts';
import type { Dialect, DialectName } from './dialect.ts';
import { ollama } from './ollama.ts';
import { openai } from './openai.ts';
import { responses } from './responses.ts';

/** Every API the gateway speaks. */
export const dialects: Readonly<Record<DialectName, Dialect>> = { ollama, openai, responses, anthropic };
