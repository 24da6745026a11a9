import type { AuditAction, AuditActor } from '@keymeter/contract'
import type { Scope } from '../scope.ts'
import { chainHash } from './chain.ts'

/** An action for the audit log. `detail` must never contain a secret. */
export interface AuditRecord {
  action: AuditAction
  /** Null if the action does not concern a key. */
  keyId: string | null
  /** The default is `customer`. */
  actor?: AuditActor
  detail?: Record<string, unknown>
}

/**
 * Appends one entry to the account's audit log, in the transaction of the change. The caller must hold the account's lock.
 * Without the lock, two concurrent entries would continue the hash chain from the same entry. `now` is the time of the change.
 */
export async function recordAudit(scope: Scope, now: Date, record: AuditRecord): Promise<void> {
  const { action, keyId, actor = 'customer', detail = {} } = record
  const { db, userId, requestId, clientAddress, userAgent } = scope
  const { length, head } = await db
    .selectFrom('billing_accounts')
    .select(['audit_length as length', 'audit_head as head'])
    .where('user_id', '=', userId)
    .executeTakeFirstOrThrow()
  const entry = {
    userId,
    sequence: length + 1,
    actor,
    action,
    keyId,
    detail: JSON.stringify(detail),
    requestId,
    clientAddress,
    userAgent,
    createdAt: now.toISOString(),
  }
  const hash = chainHash(head, entry)
  await db
    .insertInto('audit_log')
    .values({
      user_id: userId,
      sequence: entry.sequence,
      actor: entry.actor,
      action,
      api_key_id: keyId,
      detail: entry.detail,
      request_id: requestId,
      client_address: clientAddress,
      user_agent: userAgent,
      created_at: now,
      hash,
    })
    .execute()
  await db
    .updateTable('billing_accounts')
    .set({ audit_length: entry.sequence, audit_head: hash })
    .where('user_id', '=', userId)
    .execute()
}
