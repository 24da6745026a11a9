import type { Db } from '@keymeter/db'
import { sql } from 'kysely'

/**
 * Fills the days of usage of accounts that no charge has looked at since there are days: reads are exact without, but take a
 * busy account's whole history. In many short transactions, since charges of the same accounts wait for each.
 *
 * @param signal ends it after the transaction that it is in; another call goes on from there.
 */
export async function fillUsageDays(db: Db, signal?: AbortSignal): Promise<void> {
  while (signal?.aborted !== true) {
    const { rows } = await sql<{ taken: number }>`select fill_usage_days_of_idle_accounts() as taken`.execute(db)
    if (rows[0]?.taken === 0) return
  }
}
