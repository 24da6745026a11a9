import type { Db } from '@keymeter/db'
import { sql } from 'kysely'

/**
 * Makes the partitions of the usage events for this month and the three after it, where they are missing. Charges need
 * none: without one they fall into the default partition, and are moved out by the next call of this.
 *
 * @returns the names of those that it made.
 */
export async function makeUsagePartitions(db: Db): Promise<string[]> {
  const { rows } = await sql<{
    name: string
  }>`select make_usage_partitions as name from keymeter.make_usage_partitions()`.execute(db)
  return rows.map(({ name }) => name)
}
