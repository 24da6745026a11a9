import type { DB } from '@keymeter/db'
import { type RawBuilder, sql, type Transaction } from 'kysely'
import { originOf } from '../audit/record.ts'
import { AppError } from '../errors.ts'
import { readInIndexOrder } from '../read-in-index-order.ts'
import type { OperatorCall } from './read-as-operator.ts'
import { recordOperatorRead } from './record-operator-read.ts'

/** The maximum number of rows that one transaction deletes, so that charges and other calls never wait for long. */
export const ERASED_ROWS_MAX = 1_000

/**
 * The tables whose rows are erased, in this order, and a column of the index that finds the rows of an account. The secrets come first:
 * without them, no charge can add another event. The keys come after all rows that are deleted with them.
 */
const TABLES = {
  api_key_secrets: 'key_hash',
  usage_by_quarter_hour: 'api_key_id',
  usage_by_cycle: 'api_key_id',
  usage_by_day: 'operation',
  alerts: 'cycle_start',
  credit_holds: 'sequence',
  ledger_entries: 'sequence',
  operations: 'operation',
  billing_cycles: 'cycle_start',
  usage_retention: 'user_id',
  api_keys: 'id',
  account_invitations: 'id',
  account_members: 'member_id',
} as const satisfies Partial<Record<keyof DB, string>>

/** The tables that contain rows of an account beside its own row, its usage events and its audit log. */
export const ERASED_TABLES = Object.keys(TABLES) as (keyof typeof TABLES)[]

export interface ErasedAccount {
  /** The number of deleted rows. It is 0 if everything was already erased. */
  rows: number
  audit: {
    /** The number of entries of the audit log before this call deleted any. */
    entries: number
    /** The hash of the last entry, as hexadecimal digits. Null if the audit log was empty. */
    head: string | null
    isErased: boolean
  }
}

/**
 * Erases the data of a deleted account: usage events, roll-ups, keys, ledger, alerts, members and invitations. The row of the account
 * and its audit log stay, so the audit chain can still be verified. With `withAudit`, they are erased too, and the operator's log
 * keeps the last hash of the chain (docs/decisions/0039-closed-and-erased-accounts.md).
 *
 * Each transaction deletes at most `ERASED_ROWS_MAX` rows. If the call is interrupted, a repeat continues. The audit log is erased from
 * its end, and the account's head moves with it, so the chain is complete after each transaction.
 *
 * @param report receives the number of rows that are deleted so far.
 * @throws AppError `account_not_found`.
 * @throws AppError `bad_request` if the account is not deleted, or if it has open holds.
 */
export async function eraseAccount(
  call: OperatorCall,
  accountId: string,
  { withAudit = false, rowsMax = ERASED_ROWS_MAX, report = () => {} }: EraseOptions = {},
): Promise<ErasedAccount> {
  let rows = 0
  const { entries, head } = await begin(call, accountId, withAudit)
  const eraseAll = async (name: string, column: string) => {
    for (let deleted = rowsMax; deleted === rowsMax; ) {
      deleted = await inLockedAccount(call, accountId, async (db) => await deleteRows(db, accountId, name, column, rowsMax))
      rows += deleted
      await report(rows)
    }
  }
  // A refund or a late settle can add rows while the account is erased. So the last transaction checks that nothing is left.
  do {
    for (const [name, column] of Object.entries(TABLES)) {
      if (name === 'api_keys') for (const partition of await partitionsOf(call)) await eraseAll(partition, 'sequence')
      await eraseAll(name, column)
    }
  } while (!(await inLockedAccount(call, accountId, async (db) => await finish(db, accountId))))
  if (withAudit) rows += await eraseAudit(call, accountId, rowsMax, (deleted) => report(rows + deleted))
  return { rows, audit: { entries, head, isErased: withAudit } }
}

interface EraseOptions {
  withAudit?: boolean
  rowsMax?: number
  report?: (rows: number) => void | Promise<void>
}

/** Checks that the account can be erased, and adds the entries of the audit log and the operator's log. */
async function begin(
  call: OperatorCall,
  accountId: string,
  withAudit: boolean,
): Promise<{ entries: number; head: string | null }> {
  return await inLockedAccount(call, accountId, async (db) => {
    const account = await db
      .selectFrom('billing_accounts')
      .select(['closed_at', 'erased_at'])
      .where('user_id', '=', accountId)
      .executeTakeFirst()
    if (account === undefined) throw new AppError('account_not_found', { message: `There is no account ${accountId}.` })
    if (account.closed_at === null) {
      const message =
        'This account is not deleted: its owner can delete it on the page Settings, and you with "keymeter close-account".'
      throw new AppError('bad_request', { message })
    }
    const { rows } = await sql<{ until: Date | null }>`
      select max(expires_at) as until from credit_holds
       where user_id = ${accountId} and outcome is null and expires_at > keymeter.now()`.execute(db)
    const until = rows[0]?.until ?? null
    if (until !== null) {
      const message = `This account has open holds until ${until.toISOString()}: settle or release them, or wait until they have expired.`
      throw new AppError('bad_request', { message })
    }
    if (account.erased_at === null) {
      await sql`update billing_accounts set erased_at = keymeter.now() where user_id = ${accountId}`.execute(db)
      await sql`select keymeter.append_audit_entry(${accountId}, 'operator', null, 'account.erased', null, '{}', ${originOf(call)}, keymeter.now())`.execute(
        db,
      )
    }
    const { audit_length: entries, audit_head } = await db
      .selectFrom('billing_accounts')
      .select(['audit_length', 'audit_head'])
      .where('user_id', '=', accountId)
      .executeTakeFirstOrThrow()
    const head = audit_head?.toString('hex') ?? null
    const search = withAudit ? `${entries} audit entries, the last one has the hash ${head}` : null
    await recordOperatorRead(db, call, { command: 'erase-account', account: accountId, search })
    return { entries, head }
  })
}

/**
 * Each transaction locks the account (keymeter.lock_account), so that charges of other accounts do not wait. A sequential scan is
 * forbidden, because it could read the rows of all accounts before it finds enough.
 */
async function inLockedAccount<T>(
  { db }: Pick<OperatorCall, 'db'>,
  accountId: string,
  operation: (db: Transaction<DB>) => Promise<T>,
): Promise<T> {
  return await db.transaction().execute(async (transaction) => {
    await sql`select keymeter.lock_account(${accountId})`.execute(transaction)
    await readInIndexOrder({ db: transaction })
    await sql`select set_config('enable_seqscan', 'off', true)`.execute(transaction)
    return await operation(transaction)
  })
}

/** Events are deleted by partition, because the address of a row (ctid) is unique only in a partition. */
async function partitionsOf({ db }: Pick<OperatorCall, 'db'>): Promise<string[]> {
  const { rows } = await sql<{ name: string }>`
    select relname as name from pg_inherits join pg_class on pg_class.oid = inhrelid
     where inhparent = 'api_key_usage'::regclass order by 1`.execute(db)
  return rows.map(({ name }) => name)
}

/**
 * Deletes the next rows of the account by their addresses, so Postgres finds them once, by the index that begins with the account and
 * `column`.
 */
async function deleteRows(
  db: Transaction<DB>,
  accountId: string,
  name: string,
  column: string,
  rowsMax: number,
): Promise<number> {
  const { numAffectedRows = 0n } = await sql`
    delete from ${sql.table(name)} where ctid = any(array(
      select ctid from ${sql.table(name)} where user_id = ${accountId} order by ${sql.ref(column)} limit ${rowsMax}))`.execute(
    db,
  )
  return Number(numAffectedRows)
}

/** Sets the totals of the account to 0, and removes its name. Returns false if rows are left. */
async function finish(db: Transaction<DB>, accountId: string): Promise<boolean> {
  const left = [...ERASED_TABLES, 'api_key_usage'].map(
    (name) => sql`select 1 from ${sql.table(name)} where user_id = ${accountId}`,
  )
  const { rows } = await sql`${sql.join(left, sql` union all `)} limit 1`.execute(db)
  if (rows.length > 0) return false
  await sql`
    update billing_accounts
       set name = null, credits_used = 0, credits_held = 0, top_up_balance = 0, topped_up_this_cycle = 0, credits_per_cycle = 0,
           next_plan = null, next_credits_per_cycle = null, alert_thresholds = default, alert_credits_left = null, alert_period = 0,
           last_event_sequence = 0, last_event_at = null, last_ledger_sequence = 0, holds_expire_at = null,
           usage_by_day_until = default, usage_by_day_due_at = default
     where user_id = ${accountId}`.execute(db)
  return true
}

/** Deletes the newest entries first, then the row of the account. */
async function eraseAudit(
  call: OperatorCall,
  accountId: string,
  rowsMax: number,
  report: (rows: number) => void | Promise<void>,
): Promise<number> {
  let rows = 0
  for (let length = 1; length > 0; ) {
    length = await inLockedAccount(call, accountId, async (db) => {
      const account = await db
        .selectFrom('billing_accounts')
        .select('audit_length')
        .where('user_id', '=', accountId)
        .executeTakeFirstOrThrow()
      const rest = Math.max(0, account.audit_length - rowsMax)
      const { numDeletedRows } = await db
        .deleteFrom('audit_log')
        .where('user_id', '=', accountId)
        .where('audit_log.sequence', '>', rest)
        .executeTakeFirst()
      rows += Number(numDeletedRows)
      const head: RawBuilder<Buffer | null> = sql`(select hash from audit_log where user_id = ${accountId} and sequence = ${rest})`
      await db
        .updateTable('billing_accounts')
        .set({ audit_length: rest, audit_head: head })
        .where('user_id', '=', accountId)
        .execute()
      if (rest === 0) await db.deleteFrom('billing_accounts').where('user_id', '=', accountId).execute()
      return rest
    })
    await report(rows)
  }
  return rows
}
