/** Who has changed what, and who was refused: one JSON object a line, only ever added to. */
import { appendFile } from 'node:fs/promises';

export interface AuditEntry {
  /** ISO 8601. */
  readonly time: string;
  /** A client, `admin`, or `command:USER`. */
  readonly who: string;
  readonly what: string;
  /** The model, backend or key it was done to. */
  readonly target?: string;
  /** `ok`, or a failure's code. */
  readonly outcome: string;
  readonly address?: string;
  readonly requestId?: string;
  readonly detail?: string;
}

/** Rejects as node:fs does. A line is one write, so that several processes can add to the file. */
export function appendAudit(path: string, entry: AuditEntry): Promise<void> {
  return appendFile(path, `${JSON.stringify(entry)}\n`, { mode: 0o600 });
}
