import { AuditAction, AuditActor, type AuditEntry, type ListAudit } from '@keymeter/contract'
import type { Scope } from '../scope.ts'

/**
 * Returns one page of the account's audit log, newest entries first. The query uses the primary key, or `audit_log_key_idx`
 * for one key. The cursor is the sequence of an entry, so new entries do not shift the pages.
 */
export async function listAudit(
  { db, userId }: Scope,
  { action, keyId, from, to, cursor, limit }: ListAudit,
): Promise<{ data: AuditEntry[]; nextCursor: number | null }> {
  const rows = await db
    .selectFrom('audit_log as log')
    .leftJoin('api_keys as keys', (join) =>
      join.onRef('keys.user_id', '=', 'log.user_id').onRef('keys.id', '=', 'log.api_key_id'),
    )
    .select([
      'log.sequence as sequence',
      'log.actor as actor',
      'log.action as action',
      'log.api_key_id as keyId',
      'keys.name as keyName',
      'log.detail as detail',
      'log.request_id as requestId',
      'log.client_address as clientAddress',
      'log.user_agent as userAgent',
      'log.created_at as createdAt',
    ])
    .where('log.user_id', '=', userId)
    .$if(action !== undefined, (query) => query.where('log.action', '=', action ?? ''))
    .$if(keyId !== undefined, (query) => query.where('log.api_key_id', '=', keyId ?? ''))
    .$if(from !== undefined, (query) => query.where('log.created_at', '>=', new Date(from ?? '')))
    .$if(to !== undefined, (query) => query.where('log.created_at', '<', new Date(to ?? '')))
    .$if(cursor != null, (query) => query.where('log.sequence', '<', cursor ?? 0))
    .orderBy('log.sequence', 'desc')
    .limit(limit + 1)
    .execute()
  const page = rows.slice(0, limit)
  const data = page.map(({ createdAt, detail, actor, action: done, ...row }) => ({
    ...row,
    actor: AuditActor.parse(actor),
    action: AuditAction.parse(done),
    detail: detail as AuditEntry['detail'],
    createdAt: createdAt.toISOString(),
  }))
  return { data, nextCursor: rows.length > limit ? (page.at(-1)?.sequence ?? null) : null }
}
