/** Certificates of the listener for clients: read at the start, and again when the files have changed. */
import { createPrivateKey, X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { Type, type Static } from 'typebox';

export const TlsOptions = Type.Object(
  {
    cert: Type.Optional(
      Type.String({ description: 'PEM file of the certificate, with those between it and the authority.' }),
    ),
    key: Type.Optional(Type.String({ description: 'PEM file of the private key to `cert`.' })),
    ca: Type.Optional(
      Type.String({
        description:
          'PEM file of the authorities whose certificates clients must show; without it, none is asked for. It says who may ' +
          'connect, and not which client of the gateway somebody is.',
      }),
    ),
  },
  {
    additionalProperties: false,
    description:
      'Speak HTTPS to clients. The files are read again when they change and on SIGHUP; connections that are open stay open.',
  },
);
export type TlsOptions = Static<typeof TlsOptions>;

export interface TlsSettings {
  readonly cert: Buffer;
  readonly key: Buffer;
  readonly ca?: Buffer;
  readonly requestCert: boolean;
  readonly rejectUnauthorized: boolean;
  readonly minVersion: 'TLSv1.2';
  readonly ALPNProtocols: string[];
}

/** Throws when a file is missing, or the key is not the certificate's: one of them may be replaced before the other. */
export function readTls({ ca, cert: certFile, key: keyFile }: TlsOptions): TlsSettings {
  // That both are named is a rule of the configuration.
  const [cert, key] = [readFileSync(certFile!), readFileSync(keyFile!)];
  // Node takes a key that does not fit, and fails at every handshake.
  if (!new X509Certificate(cert).checkPrivateKey(createPrivateKey(key))) {
    throw new Error('the private key is not that of the certificate');
  }
  return {
    cert,
    key,
    ...(ca !== undefined && { ca: readFileSync(ca) }),
    requestCert: ca !== undefined,
    rejectUnauthorized: ca !== undefined,
    minVersion: 'TLSv1.2',
    ALPNProtocols: ['http/1.1'],
  };
}
