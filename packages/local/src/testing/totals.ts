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
    with events as (select *, coalesce(used_at, created_at) as counted_at from api_key_usage where ${only}),
    accounts as (select * from billing_accounts where ${only}),
    cycle_usage as (select * from api_key_cycle_usage where ${only}),
    quarter_hour_usage as (select * from api_key_quarter_hour_usage where ${only}),
    cycles as (select * from billing_cycles where ${only}),
    holds as (select * from credit_holds where ${only}),
    ledger as (select * from ledger_entries where ${only}),
    dropped as (select * from usage_retention where ${only}),
    counted as (
      select * from events where verdict in ('charged', 'held', 'settled', 'released') or (verdict = 'refunded' and credits_charged <> 0)),
    by_cycle as (select user_id, cycle_start, sum(credits_charged) as credits from events group by 1, 2),
    held_by_cycle as (select user_id, cycle_start, sum(credits) as credits from holds where outcome is null group by 1, 2),
    by_key as (
      select c.user_id, c.cycle_start, c.api_key_id, sum(credits_charged) as credits, count(*) filter (where verdict in ('charged', 'settled')) as charges,
             coalesce((select sum(h.credits) from holds h where h.user_id = c.user_id and h.api_key_id = c.api_key_id
                         and h.cycle_start = c.cycle_start and h.outcome is null), 0) as held
        from counted c group by 1, 2, 3),
    by_quarter as (
      select user_id, cycle_start, api_key_id, operation,
             to_timestamp(floor(extract(epoch from counted_at) / 900) * 900) as quarter_hour, sum(credits_charged) as credits,
             count(*) filter (where verdict <> 'refunded') as charges, coalesce(-sum(credits_charged) filter (where verdict = 'refunded'), 0) as refunded
        from counted where verdict in ('charged', 'settled', 'refunded') group by 1, 2, 3, 4, 5),
    by_day as (
      select user_id, cycle_start, day, key, operation, array_agg(quarter order by quarter) as quarters,
             array_agg(credits order by quarter) as credits, array_agg(charges order by quarter) as charges, sum(refunded) as refunded
        from (select user_id, cycle_start, day, coalesce(api_key_id::text, '*') as key, coalesce(operation, '*') as operation, quarter, refunded,
                     sum(credits) over w as credits, sum(charges) over w as charges
                from (select q.user_id, q.cycle_start, date(quarter_hour at time zone 'UTC') as day, api_key_id, operation,
                             extract(hour from quarter_hour at time zone 'UTC') * 4 + extract(minute from quarter_hour) / 15 as quarter,
                             sum(credits) as credits, sum(q.charges) as charges, sum(refunded) as refunded
                        from by_quarter q join accounts a on a.user_id = q.user_id and quarter_hour < a.usage_days_until
                       group by q.user_id, q.cycle_start, quarter_hour, grouping sets ((), (api_key_id), (operation), (api_key_id, operation))) s
              window w as (partition by user_id, cycle_start, day, api_key_id, operation order by quarter)) r
       group by 1, 2, 3, 4, 5),
    days as (
      select user_id, cycle_start, day, coalesce(api_key_id::text, '*') as key, coalesce(operation, '*') as operation,
             quarters, credits_charged, charges, credits_refunded
        from usage_days where ${only}),
    topped_up as (
      select user_id, cycle_start, sum(credits) as credits from ledger where kind in ('top_up', 'refund_top_up') group by 1, 2)
    select 'balance' as what, a.user_id::text, a.credits_used::text as kept, coalesce(c.credits, 0)::text as counted
      from accounts a left join by_cycle c on c.user_id = a.user_id and c.cycle_start = a.billing_cycle_start
     where a.credits_used <> coalesce(c.credits, 0)
    union all
    select 'held', a.user_id::text, a.credits_held::text, coalesce(h.credits, 0)::text
      from accounts a left join held_by_cycle h on h.user_id = a.user_id and h.cycle_start = a.billing_cycle_start
     where a.credits_held <> coalesce(h.credits, 0)
    union all
    select 'overspent', user_id::text, (credits_used + credits_held)::text, (credits_per_cycle + top_up_credits)::text
      from accounts where credits_used + credits_held > credits_per_cycle + top_up_credits
    union all
    select 'top-ups', a.user_id::text, a.top_up_credits::text, (coalesce(granted, 0) - coalesce(spent, 0))::text
      from accounts a
      left join (select user_id, sum(credits) as granted from topped_up group by 1) g using (user_id)
      left join (select user_id, sum(greatest(0, credits_used + credits_held - credits_granted)) as spent from cycles group by 1) s using (user_id)
     where a.top_up_credits <> coalesce(granted, 0) - coalesce(spent, 0)
    union all
    select 'top-ups of a cycle', c.user_id::text, c.kept::text, coalesce(t.credits, 0)::text
      from (select user_id, cycle_start, credits_topped_up as kept from cycles
            union all select user_id, billing_cycle_start, credits_topped_up from accounts) c
      left join topped_up t using (user_id, cycle_start)
     where c.kept <> coalesce(t.credits, 0)
    union all
    select 'roll-up by cycle', coalesce(k.user_id, r.user_id)::text, concat_ws('/', r.credits_charged, r.charges, r.credits_held), concat_ws('/', k.credits, k.charges, k.held)
      from by_key k full join cycle_usage r using (user_id, cycle_start, api_key_id)
      left join dropped d on d.user_id = coalesce(k.user_id, r.user_id)
     where ((r.credits_charged, r.charges, r.credits_held) is distinct from (k.credits, k.charges, k.held)
            and (d.kept_from is null or cycle_start >= d.kept_from)) or r.credits_charged < 0
    union all
    select 'roll-up by quarter hour', coalesce(q.user_id, r.user_id)::text, concat_ws('/', r.credits_charged, r.charges, r.credits_refunded), concat_ws('/', q.credits, q.charges, q.refunded)
      from by_quarter q full join quarter_hour_usage r using (user_id, cycle_start, api_key_id, operation, quarter_hour)
      left join dropped d on d.user_id = coalesce(q.user_id, r.user_id)
     where ((r.credits_charged, r.charges, r.credits_refunded) is distinct from (q.credits, q.charges, q.refunded)
            and (d.kept_from is null or quarter_hour >= d.kept_from)) or r.credits_charged < 0
    union all
    select 'roll-up by day', coalesce(k.user_id, r.user_id)::text, concat_ws('/', day, key, operation, r.quarters, r.credits_charged, r.charges, r.credits_refunded),
           concat_ws('/', k.quarters, k.credits, k.charges, k.refunded)
      from by_day k full join days r using (user_id, cycle_start, day, key, operation)
      left join dropped d on d.user_id = coalesce(k.user_id, r.user_id)
     where (r.quarters::int[], r.credits_charged::numeric[], r.charges::numeric[], r.credits_refunded) is distinct from (k.quarters::int[], k.credits, k.charges, k.refunded)
       and (d.kept_from is null or day >= date(d.kept_from at time zone 'UTC'))
    union all
    select 'closed cycle', b.user_id::text, b.credits_used || '/' || b.credits_held, coalesce(c.credits, 0) || '/' || coalesce(h.credits, 0)
      from cycles b left join by_cycle c using (user_id, cycle_start) left join held_by_cycle h using (user_id, cycle_start)
      left join dropped d using (user_id)
     where (b.credits_used <> coalesce(c.credits, 0) and (d.kept_from is null or cycle_start >= d.kept_from)) or b.credits_held <> coalesce(h.credits, 0)
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
      from accounts a left join events e using (user_id) left join dropped d using (user_id)
     group by a.user_id, a.last_sequence, d.last_sequence
    having count(e.sequence) + coalesce(d.last_sequence, 0) <> a.last_sequence
        or coalesce(max(e.sequence), d.last_sequence, 0) <> a.last_sequence
    union all
    select 'sequence of the ledger', a.user_id::text, a.last_ledger_sequence::text, count(l.sequence) || '/' || coalesce(max(l.sequence), 0)
      from accounts a left join ledger l using (user_id)
     group by a.user_id, a.last_ledger_sequence having count(l.sequence) <> a.last_ledger_sequence or coalesce(max(l.sequence), 0) <> a.last_ledger_sequence
    union all
    select 'time runs backwards', user_id::text, created_at::text, next::text
      from (select user_id, created_at, lead(created_at) over (partition by user_id order by sequence) as next from events) n where next < created_at
    union all
    select 'outside its cycle', user_id::text, counted_at::text, cycle_start::text
      from events where counted_at < cycle_start or created_at >= cycle_end or (used_at is null and cycle_start > created_at)
    union all
    select 'charged otherwise than asked', user_id::text, credits_charged::text, credits_requested::text
      from events
     where credits_charged <> case when verdict in ('charged', 'settled') then credits_requested when verdict = 'refunded' and credits_charged <> 0 then -credits_requested else 0 end
    union all
    select 'hold', coalesce(e.user_id, h.user_id)::text, coalesce(h.outcome, 'open'), coalesce(ends.verdict, 'open')
      from (select * from events where verdict = 'held') e
      full join (select * from holds where not exists (select from dropped d where d.user_id = holds.user_id and holds.sequence <= d.last_sequence)) h
        using (user_id, sequence)
      left join (select user_id, refers_to, string_agg(verdict, '+') as verdict from events where verdict in ('settled', 'released') group by 1, 2) ends
        on ends.user_id = e.user_id and ends.refers_to = e.sequence
      left join accounts a on a.user_id = e.user_id
     where (e.credits_requested, e.expires_at, e.cycle_start, e.api_key_id) is distinct from (h.credits, h.expires_at, h.cycle_start, h.api_key_id)
        or coalesce(ends.verdict, 'none') <> case when h.outcome in ('settled', 'released') then h.outcome else 'none' end
        or (h.outcome is null and h.expires_at <= a.last_event_at) or (h.outcome is null and (a.holds_expire_at is null or a.holds_expire_at > h.expires_at))
    union all
    select 'settled for more than was held', e.user_id::text, e.credits_charged::text, h.credits::text
      from events e join holds h on h.user_id = e.user_id and h.sequence = e.refers_to where e.verdict = 'settled' and e.credits_charged > h.credits
    union all
    select 'refunded more than was charged', c.user_id::text, sum(r.credits_requested)::text, c.credits_charged::text
      from events c join events r on r.user_id = c.user_id and r.refers_to = c.sequence and r.verdict = 'refunded'
     group by c.user_id, c.sequence, c.credits_charged having sum(r.credits_requested) > c.credits_charged
    union all
    select 'ledger of refunds', coalesce(e.user_id, l.user_id)::text, l.kind || ' ' || l.credits, e.credits_charged::text
      from (select * from events where verdict = 'refunded') e
      full join (select * from ledger where event_sequence is not null
                   and not exists (select from dropped d where d.user_id = ledger.user_id and ledger.event_sequence <= d.last_sequence)) l
        on l.user_id = e.user_id and l.event_sequence = e.sequence
     where (l.kind, l.credits) is distinct from (case when e.credits_charged = 0 then 'refund_top_up' else 'refund' end, e.credits_requested)
    union all
    select 'two verdicts for one idempotency key', user_id::text, idempotency_key, count(*)::text
      from (select user_id, idempotency_key, created_at - lag(created_at) over (partition by user_id, idempotency_key order by sequence) as later
              from events where idempotency_key is not null) n
     where later < interval '35 days' group by user_id, idempotency_key`
  const { rows } = await owner.query(text, userIds && [userIds])
  return rows
}
