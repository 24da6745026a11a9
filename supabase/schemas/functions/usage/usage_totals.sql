-- The usage of an account as running totals per UTC day: one row for each day, cycle and series. `series_by` is 'api_key_id',
-- 'operation', or null for one series. Reads usage_by_day, and usage_by_quarter_hour for what is not in it yet.
--
-- `ends` are 15-minute buckets of a day (0 to 95, ascending, the last one 95): the totals at the ends of these buckets are
-- returned. If `quarters` is not null, the totals belong to these buckets instead, and the caller picks.
--
-- A day may contain usage outside of [range_start, range_end); the caller cuts it off by the totals. With `of_cycle`, only usage
-- of the cycle that starts then. With `of_key` or `of_operation`, only usage of that key or operation.
--
-- One statement, because a charge may move usage from one table to the other between two. Its text is built here, because an
-- array with one subscript per end is several times faster than a sub-select per row.
create function keymeter.usage_totals(
  account uuid, range_start timestamptz, range_end timestamptz, of_cycle timestamptz, series_by text, of_key uuid, of_operation text, ends int[]
) returns table (series text, day date, quarters smallint[], credits bigint[], charges bigint[], refunded bigint)
  language plpgsql stable set search_path = '' set timezone = 'UTC'
  as $$
declare
  -- A few ends are searched in the day. With many, sending the day as it is costs less.
  is_searched constant boolean := cardinality(ends) <= 8;
  -- A full day has the total of bucket n in place n + 1.
  is_full constant text := 'cardinality(quarters) = 96';
  in_place text;
  searched text;
  pick text;
begin
  if series_by is not null and series_by not in ('api_key_id', 'operation') then
    raise exception 'usage_totals: series_by must be api_key_id, operation or null' using errcode = '22023';
  end if;
  select 'array[' || string_agg('%1$s[' || bucket + 1 || ']', ', ') || ']',
         'array[' || string_agg('coalesce(%1$s[width_bucket(' || bucket || '::smallint, quarters)], 0)', ', ') || ']'
    into in_place, searched
    from unnest(ends) as bucket;
  pick := 'case when ' || is_full || ' then ' || in_place || ' else ' || case when is_searched then searched else '%1$s' end || ' end';

  return query execute
    'with days as (
       select ' || coalesce(series_by, 'null') || '::text as series, day, quarters, credits_charged, charges, credits_refunded
         from public.usage_by_day
        where user_id = $1 and day between $2::date and $3::date
          and ' || case when of_key is not null then 'api_key_id = $5' when series_by = 'api_key_id' then 'api_key_id is not null' else 'api_key_id is null' end || '
          and ' || case when of_operation is not null then 'operation = $6' when series_by = 'operation' then 'operation is not null' else 'operation is null' end
          || case when of_cycle is null then '' else ' and cycle_start = $4' end || '
       union all
       select series, day, array_agg(quarter order by quarter), array_agg(credits order by quarter), array_agg(charges order by quarter), sum(refunded)::bigint
         from (select series, cycle_start, quarter_hour::date as day,
                      (extract(epoch from quarter_hour - date_trunc(''day'', quarter_hour)) / 900)::smallint as quarter, refunded,
                      (sum(credits) over until_then)::bigint as credits, (sum(charges) over until_then)::bigint as charges
                 from (select ' || coalesce(series_by, 'null') || '::text as series, cycle_start, quarter_hour,
                              sum(credits_charged) as credits, sum(charges) as charges, sum(credits_refunded) as refunded
                         from public.usage_by_quarter_hour
                        where user_id = $1 and quarter_hour < $3
                          and quarter_hour >= greatest(date_bin(''15 minutes'', $2, ''epoch''), (select usage_by_day_until from public.billing_accounts where user_id = $1))'
                          || case when of_key is null then '' else ' and api_key_id = $5' end
                          || case when of_operation is null then '' else ' and operation = $6' end
                          || case when of_cycle is null then '' else ' and cycle_start = $4' end || '
                        group by 1, 2, 3) as buckets
               window until_then as (partition by series, cycle_start, quarter_hour::date order by quarter_hour)) as buckets
        group by series, cycle_start, day)
     select series, day, ' || case when is_searched then 'null::smallint[]' else 'case when not ' || is_full || ' then quarters end' end || ',
            ' || format(pick, 'credits_charged') || ', ' || format(pick, 'charges') || ', credits_refunded
       from days'
    using account, range_start, range_end, of_cycle, of_key, of_operation;
end
$$;
