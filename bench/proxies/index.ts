import { haproxy } from './haproxy.ts';
import { llamero, llameroBare } from './llamero.ts';
import { nginx } from './nginx.ts';
import type { Proxy } from './proxy.ts';
import { reference } from './reference.ts';

/** Every proxy that can be measured; `llamero-bare` and `reference` only when asked for. */
export const proxies: readonly Proxy[] = [llamero, llameroBare, nginx, haproxy, reference];
