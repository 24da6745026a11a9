-- Completes the item of a settle, a release or a refund. Sets the type of its key and adds the returned credits to what is left
-- of the key's credit limit. `origin` is the start of the cycle that the item counts in, and `counted_at` is the time at which
-- it counts.
create function keymeter.give_back(item keymeter.metering_item, account keymeter.metering_account, origin timestamptz, counted_at timestamptz)
  returns keymeter.metering_step
  language plpgsql stable set search_path = ''
  as $$
declare
  key record;
  limited int;
begin
  select keys.key_type, keys.credit_limit into key
    from public.api_keys as keys where keys.user_id = item.user_id and keys.id = item.api_key_id;
  item.key_type := key.key_type;
  if key.credit_limit is not null then
    account := keymeter.track_limit(account, item.api_key_id, key.credit_limit);
  end if;
  if item.is_counted then
    item.cycle_start := origin;
    item.counted_at := counted_at;
    limited := array_position(account.limited_keys, item.api_key_id);
    if limited is not null and origin = account.cycle_start then
      account.limited_left[limited] := account.limited_left[limited] - item.credits_charged - item.held_change;
      account.limited_held[limited] := account.limited_held[limited] + item.held_change;
    end if;
  end if;
  return row(item, account);
end
$$;
