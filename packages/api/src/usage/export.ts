import type { UsageEvent, UsageEventFilters } from '@keymeter/contract'
import { stringify } from 'csv-stringify/sync'
import { sql } from 'kysely'
import { type ExportCall, exportOfAccount, type ReadForExport } from '../export-of-account.ts'
import type { Scope } from '../scope.ts'
import { listUsageEvents } from './events/page.ts'
import { withoutFormulas } from './without-formulas.ts'

/** The number of events that one transaction reads. The process holds this number of events in memory. */
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
  'uncollected',
  'remaining',
  'creditsHeld',
  'idempotencyKey',
  'refersTo',
  'expiresAt',
] as const satisfies (keyof UsageEvent)[]

/**
 * Returns the account's usage events as CSV (RFC 4180), newest first, one page at a time. The export contains exactly the
 * events that exist when it begins, because its first page starts below all later events. The names of keys are read with each
 * page. Each page has its own transaction, so a slow reader does not keep a transaction open.
 *
 * A spreadsheet runs text that begins like a formula, so the export puts apostrophes into such text (`withoutFormulas`).
 * Numbers get no apostrophe. The text has no byte order mark. The caller adds it to the whole answer.
 *
 * The consumer must read the generator to its end, or call its `return` (`exportOfAccount`).
 *
 * @throws AppError like `exportOfAccount`.
 * @throws AppError, possibly after the first pages. The consumer must then cut the connection. Otherwise the incomplete file
 *   would look complete.
 */
export function exportUsage(call: ExportCall, filters: UsageEventFilters): AsyncGenerator<string> {
  return exportOfAccount(call, async function* (read) {
    yield toCsv([COLUMNS])
    for await (const events of usageEventPages(read, filters))
      if (events.length > 0) yield toCsv(events.map((event) => COLUMNS.map((column) => event[column])))
  })
}

/**
 * Yields the usage events that exist when the export begins, newest first.
 *
 * @throws Error if older events were deleted in the meantime.
 */
export async function* usageEventPages(read: ReadForExport, filters: UsageEventFilters): AsyncGenerator<UsageEvent[]> {
  const kept = await read(readKeptEvents)
  let cursor: string | null = null
  do {
    const page = await read((scope) => listUsageEvents(scope, { ...filters, cursor, limit: PAGE_EVENTS }))
    // If a partition is dropped or moved, its events immediately disappear from all snapshots, so they can be missing from this
    // page. The next read of `readKeptEvents`, in a later transaction, detects this.
    if ((await read(readKeptEvents)) !== kept)
      throw new Error('the account or its older events were deleted, or a month got its own partition, during an export')
    yield page.data
    cursor = page.nextCursor
  } while (cursor !== null)
}

/**
 * Returns a text that changes when older events of the account are dropped, or when the number of partitions changes. Returns
 * null if the account does not exist.
 */
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
    // The library's own option `escape_formulas` looks only at the first character of a cell.
    cast: { string: withoutFormulas },
    // The library quotes cells that contain CR LF, but not cells that contain only CR or only LF. A program that also splits
    // lines at semicolons or tabs keeps a quoted cell in one piece.
    quoted_match: /[\r\n;|\t]/,
  })
}
