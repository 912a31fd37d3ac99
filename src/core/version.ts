/** Version numbers as Ollama writes them: `0.33.0`, `0.33.0-rc2`. */

/** The lowest of them; text that is no version counts only when nothing else is there. Null for none. */
export function lowestVersion(versions: readonly string[]): string | null {
  const [first, ...others] = versions;
  if (first === undefined) return null;
  return others.reduce((lowest, version) => (compareVersions(version, lowest) < 0 ? version : lowest), first);
}

/**
 * Negative when `a` is older. By major, minor and patch; a pre-release is older than its release; pre-releases by their
 * parts, runs of digits as numbers, so that `rc10` is newer than `rc2`. What is no version is newer than everything.
 */
export function compareVersions(a: string, b: string): number {
  const left = parse(a);
  const right = parse(b);
  if (left === null || right === null) return Number(left === null) - Number(right === null);
  for (let index = 0; index < 3; index += 1) {
    const difference = left.numbers[index]! - right.numbers[index]!;
    if (difference !== 0) return difference;
  }
  if (left.preRelease === null || right.preRelease === null) {
    return Number(left.preRelease === null) - Number(right.preRelease === null);
  }
  return compareParts(left.preRelease, right.preRelease);
}

interface Version {
  readonly numbers: readonly number[];
  /** Runs of digits and of other characters in turn; null for a release. */
  readonly preRelease: readonly string[] | null;
}

function parse(text: string): Version | null {
  const match = /^v?(\d+)\.(\d+)(?:\.(\d+))?(?:-([0-9A-Za-z.-]+))?(?:\+.*)?$/.exec(text.trim());
  if (match === null) return null;
  const [, major, minor, patch, preRelease] = match;
  return {
    numbers: [Number(major), Number(minor), Number(patch ?? 0)],
    preRelease: preRelease === undefined ? null : (preRelease.match(/\d+|[^\d.]+/g) ?? []),
  };
}

function compareParts(a: readonly string[], b: readonly string[]): number {
  for (let index = 0; index < Math.min(a.length, b.length); index += 1) {
    const left = a[index]!;
    const right = b[index]!;
    if (left === right) continue;
    const bothNumbers = /^\d/.test(left) && /^\d/.test(right);
    if (bothNumbers && Number(left) !== Number(right)) return Number(left) - Number(right);
    if (!bothNumbers) return left < right ? -1 : 1;
  }
  return a.length - b.length;
}
