import type { UsageEvent, UsageEventFilters } from '@keymeter/contract'
import type { Db } from '@keymeter/db'
import { stringify } from 'csv-stringify/sync'
import { sql } from 'kysely'
import { inAccount, type Scope } from '../scope.ts'
import { listUsageEvents } from './events.ts'

/** Events of one transaction: what is in memory at a time. */
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
 * The account's usage events as CSV (RFC 4180), newest first, a few lines at a time: exactly those up to the last one at the
 * moment that this begins, whatever is charged meanwhile, because events are only ever added after it; with the keys' names as
 * they are when a line is read. No transaction outlasts a page, so a reader may take as long as it likes.
 *
 * A spreadsheet would run a cell that begins like a formula: such text is made text by an apostrophe. Numbers stay numbers.
 *
 * @throws AppError like any call; in the middle too, when the file must not pass for a whole one.
 */
export async function* exportUsage(call: Omit<Scope, 'db'> & { db: Db }, filters: UsageEventFilters): AsyncGenerator<string> {
  yield toCsv([COLUMNS])
  const kept = await inAccount(call, 'read only', readKept)
  let cursor: string | null = null
  do {
    const read = async (scope: Scope) => await listUsageEvents(scope, { ...filters, cursor, limit: PAGE_EVENTS })
    const page = await inAccount(call, 'read only', read)
    // Of a later moment: a page may miss what was dropped or moved after its own, since tables are gone and there for all at once.
    if ((await inAccount(call, 'read only', readKept)) !== kept)
      throw new Error('the account or its older events were deleted, or a month got its own table, during an export')
    if (page.data.length > 0) yield toCsv(page.data.map((event) => COLUMNS.map((column) => event[column])))
    cursor = page.nextCursor
  } while (cursor !== null)
}

/** Which of the account's events are kept, and in how many tables; and whether it is there at all. */
async function readKept({ db, userId }: Scope): Promise<string | null> {
  const account = await db
    .selectFrom('billing_accounts as accounts')
    .leftJoin('usage_retention as dropped', 'dropped.user_id', 'accounts.user_id')
    .select([
      'dropped.last_event_sequence as last',
      sql<number>`(select count(*) from pg_inherits where inhparent = 'api_key_usage'::regclass)`.as('tables'),
    ])
    .where('accounts.user_id', '=', userId)
    .executeTakeFirst()
  return account === undefined ? null : `after ${account.last ?? 0} in ${account.tables}`
}

function toCsv(rows: readonly (readonly unknown[])[]): string {
  return stringify(rows as unknown[][], {
    record_delimiter: '\r\n',
    escape_formulas: true,
    // Half a line's end too, which the library would leave bare.
    quoted_match: /[\r\n]/,
  })
}
