-- Adds a key to the state of its account, with the credits that are left of the key's credit limit in the current cycle. Later
-- items of the batch update this number. Does nothing if the state already contains the key.
create function keymeter.track_limit(account keymeter.metering_account, key_id uuid, credit_limit bigint)
  returns keymeter.metering_account
  language plpgsql stable set search_path = ''
  as $$
begin
  if array_position(account.limited_keys, key_id) is not null then
    return account;
  end if;
  account.limited_keys := account.limited_keys || key_id;
  account.limited_left := account.limited_left || credit_limit - coalesce(
    (select used.credits_charged + used.credits_held from public.usage_by_cycle as used
      where used.user_id = account.user_id and used.api_key_id = key_id and used.cycle_start = account.cycle_start), 0);
  return account;
end
$$;
