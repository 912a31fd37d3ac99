import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { endpoints, type Endpoint } from '../../../src/http/admin/endpoints.ts';
import { openApiDocument, problemsOf } from '../../../src/http/admin/openapi.ts';
import { titles } from '../../../src/http/admin/problem.ts';
import { fakeOllama } from '../../support/fake-ollama.ts';
import { startGateway } from '../../support/gateway.ts';

type Document = {
  paths: Record<string, Record<string, { operationId: string }>>;
  components: { schemas: Record<string, unknown> };
};
const document = openApiDocument('1.2.3') as unknown as Document;

describe('the OpenAPI document', () => {
  it('has every endpoint, once, and nothing else', () => {
    const documented = Object.entries(document.paths).flatMap(([path, operations]) =>
      Object.entries(operations).map(([method, { operationId }]) => [operationId, method.toUpperCase(), path]),
    );
    const existing = Object.entries<Endpoint>(endpoints).map(([name, { method, path }]) => [
      name,
      method,
      path.replace(/:(\w+)/g, '{$1}'),
    ]);
    const sorted = (rows: readonly string[][]) => rows.map((row) => row.join(' ')).toSorted();
    assert.deepEqual(sorted(documented), sorted(existing));
  });

  it('refers only to schemas it has, and repeats none of them', () => {
    const { schemas } = document.components;
    const text = JSON.stringify(document);
    const referred = new Set([...text.matchAll(/#\/components\/schemas\/(\w+)/g)].map(([, name]) => name!));
    for (const name of referred) assert.ok(name in schemas, name);
    for (const [name, schema] of Object.entries(schemas)) {
      assert.ok(referred.has(name), `${name} is used`);
      assert.equal(text.split(JSON.stringify(schema)).length, 2, `${name} is written once`);
    }
  });

  it('names a title for every problem it promises', () => {
    for (const endpoint of Object.values<Endpoint>(endpoints)) {
      for (const status of problemsOf(endpoint)) assert.ok(titles[status] !== undefined, String(status));
    }
  });

  it('is served, and every path in it exists', async (t) => {
    const gateway = await startGateway(t, [await fakeOllama(t)]);
    const served = (await (await fetch(`${gateway.adminUrl}/gateway/openapi.json`)).json()) as Document;
    assert.deepEqual(Object.keys(served.paths), Object.keys(document.paths));
    for (const [path, operations] of Object.entries(served.paths)) {
      const url = gateway.adminUrl + path.replace(/\{\w+\}/g, 'nobody');
      // A method that no path has: the router's 405 names those the path has, and its 404 says that there is no such path.
      const answer = await fetch(url, { method: 'OPTIONS' });
      const allowed = (answer.headers.get('allow') ?? '').toLowerCase().split(', ');
      assert.equal(answer.status, 405, path);
      for (const method of Object.keys(operations)) assert.ok(allowed.includes(method), `${method} ${path}`);
    }
  });
});
