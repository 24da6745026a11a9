import type { TestDatabase } from '@keymeter/local/testing'

/** The clock of a test database. Its time changes only by `set`. */
export interface TestClock {
  set(now: Date): Promise<void>
  /** Makes the database use the clock of the system again. */
  remove(): Promise<void>
}

/**
 * Replaces the database's clock by a clock that stands still and shows the current time until `set` changes it. Call this
 * function in a hook or in a test.
 */
export async function replaceClock({ owner }: Pick<TestDatabase, 'owner'>): Promise<TestClock> {
  await owner.query('create table if not exists test_clock (now timestamptz primary key)')
  await owner.query('delete from test_clock')
  await owner.query("insert into test_clock values (date_trunc('milliseconds', now()))")
  await owner.query(
    `create or replace function keymeter.now() returns timestamptz
       language sql volatile parallel safe security definer set search_path = '' as $$ select now from public.test_clock $$`,
  )
  return {
    set: async (now) => void (await owner.query('update test_clock set now = $1', [now])),
    remove: async () =>
      void (await owner.query(
        `create or replace function keymeter.now() returns timestamptz
           language sql volatile parallel safe set search_path = '' as $$ select date_trunc('milliseconds', clock_timestamp()) $$`,
      )),
  }
}
