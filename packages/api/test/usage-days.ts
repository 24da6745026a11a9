import type { TestDatabase } from '@keymeter/local/testing'

/** Changes the limit from which an account has daily roll-ups: to `rows` rows of 15-minute buckets. Call this in a hook. */
export async function keepUsageByDaysFrom({ owner }: Pick<TestDatabase, 'owner'>, rows: number): Promise<void> {
  await owner.query(
    `create or replace function keymeter.min_rows_of_daily_roll_up() returns int language sql immutable as 'select ${rows}'`,
  )
}
