-- Returns the billing cycles of an account, up to the cycle that contains `moment`. The rows are those that
-- keymeter.advance_accounts would write at `moment`, but this function writes nothing.
--
-- In each cycle, `carried + granted + topped_up - used - held` credits are left. This number is never negative. In the current
-- cycle, it is the number of credits that the account can spend. When a cycle ends, the unused granted credits lapse and the
-- unused top-ups are carried over. A cycle uses `greatest(0, used + held - granted)` credits of the top-ups.
create function keymeter.account_cycles(account uuid, moment timestamptz) returns table (
  cycle_start timestamptz, cycle_end timestamptz, is_current boolean, plan text,
  credits_carried bigint, credits_granted bigint, credits_topped_up bigint, credits_used bigint, credits_held bigint
)
  language sql stable set search_path = '' set timezone = 'UTC'
  as $$
  with stored as (
    select accounts.*, keymeter.account_time(moment, last_event_at, billing_cycle_start) as at
      from public.billing_accounts as accounts where user_id = account
  ), expired as (
    select holds.cycle_start, sum(holds.credits)::bigint as credits
      from stored join public.credit_holds as holds on holds.user_id = account and holds.outcome is null and holds.expires_at <= at
     group by 1
  ), cycles as (
    select cycle_start, cycle_end, false as is_current, plan, credits_granted, credits_topped_up, credits_used, credits_held
      from public.billing_cycles where user_id = account
    union all
    select keymeter.cycle_boundary(billing_cycle_anchor, k), keymeter.cycle_boundary(billing_cycle_anchor, k + 1),
           k = keymeter.cycle_index(billing_cycle_anchor, at),
           case when is_stored then stored.plan else coalesce(stored.next_plan, stored.plan) end,
           case when is_stored then stored.credits_per_cycle else coalesce(stored.next_credits_per_cycle, stored.credits_per_cycle) end,
           case when is_stored then stored.topped_up_this_cycle else 0 end,
           case when is_stored then stored.credits_used else 0 end,
           case when is_stored then stored.credits_held else 0 end
      from stored
     cross join lateral generate_series(keymeter.cycle_index(billing_cycle_anchor, billing_cycle_start), keymeter.cycle_index(billing_cycle_anchor, at)) as k
     cross join lateral (select k = keymeter.cycle_index(billing_cycle_anchor, billing_cycle_start) as is_stored) as which
  ), held as (
    select cycles.cycle_start, cycles.cycle_end, is_current, plan, credits_granted, credits_topped_up, credits_used,
           credits_held - coalesce(expired.credits, 0) as credits_held
      from cycles left join expired on expired.cycle_start = cycles.cycle_start
  ), summed as (
    select held.*, coalesce(sum(credits_topped_up - greatest(0, credits_used + credits_held - credits_granted))
                              over (order by cycle_start rows between unbounded preceding and 1 preceding), 0) as top_ups
      from held
  )
  select cycle_start, cycle_end, is_current, plan,
         -- `top_ups` is the sum of the top-ups that all earlier cycles have left. It is negative only if the owner of the
         -- database has set the granted credits of a closed cycle below its usage. Subtract the smallest sum, so that no cycle
         -- starts with a debt.
         (top_ups - least(0, min(top_ups) over (order by cycle_start)))::bigint,
         credits_granted, credits_topped_up, credits_used, credits_held
    from summed
$$;
