#!/usr/bin/env node
/** The process: picks a command, hands it the world, turns signals into one abort, and sets the exit code. */
import { readFile } from 'node:fs/promises';
import { enableCompileCache } from 'node:module';
import { runCommand } from './cli/commands.ts';
import type { Io } from './cli/io.ts';

// The code of a command is loaded below; from the second start on it need not be compiled again.
enableCompileCache();

// Small buffers are cut from blocks, and one that is kept keeps its block. Node's 64 KiB are too much for what streams keep.
Buffer.poolSize = 8 * 1024;

const stop = new AbortController();
let asked = false;
for (const signal of ['SIGTERM', 'SIGINT'] as const) {
  process.on(signal, () => {
    // The second signal means now.
    if (asked) process.exit(signal === 'SIGINT' ? 130 : 143);
    asked = true;
    stop.abort();
  });
}

const io: Io = {
  stdout: process.stdout,
  stderr: process.stderr,
  env: process.env,
  keys: process.stdin.isTTY ? readKeys : null,
  pid: process.pid,
  files: { read: async (path) => readFile(path) },
  signal: stop.signal,
  onHangup(listener) {
    process.on('SIGHUP', listener);
    return () => process.off('SIGHUP', listener);
  },
};

/** The keyboard as keys, one by one, rather than as lines. */
function readKeys(press: (key: string) => void): () => void {
  const { stdin } = process;
  const take = (bytes: Buffer) => press(bytes.toString('utf8'));
  stdin.setRawMode(true);
  stdin.resume();
  stdin.on('data', take);
  return () => {
    stdin.off('data', take);
    stdin.setRawMode(false);
    stdin.pause();
  };
}

process.exitCode = await runCommand(process.argv.slice(2), io);
