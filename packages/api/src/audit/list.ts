import { AuditAction, AuditActor, type AuditEntry, type ListAudit } from '@keymeter/contract'
import { type RawBuilder, sql } from 'kysely'
import { AppError } from '../errors.ts'
import { currentKeyPrefix } from '../keys/key.ts'
import { readInIndexOrder } from '../read-in-index-order.ts'
import type { Scope } from '../scope.ts'

interface Row {
  sequence: number
  actor: string
  memberId: string | null
  memberEmail: string | null
  action: string
  keyId: string | null
  keyName: string | null
  keyPrefix: string | null
  detail: AuditEntry['detail']
  requestId: string | null
  clientAddress: string | null
  userAgent: string | null
  createdAt: Date
}

/**
 * Returns one page of the account's audit log, newest entries first. The cursor is the sequence of an entry, so new entries do
 * not shift the pages.
 *
 * Only members read this list. It contains where a call came from only for the calls of members. The table keeps the
 * origin of every call, because the hash chain covers it, and because the operator needs it.
 *
 * A page reads only the entries that it returns. There is an index for each combination of the filters `action` and `keyId`
 * (supabase/schemas/audit.sql), and the time is the next column of each index. The conditions compare whole rows of columns,
 * and Postgres does not sort. So only one index fits. With `action = …`, Postgres could also read an index of all actions and
 * discard the other actions: if a rare action is frequent in other accounts, it would then read the account's whole log.
 *
 * @throws AppError `bad_request` if the cursor is not valid.
 */
export async function listAudit(
  scope: Scope,
  { action, keyId, from, to, cursor, limit }: ListAudit,
): Promise<{ data: AuditEntry[]; nextCursor: number | null }> {
  const { db, userId } = scope
  const filters = [
    ...(keyId === undefined ? [] : [{ column: sql`api_key_id`, value: sql`${keyId}::uuid` }]),
    ...(action === undefined ? [] : [{ column: sql`action`, value: sql`${action}::text` }]),
  ]
  const columns = [...filters.map(({ column }) => column), sql`created_at`, sql`sequence`]
  const place = ({ at, sequence }: Place) => sql.join([...filters.map(({ value }) => value), at, sql.lit(sequence)])
  const since = { at: from === undefined ? sql<Date>`timestamptz '-infinity'` : time(new Date(from)), sequence: 0 }
  const start = await firstPlace(scope, to, cursor)
  await readInIndexOrder(scope)
  const { rows } = await sql<Row>`
    select log.sequence, log.actor, log.actor_id as "memberId", members.email as "memberEmail", log.action, log.api_key_id as "keyId", keys.name as "keyName",
           ${currentKeyPrefix} as "keyPrefix", log.detail, origin.request_id as "requestId",
           origin.client_address as "clientAddress", origin.user_agent as "userAgent", log.created_at as "createdAt"
      from (select * from audit_log
             where user_id = ${userId} and (${sql.join(columns)}) < (${place(start)})
               and (${sql.join(columns)}) >= (${place(since)})
             order by ${sql.join(columns.map((column) => sql`${column} desc`))} limit ${limit + 1}) as log
      left join api_keys as keys on keys.user_id = ${userId} and keys.id = log.api_key_id
      left join lateral (select log.request_id, log.client_address, log.user_agent) as origin on log.actor = 'member'
      left join account_members as members on members.user_id = ${userId} and members.member_id = log.actor_id
     order by log.created_at desc, log.sequence desc`.execute(db)
  const page = rows.slice(0, limit)
  const data = page.map(({ createdAt, actor, action: done, memberId, memberEmail, ...row }) => ({
    ...row,
    member: memberId === null ? null : { id: memberId, email: memberEmail },
    actor: AuditActor.parse(actor),
    action: AuditAction.parse(done),
    createdAt: createdAt.toISOString(),
  }))
  return { data, nextCursor: rows.length > limit ? (page.at(-1)?.sequence ?? null) : null }
}

/** A place in the list, which is sorted by time and then by sequence. */
interface Place {
  at: RawBuilder<Date>
  sequence: number
}

/** Returns the place below which the page begins: the entry of the cursor, or the time `to` if it is earlier. */
async function firstPlace({ db, userId }: Scope, to: string | undefined, cursor: number | null | undefined): Promise<Place> {
  const end = to === undefined ? null : new Date(to)
  if (cursor == null) return { at: end === null ? sql<Date>`timestamptz 'infinity'` : time(end), sequence: 0 }
  const entry = await db
    .selectFrom('audit_log')
    .select('created_at as at')
    .where('user_id', '=', userId)
    .where('sequence', '=', cursor)
    .executeTakeFirst()
  if (entry === undefined) {
    const message = 'This cursor is not valid. Start again without a cursor.'
    throw new AppError('bad_request', { field: 'cursor', message })
  }
  return end !== null && end <= entry.at ? { at: time(end), sequence: 0 } : { at: time(entry.at), sequence: cursor }
}

function time(moment: Date): RawBuilder<Date> {
  return sql`${moment}::timestamptz`
}
