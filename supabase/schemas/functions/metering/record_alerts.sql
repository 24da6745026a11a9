-- Writes an alert for each threshold that the usage of an account has reached. An alert that exists already is not written
-- again.
create function keymeter.record_alerts(accounts keymeter.metering_account[]) returns void
  language plpgsql volatile set search_path = ''
  as $$
begin
  insert into public.alerts (user_id, cycle_start, threshold, created_at, credits_used, credits_granted)
    select batch.user_id, reached.billing_cycle_start, threshold, batch.moment, batch.peak_usage, reached.credits_per_cycle
      from unnest(accounts) as batch
      join public.billing_accounts as reached on reached.user_id = batch.user_id
     cross join lateral unnest(reached.alert_thresholds) as threshold
     where batch.peak_usage > 0 and reached.credits_per_cycle > 0 and batch.peak_usage * 100 >= threshold * reached.credits_per_cycle
    on conflict do nothing;
end
$$;
