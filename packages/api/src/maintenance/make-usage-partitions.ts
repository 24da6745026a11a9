import type { Db } from '@keymeter/db'
import { sql } from 'kysely'

/**
 * Creates the missing partitions of the usage events: for the current month, the two previous months and the next three months.
 * If the partition of a month is missing, the events of its charges go into the default partition. The next call of this
 * function moves these events.
 *
 * @returns The names of the new partitions.
 */
export async function makeUsagePartitions(db: Db): Promise<string[]> {
  const { rows } = await sql<{
    name: string
  }>`select make_usage_partitions as name from keymeter.make_usage_partitions()`.execute(db)
  return rows.map(({ name }) => name)
}
