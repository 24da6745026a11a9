-- The course of an account's usage, kept so that it can be read in the time that its days take, not its quarters of an hour:
-- a busy account has more than a million of those a month, and what is asked for is days of any time zone.

-- What the roll-up by quarters of an hour says, with a day of UTC in each row. Kept for accounts with many rows there
-- (public.usage_day_rows_min); the last rows are not in it yet, those since billing_accounts.usage_days_until.
create table public.usage_days (
  user_id uuid not null references public.billing_accounts (user_id) on delete cascade,
  cycle_start timestamptz(3) not null,
  day date not null,
  -- Null: of all keys.
  api_key_id uuid,
  -- Null: of all operations.
  operation text,
  -- Those in which something was used, 0 to 95, in their order.
  quarters smallint[] not null,
  -- Running totals: what was used from the beginning of the day to the end of each of the quarters.
  credits_charged bigint[] not null,
  charges bigint[] not null,
  -- Of the whole day.
  credits_refunded bigint not null,
  unique nulls not distinct (user_id, operation, day, api_key_id, cycle_start)
);
comment on table public.usage_days is 'Usage by days of UTC, for a key, an operation, both or neither, with running totals by quarter of an hour.';
-- The other serves all keys of an operation, and of all operations; this one all operations of a key, and of all keys.
create index usage_days_key_idx on public.usage_days (user_id, api_key_id, day, operation);
-- A full day is as long as a row may be before it is compressed, and every read would have to undo that.
alter table public.usage_days
  alter column quarters set storage plain, alter column credits_charged set storage plain, alter column charges set storage plain;
-- As for api_key_usage: told that there are few accounts, the planner goes by the index that names the row.
alter table public.usage_days alter column user_id set (n_distinct = 20);
analyze public.usage_days;

alter table public.usage_days enable row level security;
revoke all on public.usage_days from public, anon, authenticated, service_role;
grant select on public.usage_days to keymeter_api;
create policy "Usage of the account of the call" on public.usage_days for select to keymeter_api
  using (user_id = (select nullif(current_setting('app.user_id', true), '')::uuid));

alter table public.billing_accounts
  -- What was used in quarters of an hour before this is in usage_days too.
  add column usage_days_until timestamptz(0) not null default '-infinity',
  -- When there may be something to add to them.
  add column usage_days_due_at timestamptz(0) not null default '-infinity';

-- So many quarter-hour rows are as quickly read as they are. Tests replace it.
create function public.usage_day_rows_min() returns int language sql immutable as 'select 1000';
revoke all on function public.usage_day_rows_min() from public, anon, authenticated, service_role;

-- Adds usage to the days that it is of. What comes after all that a day has is appended; what comes late moves the totals
-- after it.
create function public.add_to_usage_days(
  user_ids uuid[], cycle_starts timestamptz[], api_key_ids uuid[], operations text[], quarter_hours timestamptz[],
  credits bigint[], charges bigint[], refunds bigint[]
) returns void
  language sql volatile set search_path = '' set timezone = 'UTC'
  as $$
  insert into public.usage_days as kept
      (user_id, cycle_start, day, api_key_id, operation, quarters, credits_charged, charges, credits_refunded)
    select account, cycle_start, day, api_key_id, operation,
           array_agg(quarter order by quarter), array_agg(credits order by quarter), array_agg(charges order by quarter), sum(refunded)
      from (select account, cycle_start, day, api_key_id, operation, quarter, refunded,
                   sum(credits) over until_then as credits, sum(charges) over until_then as charges
              from (select account, cycle_start, quarter_hour::date as day, api_key_id, operation,
                           (extract(epoch from quarter_hour - date_trunc('day', quarter_hour)) / 900)::smallint as quarter,
                           sum(credits) as credits, sum(charges) as charges, sum(refunded) as refunded
                      from unnest(user_ids, cycle_starts, api_key_ids, operations, quarter_hours, credits, charges, refunds)
                             as given (account, cycle_start, api_key_id, operation, quarter_hour, credits, charges, refunded)
                     group by account, cycle_start, quarter_hour, cube (api_key_id, operation)) as used
            window until_then as (partition by account, cycle_start, day, api_key_id, operation order by quarter)) as days
     group by account, cycle_start, day, api_key_id, operation
     -- What is read together is written together.
     order by account, operation nulls first, api_key_id nulls first, day
    on conflict (user_id, operation, day, api_key_id, cycle_start) do update
       set credits_refunded = kept.credits_refunded + excluded.credits_refunded,
           (quarters, credits_charged, charges) = (
             select kept.quarters || excluded.quarters,
                    kept.credits_charged || array(select kept.credits_charged[cardinality(kept.quarters)] + more
                                                    from unnest(excluded.credits_charged) with ordinality as added (more, n) order by n),
                    kept.charges || array(select kept.charges[cardinality(kept.quarters)] + more
                                            from unnest(excluded.charges) with ordinality as added (more, n) order by n)
              where kept.quarters[cardinality(kept.quarters)] < excluded.quarters[1]
             union all
             select array_agg(quarter order by quarter), array_agg(credits order by quarter), array_agg(charges order by quarter)
               from (select quarter, (sum(sum(credits)) over until_then)::bigint as credits, (sum(sum(charges)) over until_then)::bigint as charges
                       from (select quarter, credits - lag(credits, 1, 0::bigint) over (order by quarter) as credits,
                                    charges - lag(charges, 1, 0::bigint) over (order by quarter) as charges
                               from unnest(kept.quarters, kept.credits_charged, kept.charges) as had (quarter, credits, charges)
                             union all
                             select quarter, credits - lag(credits, 1, 0::bigint) over (order by quarter),
                                    charges - lag(charges, 1, 0::bigint) over (order by quarter)
                               from unnest(excluded.quarters, excluded.credits_charged, excluded.charges) as late (quarter, credits, charges)) as each
                      group by quarter
                     window until_then as (order by quarter)) as merged
             having kept.quarters[cardinality(kept.quarters)] >= excluded.quarters[1])
  $$;
revoke all on function public.add_to_usage_days(uuid[], timestamptz[], uuid[], text[], timestamptz[], bigint[], bigint[], bigint[])
  from public, anon, authenticated, service_role;

-- Adds what is new to the days of those of these accounts, which are locked, whose time it is: whole quarters of an hour that
-- are over. A call looks at about 2000 rows, whoever they are of, since a charge waits for it; who is left comes first with
-- the next one. A quarter with more rows than that is added whole, and one with more than 20,000 not at all: reads are exact
-- without.
create function public.fill_usage_days(user_ids uuid[], v_now timestamptz) returns void
  language plpgsql volatile set search_path = '' set timezone = 'UTC'
  as $$
declare
  rows_min constant int := public.usage_day_rows_min();
  rows_max constant int := 2 * rows_min;
  quarter_rows_max constant int := 20 * rows_min;
  account record; oldest record; v_until timestamptz; looked_at int := 0;
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
      perform public.add_to_usage_days(array_agg(user_id), array_agg(cycle_start), array_agg(api_key_id), array_agg(operation),
                                       array_agg(quarter_hour), array_agg(credits_charged), array_agg(charges), array_agg(credits_refunded))
        from public.api_key_quarter_hour_usage as used
       where used.user_id = account.user_id and used.quarter_hour >= account.since and used.quarter_hour < v_until;
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
revoke all on function public.fill_usage_days(uuid[], timestamptz) from public, anon, authenticated, service_role;
