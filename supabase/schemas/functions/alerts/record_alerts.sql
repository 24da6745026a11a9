-- Records an alert for each threshold that an account has reached in a batch, or when the operator took a top-up back. An alert
-- that was recorded already in this alert period is not recorded again. Then stores the next thresholds, so that the following
-- charges need not read the thresholds.
--
-- A charge that asks for more credits than are left counts as reaching the threshold 0. Otherwise an account whose charges have
-- more than 1 credit would rarely reach it.
create function keymeter.record_alerts(accounts keymeter.metering_account[]) returns void
  language plpgsql volatile set search_path = ''
  as $$
begin
  insert into public.alerts (user_id, cycle_start, period, kind, threshold, created_at, plan, credits_used, credits_left, credits_granted)
    select batch.user_id, stored.billing_cycle_start, stored.alert_period, reached.kind, reached.threshold, batch.moment, stored.plan,
           greatest(batch.peak_usage, batch.credits_used), batch.lowest_left, stored.credits_per_cycle
      from unnest(accounts) as batch
      join public.billing_accounts as stored on stored.user_id = batch.user_id
     cross join lateral (
       select 'percent' as kind, threshold from unnest(stored.alert_thresholds) as threshold
        where stored.credits_per_cycle > 0 and batch.peak_usage * 100 >= threshold * stored.credits_per_cycle
       union all
       select 'credits_left', threshold from unnest(keymeter.credits_left_alerts(stored.alert_credits_left, stored.credits_per_cycle)) as threshold
        where threshold >= batch.lowest_left or (threshold = 0 and batch.is_short)) as reached
    on conflict do nothing;

  update public.billing_accounts as stored
     set next_alert_percent = next.percent, next_alert_credits_left = next.credits_left, next_alert_at_refusal = next.at_refusal
    from unnest(accounts) as batch
   cross join lateral (
     select min(threshold) filter (where kind = 'percent') as percent, max(threshold) filter (where kind = 'credits_left') as credits_left,
            coalesce(bool_or(kind = 'credits_left' and threshold = 0), false) as at_refusal
       from (select accounts.* from public.billing_accounts as accounts where accounts.user_id = batch.user_id) as account
      cross join lateral (
        select 'percent' as kind, threshold from unnest(account.alert_thresholds) as threshold where account.credits_per_cycle > 0
        union all
        select 'credits_left', threshold from unnest(keymeter.credits_left_alerts(account.alert_credits_left, account.credits_per_cycle)) as threshold) as ahead
      where not exists (select from public.alerts as recorded
                         where recorded.user_id = account.user_id and recorded.cycle_start = account.billing_cycle_start
                           and recorded.period = account.alert_period and recorded.kind = ahead.kind and recorded.threshold = ahead.threshold)) as next
   where stored.user_id = batch.user_id and batch.lowest_left is not null;
end
$$;
