-- Adds a key to the state of its account, with the credits that are left of the key's credit limit in the current cycle, and the
-- credits that the open holds of the key hold in this cycle. Later items of the batch update these numbers. Does nothing if the
-- state already contains the key.
create function keymeter.track_limit(account keymeter.metering_account, key_id uuid, credit_limit bigint)
  returns keymeter.metering_account
  language plpgsql stable set search_path = ''
  as $$
declare
  used bigint;
  held bigint;
begin
  if array_position(account.limited_keys, key_id) is not null then
    return account;
  end if;
  select usage.credits_charged, usage.credits_held into used, held from public.usage_by_cycle as usage
   where usage.user_id = account.user_id and usage.api_key_id = key_id and usage.cycle_start = account.cycle_start;
  account.limited_keys := account.limited_keys || key_id;
  account.limited_left := account.limited_left || credit_limit - coalesce(used + held, 0);
  account.limited_held := account.limited_held || coalesce(held, 0);
  return account;
end
$$;
