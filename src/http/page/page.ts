/**
 * The page for people, as one file: it asks nobody else for anything, and may not. Put together once, from the files beside this one,
 * and served from memory.
 */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import type { FastifyReply, FastifyRequest } from 'fastify';

export interface Page {
  readonly html: string;
  /** What the browser is allowed, as a Content-Security-Policy. */
  readonly policy: string;
  answer(request: FastifyRequest, reply: FastifyReply): unknown;
}

/** In an order in which each imports only what stands before it. */
const modules = [
  'dom',
  'format',
  'state',
  'gateway',
  'spark',
  'actions',
  'fleet',
  'overview',
  'requests',
  'models',
  'config',
  'main',
] as const;

export function createPage(): Page {
  const style = plainStyle(read('style.css'));
  const script = modules.map((name) => asScope(name, read(`script/${name}.mjs`))).join('\n');
  // As functions: in a text, `$&` and its kind would mean something.
  const html = read('index.html')
    .replace('/*style*/', () => style)
    .replace('/*script*/', () => script);
  const policy = [
    "default-src 'none'",
    `script-src '${hashOf(script)}'`,
    `style-src '${hashOf(style)}'`,
    "connect-src 'self'",
    'img-src data:',
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
    "require-trusted-types-for 'script'",
  ].join('; ');
  const tag = `"${createHash('sha256').update(html).digest('base64url').slice(0, 22)}"`;
  const headers = {
    'content-security-policy': policy,
    'cross-origin-opener-policy': 'same-origin',
    'referrer-policy': 'no-referrer',
    'x-content-type-options': 'nosniff',
    'cache-control': 'no-cache',
    etag: tag,
  };

  return {
    html,
    policy,
    answer(request, reply) {
      const [path = ''] = request.url.split('?', 1);
      // The page's own addresses are relative to its folder.
      if (!path.endsWith('/')) return reply.code(308).header('location', 'gateway/').send();
      reply.headers(headers);
      if (request.headers['if-none-match'] === tag) return reply.code(304).send();
      return reply.type('text/html; charset=utf-8').send(html);
    },
  };
}

function read(name: string): string {
  return readFileSync(new URL(name, import.meta.url), 'utf8');
}

function hashOf(text: string): string {
  return `sha256-${createHash('sha256').update(text).digest('base64')}`;
}

/** A module as a scope of one script: imports become names taken from the scopes before, exports are handed on. */
export function asScope(name: string, source: string): string {
  const exported = [...source.matchAll(/^export (?:const|(?:async )?function) (\w+)/gm)].map(([, found]) => found);
  const body = source
    .replace(/^\s*\/\*\*[\s\S]*?\*\/\n/gm, '')
    .replace(/^\s*\/\/.*\n/gm, '')
    .replace(/^import \{([^}]*)\} from .\.\/(\w+)\.mjs.;\n/gm, (_, names: string, from: string) => {
      return `const {${names.replace(/\s+/g, '').replace(/,$/, '')}}=$${from};\n`;
    })
    .replace(/^export /gm, '')
    .replace(/^\s+/gm, '');
  return `const $${name}=(()=>{\n${body}return {${exported.join(',')}};})();`;
}

function plainStyle(source: string): string {
  return source.replace(/\/\*[\s\S]*?\*\//g, '').replace(/^\s+/gm, '');
}
