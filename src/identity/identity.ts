/** Everybody who can say who they are: keys, signers and tokens, read from the configuration and its files, and kept up to date. */
import { BlockList, isIP } from 'node:net';
import { readFile } from 'node:fs/promises';
import type { Client, Grant } from '../core/grants.ts';
import { builtInProfiles, createProfiles, noGrant, type Profiles, type ProfilesOptions } from '../core/profiles.ts';
import type { Clock, Millis, Timer } from '../core/types.ts';
import { readKeys, writeUses, type KeyRecord } from './key-file.ts';
import { createKeyRing, type KeyFault, type KeyRing, type KnownKey } from './key-ring.ts';
import { hasIdentities, type AuthOption, type ClientsOptions } from './options.ts';
import { createSignatureCheck, parseAuthorizedKeys, type AuthorizedKeys } from './signature.ts';
import type { SignatureCheck, SignatureFault, Signed } from './signature.ts';
import { createTokenCheck, isTokenText, type TokenCheck, type TokenFault } from './tokens.ts';
import { watchedFile, type WatchedFile } from './watched-file.ts';

export interface IdentityDependencies {
  readonly clock: Clock;
  /** Epoch milliseconds. */
  readonly wallNow: () => number;
  /** Says what is wrong with a file. */
  readonly complain: (message: string) => void;
}

export interface IdentityOptions {
  readonly auth: AuthOption;
  readonly clients: ClientsOptions;
  readonly profiles: ProfilesOptions;
}

export interface Identity {
  /** Reads the files for the first time; rejects with what is wrong with one. */
  load(): Promise<void>;
  /** The listener has its address: whether only this machine can reach it. */
  bound(isLoopback: boolean): void;
  setOptions(options: IdentityOptions): void;
  close(): Promise<void>;
  key(text: string): KnownKey | KeyFault;
  signed(signed: Signed): Client | SignatureFault;
  /** Null when the text is no token, or none is accepted. */
  token(text: string): Client | TokenFault | Promise<Client | TokenFault> | null;
  /** The header that names users; null when there is none. */
  readonly userHeader: string | null;
  /** The user an address speaks for; null when it is not believed, or names nobody. */
  userFrom(address: string, name: string): Client | null;
  /** The same for a holder of a key or a token; without the right to, it is itself. */
  userOf(key: KnownKey, name: string): Client;
  /** Who has said nothing; null when they must. */
  anonymous(address: string): Client | null;
}

/** How often it is written down when keys were used. */
const usesEveryMs: Millis = 60_000;

export function createIdentity(dependencies: IdentityDependencies, options: IdentityOptions): Identity {
  return new IdentityDesk(dependencies, options);
}

class IdentityDesk implements Identity {
  readonly #deps: IdentityDependencies;
  #options: IdentityOptions;
  #profiles: Profiles;
  #isLoopback = false;

  #records: readonly KeyRecord[] = [];
  #ring: KeyRing;
  #signers: { readonly text: string; keys: AuthorizedKeys } = { text: '', keys: new Map() };
  #signatures: SignatureCheck;
  #tokens: TokenCheck;
  #networks: readonly Network[];
  #fronts: BlockList;
  #open: Grant | null = null;
  #files: readonly WatchedFile[] = [];
  #usesTimer: Timer | null = null;
  #usesWritten = '';

  constructor(dependencies: IdentityDependencies, options: IdentityOptions) {
    this.#deps = dependencies;
    this.#options = options;
    this.#profiles = createProfiles(options.profiles);
    this.#ring = createKeyRing([], this.#profiles);
    this.#signatures = createSignatureCheck(options.clients.signedWindow);
    this.#tokens = createTokenCheck(options.clients.tokens, this.#profiles);
    this.#networks = networksOf(options.clients, this.#profiles);
    this.#fronts = blockList(options.clients.users?.from ?? []);
    this.#files = this.#watch();
    this.bound(false);
  }

  get userHeader(): string | null {
    return this.#options.clients.users?.header ?? null;
  }

  async load(): Promise<void> {
    for (const file of this.#files) {
      await file.look();
      file.start();
    }
    this.#noteUsesLater();
  }

  bound(isLoopback: boolean): void {
    this.#isLoopback = isLoopback;
    const { auth, clients } = this.#options;
    const isOpen = auth === 'open' || (auth === 'auto' && isLoopback && !hasIdentities(clients));
    const name = clients.anonymous ?? (isLoopback ? 'operator' : 'plain');
    this.#open = isOpen ? (this.#profiles.get(name) ?? builtInProfiles.plain) : null;
  }

  setOptions(options: IdentityOptions): void {
    const { clients: before } = this.#options;
    this.#options = options;
    const { clients } = options;
    this.#profiles = createProfiles(options.profiles);
    this.#takeKeys(this.#records);
    this.#takeSigners(this.#signers.text);
    if (before.signedWindow !== clients.signedWindow) this.#signatures = createSignatureCheck(clients.signedWindow);
    this.#tokens = createTokenCheck(clients.tokens, this.#profiles);
    this.#networks = networksOf(clients, this.#profiles);
    this.#fronts = blockList(clients.users?.from ?? []);
    this.bound(this.#isLoopback);
    if (before.keys === clients.keys && before.authorizedKeys === clients.authorizedKeys) return;
    for (const file of this.#files) file.close();
    if (clients.keys === undefined) this.#takeKeys([]);
    if (clients.authorizedKeys === undefined) this.#takeSigners('');
    this.#files = this.#watch();
    for (const file of this.#files) {
      void file.look().catch((error: Error) => this.#deps.complain(error.message));
      file.start();
    }
  }

  async close(): Promise<void> {
    for (const file of this.#files) file.close();
    this.#usesTimer?.cancel();
    await this.#noteUses();
  }

  key(text: string): KnownKey | KeyFault {
    return this.#ring.find(text, this.#deps.wallNow());
  }

  signed(signed: Signed): Client | SignatureFault {
    return this.#signatures.check(signed, this.#signers.keys, this.#deps.wallNow());
  }

  token(text: string): Client | TokenFault | Promise<Client | TokenFault> | null {
    if (this.#options.clients.tokens.length === 0 || !isTokenText(text)) return null;
    return this.#tokens.check(text, this.#deps.wallNow());
  }

  userFrom(address: string, name: string): Client | null {
    const { users } = this.#options.clients;
    if (users === undefined || !isUserName(name) || !isWithin(this.#fronts, address)) return null;
    return { id: `user:${name}`, grant: this.#profiles.get(users.profile) ?? noGrant };
  }

  userOf({ client, speaksForUsers }: KnownKey, name: string): Client {
    return speaksForUsers && isUserName(name) ? { ...client, id: `user:${name}` } : client;
  }

  anonymous(address: string): Client | null {
    for (const { addresses, grant } of this.#networks) if (isWithin(addresses, address)) return { id: address, grant };
    return this.#open === null ? null : { id: address, grant: this.#open };
  }

  #takeKeys(records: readonly KeyRecord[]): void {
    this.#records = records;
    this.#ring = createKeyRing(records, this.#profiles, this.#ring);
  }

  #takeSigners(text: string): readonly number[] {
    const { keys, strange } = parseAuthorizedKeys(text, this.#profiles, this.#options.clients.signedProfile);
    this.#signers = { text, keys };
    return strange;
  }

  #watch(): readonly WatchedFile[] {
    const { authorizedKeys, keys } = this.#options.clients;
    const { clock, complain } = this.#deps;
    const failed = ({ message }: Error) => complain(`${message}; what was read before stays in force`);
    const files: WatchedFile[] = [];
    if (keys !== undefined) {
      const read = async () => this.#takeKeys(await readKeys(keys));
      files.push(watchedFile({ path: keys, clock, read, failed }));
    }
    if (authorizedKeys !== undefined) {
      const read = async () => {
        const strange = this.#takeSigners(await readFile(authorizedKeys, 'utf8'));
        if (strange.length === 0) return;
        const lines = `${strange.length === 1 ? 'line' : 'lines'} ${strange.join(', ')}`;
        complain(`${authorizedKeys}: ${lines}: no ed25519 public key; left out`);
      };
      files.push(watchedFile({ path: authorizedKeys, clock, read, failed }));
    }
    return files;
  }

  #noteUsesLater(): void {
    this.#usesTimer = this.#deps.clock.after(usesEveryMs, () => {
      void this.#noteUses().then(() => this.#noteUsesLater());
    });
  }

  /** Not while a request waits: whoever asks `llamero keys list` can wait a minute for it. */
  async #noteUses(): Promise<void> {
    const { keys } = this.#options.clients;
    const uses = new Map([...this.#ring.uses()].map(([id, at]) => [id, new Date(at).toISOString()]));
    const text = JSON.stringify([...uses]);
    if (keys === undefined || uses.size === 0 || text === this.#usesWritten) return;
    this.#usesWritten = text;
    await writeUses(keys, uses).catch(({ code }: NodeJS.ErrnoException) =>
      this.#deps.complain(`when keys are used can’t be written down beside ${keys}: ${code}`),
    );
  }
}

interface Network {
  readonly addresses: BlockList;
  readonly grant: Grant;
}

function networksOf({ networks }: ClientsOptions, profiles: Profiles): readonly Network[] {
  return Object.entries(networks).map(([network, profile]) => ({
    addresses: blockList([network]),
    grant: profiles.get(profile) ?? noGrant,
  }));
}

/** Of addresses and networks; what is neither is left out. */
export function blockList(networks: readonly string[]): BlockList {
  const list = new BlockList();
  for (const network of networks) {
    const parts = networkParts(network);
    if (parts === null) continue;
    list.addSubnet(parts.address, parts.prefix, parts.family);
  }
  return list;
}

/** `10.0.0.0/8` or one address, taken apart; null when it is neither. */
export function networkParts(
  text: string,
): { readonly address: string; readonly prefix: number; readonly family: 'ipv4' | 'ipv6' } | null {
  const [address = '', length] = text.split('/', 2);
  const version = isIP(address);
  const longest = version === 4 ? 32 : 128;
  const prefix = length === undefined ? longest : /^\d{1,3}$/.test(length) ? Number(length) : -1;
  if (version === 0 || prefix < 0 || prefix > longest) return null;
  return { address, prefix, family: version === 4 ? 'ipv4' : 'ipv6' };
}

function isWithin(list: BlockList, address: string): boolean {
  const version = isIP(address);
  return version !== 0 && list.check(address, version === 6 ? 'ipv6' : 'ipv4');
}

/** Something else may be anything; an id stands in logs. */
function isUserName(name: string): boolean {
  return /^[\w.@+:-]{1,128}$/.test(name);
}
