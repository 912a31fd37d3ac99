/**
 * The process under the gateway: memory, CPU, the event loop, garbage collection. Not prom-client's own collector, because that
 * one can't be stopped, samples ten times a second, and names gauges `_total`.
 */
import { constants, monitorEventLoopDelay, performance, PerformanceObserver } from 'node:perf_hooks';
import { cpuUsage, memoryUsage } from 'node:process';
import { readFile, readdir } from 'node:fs/promises';

export interface ProcessSample {
  readonly cpuSeconds: number;
  readonly residentBytes: number;
  readonly heapUsedBytes: number;
  readonly externalBytes: number;
  /** Of the time since the previous sample, 0 to 1. */
  readonly loopUtilization: number;
  /** Seconds the loop came late, since the previous sample. */
  readonly loopLag: { readonly mean: number; readonly p99: number; readonly max: number };
  /** File descriptors in use and allowed; null where the system doesn't tell. */
  readonly openDescriptors: number | null;
  readonly maxDescriptors: number | null;
}

export interface ProcessWatch {
  /** Reads, and starts the next period. */
  sample(): Promise<ProcessSample>;
  close(): void;
}

/** How often the event loop is looked at; a delay is what comes on top of it. */
const resolutionMs = 20;

export function watchProcess(collected: (kind: string, seconds: number) => void): ProcessWatch {
  const delay = monitorEventLoopDelay({ resolution: resolutionMs });
  delay.enable();
  const observer = new PerformanceObserver((list) => {
    for (const entry of list.getEntries()) {
      const { kind } = (entry as unknown as { readonly detail: { readonly kind: number } }).detail;
      collected(kindNames.get(kind) ?? 'other', entry.duration / 1000);
    }
  });
  observer.observe({ entryTypes: ['gc'] });
  let utilization = performance.eventLoopUtilization();

  return {
    async sample() {
      const openDescriptors = await countDescriptors();
      const maxDescriptors = await descriptorLimit();
      const before = utilization;
      utilization = performance.eventLoopUtilization();
      const cpu = cpuUsage();
      const memory = memoryUsage();
      const loopLag = {
        mean: lateness(delay.mean),
        p99: lateness(delay.percentile(99)),
        max: lateness(delay.max),
      };
      delay.reset();
      return {
        cpuSeconds: (cpu.user + cpu.system) / 1e6,
        residentBytes: memory.rss,
        heapUsedBytes: memory.heapUsed,
        externalBytes: memory.external,
        loopUtilization: performance.eventLoopUtilization(utilization, before).utilization,
        loopLag,
        openDescriptors,
        maxDescriptors,
      };
    },
    close() {
      delay.disable();
      observer.disconnect();
    },
  };
}

/** The one that is opened to look is not counted. */
async function countDescriptors(): Promise<number | null> {
  const names = await readdir('/proc/self/fd').catch(() => null);
  return names === null ? null : names.length - 1;
}

async function descriptorLimit(): Promise<number | null> {
  const limits = await readFile('/proc/self/limits', 'utf8').catch(() => '');
  const [, soft] = /^Max open files\s+(\w+)/m.exec(limits) ?? [];
  if (soft === undefined) return null;
  return soft === 'unlimited' ? Infinity : Number(soft);
}

const kindNames: ReadonlyMap<number, string> = new Map([
  [constants.NODE_PERFORMANCE_GC_MAJOR, 'major'],
  [constants.NODE_PERFORMANCE_GC_MINOR, 'minor'],
  [constants.NODE_PERFORMANCE_GC_INCREMENTAL, 'incremental'],
  [constants.NODE_PERFORMANCE_GC_WEAKCB, 'weakcb'],
]);

/** Nanoseconds between two looks → seconds the second one was late; 0 when there was none yet. */
function lateness(nanoseconds: number): number {
  const seconds = nanoseconds / 1e9 - resolutionMs / 1000;
  return seconds > 0 && seconds < 1e6 ? seconds : 0;
}
