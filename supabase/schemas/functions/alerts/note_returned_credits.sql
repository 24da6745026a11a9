-- Lets alerts be recorded again after an item of a batch has given credits back: a refund, or the end of a hold of an ended
-- cycle. `left_before` is what was left before the item. Returns the account for the next item.
--
-- The alerts of the earlier items are recorded first, because a new alert period must contain them.
create function keymeter.note_returned_credits(account keymeter.metering_account, left_before bigint) returns keymeter.metering_account
  language plpgsql volatile set search_path = ''
  as $$
declare
  left_now constant bigint := account.credits_granted + account.top_up_balance - account.credits_used;
begin
  if left_now <= left_before then
    return account;
  end if;
  if account.lowest_left is not null then
    perform keymeter.record_alerts(array[account]);
    account.peak_usage := null;
    account.lowest_left := null;
    account.is_short := false;
  end if;
  account.has_new_period := keymeter.begin_alert_period(account.user_id, false, left_now) or account.has_new_period;
  return account;
end
$$;
