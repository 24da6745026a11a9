import type { KeyType, Refusal, Verdict } from '@keymeter/contract'
import type { Db } from '@keymeter/db'
import { sql } from 'kysely'

/** One charge as the database decides it. The token has been parsed: it named the account. */
export interface BatchItem {
  userId: string
  keyHash: Buffer
  credits: number
  idempotencyKey: string | null
  operation: string
}

interface Row {
  verdict: 'charged' | Refusal | 'not_found' | 'conflict' | 'operation_limit_exceeded'
  is_replayed: boolean
  api_key_id: string | null
  key_type: KeyType | null
  credits_charged: number
  remaining: number | null
  cycle_end: Date | null
}

/**
 * Decides a batch in one call and one commit, and answers each item's verdict in their order. The rules are those of the
 * SQL function `charge_batch`. Sent again, items with an idempotency key are answered what they were answered first.
 */
export async function chargeBatch(db: Db, items: readonly BatchItem[]): Promise<Verdict[]> {
  const { rows } = await sql<Row>`select * from charge_batch(
    ${items[0]?.userId}::uuid,
    ${items.map(({ userId }) => userId)}::uuid[],
    ${items.map(({ keyHash }) => keyHash)}::bytea[],
    ${items.map(({ credits }) => credits)}::bigint[],
    ${items.map(({ idempotencyKey }) => idempotencyKey)}::text[],
    ${items.map(({ operation }) => operation)}::text[])`.execute(db)
  if (rows.length !== items.length) throw new Error(`${items.length} charges were answered by ${rows.length} verdicts`)
  return items.map((item, i) => toVerdict(item, rows[i]))
}

function toVerdict({ userId }: BatchItem, row: Row | undefined): Verdict {
  switch (row?.verdict) {
    case 'not_found':
    case 'conflict':
    case 'operation_limit_exceeded':
      return { verdict: row.verdict }
  }
  if (row === undefined || row.api_key_id === null || row.key_type === null || row.remaining === null || row.cycle_end === null)
    throw new Error('a verdict on a known key came without it')
  const known = {
    keyId: row.api_key_id,
    accountId: userId,
    keyType: row.key_type,
    remaining: row.remaining,
    cycleEnd: row.cycle_end.toISOString(),
    replayed: row.is_replayed,
  }
  return row.verdict === 'charged'
    ? { verdict: 'charged', ...known, credits: row.credits_charged }
    : { verdict: row.verdict, ...known }
}
