-- Ends all expired holds of these accounts. The credits of a hold are given back to the cycle in which the hold was made. If
-- this cycle has ended, its top-ups come back to the account, so alerts can perhaps be recorded again.
create function keymeter.expire_holds(user_ids uuid[], v_now timestamptz) returns void
  language plpgsql volatile set search_path = '' set timezone = 'UTC'
  as $$
declare
  got_top_ups uuid[];
begin
  with expired as (
    update public.credit_holds as holds set outcome = 'expired', ended_at = expires_at
      from public.billing_accounts as accounts
     where accounts.user_id = any(user_ids) and holds.user_id = accounts.user_id
       and holds.outcome is null and holds.expires_at <= keymeter.account_time(v_now, last_event_at, billing_cycle_start)
    returning holds.user_id, holds.api_key_id, holds.cycle_start, holds.credits
  ), of_keys as (
    update public.usage_by_cycle as kept set credits_held = kept.credits_held - freed.credits
      from (select user_id, api_key_id, cycle_start, sum(credits)::bigint as credits from expired group by 1, 2, 3) as freed
     where (kept.user_id, kept.api_key_id, kept.cycle_start) = (freed.user_id, freed.api_key_id, freed.cycle_start)
  ), of_cycles as (
    select user_id, cycle_start, sum(credits)::bigint as credits from expired group by 1, 2
  ), of_closed_cycles as (
    update public.billing_cycles as closed set credits_held = closed.credits_held - freed.credits
      from of_cycles as freed
     where (closed.user_id, closed.cycle_start) = (freed.user_id, freed.cycle_start)
    returning closed.user_id,
              -- The top-ups that the closed cycle had used for its expired holds.
              greatest(0, closed.credits_used + closed.credits_held + freed.credits - closed.credits_granted)
                - greatest(0, closed.credits_used + closed.credits_held - closed.credits_granted) as top_ups
  ), of_accounts as (
    update public.billing_accounts as accounts
       set credits_held = accounts.credits_held - coalesce((select credits from of_cycles as freed
                                                             where freed.user_id = accounts.user_id and freed.cycle_start = accounts.billing_cycle_start), 0),
           top_up_balance = accounts.top_up_balance + coalesce((select sum(top_ups) from of_closed_cycles as freed where freed.user_id = accounts.user_id), 0),
           holds_expire_at = (select min(expires_at) from public.credit_holds as open
                               where open.user_id = accounts.user_id and open.outcome is null
                                 and open.expires_at > keymeter.account_time(v_now, last_event_at, billing_cycle_start))
     where accounts.user_id = any(user_ids) and accounts.holds_expire_at <= keymeter.account_time(v_now, last_event_at, billing_cycle_start)
  )
  select array_agg(distinct user_id) into got_top_ups from of_closed_cycles where top_ups > 0;
  perform keymeter.begin_alert_period(user_id, false) from unnest(got_top_ups) as user_id;
end
$$;
