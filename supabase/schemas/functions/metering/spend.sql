-- Decides a charge or a hold. `refusal` is the verdict if the key or the account cannot be charged, otherwise null. The credits
-- are taken if `refusal` is null, and the account and the key's credit limit have enough credits left.
create function keymeter.spend(
  item keymeter.metering_item, account keymeter.metering_account, refusal text, credit_limit bigint, is_known_operation boolean
) returns keymeter.metering_step
  language plpgsql volatile set search_path = ''
  as $$
declare
  limited int;
  -- A verify takes nothing, and it is not stored.
  is_verify constant boolean := item.credits_requested = 0 and item.idempotency_key is null;
begin
  item.verdict := refusal;
  -- A refused hold gets an expiry too. The expiry is stored, so that a retry with another lifetime is recognised as a different
  -- request.
  item.expires_at := item.moment + make_interval(secs => item.lifetime);
  if item.action = 'hold' and refusal is null then
    account.open_holds := coalesce(account.open_holds, keymeter.count_open_holds(account.user_id, account.moment));
    if account.open_holds >= keymeter.max_open_holds() then
      item.verdict := 'hold_limit_exceeded';
      return row(item, account);
    end if;
  end if;
  if not is_known_operation and not is_verify
     and not keymeter.add_operation(item.user_id, item.operation) then
    item.verdict := 'operation_limit_exceeded';
    return row(item, account);
  end if;
  if item.verdict is not null then
    return row(item, account);
  end if;

  if credit_limit is not null then
    account := keymeter.track_limit(account, item.api_key_id, credit_limit);
    limited := array_position(account.limited_keys, item.api_key_id);
  end if;
  if item.credits_requested > greatest(0, account.credits_granted + account.top_up_balance - account.credits_used - account.credits_held) then
    item.verdict := 'insufficient_credits';
    item.credits_held := keymeter.sum_open_holds(account);
    return row(item, account);
  elsif limited is not null and item.credits_requested > greatest(0, account.limited_left[limited]) then
    item.verdict := 'key_limit_exceeded';
    item.credits_held := account.limited_held[limited];
    return row(item, account);
  end if;

  if limited is not null then
    account.limited_left[limited] := account.limited_left[limited] - item.credits_requested;
    if item.action = 'hold' then
      account.limited_held[limited] := account.limited_held[limited] + item.credits_requested;
    end if;
  end if;
  if item.action = 'charge' then
    item.verdict := 'charged';
    item.credits_charged := item.credits_requested;
    account.credits_used := account.credits_used + item.credits_requested;
  else
    item.verdict := 'held';
    item.held_change := item.credits_requested;
    account.open_holds := account.open_holds + 1;
    account.credits_held := account.credits_held + item.credits_requested;
    account.holds_expire_at := least(account.holds_expire_at, item.expires_at);
    insert into public.credit_holds (user_id, sequence, api_key_id, operation, credits, cycle_start, created_at, expires_at)
      values (item.user_id, account.last_event_sequence + 1, item.api_key_id, item.operation, item.credits_requested, item.cycle_start,
              item.moment, item.expires_at);
  end if;
  item.is_counted := not is_verify;
  return row(item, account);
end
$$;
