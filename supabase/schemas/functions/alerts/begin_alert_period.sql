-- Begins another alert period, after an account got credits or another plan. From now on, these alerts can be recorded again:
-- those of the kind credits_left with a threshold below what is left now, and, if `is_new_plan` is true, those of the kind
-- percent. All other alerts of the cycle move to the new period, so the primary key of public.alerts still prevents a second
-- alert. The caller must hold the lock of the account, and must have brought it up to date (keymeter.advance_accounts).
create function keymeter.begin_alert_period(account uuid, is_new_plan boolean) returns void
  language plpgsql volatile set search_path = ''
  as $$
declare
  begun record;
begin
  update public.billing_accounts as accounts
     set alert_period = accounts.alert_period + 1, next_alert_percent = default, next_alert_credits_left = default, next_alert_at_refusal = default
   where accounts.user_id = account
  returning accounts.billing_cycle_start as cycle_start, accounts.alert_period as period,
            greatest(0, accounts.credits_per_cycle + accounts.top_up_balance - accounts.credits_used - accounts.credits_held) as credits_left
    into begun;
  update public.alerts as recorded set period = begun.period
   where recorded.user_id = account and recorded.cycle_start = begun.cycle_start and recorded.period = begun.period - 1
     and case recorded.kind when 'percent' then not is_new_plan else recorded.threshold >= begun.credits_left end;
end
$$;
