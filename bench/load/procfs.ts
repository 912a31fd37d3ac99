/** What the kernel says of a process: its CPU time, its memory, its children. Linux only; null elsewhere. */
import { readdirSync, readFileSync } from 'node:fs';

/**
 * CPU time of the processes in microseconds, all threads, from the scheduler's own accounting (nanoseconds; the ticks of
 * /proc/<pid>/stat are 10 ms). Time of threads that have ended is missing, so compare only snapshots of a settled process.
 */
export function cpuMicros(pids: readonly number[]): number | null {
  let nanos = 0;
  try {
    for (const pid of pids) {
      for (const thread of readdirSync(`/proc/${pid}/task`)) {
        nanos += runtimeOf(readFileSync(`/proc/${pid}/task/${thread}/schedstat`, 'latin1'));
      }
    }
  } catch {
    return null;
  }
  return nanos / 1000;
}

/** Resident memory of the processes in bytes. */
export function residentBytes(pids: readonly number[]): number | null {
  let bytes = 0;
  try {
    for (const pid of pids) {
      bytes += residentOf(readFileSync(`/proc/${pid}/status`, 'latin1'));
    }
  } catch {
    return null;
  }
  return bytes;
}

/** A process and all that descend from it. */
export function processTree(root: number): number[] {
  const childrenOf = new Map<number, number[]>();
  try {
    for (const name of readdirSync('/proc')) {
      if (!/^\d+$/.test(name)) continue;
      const parent = parentOf(statOf(name));
      childrenOf.set(parent, [...(childrenOf.get(parent) ?? []), Number(name)]);
    }
  } catch {
    return [root];
  }
  const tree = [root];
  for (const pid of tree) tree.push(...(childrenOf.get(pid) ?? []));
  return tree;
}

/** The cores this process may run on. */
export function allowedCores(): number[] {
  try {
    const list = /^Cpus_allowed_list:\s*(\S+)/m.exec(readFileSync('/proc/self/status', 'latin1'))?.[1];
    return list === undefined ? [] : coresOf(list);
  } catch {
    return [];
  }
}

/** Nanoseconds on a core: the first field of schedstat. */
export function runtimeOf(schedstat: string): number {
  return Number(schedstat.slice(0, schedstat.indexOf(' ')));
}

/** VmRSS in bytes. */
export function residentOf(status: string): number {
  return Number(/^VmRSS:\s+(\d+) kB/m.exec(status)?.[1] ?? Number.NaN) * 1024;
}

/** The parent's pid; the command in parentheses before it may hold anything. */
export function parentOf(stat: string): number {
  return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1]);
}

/** `0-2,5` → 0, 1, 2, 5. */
export function coresOf(list: string): number[] {
  return list.split(',').flatMap((range) => {
    const [first = 0, last = first] = range.split('-').map(Number);
    return Array.from({ length: last - first + 1 }, (_, i) => first + i);
  });
}

/** A process that has ended meanwhile has no parent. */
function statOf(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/stat`, 'latin1');
  } catch {
    return ') X 0';
  }
}
