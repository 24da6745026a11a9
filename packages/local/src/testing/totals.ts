import type { TestDatabase } from './index.ts'

/**
 * Every place where the three totals (balance, roll-ups, events) or the events themselves disagree. Empty, always.
 * SQL of its own, that shares nothing with the engine's.
 *
 * @param userIds looks at these accounts alone.
 */
export async function disagreements({ owner }: Pick<TestDatabase, 'owner'>, userIds?: string[]): Promise<unknown[]> {
  const only = userIds === undefined ? 'true' : 'user_id = any($1::uuid[])'
  const text = `
    with events as (select * from api_key_usage where ${only}),
    accounts as (select * from billing_accounts where ${only}),
    cycle_usage as (select * from api_key_cycle_usage where ${only}),
    quarter_hour_usage as (select * from api_key_quarter_hour_usage where ${only}),
    cycles as (select * from billing_cycles where ${only}),
    by_cycle as (
      select user_id, cycle_start, sum(credits_charged) as credits, count(*) filter (where verdict = 'charged') as charges
        from events group by 1, 2),
    by_key as (
      select user_id, cycle_start, api_key_id, sum(credits_charged) as credits, count(*) as charges
        from events where verdict = 'charged' group by 1, 2, 3),
    by_quarter as (
      select user_id, cycle_start, api_key_id, operation,
             to_timestamp(floor(extract(epoch from created_at) / 900) * 900) as quarter_hour, sum(credits_charged) as credits, count(*) as charges
        from events where verdict = 'charged' group by 1, 2, 3, 4, 5)
    select 'balance' as what, a.user_id::text, a.credits_used::text as kept, coalesce(c.credits, 0)::text as counted
      from accounts a left join by_cycle c on c.user_id = a.user_id and c.cycle_start = a.billing_cycle_start
     where a.credits_used <> coalesce(c.credits, 0)
    union all
    select 'overspent', user_id::text, credits_used::text, credits_per_cycle::text from accounts where credits_used > credits_per_cycle
    union all
    select 'roll-up by cycle', coalesce(k.user_id, r.user_id)::text, r.credits_charged || '/' || r.charges, k.credits || '/' || k.charges
      from by_key k full join cycle_usage r using (user_id, cycle_start, api_key_id)
     where r.credits_charged is distinct from k.credits or r.charges is distinct from k.charges
    union all
    select 'roll-up by quarter hour', coalesce(q.user_id, r.user_id)::text, r.credits_charged || '/' || r.charges, q.credits || '/' || q.charges
      from by_quarter q full join quarter_hour_usage r using (user_id, cycle_start, api_key_id, operation, quarter_hour)
     where r.credits_charged is distinct from q.credits or r.charges is distinct from q.charges
    union all
    select 'closed cycle', b.user_id::text, b.credits_used::text, coalesce(c.credits, 0)::text
      from cycles b left join by_cycle c using (user_id, cycle_start)
     where b.credits_used <> coalesce(c.credits, 0) or b.credits_used > b.credits_granted
    union all
    select 'cycle that was not closed', c.user_id::text, null, c.cycle_start::text
      from by_cycle c join accounts a using (user_id) left join cycles b using (user_id, cycle_start)
     where c.cycle_start <> a.billing_cycle_start and b.user_id is null
    union all
    select 'gap between cycles', user_id::text, cycle_end::text, next::text
      from (select user_id, cycle_end, lead(cycle_start) over (partition by user_id order by cycle_start) as next from cycles) n
     where next <> cycle_end
    union all
    select 'sequence', a.user_id::text, a.last_sequence::text, count(e.sequence) || '/' || coalesce(max(e.sequence), 0)
      from accounts a left join events e using (user_id)
     group by a.user_id, a.last_sequence having count(e.sequence) <> a.last_sequence or coalesce(max(e.sequence), 0) <> a.last_sequence
    union all
    select 'time runs backwards', user_id::text, created_at::text, next::text
      from (select user_id, created_at, lead(created_at) over (partition by user_id order by sequence) as next from events) n where next < created_at
    union all
    select 'outside its cycle', user_id::text, created_at::text, cycle_start::text from events where created_at < cycle_start or created_at >= cycle_end
    union all
    select 'charged otherwise than asked', user_id::text, credits_charged::text, credits_requested::text
      from events where credits_charged <> case when verdict = 'charged' then credits_requested else 0 end
    union all
    select 'two verdicts for one idempotency key', user_id::text, idempotency_key, count(*)::text
      from (select user_id, idempotency_key, created_at - lag(created_at) over (partition by user_id, idempotency_key order by sequence) as later
              from events where idempotency_key is not null) n
     where later < interval '35 days' group by user_id, idempotency_key`
  const { rows } = await owner.query(text, userIds && [userIds])
  return rows
}
