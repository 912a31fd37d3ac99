/** Named grants: what a key, a user, a token or an address is given by saying a name. */
import { Type, type Static } from 'typebox';
import { GrantOptions, type Grant } from './grants.ts';

export const ProfilesOptions = Type.Record(Type.String(), GrantOptions, {
  description:
    'What clients may do, under names that keys, users, tokens and addresses are given. There are three already, which an entry ' +
    'of the same name replaces: `plain` runs models and looks at them, `operator` also changes what is installed and uses cloud ' +
    'models, `admin` also operates the gateway.',
  default: {},
});
export type ProfilesOptions = Static<typeof ProfilesOptions>;

export type Profiles = ReadonlyMap<string, Grant>;

const plain: Grant = {
  scopes: ['inference', 'models:read'],
  cloud: false,
  priority: 'standard',
  weight: 1,
  raw: true,
  control: true,
};
const operator: Grant = { ...plain, scopes: ['inference', 'models:read', 'models:write'], cloud: true };
const admin: Grant = { ...operator, scopes: ['inference', 'models:read', 'models:write', 'admin'] };

/** May do nothing. */
export const noGrant: Grant = { ...plain, scopes: [], models: [], raw: false, control: false };

/** Those there are without an entry. */
export const builtInProfiles = { plain, operator, admin } as const;

export function createProfiles(options: ProfilesOptions): Profiles {
  return new Map(Object.entries({ ...builtInProfiles, ...options }));
}
