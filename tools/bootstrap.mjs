// Makes `npm start` and `npm test` work on a fresh clone: installs the locked packages (with the project's own
// Node among them) when node_modules is missing or older than package-lock.json. Plain JavaScript without
// dependencies, because it is the one file that an older Node has to run.
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const stamp = `${root}node_modules/.llamero-lock`;
const digest = createHash('sha256')
  .update(readFileSync(`${root}package-lock.json`))
  .digest('hex');
const installed = existsSync(stamp) && readFileSync(stamp, 'utf8') === digest;

if (!installed) {
  process.stderr.write('llamero: installing packages (first run, or package-lock.json changed) …\n');
  const npm = process.env.npm_execpath;
  const [command, before] = npm ? [process.execPath, [npm]] : ['npm', []];
  const result = spawnSync(
    command,
    [...before, 'ci', '--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error'],
    {
      cwd: root,
      stdio: ['ignore', 'ignore', 'inherit'],
      shell: npm === undefined && process.platform === 'win32',
    },
  );
  if (result.status !== 0) {
    process.stderr.write('llamero: `npm ci` failed; run it by hand to see why, then try again.\n');
    process.exit(1);
  }
  writeFileSync(stamp, digest);
}
