-- Charges fill an account's days of usage. An account that is not charged any more, but was before there were days, would keep
-- reading its quarters of an hour: for a busy one a hundred times as long.
create index billing_accounts_days_not_looked_at_idx on public.billing_accounts (user_id) where usage_days_due_at = '-infinity';

-- Takes some of the accounts whose days nobody has looked at yet, and fills them as a charge would: about 2000 rows a call. Who
-- is locked is left to whoever holds the lock, or to a later call. Returns how many it took: none when there is nothing to do.
-- Safe to call at any time, by any number at once.
create function public.fill_usage_days_of_idle_accounts() returns int
  language plpgsql volatile security definer set search_path = '' set timezone = 'UTC'
  as $$
declare
  idle constant uuid[] := array(
    select user_id from public.billing_accounts where usage_days_due_at = '-infinity'
     order by user_id limit 20 for no key update skip locked);
begin
  perform public.fill_usage_days(idle, public.keymeter_now());
  return cardinality(idle);
end
$$;
revoke all on function public.fill_usage_days_of_idle_accounts() from public, anon, authenticated, service_role;
grant execute on function public.fill_usage_days_of_idle_accounts() to keymeter_api;
