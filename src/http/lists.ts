/**
 * What is answered from memory: the greeting, the version, and the fleet's models as one list. Nothing here waits for a
 * backend, so a dead one can't slow it down. Texts and field order are Ollama's (ollama-wire §1, §3).
 */
import type { Catalogue, CatalogueModel, OpenAiModel } from '../core/catalogue.ts';
import type { ModelRules } from '../core/model-rules.ts';
import type { Emit } from '../core/events.ts';
import { canonicalModelName } from '../core/model-name.ts';
import type { Clock } from '../core/types.ts';
import type { Dialect, Route } from '../dialects/dialect.ts';
import { unknownModelError } from '../dialects/error-bodies.ts';
import { openAccount } from './account.ts';
import type { Exchange } from './exchange.ts';

export interface Lists {
  answer(exchange: Exchange, route: Route, dialect: Dialect, parameter: string | null): void;
}

export interface ListsDependencies {
  readonly catalogue: Catalogue;
  /** The operator's other names for models, listed beside them. */
  readonly aliases: () => ModelRules['aliases'];
  readonly clock: Clock;
  readonly emit: Emit;
  /** Said while no backend has told its version yet. */
  readonly fallbackVersion: string;
}

interface Page {
  readonly status: number;
  readonly contentType: string;
  readonly body: Buffer;
}

const jsonUtf8 = 'application/json; charset=utf-8';
const json = 'application/json';

export function createLists({ aliases, catalogue, clock, emit, fallbackVersion }: ListsDependencies): Lists {
  const tags = cached(
    () => [catalogue.installed(), aliases()] as const,
    ([models, names]) => JSON.stringify({ models: [...models.map(asTag), ...aliasTags(catalogue, names)] }),
  );
  const ps = cached(
    () => [catalogue.resident()] as const,
    ([models]) => JSON.stringify({ models: models.map(({ entry }) => entry.raw) }),
  );
  const models = cached(
    () => [catalogue.openAiModels(), aliases()] as const,
    ([list, names]) => {
      const all = [...list, ...aliasModels(catalogue, names)];
      // Ollama's own word for an empty list is null.
      return `${JSON.stringify({ object: 'list', data: all.length === 0 ? null : all })}\n`;
    },
  );
  const version = cached(
    () => [catalogue.version() ?? fallbackVersion] as const,
    ([text]) => JSON.stringify({ version: text }),
  );
  const greeting = Buffer.from('Ollama is running');

  function page(route: Route, parameter: string | null): Page {
    switch (route.endpoint) {
      case 'root':
        return { status: 200, contentType: 'text/plain; charset=utf-8', body: greeting };
      case 'version':
        return { status: 200, contentType: jsonUtf8, body: version() };
      case 'tags':
        return { status: 200, contentType: jsonUtf8, body: tags() };
      case 'ps':
        return { status: 200, contentType: jsonUtf8, body: ps() };
      case 'models':
        return { status: 200, contentType: json, body: models() };
      case 'model':
        return oneModel(route, parameter ?? '');
      default:
        throw new Error(`no list for endpoint ${route.endpoint}`);
    }
  }

  function oneModel(route: Route, text: string): Page {
    const name = canonicalModelName(text);
    const target = aliases().find(({ alias }) => canonicalModelName(alias) === name)?.model ?? name;
    const found = target === null ? null : catalogue.find(target);
    if (found === null) {
      const { status, headers, body } = unknownModelError(route, text);
      return { status, contentType: headers['content-type'] ?? json, body: Buffer.from(body) };
    }
    const listed = catalogue.openAiModels()[catalogue.installed().indexOf(found)];
    // Ollama echoes the id as it was asked for.
    return { status: 200, contentType: json, body: Buffer.from(`${JSON.stringify({ ...listed, id: text })}\n`) };
  }

  return {
    answer(exchange, route, _dialect, parameter) {
      const account = openAccount(exchange, route.path, clock, emit);
      account.phase = 'streaming';
      exchange.request.resume();
      const { status, contentType, body } = page(route, parameter);
      account.status = status;
      if (status >= 400) account.outcome = 'client-error';
      exchange.head(status, ['Content-Type', contentType, 'X-Request-Id', account.requestId], body.length);
      exchange.write(body);
      exchange.end();
    },
  };
}

/** A model of which backends have different contents says so, in a field of ours after all of Ollama's. */
function skew(digests: ReadonlyMap<string, readonly string[]>): Record<string, unknown> {
  return digests.size < 2 ? {} : { llamero_digests: Object.fromEntries(digests) };
}

function asTag({ entry, digests }: CatalogueModel): Record<string, unknown> {
  return { ...entry.raw, ...skew(digests) };
}

/** An alias looks like the model it stands for, under its own name; nothing is listed while that can't be had. */
function aliasTags(catalogue: Catalogue, names: ModelRules['aliases']): Record<string, unknown>[] {
  return names.flatMap(({ alias, model }) => {
    const found = catalogue.find(model);
    return found === null ? [] : [{ ...asTag(found), name: alias, model: alias }];
  });
}

function aliasModels(catalogue: Catalogue, names: ModelRules['aliases']): OpenAiModel[] {
  return names.flatMap(({ alias, model }) => {
    const found = catalogue.find(model);
    const listed = found === null ? undefined : catalogue.openAiModels()[catalogue.installed().indexOf(found)];
    return listed === undefined ? [] : [{ ...listed, id: alias }];
  });
}

/** Renders again only when one of the sources is another object or text than last time. */
function cached<T extends readonly unknown[]>(sources: () => T, render: (values: T) => string): () => Buffer {
  let last: { readonly values: T; readonly body: Buffer } | null = null;
  return () => {
    const values = sources();
    if (last === null || values.some((value, index) => value !== last!.values[index])) {
      last = { values, body: Buffer.from(render(values)) };
    }
    return last.body;
  };
}
