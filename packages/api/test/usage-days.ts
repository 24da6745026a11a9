import type { TestDatabase } from '@keymeter/local/testing'

/** Keeps the usage of accounts by days from so many quarter-hour rows on. Call it in a hook. */
export async function keepUsageByDaysFrom({ owner }: Pick<TestDatabase, 'owner'>, rows: number): Promise<void> {
  await owner.query(
    `create or replace function public.usage_day_rows_min() returns int language sql immutable as 'select ${rows}'`,
  )
}
