-- Returns the credits of all open holds of an account. A hold lives for at most 7 days and a cycle for at least 28 days, so an
-- open hold was made in the current cycle or in the previous one.
create function keymeter.sum_open_holds(account keymeter.metering_account) returns bigint
  language plpgsql volatile set search_path = ''
  as $$
begin
  -- Most accounts have no open holds. Then this function reads nothing.
  if account.holds_expire_at is null then
    return account.credits_held;
  end if;
  return account.credits_held + coalesce(
    (select closed.credits_held from public.billing_cycles as closed where closed.user_id = account.user_id
      order by closed.cycle_start desc limit 1), 0);
end
$$;
