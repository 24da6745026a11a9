import type { UsageEvent, UsageEventFilters } from '@keymeter/contract'
import type { Db } from '@keymeter/db'
import { stringify } from 'csv-stringify/sync'
import { sql } from 'kysely'
import { inAccount, type Scope } from '../scope.ts'
import { listUsageEvents } from './events/page.ts'

/** Events that are read in one transaction, and held in memory. */
const PAGE_EVENTS = 1_000

const COLUMNS = [
  'sequence',
  'createdAt',
  'keyId',
  'keyName',
  'keyType',
  'action',
  'operation',
  'verdict',
  'creditsRequested',
  'creditsCharged',
  'remaining',
  'idempotencyKey',
  'refersTo',
  'expiresAt',
] as const satisfies (keyof UsageEvent)[]

/**
 * The account's usage events as CSV (RFC 4180), newest first, one page at a time. It contains exactly the events that exist
 * when the export begins, because later events come above its first page. The names of keys are read with each page. A
 * transaction lasts only for one page, so a slow reader does not hold one open.
 *
 * A spreadsheet runs text that begins like a formula, so such text gets an apostrophe. Numbers do not.
 *
 * @throws AppError, also after the first pages. The consumer must then cut the connection, or the file looks complete.
 */
export async function* exportUsage(call: Omit<Scope, 'db'> & { db: Db }, filters: UsageEventFilters): AsyncGenerator<string> {
  yield toCsv([COLUMNS])
  const kept = await inAccount(call, 'read only', readKeptEvents)
  let cursor: string | null = null
  do {
    const read = async (scope: Scope) => await listUsageEvents(scope, { ...filters, cursor, limit: PAGE_EVENTS })
    const page = await inAccount(call, 'read only', read)
    // A partition that is dropped or moved disappears from all snapshots immediately, so a page can miss its events. A later
    // transaction finds out whether that happened.
    if ((await inAccount(call, 'read only', readKeptEvents)) !== kept)
      throw new Error('the account or its older events were deleted, or a month got its own partition, during an export')
    if (page.data.length > 0) yield toCsv(page.data.map((event) => COLUMNS.map((column) => event[column])))
    cursor = page.nextCursor
  } while (cursor !== null)
}

/** Names the account's kept events and the number of partitions. Null if the account does not exist. */
async function readKeptEvents({ db, userId }: Scope): Promise<string | null> {
  const account = await db
    .selectFrom('billing_accounts as accounts')
    .leftJoin('usage_retention as dropped', 'dropped.user_id', 'accounts.user_id')
    .select([
      'dropped.last_event_sequence as lastDropped',
      sql<number>`(select count(*) from pg_inherits where inhparent = 'api_key_usage'::regclass)`.as('partitions'),
    ])
    .where('accounts.user_id', '=', userId)
    .executeTakeFirst()
  return account === undefined ? null : `after event ${account.lastDropped ?? 0}, in ${account.partitions} partitions`
}

function toCsv(rows: readonly (readonly unknown[])[]): string {
  return stringify(rows as unknown[][], {
    record_delimiter: '\r\n',
    escape_formulas: true,
    // The library quotes cells that contain CR LF, but not cells with only one of the two.
    quoted_match: /[\r\n]/,
  })
}
