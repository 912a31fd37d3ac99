/** How much the machine was wanted by others meanwhile: a figure that is late for want of a core says nothing about the gateway. */
import { readFileSync } from 'node:fs';
import { percent } from './scenario.ts';

/** Returns what to print at the end: the share of the time in which somebody waited for a core. Linux only. */
export function watchPressure(): () => string {
  const before = stalledMicros();
  const begin = performance.now();
  return () => {
    const behind = stalledMicros();
    if (before === null || behind === null) return 'cores: not told';
    const share = (behind - before) / 1000 / (performance.now() - begin);
    return `somebody waited for a core ${percent(share)} of the time`;
  };
}

/** From the kernel's pressure stall information; null where there is none. */
function stalledMicros(): number | null {
  try {
    const total = /^some .* total=(\d+)/m.exec(readFileSync('/proc/pressure/cpu', 'latin1'))?.[1];
    return total === undefined ? null : Number(total);
  } catch {
    return null;
  }
}
