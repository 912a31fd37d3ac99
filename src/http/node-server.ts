/**
 * Node's HTTP server, read strictly: heads that could be understood in two ways are refused before anything is routed, a body
 * is asked for (`100 Continue`) only when somebody wants it, and every request is marked as having passed here (`Via`).
 */
import { randomBytes } from 'node:crypto';
import { createServer, STATUS_CODES, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { createServer as createTlsServer, type Server as TlsServer } from 'node:https';
import { headFault, originForm, type HeadFault, type HeadRules } from './head-faults.ts';
import { readTls, type TlsOptions } from './tls.ts';

export interface NodeServerOptions extends Pick<HeadRules, 'maxFields'> {
  readonly maxHeaderBytes: number;
  readonly headersTimeoutMs: number;
  readonly keepAliveTimeoutMs: number;
  /** Connections at a time; 0 means no limit. */
  readonly maxConnections: number;
  /** Plain HTTP without it. */
  readonly tls?: TlsOptions | undefined;
}

export type Handle = (request: IncomingMessage, response: ServerResponse) => void;

/** How often Node looks for connections whose head does not come. */
const headCheckMs = 500;

export function createNodeServer(handle: Handle, options: NodeServerOptions): Server {
  const rules = { maxFields: options.maxFields, pseudonym: `llamero-${randomBytes(4).toString('hex')}` };
  const settings = {
    // Said, because the process could have been started with a flag that says otherwise.
    insecureHTTPParser: false,
    maxHeaderSize: options.maxHeaderBytes,
    // Found at the next look, it is over within the time that was configured.
    headersTimeout: Math.max(1, options.headersTimeoutMs - headCheckMs),
    requestTimeout: 0,
    keepAliveTimeout: options.keepAliveTimeoutMs,
    connectionsCheckingInterval: headCheckMs,
    // What the socket itself queues for a slow reader, piece by piece; beyond it our own, denser backlog begins.
    highWaterMark: 16 * 1024,
  };
  const { tls } = options;
  const server =
    tls === undefined
      ? createServer(settings)
      : createTlsServer({ ...settings, ...readTls(tls), handshakeTimeout: options.headersTimeoutMs });
  // What is beyond Node's own limit is not refused but forgotten; ours is below it.
  server.maxHeadersCount = 0;
  server.on('request', (request: IncomingMessage, response: ServerResponse) => {
    const fault = headFault(request, rules);
    if (fault !== null) {
      refuse(response, fault);
      return;
    }
    const { url = '/' } = request;
    if (!url.startsWith('/') && url !== '*') request.url = originForm(url);
    markPassage(request, rules.pseudonym);
    handle(request, response);
  });
  server.on('checkContinue', (request: IncomingMessage, response: ServerResponse) => {
    askWhenWanted(request, response);
    server.emit('request', request, response);
  });
  server.on('connection', (socket) => socket.setNoDelay(true));
  if (options.maxConnections > 0) server.maxConnections = options.maxConnections;
  return server;
}

/** Reads the files again. Connections that are open keep what they began with. Throws when the files do not fit each other. */
export function renewCertificate(server: Server, tls: TlsOptions): void {
  if ('setSecureContext' in server) (server as Server & TlsServer).setSecureContext(readTls(tls));
}

/** Whether the client holds its body back until it is asked for it. */
export function holdsBack({ headers }: IncomingMessage): boolean {
  return headers.expect !== undefined;
}

/**
 * Node would ask for the body at once. It is asked for when it is first read, which is after the request was found to be one
 * that may be served. One that is answered before that ends its connection: whether the body comes all the same is the client's
 * choice, so that nobody could say where its next request begins.
 */
function askWhenWanted(request: IncomingMessage, response: ServerResponse): void {
  const { shouldKeepAlive } = response;
  response.shouldKeepAlive = false;
  request.once('resume', () => {
    if (response.headersSent) return;
    delete request.headers.expect;
    response.shouldKeepAlive = shouldKeepAlive;
    response.writeContinue();
  });
}

/** `Via` as it goes on to a backend (RFC 9110 §7.6.3): who passed it on before, and we. */
function markPassage({ headers, httpVersion }: IncomingMessage, pseudonym: string): void {
  const before = headers.via === undefined ? '' : `${headers.via}, `;
  headers.via = `${before}${httpVersion} ${pseudonym}`;
}

function refuse(response: ServerResponse, { reason, status }: HeadFault): void {
  const text = `${status} ${STATUS_CODES[status]?.toLowerCase()}: ${reason}`;
  const length = String(text.length);
  response.writeHead(status, { 'Content-Type': 'text/plain', 'Content-Length': length, Connection: 'close' });
  response.end(text);
}
