-- Brings accounts up to date at the time `v_now`: closes ended cycles, ends expired holds, and backfills the daily roll-up. The
-- caller must hold the locks of the accounts. The balances depend only on the time, not on the number of earlier calls.
-- keymeter.account_cycles computes the same balances without a write.
create function keymeter.advance_accounts(user_ids uuid[], v_now timestamptz) returns void
  language plpgsql volatile set search_path = '' set timezone = 'UTC'
  as $$
begin
  -- This statement reads no rows. It locks the partitions before this function writes to an account, which prevents a deadlock:
  -- make_usage_partitions holds the lock of a partition while it waits for sessions that write to accounts.
  perform from public.api_key_usage where user_id = any(user_ids) limit 0;
  perform keymeter.close_cycles(user_ids, v_now);
  perform keymeter.expire_holds(user_ids, v_now);
  perform keymeter.update_usage_by_day(user_ids, v_now);
end
$$;
