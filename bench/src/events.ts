import type { Accounts } from './accounts.ts'
import type { Database } from './cluster.ts'

/** The number of accounts, besides the large one, that get events. */
const OTHERS = 100

/**
 * Inserts `count` usage events of the large account, spread over its keys and over its billing cycle until now. If the account
 * has revoked keys, they get half of the events, one key after the other. Other accounts together get half as many events. Also writes the roll-ups and the balances of these events. The charge engine is not used,
 * because it would need an hour for so many events.
 *
 * @returns the number of all events in the database.
 */
export async function loadEvents({ owner }: Database, { keys, large }: Accounts, count: number): Promise<number> {
  const others = keys.slice(0, OTHERS).map(({ userId }) => userId)
  await insertEvents(owner, [large[0]?.userId ?? ''], count)
  await insertEvents(owner, others, Math.ceil(count / 2 / others.length))
  await owner.query(`
    insert into usage_by_cycle (user_id, cycle_start, api_key_id, credits_charged, charges)
      select user_id, cycle_start, api_key_id, sum(credits_charged), count(*) from api_key_usage group by 1, 2, 3;
    insert into usage_by_quarter_hour (user_id, cycle_start, api_key_id, operation, quarter_hour, credits_charged, charges)
      select user_id, cycle_start, api_key_id, operation, date_bin('15 minutes', created_at, 'epoch'), sum(credits_charged), count(*)
        from api_key_usage group by 1, 2, 3, 4, 5;
    insert into operations select distinct user_id, operation from api_key_usage;
    update billing_accounts as accounts
       set credits_used = events.credits, last_event_sequence = events.last_event_sequence, last_event_at = events.last_event_at
      from (select user_id, sum(credits_charged) as credits, max(sequence) as last_event_sequence, max(created_at) as last_event_at
              from api_key_usage group by 1) as events
     where events.user_id = accounts.user_id;
    do $$
    begin
      loop
        perform keymeter.update_usage_by_day(array(select user_id from billing_accounts), now());
        exit when not exists (select from billing_accounts where usage_by_day_due_at <= now());
      end loop;
    end
    $$;
  `)
  await owner.query('vacuum analyze')
  const { rows } = await owner.query<{ count: string }>('select count(*) from api_key_usage')
  return Number(rows[0]?.count)
}

async function insertEvents(owner: Database['owner'], userIds: string[], each: number): Promise<void> {
  await owner.query(
    `insert into api_key_usage (user_id, sequence, created_at, api_key_id, idempotency_key, operation, verdict,
                                credits_requested, credits_charged, remaining, cycle_start, cycle_end)
     select accounts.user_id, n,
            billing_cycle_start + (now() - interval '1 minute' - billing_cycle_start) * (n::float8 / $2),
            case when n % 2 = 1 and cardinality(keys.revoked) > 0 then keys.revoked[1 + n::bigint * cardinality(keys.revoked) / ($2 + 1)]
                 else keys.live[1 + n / case when cardinality(keys.revoked) > 0 then 2 else 1 end % cardinality(keys.live)] end,
            gen_random_uuid()::text, 'default', 'charged',
            1, 1, credits_per_cycle - n, billing_cycle_start, billing_cycle_end
       from billing_accounts as accounts
       join (select user_id, array_agg(id) filter (where revoked_at is null) as live,
                    coalesce(array_agg(id order by created_at) filter (where revoked_at is not null), '{}') as revoked
               from api_keys group by user_id) as keys using (user_id)
      cross join generate_series(1, $2::int) as n
      where accounts.user_id = any($1::uuid[])`,
    [userIds, each],
  )
}
