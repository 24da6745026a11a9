import type { TestDatabase } from '@keymeter/local/testing'

/**
 * Inserts `count` usage events of an account in its billing cycles from `anchor` to `until`, and the totals that the charge
 * engine would have stored for these events. Most events are charges. Some keys, operations, verdicts and actions are rare,
 * so that a query for them must skip many events. The account must have at least three keys. To make as many events with
 * the charge engine would take minutes.
 */
export async function writeHistory(
  { owner }: Pick<TestDatabase, 'owner'>,
  { userId, anchor, until, count }: { userId: string; anchor: Date; until: Date; count: number },
): Promise<void> {
  await owner.query(
    `update billing_accounts
        set billing_cycle_anchor = $2::timestamptz, billing_cycle_start = keymeter.cycle_boundary($2::timestamptz, keymeter.cycle_index($2::timestamptz, $3::timestamptz)), credits_per_cycle = 1000000000
      where user_id = $1`,
    [userId, anchor, until],
  )
  await owner.query(
    `insert into api_key_usage (user_id, sequence, created_at, api_key_id, idempotency_key, operation, verdict, action,
                                credits_requested, credits_charged, remaining, cycle_start, cycle_end)
     select $1::uuid, n, at, keys.ids[case when n % 4999 = 7 then 1 when n = 11 then 2 else 3 + n % (cardinality(keys.ids) - 2) end],
            'request-' || n, case when n % 6007 = 9 then 'rare' else 'operation-' || n % 3 end,
            verdict, action, 1, case verdict when 'charged' then 1 else 0 end, 1000000000 - n,
            keymeter.cycle_boundary($2::timestamptz, keymeter.cycle_index($2::timestamptz, at)), keymeter.cycle_boundary($2::timestamptz, keymeter.cycle_index($2::timestamptz, at) + 1)
       from (select array_agg(id order by created_at, id) as ids from api_keys where user_id = $1) as keys,
            generate_series(1, $4::int) as n,
            lateral (select date_trunc('milliseconds', $2::timestamptz + ($3::timestamptz - $2::timestamptz) * ((n - 1)::float8 / $4::int)) as at,
                            case when n % 7001 = 13 then 'revoked' when n % 50 = 3 then 'insufficient_credits' else 'charged' end as verdict,
                            case when n % 5003 = 17 then 'refund' when n % 100 = 21 then 'hold' else 'charge' end as action) as what`,
    [userId, anchor, until, count],
  )
  await owner.query(
    `insert into usage_by_cycle (user_id, cycle_start, api_key_id, credits_charged, charges)
     select user_id, cycle_start, api_key_id, sum(credits_charged), count(*) from api_key_usage
      where user_id = $1 and verdict = 'charged' and action = 'charge' group by 1, 2, 3`,
    [userId],
  )
  await owner.query(
    `insert into usage_by_quarter_hour (user_id, cycle_start, api_key_id, operation, quarter_hour, credits_charged, charges)
     select user_id, cycle_start, api_key_id, operation, date_bin('15 minutes', created_at, 'epoch'), sum(credits_charged), count(*)
       from api_key_usage where user_id = $1 and verdict = 'charged' and action = 'charge' group by 1, 2, 3, 4, 5`,
    [userId],
  )
  await owner.query(
    'insert into operations select distinct user_id, operation from api_key_usage where user_id = $1 on conflict do nothing',
    [userId],
  )
  await owner.query(
    `update billing_accounts set last_event_sequence = $2, last_event_at = (select max(created_at) from api_key_usage where user_id = $1),
            credits_used = (select coalesce(sum(credits_charged), 0) from api_key_usage as events
                             where events.user_id = $1 and events.cycle_start = billing_cycle_start)
      where user_id = $1`,
    [userId, count],
  )
  // Write the daily roll-up, as charges would have done.
  await owner.query(
    `do $$
     begin
       while exists (select from billing_accounts where usage_by_day_due_at <= keymeter.now()) loop
         perform keymeter.update_usage_by_day(array(select user_id from billing_accounts), keymeter.now());
       end loop;
     end
     $$`,
  )
  await owner.query('select keymeter.make_usage_partitions()')
  await owner.query('analyze')
}
