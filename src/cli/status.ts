/** `llamero status`: how a running gateway and its backends stand, for people or, with `--json`, for programs. */
import type { Fleet, Queue } from '../http/admin/shapes.ts';
import { createAdminClient } from './admin-client.ts';
import { adminFlags } from './flags.ts';
import type { Io } from './io.ts';
import { readConfig } from './read-config.ts';
import { still } from './top/still.ts';

/** Exit codes: 0 the gateway takes requests, 1 it does not or does not answer, 2 flags not understood. */
export async function statusCommand(argv: readonly string[], io: Io): Promise<number> {
  const read = await readConfig(argv, io, { ...adminFlags, json: { help: 'print it as JSON' } });
  if (typeof read === 'number') return read;
  const client = createAdminClient(read.loaded.config.admin, read.flags.get('token')?.[0]);
  const [fleet, queue] = await Promise.all([client.get<Fleet>('/gateway/fleet'), client.get<Queue>('/gateway/queue')]);
  for (const answer of [fleet, queue]) {
    if (answer.ok) continue;
    io.stderr.write(`llamero: ${client.address} ${answer.problem}\n`);
    return 1;
  }
  if (!fleet.ok || !queue.ok) return 1;
  const { backends, now: _now, uptime_ms: uptimeMs, ...gateway } = fleet.value;
  if (read.flags.has('json')) {
    io.stdout.write(`${JSON.stringify({ ...fleet.value, queue: queue.value }, null, 2)}\n`);
  } else {
    const seen = { gateway, uptimeMs, backends, queue: queue.value, requests: [], history: [] };
    io.stdout.write(still(seen, io));
  }
  return gateway.ready ? 0 : 1;
}
