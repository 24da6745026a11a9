import type { TestDatabase } from '@keymeter/local/testing'

/** Replaces the database's clock by one that a test moves. Call it in a hook; `now` is what it starts at. */
export async function replaceClock({ owner }: Pick<TestDatabase, 'owner'>): Promise<{ set(now: Date): Promise<void> }> {
  await owner.query('create table if not exists test_clock (now timestamptz not null)')
  await owner.query('delete from test_clock')
  await owner.query("insert into test_clock values (date_trunc('milliseconds', now()))")
  await owner.query(
    `create or replace function keymeter.now() returns timestamptz
       language sql volatile parallel safe security definer set search_path = '' as $$ select now from public.test_clock $$`,
  )
  return { set: async (now) => void (await owner.query('update test_clock set now = $1', [now])) }
}
