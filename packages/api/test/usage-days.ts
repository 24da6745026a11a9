import type { TestDatabase } from '@keymeter/local/testing'

/** Gives accounts a daily roll-up from this number of 15-minute rows on. Call it in a hook. */
export async function keepUsageByDaysFrom({ owner }: Pick<TestDatabase, 'owner'>, rows: number): Promise<void> {
  await owner.query(
    `create or replace function keymeter.min_rows_of_daily_roll_up() returns int language sql immutable as 'select ${rows}'`,
  )
}
