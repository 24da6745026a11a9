import { type RawBuilder, sql } from 'kysely'
import { listAudit } from '../audit/list.ts'
import { getAccount } from '../billing/get-account.ts'
import { readClock } from '../clock.ts'
import { type ExportCall, exportOfAccount, type ReadForExport } from '../export-of-account.ts'
import { readInIndexOrder } from '../read-in-index-order.ts'
import type { Scope } from '../scope.ts'
import { usageEventPages } from '../usage/export.ts'

/** The number of rows that one transaction reads. The process holds this number of rows in memory. */
const PAGE_ROWS = 1_000
const EXPORT_FORMAT = 'keymeter-account'
const EXPORT_VERSION = 1

type Item = Record<string, unknown>

/**
 * Returns all data of an account as one JSON document: the account, its members, invitations, keys, cycles, ledger, alerts, audit log and
 * usage events. It contains no secret and no hash of one, and nothing about the operator's staff. Each item has a line of its own.
 *
 * The document begins with `begunAt`. Each list has a transaction of its own for each page, so a change during the export can be in one
 * list and not in an earlier one. The usage events are exactly those that exist when their list begins. The last field is
 * `isComplete`: a file without it was cut off.
 *
 * The consumer must read the generator to its end, or call its `return` (`exportOfAccount`).
 *
 * @throws AppError like `exportOfAccount`, possibly after the first parts. The consumer must then cut the connection.
 */
export function exportAccount(call: ExportCall): AsyncGenerator<string> {
  return exportOfAccount(call, async function* (read) {
    const { begunAt, account } = await read(async (scope) => ({
      begunAt: await readClock(scope),
      account: await readAccount(scope),
    }))
    const head = { format: EXPORT_FORMAT, version: EXPORT_VERSION, begunAt, account }
    yield `${JSON.stringify(head).slice(0, -1)},\n`
    for (const [name, list] of Object.entries(LISTS)) yield* listOf(name, rowPages(read, list))
    yield* listOf('auditLog', auditPages(read))
    yield* listOf('usageEvents', usageEventPages(read, {}))
    yield '"isComplete":true}\n'
  })
}

/** Yields a field that contains a list. */
async function* listOf(name: string, pages: AsyncIterable<readonly Item[]>): AsyncGenerator<string> {
  yield `${JSON.stringify(name)}:[`
  let separator = '\n'
  for await (const items of pages) {
    if (items.length === 0) continue
    yield separator + items.map((item) => JSON.stringify(item)).join(',\n')
    separator = ',\n'
  }
  yield '\n],\n'
}

async function readAccount(scope: Scope): Promise<Item | null> {
  const account = await scope.db
    .selectFrom('billing_accounts')
    .select(['user_id as id', 'name', 'created_at as createdAt', 'requires_second_factor as requiresSecondFactor'])
    .where('user_id', '=', scope.userId)
    .executeTakeFirst()
  const balance = await getAccount(scope)
  return account === undefined || balance === null ? null : { ...account, ...balance }
}

interface List {
  table: string
  /** The columns after the account in the index that the list is read by. They identify a row, and no value is null. */
  key: readonly string[]
  fields: RawBuilder<unknown>
}

const LISTS: Record<string, List> = {
  members: {
    table: 'account_members',
    key: ['member_id'],
    fields: sql`item.member_id as id, item.email, item.role, item.created_at as "createdAt", item.removed_at as "removedAt"`,
  },
  invitations: {
    table: 'account_invitations',
    key: ['id'],
    fields: sql`item.id, item.email, item.role, item.invited_by as "invitedBy", item.created_at as "createdAt", item.expires_at as "expiresAt",
                item.revoked_at as "revokedAt", item.accepted_at as "acceptedAt", item.accepted_by as "acceptedBy"`,
  },
  keys: {
    table: 'api_keys',
    key: ['id'],
    fields: sql`item.id, item.name, item.key_type as type, (select secrets.key_prefix from api_key_secrets as secrets
                  where secrets.user_id = item.user_id and secrets.api_key_id = item.id and secrets.valid_until is null) as "keyPrefix", item.credit_limit as "creditLimit",
                item.created_at as "createdAt", item.created_by as "createdBy", item.is_service as "isService", item.expires_at as "expiresAt",
                item.disabled_at as "disabledAt", item.revoked_at as "revokedAt", item.last_used_at as "lastUsedAt"`,
  },
  billingCycles: {
    table: 'billing_cycles',
    key: ['cycle_start'],
    fields: sql`item.cycle_start as start, item.cycle_end as "end", item.plan, item.credits_granted as "creditsGranted",
                item.credits_topped_up as "creditsToppedUp", item.credits_used as "creditsUsed", item.credits_held as "creditsHeld"`,
  },
  ledger: {
    table: 'ledger_entries',
    key: ['sequence'],
    fields: sql`item.sequence, item.created_at as "createdAt", item.cycle_start as "cycleStart", item.kind, item.credits, item.plan, item.note,
                item.refers_to as "refersTo", item.credits_spent as "creditsSpent", item.event_sequence as "eventSequence"`,
  },
  alerts: {
    table: 'alerts',
    key: ['cycle_start', 'period', 'kind', 'threshold'],
    fields: sql`item.kind, item.threshold, item.created_at as "createdAt", item.cycle_start as "cycleStart", item.plan,
                item.credits_used as "creditsUsed", item.credits_left as "creditsLeft", item.credits_granted as "creditsGranted"`,
  },
}

/** Yields the rows of a table, in the order of its primary key, which serves each page. */
async function* rowPages(read: ReadForExport, { table, key, fields }: List): AsyncGenerator<Item[]> {
  const columns = key.map((column) => sql.ref(`item.${column}`))
  // A text represents every value exactly. JavaScript would lose the microseconds of a time.
  const place = sql`array[${sql.join(columns.map((column) => sql`${column}::text`))}]`
  let after: string[] | null = null
  do {
    const isAfter: RawBuilder<unknown> =
      after === null ? sql`true` : sql`(${sql.join(columns)}) > (${sql.join(after.map((value) => sql`${value}`))})`
    const rows: (Item & { place: string[] })[] = await read(async (scope) => {
      await readInIndexOrder(scope)
      const { rows: found } = await sql<Item & { place: string[] }>`
        select ${place} as place, ${fields} from ${sql.table(table)} as item
         where item.user_id = ${scope.userId} and ${isAfter} order by ${sql.join(columns)} limit ${PAGE_ROWS}`.execute(scope.db)
      return found
    })
    yield rows.map(({ place: _, ...item }) => item)
    after = rows.length === PAGE_ROWS ? (rows.at(-1)?.place ?? null) : null
  } while (after !== null)
}

async function* auditPages(read: ReadForExport): AsyncGenerator<Item[]> {
  let cursor: number | null = null
  do {
    const page: Awaited<ReturnType<typeof listAudit>> = await read((scope) => listAudit(scope, { cursor, limit: PAGE_ROWS }))
    yield page.data
    cursor = page.nextCursor
  } while (cursor !== null)
}
