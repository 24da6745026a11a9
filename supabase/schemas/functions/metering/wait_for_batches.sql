-- Locks accounts in the order of their ids, and waits for other batches. The order is the same in every batch, so two batches
-- cannot deadlock. Another batch takes a few milliseconds. A longer wait means that a session of another program has locked an
-- account, so lock_timeout is short. It ends with this function, and does not apply to the rest of the batch.
create function keymeter.wait_for_batches(accounts uuid[]) returns uuid[]
  language plpgsql volatile set search_path = '' set lock_timeout = '250ms'
  as $$
begin
  return array(select user_id from public.billing_accounts where user_id = any(accounts) order by user_id for no key update);
end
$$;
