import type { Db } from '@keymeter/db'
import { sql } from 'kysely'

/**
 * Creates the missing partitions of the usage events: those of the current month, the two before it and the three after it.
 * A charge does not need one. Without a partition its event goes into the default partition, and the next call moves it.
 *
 * @returns The names of the new partitions.
 */
export async function makeUsagePartitions(db: Db): Promise<string[]> {
  const { rows } = await sql<{
    name: string
  }>`select make_usage_partitions as name from keymeter.make_usage_partitions()`.execute(db)
  return rows.map(({ name }) => name)
}
