-- Backfills usage_by_day: adds the ended 15-minute buckets of each account that is due. The caller must hold the locks of the
-- accounts. Accounts with fewer than 1,000 new rows in usage_by_quarter_hour get no new rows.
--
-- A charge waits for this function. So one call reads about 2,000 rows in total, across all accounts. The next call starts with
-- the accounts that this call did not reach. A bucket with more than 2,000 rows is added as a whole. A bucket with more than
-- 20,000 rows is never added, and the account is then no longer backfilled. Reads stay exact, because they read the buckets
-- that are not in usage_by_day from usage_by_quarter_hour.
create function keymeter.update_usage_by_day(user_ids uuid[], v_now timestamptz) returns void
  language plpgsql volatile set search_path = '' set timezone = 'UTC'
  as $$
declare
  rows_min constant int := keymeter.min_rows_of_daily_roll_up();
  rows_max constant int := 2 * rows_min;
  bucket_rows_max constant int := 20 * rows_min;
  account record;
  fresh record;
  v_until timestamptz;
  rows_read int := 0;
begin
  for account in
    select user_id, usage_by_day_until as since,
           date_bin('15 minutes', keymeter.account_time(v_now, last_event_at, billing_cycle_start), 'epoch') as current_bucket
      from public.billing_accounts
     where user_id = any(user_ids) and usage_by_day_due_at <= keymeter.account_time(v_now, last_event_at, billing_cycle_start)
     order by usage_by_day_due_at, user_id
  loop
    exit when rows_read >= rows_max;
    -- This query uses usage_by_quarter_hour_time_idx.
    select count(*) as rows, min(quarter_hour) as first, max(quarter_hour) as last into fresh
      from (select quarter_hour from public.usage_by_quarter_hour as used
             where used.user_id = account.user_id and used.quarter_hour >= account.since and used.quarter_hour < account.current_bucket
             order by quarter_hour limit rows_max + 1) as used;
    rows_read := rows_read + fresh.rows;
    v_until := case when fresh.rows < rows_min then account.since
                    when fresh.rows <= rows_max then account.current_bucket
                    when fresh.last > fresh.first then fresh.last
                    when (select count(*) from (select from public.usage_by_quarter_hour as used
                                                 where used.user_id = account.user_id and used.quarter_hour = fresh.first
                                                 limit bucket_rows_max + 1) as used) > bucket_rows_max then account.since
                    else fresh.first + interval '15 minutes' end;
    if v_until > account.since then
      perform keymeter.add_to_usage_by_day(array(
        select used from public.usage_by_quarter_hour as used
         where used.user_id = account.user_id and used.quarter_hour >= account.since and used.quarter_hour < v_until));
    end if;
    update public.billing_accounts as accounts
       set usage_by_day_until = v_until,
           usage_by_day_due_at = case when fresh.rows > rows_max and v_until > account.since then usage_by_day_due_at
                                      -- An account with few new rows needs more time to get enough rows. So its next check is
                                      -- later.
                                      when fresh.rows < rows_min / 2 then account.current_bucket + interval '1 hour'
                                      else account.current_bucket + interval '15 minutes' end
     where accounts.user_id = account.user_id;
  end loop;
end
$$;
