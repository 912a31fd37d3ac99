/**
 * What is answered from memory: the greeting, the version, and the fleet's models as one list. Nothing here waits for a
 * backend, so a dead one can't slow it down. Texts and field order are Ollama's (ollama-wire §1, §3).
 */
import type { Catalogue, CatalogueModel, OpenAiModel } from '../core/catalogue.ts';
import type { Client, Grant } from '../core/grants.ts';
import type { ModelRules } from '../core/model-rules.ts';
import type { Emit } from '../core/events.ts';
import { canonicalModelName } from '../core/model-name.ts';
import { mayUseAllModels } from '../core/permission.ts';
import type { Clock, ModelName } from '../core/types.ts';
import type { Dialect, Route } from '../dialects/dialect.ts';
import { unknownModelError } from '../dialects/error-bodies.ts';
import { openAccount } from './account.ts';
import { maySee, remoteModels } from './permit.ts';
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
  const isRemote = remoteModels(catalogue);
  const pages = new Map<Grant, Pages>();

  /** What a client sees; rendered once for all who may see the same. */
  function pagesOf(client: Client): Pages {
    const known = pages.get(client.grant);
    if (known !== undefined) return known;
    if (pages.size >= MOST_PAGES) pages.delete(pages.keys().next().value!);
    const sees = mayUseAllModels(client.grant)
      ? null
      : (name: ModelName, runs: ModelName) => maySee(client, name, runs, isRemote);
    const made = createPages(catalogue, aliases, sees);
    pages.set(client.grant, made);
    return made;
  }

  const version = cached(
    () => [catalogue.version() ?? fallbackVersion] as const,
    ([text]) => JSON.stringify({ version: text }),
  );
  const greeting = Buffer.from('Ollama is running');

  function page(route: Route, parameter: string | null, client: Client): Page {
    switch (route.endpoint) {
      case 'root':
        return { status: 200, contentType: 'text/plain; charset=utf-8', body: greeting };
      case 'version':
        return { status: 200, contentType: jsonUtf8, body: version() };
      case 'tags':
        return { status: 200, contentType: jsonUtf8, body: pagesOf(client).tags() };
      case 'ps':
        return { status: 200, contentType: jsonUtf8, body: pagesOf(client).ps() };
      case 'models':
        return { status: 200, contentType: json, body: pagesOf(client).models() };
      case 'model':
        return oneModel(route, parameter ?? '', client);
      default:
        throw new Error(`no list for endpoint ${route.endpoint}`);
    }
  }

  function oneModel(route: Route, text: string, client: Client): Page {
    const name = canonicalModelName(text);
    const target = aliases().find(({ alias }) => canonicalModelName(alias) === name)?.model ?? name;
    const found = target === null ? null : catalogue.find(target);
    if (name === null || found === null || !maySee(client, name, found.name, isRemote)) {
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
      const { status, contentType, body } = page(route, parameter, exchange.client);
      account.status = status;
      if (status >= 400) account.outcome = 'client-error';
      exchange.head(status, ['Content-Type', contentType, 'X-Request-Id', account.requestId], body.length);
      exchange.write(body);
      exchange.end();
    },
  };
}

/** Grants whose lists are kept; those of others are rendered anew. */
const MOST_PAGES = 64;

/** The lists as one grant has them. */
interface Pages {
  readonly tags: () => Buffer;
  readonly ps: () => Buffer;
  readonly models: () => Buffer;
}

/** `sees` is null when everything is seen. */
function createPages(
  catalogue: Catalogue,
  aliases: ListsDependencies['aliases'],
  sees: ((name: ModelName, runs: ModelName) => boolean) | null,
): Pages {
  const seen = <T extends { readonly name: ModelName }>(models: readonly T[]) =>
    sees === null ? models : models.filter(({ name }) => sees(name, name));
  const seenAliases = (names: ModelRules['aliases']) =>
    sees === null ? names : names.filter(({ alias, model }) => sees(canonicalModelName(alias) ?? alias, model));
  return {
    tags: cached(
      () => [catalogue.installed(), aliases()] as const,
      ([models, names]) =>
        JSON.stringify({ models: [...seen(models).map(asTag), ...aliasTags(catalogue, seenAliases(names))] }),
    ),
    ps: cached(
      () => [catalogue.resident()] as const,
      ([models]) => JSON.stringify({ models: seen(models).map(({ entry }) => entry.raw) }),
    ),
    models: cached(
      () => [catalogue.openAiModels(), aliases()] as const,
      ([list, names]) => {
        const installed = catalogue.installed();
        const own =
          sees === null ? list : list.filter((_, index) => sees(installed[index]!.name, installed[index]!.name));
        const all = [...own, ...aliasModels(catalogue, seenAliases(names))];
        // Ollama's own word for an empty list is null.
        return `${JSON.stringify({ object: 'list', data: all.length === 0 ? null : all })}\n`;
      },
    ),
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
