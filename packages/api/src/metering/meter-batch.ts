import type { KeyType } from '@keymeter/contract'
import type { Db } from '@keymeter/db'
import { sql } from 'kysely'

export type Action = 'charge' | 'hold' | 'settle' | 'release' | 'refund'

/** One request as the database decides it. Its token or its event's id has been parsed: that named the account. */
export interface BatchItem {
  action: Action
  userId: string
  /** What a charge or a hold is for; null for the others. */
  keyHash: Buffer | null
  /** The sequence of the event that a settle, a release or a refund is about. */
  refersTo: number | null
  /** 0 for a release. */
  credits: number
  idempotencyKey: string | null
  /** Null where the event that it is about has one. */
  operation: string | null
  /** Of a hold alone. */
  lifetimeSeconds: number | null
}

/** What the SQL function `meter_batch` decided of one item. */
export interface Decision {
  verdict: string
  is_replayed: boolean
  /** Of its usage event; null when it leaves none. */
  sequence: number | null
  api_key_id: string | null
  key_type: KeyType | null
  /** Of a release: what the hold held. */
  credits_requested: number
  credits_charged: number
  remaining: number | null
  cycle_end: Date | null
  expires_at: Date | null
}

/**
 * Decides a batch in one call and one commit, and answers in the order of the items. The rules are those of the SQL
 * function. Sent again, items with an idempotency key are answered what they were answered first.
 */
export async function meterBatch(db: Db, items: readonly BatchItem[]): Promise<Decision[]> {
  const { rows } = await sql<Decision>`select * from keymeter.meter_batch(
    ${items[0]?.userId}::uuid,
    ${items.map(({ action }) => action)}::text[],
    ${items.map(({ userId }) => userId)}::uuid[],
    ${items.map(({ keyHash }) => keyHash)}::bytea[],
    ${items.map(({ refersTo }) => refersTo)}::bigint[],
    ${items.map(({ credits }) => credits)}::bigint[],
    ${items.map(({ idempotencyKey }) => idempotencyKey)}::text[],
    ${items.map(({ operation }) => operation)}::text[],
    ${items.map(({ lifetimeSeconds }) => lifetimeSeconds)}::int[])`.execute(db)
  if (rows.length !== items.length) throw new Error(`${items.length} items were answered by ${rows.length} decisions`)
  return rows
}

/** Which of the accounts another session holds locked at this moment. Does not wait. */
export async function findLockedAccounts(db: Db, userIds: readonly string[]): Promise<string[]> {
  const { rows } = await sql<{
    user_id: string
  }>`select user_id from keymeter.find_locked_accounts(${userIds}::uuid[]) as user_id`.execute(db)
  return rows.map(({ user_id }) => user_id)
}
