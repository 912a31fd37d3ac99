/** Lengths and arrivals from public traces, which lie outside the repository (environment LLAMERO_TRACES). */
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import type { Rng } from '../../src/core/types.ts';
import { choose } from './luck.ts';

export interface Length {
  readonly contextTokens: number;
  readonly outputTokens: number;
}

/** Where lengths come from, in words for the report, and a draw from it. */
export interface Lengths {
  readonly source: string;
  draw(rng: Rng): Length;
}

export interface MooncakeRequest {
  readonly atMs: number;
  readonly promptTokens: number;
  readonly outputTokens: number;
  /** One id per 512 tokens of prompt; equal ids stand for equal prefixes up to there. */
  readonly blocks: readonly number[];
}

const quantiles = [
  0, 0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9,
  0.95, 0.97, 0.98, 0.99, 0.995, 0.999, 1,
];
const azureContext: number[] = [
  2, 29, 91, 181, 207, 372, 387, 396, 403, 414, 703, 984, 1020, 1045, 1071, 1097, 1130, 1189, 1315, 1876, 2734, 4083,
  4090, 4098, 4142, 4831, 6122, 14050,
];
const azureOutput: number[] = [
  7, 16, 24, 41, 54, 67, 77, 85, 91, 96, 103, 113, 129, 151, 177, 217, 384, 395, 400, 411, 424, 451, 509, 540, 601, 643,
  954, 1000,
];

/** The Azure conversation trace of 2023, row by row; without the file, its marginal quantiles, drawn independently. */
export function azureLengths(): Lengths {
  const file = traceFile('azure-llm-2023-conversation.csv');
  if (file === null) {
    return {
      source: 'embedded quantiles of the Azure LLM trace 2023 (the trace itself was not found)',
      draw: (rng) => ({
        contextTokens: Math.round(atQuantile(azureContext, rng.next())),
        outputTokens: Math.round(atQuantile(azureOutput, rng.next())),
      }),
    };
  }
  const rows = readFileSync(file, 'utf8')
    .trim()
    .split(/\r?\n/)
    .slice(1)
    .map((line): Length => {
      const [, contextTokens, outputTokens] = line.split(',');
      return { contextTokens: Number(contextTokens), outputTokens: Number(outputTokens) };
    });
  return { source: `Azure LLM trace 2023, conversation, ${rows.length} rows`, draw: (rng) => choose(rng, rows) };
}

/** The Mooncake conversation trace in order of arrival; null when the file is not there. */
export function mooncakeTrace(): readonly MooncakeRequest[] | null {
  const file = traceFile('mooncake-conversation.jsonl');
  if (file === null) return null;
  return readFileSync(file, 'utf8')
    .trim()
    .split(/\r?\n/)
    .map((line): MooncakeRequest => {
      const row = JSON.parse(line) as {
        timestamp: number;
        input_length: number;
        output_length: number;
        hash_ids: number[];
      };
      return {
        atMs: row.timestamp,
        promptTokens: row.input_length,
        outputTokens: row.output_length,
        blocks: row.hash_ids,
      };
    });
}

function traceFile(name: string): string | null {
  const root = path.join(import.meta.dirname, '..', '..');
  const folder = process.env['LLAMERO_TRACES'] ?? path.join(root, '..', 'shared', 'traces');
  const file = path.join(folder, name);
  return existsSync(file) ? file : null;
}

function atQuantile(values: readonly number[], share: number): number {
  const above = quantiles.findIndex((quantile) => quantile >= share);
  if (above <= 0) return values[0]!;
  const [from, to] = [quantiles[above - 1]!, quantiles[above]!];
  const [low, high] = [values[above - 1]!, values[above]!];
  return low + ((high - low) * (share - from)) / (to - from);
}
