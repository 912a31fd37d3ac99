/** The admin API as an OpenAPI 3.1 document, made of the list of endpoints. */
import type { TSchema } from 'typebox';
import { endpoints, type Endpoint } from './endpoints.ts';
import { titles } from './problem.ts';
import * as shapes from './shapes.ts';

type Json = Readonly<Record<string, unknown>>;

/** Shapes that have a name of their own in the document; every one of them is referred to instead of repeated. */
const named: ReadonlyMap<TSchema, string> = new Map(
  Object.entries(shapes).flatMap(([name, shape]) => (isSchema(shape) ? [[shape, name] as const] : [])),
);

export function openApiDocument(version: string): Json {
  const paths: Record<string, Record<string, unknown>> = {};
  for (const [operationId, endpoint] of Object.entries<Endpoint>(endpoints)) {
    const path = endpoint.path.replace(/:(\w+)/g, '{$1}');
    (paths[path] ??= {})[endpoint.method.toLowerCase()] = operation(operationId, endpoint);
  }
  const schemas = Object.fromEntries([...named].map(([shape, name]) => [name, inner(shape)]));
  return {
    openapi: '3.1.0',
    info: {
      title: 'Llamero admin API',
      version,
      description:
        'What an operator sees and may change while the gateway runs. It is served on the admin listener (`admin.address`).',
      license: { name: 'MIT', identifier: 'MIT' },
    },
    servers: [{ url: 'http://127.0.0.1:11436' }],
    paths,
    components: {
      schemas,
      securitySchemes: { token: { type: 'http', scheme: 'bearer', description: '`admin.token`' } },
    },
  };
}

function operation(operationId: string, endpoint: Endpoint): Json {
  const { access, answer, body, path, query, status = 200, summary } = endpoint;
  const parameters = [
    ...[...path.matchAll(/:(\w+)/g)].map(([, name]) => parameter(name!, 'path', { type: 'string' }, true)),
    ...Object.entries(query?.properties ?? {}).map(([name, schema]) =>
      parameter(name, 'query', written(schema), false),
    ),
  ];
  const good = {
    description: answer === null ? 'Done.' : 'The answer.',
    ...(answer !== null && { content: content(answer) }),
  };
  const problems = problemsOf(endpoint).map((code) => [
    String(code),
    { description: titles[code], content: { 'application/problem+json': { schema: reference('Problem') } } },
  ]);
  return {
    operationId,
    summary,
    // An empty requirement: without a token, or on loopback, none is asked for.
    ...(access !== 'open' && { security: [{ token: [] }, {}] }),
    ...(parameters.length > 0 && { parameters }),
    ...(body !== undefined && { requestBody: { required: true, content: content(body) } }),
    responses: { [String(status)]: good, ...Object.fromEntries(problems) },
  };
}

/** Which problems an endpoint can answer with. */
export function problemsOf({ access, body, path, problems = [] }: Endpoint): readonly number[] {
  const all = new Set(problems);
  if (body !== undefined) for (const code of [400, 413, 415]) all.add(code);
  if (access !== 'open') all.add(401);
  all.add(403);
  if (path.includes(':')) all.add(404);
  return [...all].sort((a, b) => a - b);
}

function parameter(name: string, where: 'path' | 'query', schema: unknown, required: boolean): Json {
  return { name, in: where, required, schema };
}

function content(answer: TSchema | string): Json {
  if (typeof answer === 'string') return { [answer]: { schema: { type: 'string' } } };
  return { 'application/json': { schema: written(answer) } };
}

function reference(name: string): Json {
  return { $ref: `#/components/schemas/${name}` };
}

function isSchema(value: unknown): value is TSchema {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** A schema as JSON, with named ones referred to. */
function written(schema: unknown): unknown {
  const name = isSchema(schema) ? named.get(schema) : undefined;
  return name === undefined ? inner(schema) : reference(name);
}

function inner(schema: unknown): unknown {
  if (Array.isArray(schema)) return schema.map(written);
  if (!isSchema(schema)) return schema;
  return Object.fromEntries(Object.entries(schema).map(([key, value]) => [key, written(value)]));
}
