import type { TestDatabase } from '@keymeter/local/testing'

/** Keeps the usage of accounts by days from so many quarter-hour rows on. Call it in a hook. */
export async function keepUsageByDaysFrom({ owner }: Pick<TestDatabase, 'owner'>, rows: number): Promise<void> {
  await owner.query(
    `create or replace function keymeter.min_rows_of_daily_roll_up() returns int language sql immutable as 'select ${rows}'`,
  )
}
