import { type AuditAction, cutSecrets } from '@keymeter/contract'
import { type RawBuilder, sql } from 'kysely'
import type { CallOrigin, Scope } from '../scope.ts'

/** A change of a key, for the audit log. `detail` must never contain a secret. */
export interface AuditRecord {
  action: AuditAction & `key.${string}`
  keyId: string
  detail?: Record<string, unknown>
}

/**
 * Appends one entry to the account's audit log, in the transaction of the change. The database sets the actor (the member of the call),
 * the time and the hash, because the server's role must not be able to forge them. The changes of the operator are recorded by
 * the SQL functions that make them.
 */
export async function recordAudit(scope: Scope, { action, keyId, detail = {} }: AuditRecord): Promise<void> {
  await sql`select keymeter.record_audit(${action}, ${keyId}, ${JSON.stringify(detail)}, ${originOf(scope)})`.execute(scope.db)
}

/**
 * Returns the SQL expression for where a call came from. The functions that write audit entries take it as an argument. A secret
 * in one of its texts is cut to its key prefix: the client chooses the user agent, and behind a wrong number of proxies also the
 * address.
 */
export function originOf({ requestId, clientAddress, userAgent }: CallOrigin): RawBuilder<unknown> {
  const [id, address, agent] = [requestId, clientAddress, userAgent].map((text) => text && cutSecrets(text))
  return sql`row(${id}, ${address}, ${agent})::keymeter.call_origin`
}
