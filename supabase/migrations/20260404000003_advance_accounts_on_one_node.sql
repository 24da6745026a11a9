-- What time does to accounts, written for tables that are distributed by account over several nodes, with one account in each
-- batch. What it does is as it was.
--
-- A statement goes to one node when a constant names the account of each of its tables: `user_id = any(user_ids)`. A table is
-- not locked by name, which would lock it on every node. And what writes is not called by a statement that reads a table: it
-- would be called where the rows are.

create or replace function public.fill_usage_days(user_ids uuid[], v_now timestamptz) returns void
  language plpgsql volatile set search_path = '' set timezone = 'UTC'
  as $$
declare
  rows_min constant int := public.usage_day_rows_min();
  rows_max constant int := 2 * rows_min;
  quarter_rows_max constant int := 20 * rows_min;
  account record; oldest record; added record; v_until timestamptz; looked_at int := 0;
begin
  for account in
    select user_id, usage_days_until as since, date_bin('15 minutes', greatest(v_now, last_event_at, billing_cycle_start), 'epoch') as quarter_hour
      from public.billing_accounts
     where user_id = any(user_ids) and usage_days_due_at <= greatest(v_now, last_event_at, billing_cycle_start)
     order by usage_days_due_at, user_id
  loop
    exit when looked_at >= rows_max;
    select count(*) as rows, min(quarter_hour) as first, max(quarter_hour) as last into oldest
      from (select quarter_hour from public.api_key_quarter_hour_usage as used
             where used.user_id = account.user_id and used.quarter_hour >= account.since and used.quarter_hour < account.quarter_hour
             order by quarter_hour limit rows_max + 1) as used;
    looked_at := looked_at + oldest.rows;
    v_until := case when oldest.rows < rows_min then account.since
                    when oldest.rows <= rows_max then account.quarter_hour
                    when oldest.last > oldest.first then oldest.last
                    when (select count(*) from (select from public.api_key_quarter_hour_usage as used
                                                 where used.user_id = account.user_id and used.quarter_hour = oldest.first
                                                 limit quarter_rows_max + 1) as used) > quarter_rows_max then account.since
                    else oldest.first + interval '15 minutes' end;
    if v_until > account.since then
      select array_agg(user_id) as user_ids, array_agg(cycle_start) as cycle_starts, array_agg(api_key_id) as api_key_ids,
             array_agg(operation) as operations, array_agg(quarter_hour) as quarter_hours,
             array_agg(credits_charged) as credits, array_agg(charges) as charges, array_agg(credits_refunded) as refunds
        into added
        from public.api_key_quarter_hour_usage as used
       where used.user_id = account.user_id and used.quarter_hour >= account.since and used.quarter_hour < v_until;
      perform public.add_to_usage_days(added.user_ids, added.cycle_starts, added.api_key_ids, added.operations, added.quarter_hours,
                                       added.credits, added.charges, added.refunds);
    end if;
    update public.billing_accounts as accounts
       set usage_days_until = v_until,
           usage_days_due_at = case when oldest.rows > rows_max and v_until > account.since then usage_days_due_at
                                    -- With few rows it will be a while until there are many.
                                    when oldest.rows < rows_min / 2 then account.quarter_hour + interval '1 hour'
                                    else account.quarter_hour + interval '15 minutes' end
     where accounts.user_id = account.user_id;
  end loop;
end
$$;

create or replace function public.advance_accounts(user_ids uuid[], v_now timestamptz) returns void
  language plpgsql volatile set search_path = '' set timezone = 'UTC'
  as $$
begin
  -- Takes the locks of the partitions before an account is written to: make_usage_partitions holds one when it waits for
  -- whoever writes to accounts. It reads nothing.
  perform from public.api_key_usage where user_id = any(user_ids) limit 0;

  -- Closes the cycle that was written to last, and the idle ones between it and the current one.
  insert into public.billing_cycles as closed (user_id, cycle_start, cycle_end, plan, credits_granted, credits_used, credits_held, credits_topped_up)
    select accounts.user_id, boundary, public.cycle_boundary(billing_cycle_anchor, k + 1),
           case when is_stored then accounts.plan else coalesce(accounts.next_plan, accounts.plan) end,
           case when is_stored then accounts.credits_per_cycle else coalesce(accounts.next_credits_per_cycle, accounts.credits_per_cycle) end,
           case when is_stored then credits_used else 0 end,
           case when is_stored then credits_held else 0 end,
           case when is_stored then credits_topped_up else 0 end
      from public.billing_accounts as accounts
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
         next_credits_per_cycle = null,
         credits_per_cycle = due.credits_granted,
         top_up_credits = greatest(0, top_up_credits - greatest(0, accounts.credits_used + accounts.credits_held - credits_per_cycle)),
         credits_topped_up = 0,
         credits_used = due.credits_used,
         credits_held = due.credits_held
    from (select unrolled.user_id, cycle_start, credits_granted, coalesce(credits_used, 0) as credits_used, coalesce(credits_held, 0) as credits_held
            from (select current.user_id, current.billing_cycle_start as stored,
                         coalesce(current.next_credits_per_cycle, current.credits_per_cycle) as credits_granted,
                         public.cycle_boundary(billing_cycle_anchor, public.cycle_index(billing_cycle_anchor, greatest(v_now, last_event_at, billing_cycle_start))) as cycle_start
                    from public.billing_accounts as current
                   where current.user_id = any(user_ids)) as unrolled
           -- Nothing, unless someone moved the anchor.
           left join lateral (select sum(usage.credits_charged) as credits_used, sum(usage.credits_held) as credits_held
                                from public.api_key_cycle_usage as usage
                               where usage.user_id = any(user_ids)
                                 and usage.user_id = unrolled.user_id and usage.cycle_start = unrolled.cycle_start) as kept on true
           where cycle_start <> stored) as due
   where accounts.user_id = any(user_ids) and accounts.user_id = due.user_id;

  -- Holds that have run out give their credits back, to the cycle that they were made in.
  with expired as (
    update public.credit_holds as holds set outcome = 'expired', ended_at = expires_at
      from public.billing_accounts as accounts
     where accounts.user_id = any(user_ids) and holds.user_id = any(user_ids) and holds.user_id = accounts.user_id
       and holds.outcome is null and holds.expires_at <= greatest(v_now, last_event_at, billing_cycle_start)
    returning holds.user_id, holds.api_key_id, holds.cycle_start, holds.credits
  ), of_keys as (
    update public.api_key_cycle_usage as kept set credits_held = kept.credits_held - freed.credits
      from (select user_id, api_key_id, cycle_start, sum(credits)::bigint as credits from expired group by 1, 2, 3) as freed
     where kept.user_id = any(user_ids)
       and (kept.user_id, kept.api_key_id, kept.cycle_start) = (freed.user_id, freed.api_key_id, freed.cycle_start)
  ), of_cycles as (
    select user_id, cycle_start, sum(credits)::bigint as credits from expired group by 1, 2
  ), of_closed_cycles as (
    update public.billing_cycles as closed set credits_held = closed.credits_held - freed.credits
      from of_cycles as freed
     where closed.user_id = any(user_ids) and (closed.user_id, closed.cycle_start) = (freed.user_id, freed.cycle_start)
    returning closed.user_id,
              greatest(0, closed.credits_used + closed.credits_held + freed.credits - closed.credits_granted)
                - greatest(0, closed.credits_used + closed.credits_held - closed.credits_granted) as top_ups
  )
  update public.billing_accounts as accounts
     set credits_held = accounts.credits_held - coalesce((select credits from of_cycles as freed
                                                           where freed.user_id = accounts.user_id and freed.cycle_start = accounts.billing_cycle_start), 0),
         top_up_credits = accounts.top_up_credits + coalesce((select sum(top_ups) from of_closed_cycles as freed where freed.user_id = accounts.user_id), 0),
         holds_expire_at = (select min(expires_at) from public.credit_holds as open
                             where open.user_id = any(user_ids) and open.user_id = accounts.user_id and open.outcome is null
                               and open.expires_at > greatest(v_now, last_event_at, billing_cycle_start))
   where accounts.user_id = any(user_ids) and accounts.holds_expire_at <= greatest(v_now, last_event_at, billing_cycle_start);

  perform public.fill_usage_days(user_ids, v_now);
end
$$;
