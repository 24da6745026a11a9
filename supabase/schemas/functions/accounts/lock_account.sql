-- Locks an account for an edit, until the transaction ends. Returns false if the account does not exist.
--
-- The advisory lock comes first. It announces the edit to keymeter.meter_batch, which cannot see who waits for a row. It also
-- lets only one edit of an account wait for the row, so a charge of the account never waits behind more than one edit.
create function keymeter.lock_account(account uuid) returns boolean
  language plpgsql volatile set search_path = ''
  as $$
begin
  perform pg_advisory_xact_lock(keymeter.edit_lock(account));
  perform from public.billing_accounts where user_id = account for no key update;
  return found;
end
$$;
