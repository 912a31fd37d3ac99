/**
 * Option types the rooms' schemas share. In a config file a duration is `"250ms"`, `"2s"`, `"10m"`, `"1h"` or `0`; a size is
 * `"64KiB"`, `"256MiB"`, `"16GiB"` or a number of bytes. config/load.ts turns both into numbers (milliseconds, bytes) after
 * validation, so the static type is `number` and no room parses text.
 */
import { Type, type TUnsafe } from 'typebox';

export interface UnitOptions {
  readonly description: string;
  /** Written as in a file, e.g. `2s`; the docs show it. */
  readonly default?: string | number;
  readonly minimum?: string | number;
}

/** Milliseconds; written as a duration. */
export function Duration(options: UnitOptions): TUnsafe<number> {
  return Type.Unsafe<number>({ type: ['string', 'number'], format: 'duration', ...options });
}

/** Bytes; written as a size. */
export function Size(options: UnitOptions): TUnsafe<number> {
  return Type.Unsafe<number>({ type: ['string', 'number'], format: 'size', ...options });
}

/** A string the docs and the effective configuration never show. */
export function Secret(options: { readonly description: string }): TUnsafe<string> {
  return Type.Unsafe<string>({ type: 'string', format: 'secret', ...options });
}

/** Where a listener binds. Port 0 lets the system choose. */
export interface Address {
  readonly host: string;
  readonly port: number;
}

/** Written `HOST:PORT`, `:PORT` (every interface) or `[::1]:PORT`; the room receives host and port. */
export function Address(options: { readonly description: string; readonly default?: string }): TUnsafe<Address> {
  return Type.Unsafe<Address>({ type: 'string', format: 'address', ...options });
}
