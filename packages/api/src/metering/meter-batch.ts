import type { DECIDED, KeyType } from '@keymeter/contract'
import type { Db } from '@keymeter/db'
import { sql } from 'kysely'

export type Action = keyof typeof DECIDED

/** One request in the form that the database decides. `userId` comes from the parsed token or event id. */
export interface BatchItem {
  action: Action
  userId: string
  /** The SHA-256 of the secret of a charge or a hold. Null for the other actions. */
  keyHash: Buffer | null
  /** The sequence of the event that a settle, a release or a refund refers to. Null for the other actions. */
  refersTo: number | null
  /** The credits to take or to give back. It is 0 for a release, which always gives back all credits of the hold. */
  credits: number
  idempotencyKey: string | null
  /** Null for a settle, a release and a refund, because they use the operation of the event that they refer to. */
  operation: string | null
  /** The lifetime of a hold. Null for the other actions. */
  lifetimeSeconds: number | null
}

/**
 * What a batch does if other sessions have locked accounts of the batch. `nobody` and `batches` leave out the items of some or
 * all of these accounts (see `LeftOut`). `batches` waits only for batches of other processes, and `everybody` waits for every
 * session.
 */
export type WaitsFor = 'nobody' | 'batches' | 'everybody'

/**
 * The verdicts of items that a batch left out, because another session has locked their account. Such an item is not decided,
 * and must be sent again. `account_busy` means that a batch of another process has locked the account, so it will be free in a
 * few milliseconds.
 */
export type LeftOut = 'account_locked' | 'account_busy'

/** The decision of the SQL function `meter_batch` about one item. */
export interface Decision {
  /**
   * A verdict, or `LeftOut`. This text is not parsed yet. verdict.ts parses it separately for each call, so that an unknown verdict fails only its own
   * call.
   */
  verdict: string
  is_replayed: boolean
  /** The sequence of the usage event that records the item. Null if no event records it. */
  sequence: number | null
  api_key_id: string | null
  key_type: KeyType | null
  /** The requested credits. For a release, these are all credits of the hold. */
  credits_requested: number
  credits_charged: number
  remaining: number | null
  /** The credits of open holds. Null if the verdict is neither `insufficient_credits` nor `key_limit_exceeded`. */
  credits_held: number | null
  cycle_end: Date | null
  expires_at: Date | null
}

/**
 * Decides a batch in one SQL call and one commit. Returns one decision for each item, in the order of the items. If a batch is
 * sent again, an item with an idempotency key gets its original decision.
 */
export async function meterBatch(db: Db, items: readonly BatchItem[], waitsFor: WaitsFor): Promise<Decision[]> {
  const { rows } = await sql<Decision>`select * from keymeter.meter_batch(
    ${items[0]?.userId}::uuid,
    ${items.map(({ action }) => action)}::text[],
    ${items.map(({ userId }) => userId)}::uuid[],
    ${items.map(({ keyHash }) => keyHash)}::bytea[],
    ${items.map(({ refersTo }) => refersTo)}::bigint[],
    ${items.map(({ credits }) => credits)}::bigint[],
    ${items.map(({ idempotencyKey }) => idempotencyKey)}::text[],
    ${items.map(({ operation }) => operation)}::text[],
    ${items.map(({ lifetimeSeconds }) => lifetimeSeconds)}::int[],
    ${waitsFor})`.execute(db)
  if (rows.length !== items.length) throw new Error(`the database returned ${rows.length} decisions for ${items.length} items`)
  return rows
}
