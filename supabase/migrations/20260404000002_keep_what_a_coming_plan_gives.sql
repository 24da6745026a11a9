-- A change to a plan with fewer credits waits for the next cycle. What the plan gives is agreed when it is changed to, and kept
-- with the account: what a plan gives by the time that somebody writes to the account, or reads it, decides nothing.
alter table public.billing_accounts add column next_credits_per_cycle bigint;
comment on column public.billing_accounts.next_credits_per_cycle is 'What next_plan gives, as it was agreed. Null: no plan is to come.';
update public.billing_accounts as accounts set next_credits_per_cycle = plans.credits_per_cycle
  from public.plans where plans.plan = accounts.next_plan;

-- A plan with more credits than the cycle has: the difference at once. One with fewer: from the next cycle on. The plan that
-- the account is on already takes back what was to come.
create or replace function public.change_plan(account uuid, plan text)
  returns table (is_unchanged boolean, is_at_once boolean, effective_at timestamptz, credits bigint)
  language plpgsql volatile security definer set search_path = '' set timezone = 'UTC'
  as $$
#variable_conflict use_column
declare
  wanted record;
  stands record;
  v_now timestamptz;
  v_added bigint;
begin
  perform from public.billing_accounts where user_id = account for no key update;
  select plans.plan, plans.credits_per_cycle into wanted from public.plans as plans where plans.plan = change_plan.plan;
  if not found then
    return;
  end if;
  v_now := public.keymeter_now();
  perform public.advance_accounts(array[account], v_now);
  select accounts.plan, accounts.next_plan, accounts.credits_per_cycle, accounts.billing_cycle_start, accounts.billing_cycle_end,
         greatest(v_now, accounts.last_event_at, accounts.billing_cycle_start) as moment
    into stands from public.billing_accounts as accounts where accounts.user_id = account;
  if coalesce(stands.next_plan, stands.plan) = wanted.plan then
    return query select true, stands.next_plan is null, case when stands.next_plan is null then stands.moment else stands.billing_cycle_end end, 0::bigint;
    return;
  end if;
  v_added := greatest(0, wanted.credits_per_cycle - stands.credits_per_cycle);
  if wanted.credits_per_cycle < stands.credits_per_cycle and wanted.plan <> stands.plan then
    update public.billing_accounts as accounts set next_plan = wanted.plan, next_credits_per_cycle = wanted.credits_per_cycle, last_ledger_sequence = accounts.last_ledger_sequence + 1
     where accounts.user_id = account;
  else
    update public.billing_accounts as accounts
       set plan = wanted.plan, next_plan = null, next_credits_per_cycle = null, credits_per_cycle = accounts.credits_per_cycle + v_added,
           last_ledger_sequence = accounts.last_ledger_sequence + 1
     where accounts.user_id = account;
  end if;
  insert into public.ledger_entries (user_id, sequence, created_at, cycle_start, kind, credits, plan)
    select account, accounts.last_ledger_sequence, stands.moment, stands.billing_cycle_start, 'plan_change', v_added, wanted.plan
      from public.billing_accounts as accounts where accounts.user_id = account;
  return query
    select false, accounts.next_plan is null, case when accounts.next_plan is null then stands.moment else accounts.billing_cycle_end end, v_added
      from public.billing_accounts as accounts where accounts.user_id = account;
end
$$;

-- An account's cycles up to the one of `moment`, as advance_accounts would leave them then: changes nothing. In each,
-- carried + granted + topped_up - used - held is what is left, and never less than nothing; of the current cycle that is
-- what the account can spend. What is left of the granted credits ends with the cycle, and what is left of the top-ups is
-- carried over: greatest(0, used + held - granted) less than there were.
create or replace function public.account_cycles(account uuid, moment timestamptz) returns table (
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
           case when is_stored then stored.credits_per_cycle else coalesce(stored.next_credits_per_cycle, stored.credits_per_cycle) end,
           case when is_stored then stored.credits_topped_up else 0 end,
           case when is_stored then stored.credits_used else 0 end,
           case when is_stored then stored.credits_held else 0 end
      from stored
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
