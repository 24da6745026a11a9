-- Creates the partition of api_key_usage for the month that starts at `month`, and moves the rows of this month from the default
-- partition to it. Creates only partitions that keymeter.missing_usage_partitions returns. Returns the name of the new partition,
-- or null if there is nothing to create. This function can be called at any time, also concurrently.
create function keymeter.make_usage_partition(month timestamptz) returns text
  language plpgsql volatile strict security definer set search_path = '' set timezone = 'UTC'
  as $$
declare
  v_end timestamptz := month + interval '1 month';
  v_name text := 'api_key_usage_' || to_char(month, 'YYYY_MM');
begin
  -- With this lock, concurrent calls run one after the other. The lock ends with the transaction.
  perform pg_advisory_xact_lock(hashtext('keymeter.make_usage_partition'));
  if month not in (select keymeter.missing_usage_partitions(24)) then
    return null;
  end if;
  -- Charges wait for these locks while rows are moved. A query first locks api_key_usage, then reads its list of partitions, and
  -- then locks the partitions. If only the default partition were locked, a query could wait for this lock with a list that lacks
  -- the new partition. The query would then miss the moved rows, and a retry would be charged again.
  lock table only public.api_key_usage, public.api_key_usage_default in access exclusive mode;
  execute format('create table public.%I (like public.api_key_usage including defaults including constraints)', v_name);
  execute format('alter table public.%I enable row level security', v_name);
  execute format('alter table public.%I alter column user_id set (n_distinct = 20)', v_name);
  execute format('revoke all on public.%I from public, anon, authenticated, service_role', v_name);
  execute format(
    'with moved as (delete from public.api_key_usage_default where created_at >= %L and created_at < %L returning *) insert into public.%I select * from moved',
    month, v_end, v_name);
  execute format('alter table public.api_key_usage attach partition public.%I for values from (%L) to (%L)', v_name, month, v_end);
  return v_name;
end
$$;
