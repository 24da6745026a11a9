import { setTimeout as sleep } from 'node:timers/promises'
import { IDEMPOTENCY_DAYS } from '@keymeter/contract'
import { type DB, type Db, isLockTimeout } from '@keymeter/db'
import { sql, type Transaction } from 'kysely'
import { makeUsagePartitions } from './make-usage-partitions.ts'
import { reconcile } from './reconcile.ts'

/** Charges wait behind a lock that is waited for: so long at most, and then they have their turn. */
const LOCK_TIMEOUT_MS = 100
const LOCK_PAUSE_MS = 400
const LOCK_TRIES_MAX = 120
/** Accounts whose cycles are turned, or whose holds are deleted, in one call. */
const ACCOUNTS_BATCH = 500
/** Accounts that a refusal names. */
const NAMED_MAX = 10

/** Why events cannot be dropped yet, and what can be done about it. */
export interface Obstacle {
  reason: 'idempotency' | 'open_holds' | 'open_cycles' | 'differences'
  message: string
  remedy: string
}

export interface DroppedUsage {
  /** The months that were dropped, or would be: `2026-01`. */
  months: string[]
  obstacles: Obstacle[]
}

/**
 * Drops the usage events of whole months (UTC) that end by `before`, unless something still needs them, and the holds that
 * they made. Roll-ups, closed cycles and the ledger keep their totals, and `usage_retention` what `reconcile` must know. Charging goes on meanwhile.
 *
 * Takes the handle of the database's owner.
 *
 * @param options.closeCycles turns the accounts first that have not been charged since, whose cycle would need the events.
 * @param options.isDryRun changes nothing.
 * @throws Error when others read the events for so long that the partition cannot be had.
 */
export async function dropUsage(
  db: Db,
  before: Date,
  { isDryRun = false, closeCycles = false }: { isDryRun?: boolean; closeCycles?: boolean } = {},
): Promise<DroppedUsage> {
  // What fell into no month's partition is moved to its own.
  if (!isDryRun) await makeUsagePartitions(db)
  const partitions = await partitionsUntil(db, before)
  const months = partitions.map(monthOf)
  // What a fault has left of the last time, and then what is of this time.
  if (!isDryRun) await dropEndedHolds(db)
  if (partitions.length === 0) return { months, obstacles: [] }
  if (closeCycles && !isDryRun) await turnCycles(db, before)
  const obstacles = await findObstacles(db, before)
  if (obstacles.length === 0 && !isDryRun) {
    for (const partition of partitions) await drop(db, partition)
    await dropEndedHolds(db)
  }
  return { months, obstacles }
}

/** Oldest first, so that what is dropped is always all that is older. */
async function partitionsUntil(db: Db, before: Date): Promise<string[]> {
  const { rows } = await sql<{ name: string }>`
    select relname as name from pg_inherits join pg_class on pg_class.oid = inhrelid
     where inhparent = 'api_key_usage'::regclass and relname ~ '^api_key_usage_\\d{4}_\\d{2}$' order by 1`.execute(db)
  return rows.map(({ name }) => name).filter((name) => monthEnd(name) <= before)
}

function monthOf(partition: string): string {
  return partition.slice(-7).replace('_', '-')
}

function monthEnd(partition: string): Date {
  const [year, month] = monthOf(partition).split('-').map(Number)
  return new Date(Date.UTC(year ?? 0, month ?? 0))
}

async function findObstacles(db: Db, before: Date): Promise<Obstacle[]> {
  const obstacles: Obstacle[] = []
  const { rows } = await sql<{ horizon: Date; holds: number; last_expiry: Date | null }>`
    select keymeter.now() - make_interval(days => ${IDEMPOTENCY_DAYS}) as horizon, count(*) as holds, max(expires_at) as last_expiry
      from credit_holds where outcome is null and expires_at > keymeter.now() and created_at < ${before}`.execute(db)
  const [{ horizon, holds, last_expiry } = { horizon: new Date(0), holds: 0, last_expiry: null }] = rows
  if (before > horizon) {
    obstacles.push({
      reason: 'idempotency',
      message: `A retry is told its first verdict for ${IDEMPOTENCY_DAYS} days, from its event: all since ${horizon.toISOString()} are needed.`,
      remedy: `Use --before ${horizon.toISOString().slice(0, 7)} or an earlier month.`,
    })
  }
  if (holds > 0) {
    obstacles.push({
      reason: 'open_holds',
      message: `${holds} holds that were made then are still open, the last until ${last_expiry?.toISOString()}.`,
      remedy:
        'Settle or release them, or wait until they have ended. One whose time is over ends with the next charge of its account.',
    })
  }
  const open = await accountsWithOpenCycle(db, before)
  if (open.length > 0) {
    obstacles.push({
      reason: 'open_cycles',
      message: `${open.length} accounts have not been charged since the cycle that these events are of, which is not closed: ${named(open)}.`,
      remedy: 'Use --close-cycles, which turns these accounts to their current cycle, as their next charge would.',
    })
  }
  const differences = await reconcile(db)
  if (differences.length > 0) {
    obstacles.push({
      reason: 'differences',
      message: `What is kept is not what the events say, ${differences.length} times, of these accounts: ${named(differences.map(({ userId }) => userId))}.`,
      remedy: 'Run pnpm keymeter reconcile and mend what it names: without the events nobody can.',
    })
  }
  return obstacles
}

function named(userIds: string[]): string {
  const all = [...new Set(userIds)]
  return `${all.slice(0, NAMED_MAX).join(', ')}${all.length > NAMED_MAX ? ', …' : ''}`
}

/** Accounts that stand in a cycle with events from before `before`. By the events' primary key, for idle accounts alone. */
async function accountsWithOpenCycle(db: Db, before: Date): Promise<string[]> {
  const { rows } = await sql<{ user_id: string }>`
    select user_id from billing_accounts as accounts
     where billing_cycle_start < ${before}
       and exists (select from api_key_usage as events
                    where events.user_id = accounts.user_id and events.created_at < ${before}
                      and events.created_at >= accounts.billing_cycle_start)
     order by user_id`.execute(db)
  return rows.map(({ user_id }) => user_id)
}

/** Closes the cycles that have ended of idle accounts, some at a time. */
async function turnCycles(db: Db, before: Date): Promise<void> {
  const userIds = await accountsWithOpenCycle(db, before)
  for (let i = 0; i < userIds.length; i += ACCOUNTS_BATCH) {
    const batch = userIds.slice(i, i + ACCOUNTS_BATCH)
    await db.transaction().execute(async (transaction) => {
      await sql`select from billing_accounts where user_id = any(${batch}::uuid[]) order by user_id for no key update`.execute(
        transaction,
      )
      await sql`select keymeter.advance_accounts(${batch}::uuid[], keymeter.now())`.execute(transaction)
    })
  }
}

/**
 * Remembers what is dropped, then drops it, in one transaction. The partition is so old that nothing is added to it.
 *
 * The locks are taken in everybody's order: makers of partitions have the advisory one first, charges the accounts and then
 * the events. (To drop the partition drops its foreign key, which takes the accounts too.) So no call of ours can be in a
 * deadlock with this, and none waits for longer than it takes to drop a table, or to give the lock up. Deleting a user can,
 * as with any call (billing/lock-account.ts): it is given up after a second, and has to be tried again.
 */
async function drop(db: Db, partition: string): Promise<void> {
  await db.transaction().execute(async (transaction) => {
    await sql`set local statement_timeout = 0`.execute(transaction)
    await sql`select pg_advisory_xact_lock(hashtext('keymeter.make_usage_partitions'))`.execute(transaction)
    await sql`
      insert into usage_retention (user_id, last_event_sequence, last_event_at, kept_from)
      select user_id, max(sequence), max(created_at), ${monthEnd(partition)} from ${sql.table(partition)} group by user_id
      on conflict (user_id) do update
         set last_event_sequence = excluded.last_event_sequence, last_event_at = excluded.last_event_at, kept_from = excluded.kept_from`.execute(
      transaction,
    )
    await lockEvents(transaction)
    await sql`drop table ${sql.table(partition)}`.execute(transaction)
  })
}

/** Those whose events are gone: nobody waits for a hold that has ended. */
async function dropEndedHolds(db: Db): Promise<void> {
  for (let after = '00000000-0000-0000-0000-000000000000'; ; ) {
    const last = await db.transaction().execute(async (transaction) => {
      await sql`set local statement_timeout = 0`.execute(transaction)
      const { rows } = await sql<{ last: string }>`
      with batch as (select user_id, last_event_sequence from usage_retention where user_id > ${after}::uuid order by user_id limit ${ACCOUNTS_BATCH}),
           ended as (delete from credit_holds as holds using batch
                      where holds.user_id = batch.user_id and holds.sequence <= batch.last_event_sequence and holds.outcome is not null)
      select user_id as last from batch order by user_id desc limit 1`.execute(transaction)
      return rows[0]?.last
    })
    if (last === undefined) return
    after = last
  }
}

async function lockEvents(transaction: Transaction<DB>): Promise<void> {
  await sql`set local lock_timeout = ${sql.lit(`${LOCK_TIMEOUT_MS}ms`)}`.execute(transaction)
  for (let tries = 1; ; tries++) {
    await sql`savepoint unlocked`.execute(transaction)
    try {
      await sql`lock table billing_accounts, api_key_usage in access exclusive mode`.execute(transaction)
      return
    } catch (error) {
      if (!isLockTimeout(error)) throw error
      if (tries === LOCK_TRIES_MAX)
        throw new Error('others read usage events all the time (a backup?): try again later', { cause: error })
    }
    await sql`rollback to savepoint unlocked`.execute(transaction)
    await sleep(LOCK_PAUSE_MS * (0.5 + Math.random()))
  }
}
