import { sql } from 'kysely'
import type { Scope } from './scope.ts'

/**
 * Forbids Postgres to sort rows until the transaction ends, unless there is no other way. A query with `order by` and `limit`
 * then reads an index in this order, and stops at the limit. Without this, Postgres sometimes expects few rows, reads all of
 * them and sorts them: for example, if the account has many more rows than the average account.
 */
export async function readInIndexOrder({ db }: Pick<Scope, 'db'>): Promise<void> {
  await sql`select set_config('enable_sort', 'off', true), set_config('enable_incremental_sort', 'off', true)`.execute(db)
}
