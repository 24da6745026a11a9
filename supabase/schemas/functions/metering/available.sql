-- Returns the number of credits that the account can still charge or hold.
create function keymeter.available(account keymeter.metering_account) returns bigint
  language sql immutable
  as $$ select greatest(0, account.credits_granted + account.top_up_balance - account.credits_used - account.credits_held) $$;
