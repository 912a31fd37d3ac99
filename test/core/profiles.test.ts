import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { builtInProfiles, createProfiles, noGrant } from '../../src/core/profiles.ts';

describe('profiles', () => {
  it('are three without an entry, each of which may do more than the one before', () => {
    const scopes = [...createProfiles({})].map(([name, { scopes: of }]) => [name, ...of]);
    assert.deepEqual(scopes, [
      ['plain', 'inference', 'models:read'],
      ['operator', 'inference', 'models:read', 'models:write'],
      ['admin', 'inference', 'models:read', 'models:write', 'admin'],
    ]);
  });

  it('let everybody steer what he runs, and only whoever may change models run those of others', () => {
    const mays = Object.values(builtInProfiles).map(({ cloud, control, raw }) => ({ cloud, control, raw }));
    assert.deepEqual(mays, [
      { cloud: false, control: true, raw: true },
      { cloud: true, control: true, raw: true },
      { cloud: true, control: true, raw: true },
    ]);
  });

  it('are added, or put in place of one of these', () => {
    const mine = { ...builtInProfiles.plain, weight: 3 };
    const profiles = createProfiles({ plain: mine, team: mine });
    assert.equal(profiles.get('plain'), mine);
    assert.equal(profiles.get('team'), mine);
    assert.equal(profiles.get('operator'), builtInProfiles.operator);
  });

  it('do not give the nameless anything', () => {
    assert.deepEqual([noGrant.scopes, noGrant.models], [[], []]);
    assert.deepEqual([noGrant.cloud, noGrant.raw, noGrant.control], [false, false, false]);
  });
});
