-- What time alone does to accounts: cycles end, holds run out and usage is added to its days. Nothing has to do it on time.
-- Whoever changes an account's credits does it first (the account is locked), and whoever only reads computes what it would
-- do (account_cycles).
--
-- What the order is does not matter: of the top-ups, a cycle has taken what it used and holds beyond its own credits,
-- greatest(0, used + held - granted), whenever that is looked at.
create function public.advance_accounts(user_ids uuid[], v_now timestamptz) returns void
  language plpgsql volatile set search_path = '' set timezone = 'UTC'
  as $$
begin
  -- Before an account is written to: make_usage_partitions holds a partition when it waits for whoever writes to accounts.
  lock table public.api_key_usage in access share mode;

  -- Closes the cycle that was written to last, and the idle ones between it and the current one.
  insert into public.billing_cycles as closed (user_id, cycle_start, cycle_end, plan, credits_granted, credits_used, credits_held, credits_topped_up)
    select accounts.user_id, boundary, public.cycle_boundary(billing_cycle_anchor, k + 1),
           case when is_stored then accounts.plan else coalesce(accounts.next_plan, accounts.plan) end,
           case when is_stored then accounts.credits_per_cycle else coalesce(plans.credits_per_cycle, accounts.credits_per_cycle) end,
           case when is_stored then credits_used else 0 end,
           case when is_stored then credits_held else 0 end,
           case when is_stored then credits_topped_up else 0 end
      from public.billing_accounts as accounts
      left join public.plans on plans.plan = accounts.next_plan
     cross join lateral generate_series(
           public.cycle_index(billing_cycle_anchor, billing_cycle_start),
           public.cycle_index(billing_cycle_anchor, greatest(v_now, last_event_at, billing_cycle_start)) - 1) as k
     cross join lateral (select public.cycle_boundary(billing_cycle_anchor, k) as boundary) as starts
     cross join lateral (select boundary = billing_cycle_start as is_stored) as which
     where accounts.user_id = any(user_ids)
    on conflict do nothing;
  update public.billing_accounts as accounts
     set billing_cycle_start = due.cycle_start,
         plan = coalesce(next_plan, plan),
         next_plan = null,
         credits_per_cycle = due.credits_granted,
         top_up_credits = greatest(0, top_up_credits - greatest(0, accounts.credits_used + accounts.credits_held - credits_per_cycle)),
         credits_topped_up = 0,
         credits_used = due.credits_used,
         credits_held = due.credits_held
    from (select unrolled.user_id, cycle_start, credits_granted, coalesce(credits_used, 0) as credits_used, coalesce(credits_held, 0) as credits_held
            from (select current.user_id, current.billing_cycle_start as stored,
                         coalesce(plans.credits_per_cycle, current.credits_per_cycle) as credits_granted,
                         public.cycle_boundary(billing_cycle_anchor, public.cycle_index(billing_cycle_anchor, greatest(v_now, last_event_at, billing_cycle_start))) as cycle_start
                    from public.billing_accounts as current
                    left join public.plans on plans.plan = current.next_plan
                   where current.user_id = any(user_ids)) as unrolled
           -- Nothing, unless someone moved the anchor.
           left join lateral (select sum(usage.credits_charged) as credits_used, sum(usage.credits_held) as credits_held
                                from public.api_key_cycle_usage as usage
                               where usage.user_id = unrolled.user_id and usage.cycle_start = unrolled.cycle_start) as kept on true
           where cycle_start <> stored) as due
   where accounts.user_id = due.user_id;

  -- Holds that have run out give their credits back, to the cycle that they were made in.
  with expired as (
    update public.credit_holds as holds set outcome = 'expired', ended_at = expires_at
      from public.billing_accounts as accounts
     where accounts.user_id = any(user_ids) and holds.user_id = accounts.user_id
       and holds.outcome is null and holds.expires_at <= greatest(v_now, last_event_at, billing_cycle_start)
    returning holds.user_id, holds.api_key_id, holds.cycle_start, holds.credits
  ), of_keys as (
    update public.api_key_cycle_usage as kept set credits_held = kept.credits_held - freed.credits
      from (select user_id, api_key_id, cycle_start, sum(credits)::bigint as credits from expired group by 1, 2, 3) as freed
     where (kept.user_id, kept.api_key_id, kept.cycle_start) = (freed.user_id, freed.api_key_id, freed.cycle_start)
  ), of_cycles as (
    select user_id, cycle_start, sum(credits)::bigint as credits from expired group by 1, 2
  ), of_closed_cycles as (
    update public.billing_cycles as closed set credits_held = closed.credits_held - freed.credits
      from of_cycles as freed
     where (closed.user_id, closed.cycle_start) = (freed.user_id, freed.cycle_start)
    returning closed.user_id,
              greatest(0, closed.credits_used + closed.credits_held + freed.credits - closed.credits_granted)
                - greatest(0, closed.credits_used + closed.credits_held - closed.credits_granted) as top_ups
  )
  update public.billing_accounts as accounts
     set credits_held = accounts.credits_held - coalesce((select credits from of_cycles as freed
                                                           where freed.user_id = accounts.user_id and freed.cycle_start = accounts.billing_cycle_start), 0),
         top_up_credits = accounts.top_up_credits + coalesce((select sum(top_ups) from of_closed_cycles as freed where freed.user_id = accounts.user_id), 0),
         holds_expire_at = (select min(expires_at) from public.credit_holds as open
                             where open.user_id = accounts.user_id and open.outcome is null
                               and open.expires_at > greatest(v_now, last_event_at, billing_cycle_start))
   where accounts.user_id = any(user_ids) and accounts.holds_expire_at <= greatest(v_now, last_event_at, billing_cycle_start);

  perform public.fill_usage_days(user_ids, v_now);
end
$$;
revoke all on function public.advance_accounts(uuid[], timestamptz) from public, anon, authenticated, service_role;

-- An account's cycles up to the one of `moment`, as advance_accounts would leave them then: changes nothing. In each,
-- carried + granted + topped_up - used - held is what is left, and never less than nothing; of the current cycle that is
-- what the account can spend. What is left of the granted credits ends with the cycle, and what is left of the top-ups is
-- carried over: greatest(0, used + held - granted) less than there were.
create function public.account_cycles(account uuid, moment timestamptz) returns table (
  cycle_start timestamptz, cycle_end timestamptz, is_current boolean, plan text,
  credits_carried bigint, credits_granted bigint, credits_topped_up bigint, credits_used bigint, credits_held bigint
)
  language sql stable set search_path = '' set timezone = 'UTC'
  as $$
  with stored as (
    select accounts.*, greatest(moment, last_event_at, billing_cycle_start) as at from public.billing_accounts as accounts where user_id = account
  ), expired as (
    select holds.cycle_start, sum(holds.credits)::bigint as credits
      from stored join public.credit_holds as holds on holds.user_id = account and holds.outcome is null and holds.expires_at <= at
     group by 1
  ), cycles as (
    select cycle_start, cycle_end, false as is_current, plan, credits_granted, credits_topped_up, credits_used, credits_held
      from public.billing_cycles where user_id = account
    union all
    select public.cycle_boundary(billing_cycle_anchor, k), public.cycle_boundary(billing_cycle_anchor, k + 1),
           k = public.cycle_index(billing_cycle_anchor, at),
           case when is_stored then stored.plan else coalesce(stored.next_plan, stored.plan) end,
           case when is_stored then stored.credits_per_cycle else coalesce(plans.credits_per_cycle, stored.credits_per_cycle) end,
           case when is_stored then stored.credits_topped_up else 0 end,
           case when is_stored then stored.credits_used else 0 end,
           case when is_stored then stored.credits_held else 0 end
      from stored
      left join public.plans on plans.plan = stored.next_plan
     cross join lateral generate_series(public.cycle_index(billing_cycle_anchor, billing_cycle_start), public.cycle_index(billing_cycle_anchor, at)) as k
     cross join lateral (select k = public.cycle_index(billing_cycle_anchor, billing_cycle_start) as is_stored) as which
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
         -- Only an owner who lowers granted credits below what is used could make this less than nothing: that is forgiven.
         (top_ups - least(0, min(top_ups) over (order by cycle_start)))::bigint,
         credits_granted, credits_topped_up, credits_used, credits_held
    from summed
$$;
revoke all on function public.account_cycles(uuid, timestamptz) from public, anon, authenticated, service_role;
grant execute on function public.account_cycles(uuid, timestamptz) to keymeter_api;
