/**
 * Addresses that no backend has, and behind which clouds keep what a request from this machine must not fetch: link-local ones,
 * the services that hand out credentials, multicast, and none at all. Whoever can add a backend, or answer for its name, could
 * otherwise have the gateway ask there.
 */
import { lookup } from 'node:dns';
import { BlockList, isIP, type LookupFunction } from 'node:net';

const special = new BlockList();
special.addSubnet('0.0.0.0', 8);
special.addSubnet('169.254.0.0', 16);
special.addSubnet('224.0.0.0', 3);
// Alibaba's, Oracle's and Azure's.
for (const address of ['100.100.100.200', '192.0.0.192', '168.63.129.16']) special.addAddress(address);
special.addAddress('::', 'ipv6');
special.addSubnet('fe80::', 10, 'ipv6');
special.addSubnet('ff00::', 8, 'ipv6');
special.addAddress('fd00:ec2::254', 'ipv6');
special.addAddress('fd20:ce::254', 'ipv6');

/** Prefixes of IPv6 in which an IPv4 address is carried, and where in the eight groups it begins. */
const carriers: readonly (readonly [prefix: readonly string[], at: number])[] = [
  [['0', '0', '0', '0', '0', 'ffff'], 6],
  [['0', '0', '0', '0', '0', '0'], 6],
  [['0', '0', '0', '0', 'ffff', '0'], 6],
  [['64', 'ff9b', '0', '0', '0', '0'], 6],
  [['2002'], 1],
];

/** Whether `host`, without brackets, is an address of that kind; names are not. */
export function isSpecialAddress(host: string): boolean {
  const [address = ''] = host.split('%');
  const version = isIP(address);
  if (version === 4) return special.check(address);
  if (version !== 6) return false;
  if (special.check(address, 'ipv6')) return true;
  const groups = groupsOf(address);
  return carriers.some(
    ([prefix, at]) => prefix.every((group, i) => groups[i] === group) && isCarried(groups, at, address),
  );
}

function isCarried(groups: readonly string[], at: number, address: string): boolean {
  if (address === '::1') return false;
  const [high = 0, low = 0] = groups.slice(at, at + 2).map((group) => Number.parseInt(group, 16));
  return special.check([high >> 8, high & 255, low >> 8, low & 255].join('.'));
}

/** The eight groups of an address, as a URL writes them: lower case, no zeros in front, no dots. */
function groupsOf(address: string): readonly string[] {
  const { hostname } = new URL(`http://[${address}]`);
  const [before = '', behind] = hostname.slice(1, -1).split('::');
  const groups = (text: string) => (text === '' ? [] : text.split(':'));
  if (behind === undefined) return groups(before);
  const [first, last] = [groups(before), groups(behind)];
  return [...first, ...Array.from({ length: 8 - first.length - last.length }, () => '0'), ...last];
}

/** The host of a backend's URL, read as whoever connects reads it: `0xA9FEA9FE` and `2852039166` are addresses, too. */
export function hostOf(url: string): string {
  return new URL(url).hostname.replace(/^\[|\]$/g, '');
}

/** Resolves names as the system does, and finds nothing at such addresses: looked at when it connects, not before. */
export function guardedLookup(resolve: typeof lookup = lookup): LookupFunction {
  return (hostname, options, callback) => {
    resolve(hostname, { ...options, all: true }, (error, found) => {
      const usable = (found ?? []).filter(({ address }) => !isSpecialAddress(address));
      const refusal =
        error ??
        (usable.length > 0 ? null : Object.assign(new Error('no address a backend may have'), { code: 'ESPECIAL' }));
      if (refusal !== null) callback(refusal, options.all === true ? [] : '');
      else if (options.all === true) callback(null, usable);
      else callback(null, usable[0]!.address, usable[0]!.family);
    });
  };
}
