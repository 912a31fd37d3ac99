/** Who has changed what, and who was refused: one JSON object a line, only ever added to. */
import { appendFile } from 'node:fs/promises';
import type { AuditEntry } from '../core/audit-entry.ts';

/** Rejects as node:fs does. A line is one write, so that several processes can add to the file. */
export function appendAudit(path: string, entry: AuditEntry): Promise<void> {
  return appendFile(path, `${JSON.stringify(entry)}\n`, { mode: 0o600 });
}
