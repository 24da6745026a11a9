-- Applies to locked accounts what has come due by `v_now`: ended cycles, expired holds, rows of the daily roll-up. The result
-- depends only on the time, not on how often it is called; keymeter.account_cycles computes the same without writing.
create function keymeter.advance_accounts(user_ids uuid[], v_now timestamptz) returns void
  language plpgsql volatile set search_path = '' set timezone = 'UTC'
  as $$
begin
  -- Takes the locks of the partitions before it writes to an account: make_usage_partitions holds such a lock while it waits for
  -- sessions that write to accounts. Reads nothing.
  perform from public.api_key_usage where user_id = any(user_ids) limit 0;
  perform keymeter.close_cycles(user_ids, v_now);
  perform keymeter.expire_holds(user_ids, v_now);
  perform keymeter.update_usage_by_day(user_ids, v_now);
end
$$;
