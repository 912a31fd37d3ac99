import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { backendSpecs, withDefaults } from '../../../src/core/backend.ts';
import type { BackendView } from '../../../src/core/fleet.ts';
import { showModels, showQueue } from '../../../src/http/admin/show.ts';

const installed = (name: string, digest: string) => ({ name, digest, sizeBytes: digest.length, raw: {} });

function backend(id: string, changes: Partial<BackendView> & { models?: readonly string[] } = {}): BackendView {
  const { models, ...rest } = changes;
  const [spec] = backendSpecs([
    withDefaults({ name: id, url: `http://${id}.test:11434`, ...(models && { models: [...models] }) }),
  ]);
  return { id, spec: spec!, installed: [], resident: [], ...rest } as BackendView;
}

describe('the models as the admin API shows them', () => {
  it('are each in one state on each backend, and differ where most others have another digest', () => {
    const resident = [{ ...installed('a', 'one'), vramBytes: 1, contextLength: null, expiresAt: null }];
    const [model, ...others] = showModels([
      backend('odd', { installed: [installed('a', 'other')] }),
      backend('disk', { installed: [installed('a', 'one')] }),
      backend('warm', { installed: [installed('a', 'one')], resident }),
      backend('kept', { installed: [installed('a', 'one')], models: ['b*'] }),
      backend('none'),
      backend('new', { installed: null, resident: null }),
    ]);
    assert.deepEqual(others, []);
    const states = Object.entries(model!.on).map(([id, { differs, state }]) => [id, state, differs]);
    assert.deepEqual(states, [
      ['odd', 'on-disk', true],
      ['disk', 'on-disk', false],
      ['warm', 'resident', false],
      ['kept', 'excluded', false],
      ['none', 'missing', false],
      ['new', 'unknown', false],
    ]);
    assert.deepEqual([model!.digests, model!.size_bytes], [2, 3]);
  });
});

describe('the queue as the admin API shows it', () => {
  it('has a row for each model, client and priority, who has waited longest first', () => {
    const waiter = (client: string, waitedMs: number, priority = 1) => ({
      job: `${client}-${waitedMs}`,
      client,
      model: 'a',
      priority,
      waitedMs,
      leftMs: 100 - waitedMs,
      bytes: 0,
    });
    const rows = showQueue([waiter('x', 10), waiter('y', 30), waiter('x', 20), waiter('x', 5, 0)]);
    assert.deepEqual(
      rows.map((row) => [row.client, row.priority, row.waiting, row.longest_ms, row.soonest_refusal_ms]),
      [
        ['y', 1, 1, 30, 70],
        ['x', 1, 2, 20, 80],
        ['x', 0, 1, 5, 95],
      ],
    );
  });
});
