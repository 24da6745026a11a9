-- The usage of an account as running totals per UTC day: one row for each day, cycle and series. `series_by` is 'api_key_id',
-- 'operation', or null for one series. `quarters` are the 15-minute buckets of the day with usage (0 to 95, ascending);
-- `credits` and `charges` are the totals from the start of the day to the end of each of them.
--
-- A day may contain usage outside of [range_start, range_end), which the caller subtracts. With `of_cycle`, only usage of the
-- cycle that starts then. With `of_key` or `of_operation`, only usage of that key or operation.
--
-- The rows come from usage_by_day (by its unique key or usage_by_day_key_idx), and from usage_by_quarter_hour for buckets that
-- are not in it yet (by usage_by_quarter_hour_time_idx). It is one statement, because a charge may move usage from one table to
-- the other between two. Postgres inlines it and removes the conditions that do not apply: keep it without SET and not strict.
create function keymeter.usage_totals(
  account uuid, range_start timestamptz, range_end timestamptz, of_cycle timestamptz, series_by text, of_key uuid, of_operation text
) returns table (series text, day date, quarters smallint[], credits bigint[], charges bigint[], refunded bigint)
  language sql stable
  as $$
    select case series_by when 'api_key_id' then api_key_id::text when 'operation' then operation end, day, quarters, credits_charged, charges,
           credits_refunded
      from public.usage_by_day
     where user_id = account and day between (range_start at time zone 'UTC')::date and (range_end at time zone 'UTC')::date
       and (of_cycle is null or cycle_start = of_cycle)
       -- The rows of all keys together have a null key, and those of all operations a null operation.
       and ((of_key is not null and api_key_id = of_key)
            or (of_key is null and series_by = 'api_key_id' and api_key_id is not null)
            or (of_key is null and series_by is distinct from 'api_key_id' and api_key_id is null))
       and ((of_operation is not null and operation = of_operation)
            or (of_operation is null and series_by = 'operation' and operation is not null)
            or (of_operation is null and series_by is distinct from 'operation' and operation is null))
    union all
    select series, day, array_agg(quarter order by quarter), array_agg(credits order by quarter), array_agg(charges order by quarter),
           sum(refunded)::bigint
      from (select series, cycle_start, day, quarter, refunded,
                   (sum(credits) over until_then)::bigint as credits, (sum(charges) over until_then)::bigint as charges
              from (select case series_by when 'api_key_id' then api_key_id::text when 'operation' then operation end as series, cycle_start,
                           (quarter_hour at time zone 'UTC')::date as day,
                           (extract(epoch from quarter_hour)::bigint / 900 % 96)::smallint as quarter,
                           sum(credits_charged) as credits, sum(charges) as charges, sum(credits_refunded) as refunded
                      from public.usage_by_quarter_hour
                     where user_id = account and quarter_hour < range_end
                       and quarter_hour >= greatest(date_bin('15 minutes', range_start, 'epoch'),
                                                    (select usage_by_day_until from public.billing_accounts where user_id = account))
                       and (of_cycle is null or cycle_start = of_cycle)
                       and (of_key is null or api_key_id = of_key)
                       and (of_operation is null or operation = of_operation)
                     group by 1, 2, 3, 4) as buckets
            window until_then as (partition by series, cycle_start, day order by quarter)) as totals
     group by series, cycle_start, day
  $$;
