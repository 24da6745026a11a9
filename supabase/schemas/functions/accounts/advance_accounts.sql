-- Brings accounts up to date at the time `v_now`: closes ended cycles, ends expired holds, and backfills the daily roll-up. The
-- caller must hold the locks of the accounts. The balances depend only on the time, not on the number of earlier calls.
-- keymeter.account_cycles computes the same balances without a write.
create function keymeter.advance_accounts(user_ids uuid[], v_now timestamptz) returns void
  language plpgsql volatile set search_path = '' set timezone = 'UTC'
  as $$
begin
  -- This statement only locks the partitions, and reads no rows. The lock must come before the first write to an account.
  -- make_usage_partition locks a partition and then waits for sessions that have written to accounts. If such a session then
  -- needed the partition, both would wait for each other.
  perform from public.api_key_usage where user_id = any(user_ids) limit 0;
  perform keymeter.close_cycles(user_ids, v_now);
  perform keymeter.expire_holds(user_ids, v_now);
  perform keymeter.update_usage_by_day(user_ids, v_now);
end
$$;
