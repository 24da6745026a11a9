-- Returns how many of the `excess` credits beyond its hold a settle can charge: at most what the account and the key still
-- have. Returns 0 if the key or the account can no longer be charged. A hold belongs to a key, so the state of the secret that
-- made the hold does not matter. `refusal` is not null if the account is suspended.
--
-- `origin` is the start of the cycle of the hold. If that cycle has ended, the excess is taken from the granted credits that the
-- cycle had left, and then from the top-ups that were left when the cycle ended and that the current cycle does not need. It is
-- never taken from the granted credits of the current cycle (docs/decisions/0030-excess-and-taken-back-credits.md).
create function keymeter.collectible_excess(
  item keymeter.metering_item, account keymeter.metering_account, refusal text, excess bigint, origin timestamptz,
  items keymeter.metering_item[]
) returns bigint
  language plpgsql volatile set search_path = ''
  as $$
declare
  key record;
  key_left bigint;
  account_left bigint;
begin
  select keys.revoked_at, keys.disabled_at, keys.expires_at, keys.credit_limit into key
    from public.api_keys as keys where keys.user_id = item.user_id and keys.id = item.api_key_id;
  if refusal is not null or key.revoked_at is not null or key.disabled_at is not null or key.expires_at <= item.moment then
    return 0;
  end if;

  if origin = account.cycle_start then
    account_left := account.credits_granted + account.top_up_balance - account.credits_used - account.credits_held;
    if key.credit_limit is not null then
      account := keymeter.track_limit(account, item.api_key_id, key.credit_limit);
      key_left := account.limited_left[array_position(account.limited_keys, item.api_key_id)];
    end if;
  else
    -- A hold lives for at most 7 days and a cycle for at least 28 days. So the cycle of an open hold is the current cycle or the
    -- previous one, and topped_up_this_cycle contains all top-ups since the end of the cycle of the hold.
    select greatest(0, closed.credits_granted - closed.credits_used - closed.credits_held)
           + greatest(0, account.top_up_balance - greatest(
               account.topped_up_this_cycle, account.credits_used + account.credits_held - account.credits_granted, 0))
      into account_left
      from public.billing_cycles as closed where closed.user_id = item.user_id and closed.cycle_start = origin;
    if key.credit_limit is not null then
      -- The roll-up does not contain the earlier items of this batch yet.
      key_left := key.credit_limit
        - coalesce((select used.credits_charged + used.credits_held from public.usage_by_cycle as used
                     where used.user_id = item.user_id and used.api_key_id = item.api_key_id and used.cycle_start = origin), 0)
        - (select coalesce(sum(earlier.credits_charged + earlier.held_change), 0) from unnest(items) as earlier
            where earlier.is_counted and earlier.user_id = item.user_id and earlier.api_key_id = item.api_key_id
              and earlier.cycle_start = origin);
    end if;
  end if;
  -- `key_left` is null if the key has no limit, and least() ignores a null.
  return greatest(0, least(excess, coalesce(account_left, 0), key_left));
end
$$;
