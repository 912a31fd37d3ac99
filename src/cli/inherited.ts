/**
 * Sockets that were opened before this process and handed to it, as systemd's socket activation does (sd_listen_fds(3)): the
 * kernel queues connections while nobody listens, so that a restart refuses none.
 */
import type { Environment } from '../config/env-layer.ts';

export interface Inherited {
  /** Descriptor of the listener for clients. */
  readonly public?: number;
  /** Descriptor of the listener for operators. */
  readonly admin?: number;
}

const firstDescriptor = 3;

/**
 * By their names (`FileDescriptorName=public` and `admin` in the socket units), else in this order. LISTEN_PID, when it is set,
 * must be ours: the variables may be meant for a parent.
 */
export function inheritedSockets(env: Environment, pid: number): Inherited {
  const count = Number(env['LISTEN_FDS'] ?? 0);
  const { LISTEN_PID: meant } = env;
  if (!Number.isInteger(count) || count < 1 || (meant !== undefined && meant !== String(pid))) return {};
  const names = (env['LISTEN_FDNAMES'] ?? '').split(':');
  const places = Array.from({ length: Math.min(count, 2) }, (_, index) => {
    const name =
      names[index] === 'admin' || names[index] === 'public' ? names[index] : (['public', 'admin'] as const)[index]!;
    return [name, firstDescriptor + index] as const;
  });
  return Object.fromEntries(places);
}
