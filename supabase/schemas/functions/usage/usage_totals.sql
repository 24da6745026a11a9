-- Returns the usage of an account as running totals. `series_by` decides what a series is: one key ('api_key_id'), one
-- operation ('operation'), or all usage of the account (null). `series_key` is the key of the series, and `series_operation` is
-- its operation. If usage is not grouped by the column, the value is null. For each UTC day, cycle and series there is one row.
-- A day that is only partly in usage_by_day has two rows: one for its earlier buckets, which are in usage_by_day, and one for its
-- later buckets.
--
-- `quarters` contains the numbers of the row's 15-minute buckets that have usage: 0 to 95, ascending. `credits` and `charges`
-- contain one running total for each of these buckets: the usage from the first bucket of the row to the end of this bucket.
-- `refunded` contains the refunded credits of all charges in the row.
--
-- The rows of the first day can contain usage before `range_start`, and the rows of the last day usage after `range_end`. The
-- caller must leave out such usage. If `of_cycle`, `of_keys` or `of_operations` is not null, only usage of that cycle (named by
-- its start), these keys or these operations is returned.
--
-- Days come from usage_by_day, by its unique key or usage_by_day_key_idx. Buckets that are not in usage_by_day yet come from
-- usage_by_quarter_hour, by usage_by_quarter_hour_time_idx. Both are read in one statement, so a charge cannot move a bucket to
-- usage_by_day between the two reads. Each call is planned with the values of its arguments (plan_cache_mode), so Postgres removes
-- the conditions that do not apply.
create function keymeter.usage_totals(
  account uuid, range_start timestamptz, range_end timestamptz, of_cycle timestamptz, series_by text, of_keys uuid[], of_operations text[]
) returns table (series_key uuid, series_operation text, day date, quarters smallint[], credits bigint[], charges bigint[], refunded bigint)
  language plpgsql stable set search_path = '' set plan_cache_mode = force_custom_plan
  as $$
#variable_conflict use_column
begin
  return query
    select case series_by when 'api_key_id' then api_key_id end, case series_by when 'operation' then operation end, day, quarters,
           credits_charged, charges, credits_refunded
      from public.usage_by_day
     where user_id = account and day between (range_start at time zone 'UTC')::date and (range_end at time zone 'UTC')::date
       and (of_cycle is null or cycle_start = of_cycle)
       -- A row for all keys together has a null key, and a row for all operations together has a null operation.
       and ((of_keys is not null and api_key_id = any(of_keys))
            or (of_keys is null and series_by = 'api_key_id' and api_key_id is not null)
            or (of_keys is null and series_by is distinct from 'api_key_id' and api_key_id is null))
       and ((of_operations is not null and operation = any(of_operations))
            or (of_operations is null and series_by = 'operation' and operation is not null)
            or (of_operations is null and series_by is distinct from 'operation' and operation is null))
    union all
    select series_key, series_operation, day, array_agg(quarter order by quarter), array_agg(credits order by quarter),
           array_agg(charges order by quarter), sum(refunded)::bigint
      from (select series_key, series_operation, cycle_start, day, quarter, refunded,
                   (sum(credits) over until_then)::bigint as credits, (sum(charges) over until_then)::bigint as charges
              from (select case series_by when 'api_key_id' then api_key_id end as series_key,
                           case series_by when 'operation' then operation end as series_operation,
                           cycle_start, (quarter_hour at time zone 'UTC')::date as day,
                           (extract(epoch from quarter_hour)::bigint / 900 % 96)::smallint as quarter,
                           sum(credits_charged) as credits, sum(charges) as charges, sum(credits_refunded) as refunded
                      from public.usage_by_quarter_hour
                     where user_id = account and quarter_hour < range_end
                       and quarter_hour >= greatest(date_bin('15 minutes', range_start, 'epoch'),
                                                    (select usage_by_day_until from public.billing_accounts where user_id = account))
                       and (of_cycle is null or cycle_start = of_cycle)
                       and (of_keys is null or api_key_id = any(of_keys))
                       and (of_operations is null or operation = any(of_operations))
                     group by 1, 2, 3, 4, 5) as buckets
            window until_then as (partition by series_key, series_operation, cycle_start, day order by quarter)) as totals
     group by series_key, series_operation, cycle_start, day;
end
$$;
