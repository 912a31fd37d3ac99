/** One line of the audit file: who changed what, or was refused. */
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
