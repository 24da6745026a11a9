import type { TestDatabase } from '@keymeter/local/testing'

/**
 * Changes the number of 15-minute bucket rows from which an account has daily roll-ups to `rows`. Call this function in a
 * hook or in a test.
 */
export async function keepUsageByDaysFrom({ owner }: Pick<TestDatabase, 'owner'>, rows: number): Promise<void> {
  await owner.query(
    `create or replace function keymeter.min_rows_of_daily_roll_up() returns int language sql immutable as 'select ${rows}'`,
  )
}
