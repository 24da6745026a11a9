-- No grant and no plan gives an account more credits than a number in JSON holds, its plan's and its top-ups together: what it
-- can use in a cycle, and every sum of that, can be shown. What is held in cycles that have ended may come back, and counts.
-- Top-ups alone were bounded, beside a plan that was not counted. (A refund of a cycle that has ended is not foreseen: where it
-- would be too much, it fails.)

-- Adds credits that do not end with the cycle. Again with the same idempotency key, however much later, it answers the entry
-- that it made first, and changes nothing; `is_conflict` when that was of other credits. `is_too_much` when the account would
-- have more credits than a number in JSON holds: then nothing is granted.
create or replace function public.grant_top_up(account uuid, credits bigint, idempotency_key text, note text)
  returns table (is_replayed boolean, is_conflict boolean, is_too_much boolean, sequence bigint, created_at timestamptz)
  language plpgsql volatile security definer set search_path = '' set timezone = 'UTC'
  as $$
#variable_conflict use_column
declare
  known record;
  v_now timestamptz;
begin
  perform from public.billing_accounts where user_id = account for no key update;
  if not found then
    return;
  end if;
  select entries.sequence, entries.created_at, entries.credits into known from public.ledger_entries as entries
   where entries.user_id = account and entries.idempotency_key = grant_top_up.idempotency_key;
  if found then
    return query select true, known.credits <> grant_top_up.credits, false, known.sequence, known.created_at;
    return;
  end if;
  v_now := public.keymeter_now();
  perform public.advance_accounts(array[account], v_now);
  if (select accounts.credits_per_cycle + accounts.top_up_credits
               + (select coalesce(sum(closed.credits_held), 0) from public.billing_cycles as closed where closed.user_id = account)
               > 9007199254740991 - grant_top_up.credits
        from public.billing_accounts as accounts where accounts.user_id = account) then
    return query select false, false, true, null::bigint, null::timestamptz;
    return;
  end if;
  return query
    with topped_up as (
      update public.billing_accounts as accounts
         set top_up_credits = accounts.top_up_credits + grant_top_up.credits,
             credits_topped_up = accounts.credits_topped_up + grant_top_up.credits,
             last_ledger_sequence = accounts.last_ledger_sequence + 1
       where accounts.user_id = account
      returning accounts.last_ledger_sequence, accounts.billing_cycle_start, greatest(v_now, accounts.last_event_at, accounts.billing_cycle_start) as moment
    )
    insert into public.ledger_entries as entries (user_id, sequence, created_at, cycle_start, kind, credits, idempotency_key, note)
      select account, last_ledger_sequence, moment, billing_cycle_start, 'top_up', grant_top_up.credits, grant_top_up.idempotency_key, grant_top_up.note
        from topped_up
    returning false, false, false, entries.sequence, entries.created_at;
end
$$;

-- A plan with more credits than the cycle has: the difference at once. One with fewer: from the next cycle on. The plan that
-- the account is on already takes back what was to come. `is_too_much` when the account would have more credits than a number
-- in JSON holds: then nothing changes.
drop function public.change_plan(uuid, text);
create function public.change_plan(account uuid, plan text)
  returns table (is_unchanged boolean, is_too_much boolean, effective_at timestamptz)
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
  select accounts.plan, accounts.next_plan, accounts.credits_per_cycle, accounts.top_up_credits, accounts.billing_cycle_start, accounts.billing_cycle_end,
         greatest(v_now, accounts.last_event_at, accounts.billing_cycle_start) as moment
    into stands from public.billing_accounts as accounts where accounts.user_id = account;
  if coalesce(stands.next_plan, stands.plan) = wanted.plan then
    return query select true, false, case when stands.next_plan is null then stands.moment else stands.billing_cycle_end end;
    return;
  end if;
  v_added := greatest(0, wanted.credits_per_cycle - stands.credits_per_cycle);
  if v_added > 0 and stands.credits_per_cycle + stands.top_up_credits
                     + (select coalesce(sum(closed.credits_held), 0) from public.billing_cycles as closed where closed.user_id = account)
                     > 9007199254740991 - v_added then
    return query select false, true, null::timestamptz;
    return;
  end if;
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
    select false, false, case when accounts.next_plan is null then stands.moment else accounts.billing_cycle_end end
      from public.billing_accounts as accounts where accounts.user_id = account;
end
$$;
revoke all on function public.change_plan(uuid, text) from public, anon, authenticated, service_role;
grant execute on function public.change_plan(uuid, text) to keymeter_api;

comment on column public.billing_accounts.billing_cycle_anchor is
  'The start of the first billing cycle. Never moved: a cycle that begins at none of its boundaries is closed with nothing used.';
