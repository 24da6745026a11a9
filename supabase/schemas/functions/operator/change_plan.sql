-- Changes the plan of an account. A plan with more credits applies immediately, and the account gets the difference. A plan
-- with fewer credits applies from the next cycle on, with the credits that the plan has at the time of this call. If the
-- account already has the plan, a planned change is cancelled. Each change also adds an entry to the audit log.
--
-- The plan `free` gives 0 credits to an account whose free credits were refused (free_credits_refusal). Otherwise a change to
-- another plan and back would give them to each account of a mailbox.
--
-- `is_too_much` is true if the account would have more than keymeter.max_credits() credits. `is_closed` is true if the account is
-- closed. In both cases, nothing changes. Returns no row if the account or the plan does not exist.
create function keymeter.change_plan(account uuid, plan text, origin keymeter.call_origin)
  returns table (is_too_much boolean, is_closed boolean, effective_at timestamptz)
  language plpgsql volatile security definer set search_path = '' set timezone = 'UTC'
  as $$
#variable_conflict use_column
declare
  wanted record;
  current record;
  changed record;
  v_now timestamptz;
  v_added bigint;
begin
  if not keymeter.lock_account(account) then
    return;
  end if;
  select plans.plan,
         case when plans.plan = 'free' and accounts.free_credits_refusal is not null then 0 else plans.credits_per_cycle end as credits_per_cycle
    into wanted
    from public.plans as plans join public.billing_accounts as accounts on accounts.user_id = account
   where plans.plan = change_plan.plan;
  if not found then
    return;
  end if;
  if exists (select from public.billing_accounts as accounts where accounts.user_id = account and accounts.closed_at is not null) then
    return query select false, true, null::timestamptz;
    return;
  end if;
  v_now := keymeter.now();
  perform keymeter.advance_accounts(array[account], v_now);
  select accounts.plan, accounts.next_plan, accounts.credits_per_cycle, accounts.billing_cycle_start, accounts.billing_cycle_end,
         keymeter.account_time(v_now, accounts.last_event_at, accounts.billing_cycle_start) as moment
    into current from public.billing_accounts as accounts where accounts.user_id = account;
  if coalesce(current.next_plan, current.plan) = wanted.plan then
    return query select false, false, case when current.next_plan is null then current.moment else current.billing_cycle_end end;
    return;
  end if;
  v_added := greatest(0, wanted.credits_per_cycle - current.credits_per_cycle);
  if v_added > 0 and not keymeter.may_add_credits(account, v_added) then
    return query select true, false, null::timestamptz;
    return;
  end if;

  if wanted.credits_per_cycle < current.credits_per_cycle and wanted.plan <> current.plan then
    update public.billing_accounts as accounts
       set next_plan = wanted.plan, next_credits_per_cycle = wanted.credits_per_cycle,
           last_ledger_sequence = accounts.last_ledger_sequence + 1
     where accounts.user_id = account;
  else
    update public.billing_accounts as accounts
       set plan = wanted.plan, next_plan = null, next_credits_per_cycle = null, credits_per_cycle = accounts.credits_per_cycle + v_added,
           last_ledger_sequence = accounts.last_ledger_sequence + 1
     where accounts.user_id = account;
    -- A change to the current plan only cancels a planned change, unless it adds credits.
    if wanted.plan <> current.plan or v_added > 0 then
      perform keymeter.begin_alert_period(account, true);
    end if;
  end if;
  insert into public.ledger_entries (user_id, sequence, created_at, cycle_start, kind, credits, plan)
    select account, accounts.last_ledger_sequence, current.moment, current.billing_cycle_start, 'plan_change', v_added, wanted.plan
      from public.billing_accounts as accounts where accounts.user_id = account;
  select accounts.last_ledger_sequence as ledger_sequence,
         case when accounts.next_plan is null then current.moment else accounts.billing_cycle_end end as effective_at
    into changed from public.billing_accounts as accounts where accounts.user_id = account;
  perform keymeter.append_audit_entry(account, 'operator', null, 'account.plan_changed', null,
    json_build_object('plan', wanted.plan, 'effectiveAt', keymeter.iso_time(changed.effective_at), 'ledgerSequence', changed.ledger_sequence),
    origin, current.moment);
  return query select false, false, changed.effective_at;
end
$$;
