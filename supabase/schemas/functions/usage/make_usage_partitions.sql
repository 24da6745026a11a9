-- Creates the missing partitions of api_key_usage, for these months: the current month, the two previous months, the next
-- `months` months, and each month with rows in the default partition. Moves such rows from the default partition to the new
-- partition. This function can be called at any time, also concurrently. Returns the names of the new partitions.
create function keymeter.make_usage_partitions(months int default 3) returns setof text
  language plpgsql volatile security definer set search_path = '' set timezone = 'UTC'
  as $$
declare
  v_first timestamptz := date_trunc('month', keymeter.now());
  v_start timestamptz;
  v_end timestamptz;
  v_name text;
begin
  if months not between 0 and 24 then
    raise exception 'make_usage_partitions: months must be between 0 and 24' using errcode = '22023';
  end if;
  -- With this lock, concurrent calls run one after the other. The lock ends with the transaction.
  perform pg_advisory_xact_lock(hashtext('keymeter.make_usage_partitions'));
  for v_start in
    -- Start two months ago, because a charge searches the last 35 days for its idempotency key.
    select generate_series(v_first - interval '2 months', v_first + make_interval(months => months), interval '1 month')
    union
    select distinct date_trunc('month', created_at) from public.api_key_usage_default
    order by 1
  loop
    v_end := v_start + interval '1 month';
    v_name := 'api_key_usage_' || to_char(v_start, 'YYYY_MM');
    continue when to_regclass('public.' || v_name) is not null;
    -- Charges wait for this lock while rows are moved.
    lock table public.api_key_usage_default in access exclusive mode;
    execute format('create table public.%I (like public.api_key_usage including defaults including constraints)', v_name);
    execute format('alter table public.%I enable row level security', v_name);
    execute format('alter table public.%I alter column user_id set (n_distinct = 20)', v_name);
    execute format('revoke all on public.%I from public, anon, authenticated, service_role', v_name);
    execute format(
      'with moved as (delete from public.api_key_usage_default where created_at >= %L and created_at < %L returning *) insert into public.%I select * from moved',
      v_start, v_end, v_name);
    execute format('alter table public.api_key_usage attach partition public.%I for values from (%L) to (%L)', v_name, v_start, v_end);
    return next v_name;
  end loop;
end
$$;
