-- Closes all ended cycles of these accounts, also cycles without usage, and starts the current cycle. Unused granted credits
-- lapse. Top-ups pay for the used and held credits that exceed the granted credits. The remaining top-ups are carried over.
create function keymeter.close_cycles(user_ids uuid[], v_now timestamptz) returns void
  language plpgsql volatile set search_path = '' set timezone = 'UTC'
  as $$
begin
  insert into public.billing_cycles (user_id, cycle_start, cycle_end, plan, credits_granted, credits_used, credits_held, credits_topped_up)
    select accounts.user_id, boundary, keymeter.cycle_boundary(billing_cycle_anchor, k + 1),
           case when is_stored then accounts.plan else coalesce(accounts.next_plan, accounts.plan) end,
           case when is_stored then accounts.credits_per_cycle else coalesce(accounts.next_credits_per_cycle, accounts.credits_per_cycle) end,
           case when is_stored then credits_used else 0 end,
           case when is_stored then credits_held else 0 end,
           case when is_stored then topped_up_this_cycle else 0 end
      from public.billing_accounts as accounts
     cross join lateral generate_series(
           keymeter.cycle_index(billing_cycle_anchor, billing_cycle_start),
           keymeter.cycle_index(billing_cycle_anchor, keymeter.account_time(v_now, last_event_at, billing_cycle_start)) - 1) as k
     cross join lateral (select keymeter.cycle_boundary(billing_cycle_anchor, k) as boundary) as starts
     cross join lateral (select boundary = billing_cycle_start as is_stored) as which
     where accounts.user_id = any(user_ids)
    on conflict do nothing;

  update public.billing_accounts as accounts
     set billing_cycle_start = due.cycle_start,
         plan = coalesce(next_plan, plan),
         next_plan = null,
         next_credits_per_cycle = null,
         credits_per_cycle = due.credits_granted,
         top_up_balance = greatest(0, top_up_balance - greatest(0, accounts.credits_used + accounts.credits_held - credits_per_cycle)),
         topped_up_this_cycle = 0,
         credits_used = due.credits_used,
         credits_held = due.credits_held,
         next_alert_percent = default,
         next_alert_credits_left = default,
         next_alert_at_refusal = default
    from (select current.user_id, cycle_start, credits_granted, coalesce(used.credits_used, 0) as credits_used, coalesce(used.credits_held, 0) as credits_held
            from (select user_id, billing_cycle_start, coalesce(next_credits_per_cycle, credits_per_cycle) as credits_granted,
                         keymeter.cycle_boundary(billing_cycle_anchor, keymeter.cycle_index(
                           billing_cycle_anchor, keymeter.account_time(v_now, last_event_at, billing_cycle_start))) as cycle_start
                    from public.billing_accounts
                   where user_id = any(user_ids)) as current
            -- A new cycle has usage only if somebody changed the anchor of the account.
            left join lateral (select sum(usage.credits_charged) as credits_used, sum(usage.credits_held) as credits_held
                                 from public.usage_by_cycle as usage
                                where usage.user_id = current.user_id and usage.cycle_start = current.cycle_start) as used on true
           where cycle_start <> billing_cycle_start) as due
   where accounts.user_id = due.user_id;
end
$$;
