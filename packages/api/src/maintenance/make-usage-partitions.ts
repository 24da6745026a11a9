import { type Db, isUnavailable } from '@keymeter/db'
import { sql } from 'kysely'

/**
 * Creates the missing partitions of the usage events: for the current month, the two previous months, the next three months, and
 * each older month with events in the default partition. If the partition of a month is missing, the events of its charges go
 * into the default partition. A later call of this function moves these events.
 *
 * Each partition has its own transaction. So the statement timeout of the server's role limits the time for one partition, and a
 * call that fails keeps the partitions that are already created.
 *
 * @returns The names of the new partitions.
 * @throws Error of the first partition that could not be created, after the other partitions were created. If Postgres is not
 *   available, or a lock or the statement takes too long, the function throws immediately: each attempt delays charges.
 */
export async function makeUsagePartitions(db: Db): Promise<string[]> {
  const { rows: missing } = await sql<{
    month: Date
  }>`select month from keymeter.missing_usage_partitions() as month`.execute(db)
  const made: string[] = []
  const failures: unknown[] = []
  for (const { month } of missing) {
    try {
      const { rows } = await sql<{ name: string | null }>`select keymeter.make_usage_partition(${month}) as name`.execute(db)
      made.push(...rows.flatMap(({ name }) => name ?? []))
    } catch (error) {
      if (isUnavailable(error)) throw error
      failures.push(error)
    }
  }
  if (failures.length > 0) throw failures[0]
  return made
}
