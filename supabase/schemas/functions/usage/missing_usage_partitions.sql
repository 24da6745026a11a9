-- Returns the starts of the months whose partition of api_key_usage is missing, from these months: the current month, the
-- previous two months, the next `months` months, and each month with rows in the default partition. Months without such rows
-- come first, because their partitions are created fast. The other months follow, newest first, because the current month still
-- gets rows.
create function keymeter.missing_usage_partitions(months int default 3) returns setof timestamptz
  language plpgsql stable security definer set search_path = '' set timezone = 'UTC'
  as $$
declare
  v_first timestamptz := date_trunc('month', keymeter.now());
begin
  if months not between 0 and 24 then
    raise exception 'missing_usage_partitions: months must be between 0 and 24' using errcode = '22023';
  end if;
  return query
    select needed.month
      from (
        -- Start two months ago, because a charge searches the last 35 days for its idempotency key.
        select generate_series(v_first - interval '2 months', v_first + make_interval(months => months), interval '1 month') as month,
               false as has_rows
        union all
        select distinct date_trunc('month', created_at), true from public.api_key_usage_default
      ) as needed
     where to_regclass('public.api_key_usage_' || to_char(needed.month, 'YYYY_MM')) is null
     group by needed.month
     order by bool_or(has_rows), case when not bool_or(has_rows) then needed.month end, needed.month desc;
end
$$;
