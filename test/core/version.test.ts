import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { compareVersions, lowestVersion } from '../../src/core/version.ts';

const inOrder = [
  '0.0.0',
  '0.5.13',
  '0.32.4',
  '0.33.0-alpha',
  '0.33.0-alpha.1',
  '0.33.0-rc1',
  '0.33.0-rc2',
  '0.33.0-rc10',
  '0.33.0',
  '0.33.2',
  '0.34.0',
  '1.0.0-rc1',
  '1.0.0',
  '10.0.0',
  'dev build',
];

describe('versions', () => {
  it('are compared by number, and a pre-release is older than its release', () => {
    for (const [index, version] of inOrder.entries()) {
      for (const [other, later] of inOrder.entries()) {
        assert.equal(Math.sign(compareVersions(version, later)), Math.sign(index - other), `${version} and ${later}`);
      }
    }
  });

  it('ignore a leading v and build metadata', () => {
    assert.equal(compareVersions('v0.33.0+abc', '0.33.0'), 0);
    assert.equal(compareVersions('0.33', '0.33.0'), 0);
  });

  it('have a lowest, whatever their order', () => {
    fc.assert(
      fc.property(fc.shuffledSubarray(inOrder, { minLength: 1 }), (versions) => {
        const expected = inOrder.find((version) => versions.includes(version));
        assert.equal(lowestVersion(versions), expected);
      }),
    );
    assert.equal(lowestVersion([]), null);
  });
});
