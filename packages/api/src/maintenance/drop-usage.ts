import { setTimeout as sleep } from 'node:timers/promises'
import { IDEMPOTENCY_DAYS } from '@keymeter/contract'
import { type DB, type Db, isLockTimeout } from '@keymeter/db'
import { sql, type Transaction } from 'kysely'
import { makeUsagePartitions } from './make-usage-partitions.ts'
import { reconcile } from './reconcile.ts'

/**
 * The maximum time for which the drop waits for its locks, because all charges wait behind it. After this time, the drop lets
 * the charges continue, and tries again after a pause.
 */
const LOCK_TIMEOUT_MS = 100
const LOCK_PAUSE_MS = 400
const LOCK_TRIES_MAX = 120
/** The number of accounts that one transaction brings into their current cycle, or whose holds it deletes. */
const ACCOUNTS_BATCH = 500
const LISTED_ACCOUNTS_MAX = 10

/** A reason why the usage events cannot be dropped yet. */
export interface Obstacle {
  reason: 'idempotency' | 'open_holds' | 'open_cycles' | 'differences'
  message: string
  /** What the operator can do to remove the obstacle. */
  remedy: string
}

export interface DroppedUsage {
  /** The months to drop, e.g. `2026-01`. They are dropped only if there is no obstacle. A dry run only lists them. */
  months: string[]
  obstacles: Obstacle[]
}

/**
 * Drops the usage events of all whole months (UTC) that end at `before` or earlier, and their holds. If there is an obstacle,
 * no events are dropped. Roll-ups, closed cycles and the ledger keep their totals. `usage_retention` keeps the facts about the
 * dropped events that `reconcile` needs. Charging continues during the drop.
 *
 * `db` must be the handle of the database's owner.
 *
 * @param options.closeCycles Closes the ended cycles of idle accounts first. Otherwise the events of these cycles cannot be
 *   dropped.
 * @param options.isDryRun Changes nothing.
 * @throws Error if other sessions hold locks on the events for about a minute.
 */
export async function dropUsage(
  db: Db,
  before: Date,
  { isDryRun = false, closeCycles = false }: { isDryRun?: boolean; closeCycles?: boolean } = {},
): Promise<DroppedUsage> {
  // Events in the default partition cannot be dropped by month, so move them to partitions of their months first.
  if (!isDryRun) await makeUsagePartitions(db)
  const partitions = await partitionsUntil(db, before)
  const months = partitions.map(monthOf)
  // If an earlier drop failed after it dropped events and before it deleted their holds, these holds still exist.
  if (!isDryRun) await dropEndedHolds(db)
  if (partitions.length === 0) return { months, obstacles: [] }
  if (closeCycles && !isDryRun) await rollOverIdleAccounts(db, before)
  const obstacles = await findObstacles(db, before)
  if (obstacles.length === 0 && !isDryRun) {
    for (const partition of partitions) await dropPartition(db, partition)
    await dropEndedHolds(db)
  }
  return { months, obstacles }
}

/**
 * Returns the partitions to drop, oldest first. Because of this order, the kept events have no gap if the drop fails after some
 * of the partitions.
 */
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
      message: `A retry gets its first verdict for ${IDEMPOTENCY_DAYS} days, so all events since ${horizon.toISOString()} are still needed.`,
      remedy: `Use --before ${horizon.toISOString().slice(0, 7)} or an earlier month.`,
    })
  }
  if (holds > 0) {
    obstacles.push({
      reason: 'open_holds',
      message: `${holds} holds from these months are still open. The last one expires at ${last_expiry?.toISOString()}.`,
      remedy: 'Settle or release these holds, or wait until they have expired, and try again.',
    })
  }
  const open = await accountsWithOpenCycle(db, before)
  if (open.length > 0) {
    obstacles.push({
      reason: 'open_cycles',
      message: `${open.length} accounts are still in a billing cycle that contains some of these events: ${listAccounts(open)}.`,
      remedy: 'Use --close-cycles. It brings these accounts into their current cycle, as their next charge would.',
    })
  }
  const differences = await reconcile(db, { onlyTotals: true })
  if (differences.length > 0) {
    obstacles.push({
      reason: 'differences',
      message: `The stored totals of these accounts differ from their events, ${differences.length} times: ${listAccounts(differences.map(({ userId }) => userId))}.`,
      remedy: 'Run "keymeter reconcile" and correct each difference. It cannot be corrected once the events are dropped.',
    })
  }
  return obstacles
}

function listAccounts(userIds: string[]): string {
  const all = [...new Set(userIds)]
  return `${all.slice(0, LISTED_ACCOUNTS_MAX).join(', ')}${all.length > LISTED_ACCOUNTS_MAX ? ', …' : ''}`
}

/**
 * Returns the accounts whose stored cycle contains events before `before`. Only an account whose stored cycle starts before
 * `before` can have such events. The query finds the events by the primary key.
 */
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

async function rollOverIdleAccounts(db: Db, before: Date): Promise<void> {
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
 * Writes `usage_retention` and drops the partition in one transaction. No transaction adds events to such an old partition.
 *
 * All transactions take their locks in the same order: first the advisory lock of `make_usage_partition`, then the accounts,
 * then the events. (Dropping a partition also drops its foreign key, which locks the accounts.) Therefore the drop and the
 * product's calls cannot deadlock. The calls wait only until the partition is dropped or the lock times out.
 *
 * The deletion of a user takes locks in another order (billing/lock-account.ts), so it can deadlock with the drop. One of the
 * two then fails and must be repeated.
 */
async function dropPartition(db: Db, partition: string): Promise<void> {
  await db.transaction().execute(async (transaction) => {
    await sql`set local statement_timeout = 0`.execute(transaction)
    await sql`select pg_advisory_xact_lock(hashtext('keymeter.make_usage_partition'))`.execute(transaction)
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

/** Deletes the ended holds whose events were dropped. Each transaction handles one batch of accounts. */
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
        throw new Error('Other sessions keep usage events locked, e.g. a backup. Try again later.', { cause: error })
    }
    await sql`rollback to savepoint unlocked`.execute(transaction)
    await sleep(LOCK_PAUSE_MS * (0.5 + Math.random()))
  }
}
