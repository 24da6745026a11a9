import type { TestDatabase } from '@keymeter/local/testing'

/** The clock of a database that a test sets. It stands still until the next `set`. */
export interface TestClock {
  set(now: Date): Promise<void>
  /** Brings back the clock of the system. */
  remove(): Promise<void>
}

/** Replaces the clock of the database by one that a test sets. Call it in a hook or a test. It starts at the current time. */
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
