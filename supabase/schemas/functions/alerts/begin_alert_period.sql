-- Begins another alert period, after an account got credits or another plan. From then on, these alerts can be recorded again:
-- those of the kind credits_left with a threshold below what is left now, and, if `is_new_plan` is true, those of the kind
-- percent. All other alerts of the cycle move to the new period, so the primary key of public.alerts still prevents a second
-- alert. Returns false and changes nothing if no alert can be recorded again.
--
-- The caller must hold the lock of the account, and must have brought it up to date (keymeter.advance_accounts). `credits_left`
-- is what is left if the caller has not stored the balance yet.
create function keymeter.begin_alert_period(account uuid, is_new_plan boolean, credits_left bigint default null) returns boolean
  language plpgsql volatile set search_path = ''
  as $$
declare
  ended record;
begin
  select stored.billing_cycle_start as cycle_start, stored.alert_period as period,
         coalesce(begin_alert_period.credits_left, stored.credits_per_cycle + stored.top_up_balance - stored.credits_used) as credits_left
    into ended from public.billing_accounts as stored where stored.user_id = account;
  -- A new plan can also make other thresholds apply, so it always begins a period.
  if not is_new_plan and not exists (
    select from public.alerts as recorded
     where recorded.user_id = account and recorded.cycle_start = ended.cycle_start and recorded.period = ended.period
       and recorded.kind = 'credits_left' and recorded.threshold < ended.credits_left
  ) then
    return false;
  end if;
  update public.billing_accounts
     set alert_period = ended.period + 1, next_alert_percent = default, next_alert_credits_left = default, next_alert_at_refusal = default
   where user_id = account;
  update public.alerts as recorded set period = ended.period + 1
   where recorded.user_id = account and recorded.cycle_start = ended.cycle_start and recorded.period = ended.period
     and case recorded.kind when 'percent' then not is_new_plan else recorded.threshold >= ended.credits_left end;
  return true;
end
$$;
